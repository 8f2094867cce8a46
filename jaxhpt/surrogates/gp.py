"""Gaussian processes: what is known of a function from noisy values at some places, and how surely.

Notations. All arrays are float32.

  N  rows of a model: its capacity; rows that `mask` leaves out change nothing
  P  places that are asked about
  F  features of a place, D dimensions they belong to (see `features.py`)

  x       [N, F]  features
  y       [N]     values, standardized
  mask    [N]     bool, rows that count
  owner   [F]     the dimension that each feature belongs to; static
  theta   [D + 2] logarithms of the D length-scales, of the signal variance and of the noise variance
  K       [N, N]  k(x, x) + noise, where k is Matern-5/2 with one length-scale a dimension
  chol    [N, N]  lower Cholesky factor of K
  white   [N]     chol^-1 (y - mean)

Distances are matrix products around a centre, the best place, near which precision matters. The gradient is written
out: one factorisation and one contraction a dimension, where differentiating through them would hold N x N x D numbers.

Rasmussen and Williams, "Gaussian processes for machine learning", https://gaussianprocess.org/gpml/ (2006);
equation numbers are theirs.
Hvarfner, Hellsten and Nardi, "Vanilla Bayesian optimization performs great in high dimensions",
https://arxiv.org/abs/2402.02229 (2024), for length-scales that grow with the root of the dimensions.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from jaxhpt.core.arrays import beside
from jaxhpt.core.typing import Array
from jaxhpt.surrogates.config import CONFIG


class Model(NamedTuple):
    """A process that has seen data.

    Attributes:
      theta: f32[D + 2].
      x: f32[N, F] centred features over length-scales.
      centre: f32[F].
      chol: f32[N, N].
      white: f32[N]; 0 in rows whose place is known and whose value is not.
      mean: f32[] of the process far from all data.
      mask: bool[N].
    """

    theta: Array
    x: Array
    centre: Array
    chol: Array
    white: Array
    mean: Array
    mask: Array


class Posterior(NamedTuple):
    """What a model says of P places.

    Attributes:
      mean: f32[P].
      variance: f32[P] of the function, without noise.
      root: f32[N, P]; covariances are k(p, p') - root.T @ root.
      x: f32[P, F] centred features over length-scales.
    """

    mean: Array
    variance: Array
    root: Array
    x: Array


def prior(theta: Array) -> tuple[Array, Array]:
    """Return minus the logarithm of a normal prior of theta, up to a constant, and its gradient."""
    size = num_dimensions(theta)
    scale = (CONFIG.scale_prior[0] + 0.5 * math.log(size), CONFIG.scale_prior[1])
    normal = np.array([*[scale] * size, CONFIG.signal_prior, CONFIG.noise_prior], np.float32)
    away = (theta - normal[:, 0]) / normal[:, 1]
    return 0.5 * jnp.sum(away**2), away / normal[:, 1]


def bounds(dimensions: int) -> np.ndarray:
    """Return the least and the largest theta: f32[2, D + 2]."""
    pairs = [*[CONFIG.scale_bounds] * dimensions, CONFIG.signal_bounds, CONFIG.noise_bounds]
    return np.log(np.array(pairs, np.float32)).T


def num_dimensions(theta: Array) -> int:
    """Return D, where theta is f32[..., D + 2]."""
    return theta.shape[-1] - 2


def squared_distances(a: Array, b: Array) -> Array:
    """Return squared distances of rows: [N, F], [P, F] -> [N, P]."""
    lengths = jnp.sum(a**2, axis=1)[:, None] + jnp.sum(b**2, axis=1)[None]
    return jnp.maximum(lengths - 2.0 * a @ b.T, 0.0)


def correlation(squared: Array) -> tuple[Array, Array]:
    """Return Matern-5/2 at squared distances, eq. (4.17), and minus twice its slope: [...] -> two [...]."""
    r = jnp.sqrt(5.0 * squared)
    fall = jnp.exp(-r)
    return (1.0 + r + r * r / 3.0) * fall, (5.0 / 3.0) * (1.0 + r) * fall


def scaled(x: Array, theta: Array, owner: np.ndarray, centre: Array) -> Array:
    """Return centred features over their length-scales: [P, F] -> [P, F]."""
    return (x - beside(centre, x)) * beside(jnp.exp(-theta[owner]), x)


def noise(theta: Array) -> Array:
    """Return the noise variance, f32[]."""
    return CONFIG.noise_floor + jnp.exp(theta[-1])


def _noises(theta: Array, known: Array | None) -> Array:
    """Return the noise variance of rows: f32[], or f32[N] where some of it is known beforehand."""
    return noise(theta) if known is None else noise(theta) + known


class _Factors(NamedTuple):
    s: Array  # scaled x
    kernel: Array  # without noise, 0 where masked
    slope: Array
    chol: Array


def _factors(theta: Array, x: Array, mask: Array, owner: np.ndarray, centre: Array, known: Array | None) -> _Factors:
    s = scaled(x, theta, owner, centre)
    k, slope = correlation(squared_distances(s, s))
    both, diagonal = mask[:, None] & mask[None], jnp.eye(mask.shape[0], dtype=bool)
    signal = jnp.exp(theta[-2])
    k = jnp.where(both, signal * jnp.where(diagonal, 1.0, k), 0.0)
    chol = jnp.linalg.cholesky(k + jnp.where(diagonal, jnp.where(mask, _noises(theta, known), 1.0), 0.0))
    return _Factors(s, k, jnp.where(both, signal * slope, 0.0), chol)


def _mean(total: Array, weight: Array) -> Array:
    """Return the mean of generalised least squares, shrunk to 0 as by one observation of it. Eq. (2.42).

    Args:
      total: f32[] of the values, 1' K^-1 y.
      weight: f32[] of all rows, 1' K^-1 1.
    """
    return total / (weight + 1.0)


def loss_and_gradient(
    theta: Array, x: Array, y: Array, mask: Array, owner: np.ndarray, centre: Array, known: Array | None = None
) -> tuple[Array, Array]:
    """Return minus the logarithm of likelihood and prior, and its gradient. Eqs. (2.30) and (5.9).

    Args:
      theta: f32[D + 2].
      x: f32[N, F].
      y: f32[N]; what stands where `mask` is False does not matter.
      mask: bool[N].
      owner: i32[F], static.
      centre: f32[F].
      known: f32[N] noise variances that are known beforehand, beside the one in theta; None for none.

    Returns:
      f32[] and f32[D + 2].
    """
    size = num_dimensions(theta)
    s, k, slope, chol = _factors(theta, x, mask, owner, centre, known)
    eye = jnp.eye(mask.shape[0], dtype=jnp.float32)
    half = solve_triangular(chol, eye, lower=True)
    inverse = half.T @ half
    ones = mask.astype(jnp.float32)
    y = jnp.where(mask, y, 0.0)
    weights = inverse @ ones
    mean = _mean(jnp.sum(weights * y), jnp.sum(weights))
    residual = jnp.where(mask, y - mean, 0.0)
    alpha = inverse @ residual
    fit = (
        0.5 * residual @ alpha
        + jnp.sum(jnp.log(jnp.diagonal(chol)))
        + 0.5 * jnp.log(jnp.float32(2 * math.pi)) * jnp.sum(ones)
    )
    before, pull = prior(theta)
    loss = fit + 0.5 * mean**2 + before
    outer = jnp.outer(alpha, alpha) - inverse
    a = outer * slope
    by_feature = jnp.sum((jnp.sum(a, axis=1)[:, None] * s - a @ s) * s, axis=0)
    by_scale = jnp.zeros(size, jnp.float32).at[owner].add(by_feature)
    by_signal = 0.5 * jnp.sum(outer * k)
    by_noise = 0.5 * jnp.exp(theta[-1]) * jnp.sum(jnp.diagonal(outer) * ones)
    return loss, pull - jnp.concatenate([by_scale, jnp.stack([by_signal, by_noise])])


def condition(
    theta: Array,
    x: Array,
    y: Array,
    observed: Array,
    mask: Array,
    owner: np.ndarray,
    centre: Array,
    known: Array | None = None,
) -> Model:
    """Let a process see data.

    Rows of `mask` that are not `observed`, which must come after those that are, only make it sure of their places:
    the mean is what it is without them.

    Args:
      theta: f32[D + 2].
      x: f32[N, F].
      y: f32[N].
      observed: bool[N] rows whose value is known.
      mask: bool[N] rows whose place is known.
      owner: i32[F], static.
      centre: f32[F].
      known: f32[N] as in `loss_and_gradient`.
    """
    s, _, _, chol = _factors(theta, x, mask, owner, centre, known)
    both = jnp.stack([jnp.where(observed, y, 0.0), observed.astype(jnp.float32)], axis=1)
    # Rows come in order, so what is solved for the observed ones does not depend on those after them.
    solved = solve_triangular(chol, both, lower=True) * observed[:, None].astype(jnp.float32)
    mean = _mean(jnp.sum(solved[:, 0] * solved[:, 1]), jnp.sum(solved[:, 1] ** 2))
    return Model(theta, s, centre, chol, solved[:, 0] - mean * solved[:, 1], mean, mask)


def smoothed(model: Model, y: Array, known: Array | None = None) -> Array:
    """Return what is believed of the function at the rows whose values y f32[N] the model has seen: f32[N].

    `known` f32[N] is what it was told of their noise.
    """
    return y - _noises(model.theta, known) * solve_triangular(model.chol.T, model.white, lower=False)


def posterior(model: Model, x: Array, owner: np.ndarray) -> Posterior:
    """Ask a model about places: x f32[P, F]. Eqs. (2.23) to (2.26)."""
    s = scaled(x, model.theta, owner, model.centre)
    cross = covariance(model, model.x, s)
    root = solve_triangular(model.chol, jnp.where(model.mask[:, None], cross, 0.0), lower=True)
    signal = jnp.exp(model.theta[-2])
    variance = jnp.maximum(signal - jnp.sum(root**2, axis=0), 1e-6 * signal)
    return Posterior(model.mean + model.white @ root, variance, root, s)


def covariance(model: Model, a: Array, b: Array) -> Array:
    """Return the prior covariance of scaled places: [N, F], [P, F] -> [N, P]."""
    return jnp.exp(model.theta[-2]) * correlation(squared_distances(a, b))[0]
