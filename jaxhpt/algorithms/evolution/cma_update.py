"""The distribution of CMA-ES, and how it learns from one generation; numbers of equations are those of the tutorial.

Hansen, "The CMA evolution strategy: a tutorial", https://arxiv.org/abs/1604.00772 (2016).
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms.variation import genes
from jaxhpt.core.arrays import beside
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array

LARGEST_SIGMA = 1.0  # a step as wide as the range says nothing
SMALLEST_SHARE = 1e-8  # of the largest variance, that float32 still resolves
BIN_SHARE = 0.25  # least deviation of a stepped dimension, in bins: one sample in 20 leaves the middle of its bin
CORNER = 5  # dimensions up to which samples from a corner are often cut off to the corner itself


class CMAESState(NamedTuple):
    """The distribution, and the rows it has not learned from yet.

    Attributes:
      mean: f32[D].
      sigma: f32[] overall step.
      axes: f32[D, D] principal axes, in columns.
      scale: f32[D] deviations along them.
      covariance: f32[D, D].
      path: f32[2, D] evolution paths of the step and of the covariance.
      buffer: i32[N] finished rows to come; NONE for none.
      filled: i32[] how many.
      bests: i32[H] best rows of the latest generations; NONE for none.
      level: i32[] the population has been doubled so often.
      generation: i32[] updates so far.
      begun: i32[] updates before this run began.
    """

    mean: Array
    sigma: Array
    axes: Array
    scale: Array
    covariance: Array
    path: Array
    buffer: Array
    filled: Array
    bests: Array
    level: Array
    generation: Array
    begun: Array


class Rates(NamedTuple):
    """Constants of one population size, Eqs. (49) to (58)."""

    weights: np.ndarray  # f32[N], the negative ones last
    parents: int
    mass: float  # mu_eff
    step: float  # c_sigma
    damping: float
    path: float  # c_c
    one: float  # c_1
    rank: float  # c_mu
    length: float  # expected length of a standard normal vector


@functools.cache
def rates_of(size: int, num: int) -> Rates:
    """Return the constants for D = `size` and a population of `num`."""
    raw = math.log((num + 1) / 2) - np.log(np.arange(1, num + 1))
    parents = num // 2
    better, worse = raw[:parents], raw[parents:]
    mass, other = better.sum() ** 2 / (better**2).sum(), worse.sum() ** 2 / (worse**2).sum()
    path = (4 + mass / size) / (size + 4 + 2 * mass / size)
    step = (mass + 2) / (size + mass + 5)
    damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (size + 1)) - 1) + step
    one = 2 / ((size + 1.3) ** 2 + mass)
    rank = min(1 - one, 2 * (0.25 + mass + 1 / mass - 2) / ((size + 2) ** 2 + mass))
    against = min(1 + one / rank, 1 + 2 * other / (other + 2), (1 - one - rank) / (size * rank))
    positive, negative = np.maximum(raw, 0) / raw[raw > 0].sum(), np.minimum(raw, 0) / -raw[raw < 0].sum()
    weights = (positive + against * negative).astype(np.float32)
    length = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))
    mass, step, damping, path, one, rank = map(float, (mass, step, damping, path, one, rank))
    return Rates(weights, parents, mass, step, damping, path, one, rank, length)


def stepped(space: Space) -> bool:
    """Tell whether a space has dimensions of steps, which the distribution must be kept from standing still in."""
    return bool(np.isfinite(genes(space).levels).any())


def variance_of(state: CMAESState) -> Array:
    """Return the variance of each dimension, f32[D]."""
    return state.sigma**2 * jnp.diag(state.covariance)


def near_range(x: Array, state: CMAESState) -> Array:
    """Clip f32[..., D] to the range, and in many dimensions to a margin around it.

    The margin is as many deviations wide as it takes to be cut off in all dimensions as often as in a few without it:
    an optimum in a corner is then met exactly.
    """
    deviations = jax.scipy.special.ndtri(jnp.float32(0.5 ** min(1.0, CORNER / x.shape[-1])))
    margin = beside(jnp.minimum(deviations * jnp.sqrt(variance_of(state)), 0.5), x)
    return jnp.clip(x, -margin, 1.0 + margin)


def missing_variance(state: CMAESState, space: Space) -> Array:
    """Return the variance that stepped dimensions lack to leave their bins, f32[D]."""
    least = (BIN_SHARE / genes(space).levels) ** 2
    return jnp.maximum(least - variance_of(state), 0.0)


def updated(state: CMAESState, rates: Rates, moved: Array, space: Space) -> CMAESState:
    """Learn from one generation: steps from the mean f32[N, D], best first. Eqs. (41) to (47)."""
    weights, size = jnp.asarray(rates.weights), state.mean.shape[0]
    y = moved / state.sigma
    if stepped(space):  # as if the deviation that was lent to leave a bin had been the distribution's own
        variance = variance_of(state)
        y = y * jnp.sqrt(variance / (variance + missing_variance(state, space)))[None]
    chosen = rates.weights[: rates.parents]
    mean = near_range(state.mean + chosen @ moved[: rates.parents], state)
    step = chosen @ y[: rates.parents]
    white = state.axes @ ((step @ state.axes) / state.scale)
    path = (1 - rates.step) * state.path[0] + math.sqrt(rates.step * (2 - rates.step) * rates.mass) * white
    length = jnp.sqrt(jnp.sum(path**2))
    age = (state.generation - state.begun + 1).astype(jnp.float32)
    usual = jnp.sqrt(1.0 - (1.0 - rates.step) ** (2.0 * age)) * (1.4 + 2.0 / (size + 1.0)) * rates.length
    held = (length < usual).astype(jnp.float32)  # h_sigma
    along = (1 - rates.path) * state.path[1] + held * math.sqrt(rates.path * (2 - rates.path) * rates.mass) * step
    lengths = jnp.sum(((y @ state.axes) / state.scale[None]) ** 2, axis=1)
    each = jnp.where(weights >= 0, weights, weights * size / jnp.maximum(lengths, 1e-12))
    keep = 1 + rates.one * (1 - held) * rates.path * (2 - rates.path) - rates.one - rates.rank * weights.sum()
    covariance = keep * state.covariance + rates.one * jnp.outer(along, along) + rates.rank * (y.T * each[None]) @ y
    covariance = (covariance + covariance.T) / 2
    variances, axes = jnp.linalg.eigh(covariance)
    variances = jnp.maximum(variances, SMALLEST_SHARE * variances[-1])
    grown = state.sigma * jnp.exp(jnp.minimum(1.0, rates.step / rates.damping * (length / rates.length - 1)))
    return state._replace(
        mean=mean,
        sigma=jnp.minimum(grown, LARGEST_SIGMA),
        axes=axes,
        scale=jnp.sqrt(variances),
        covariance=covariance,
        path=jnp.stack([path, along]),
    )
