"""Where settings of a kind lie: a mixture with a kernel on each of them, over all dimensions at once.

Notations. N settings, D dimensions, F features of a setting (see `features.py`), P places; float32.

Along an ordered dimension a kernel is normal, cut at the ends of the range, of the same width for all; of a choice, the
value itself with most of the mass, and the others with the rest. One more, uniform, stands for what was not seen yet.
Along a dimension that a setting lacks its kernel has no say.

Falkner, Klein and Hutter, "BOHB: robust and efficient hyperparameter optimization at scale",
https://arxiv.org/abs/1807.01774 (2018), for kernels over all dimensions at once.
Watanabe, "Tree-structured Parzen estimator: understanding its algorithm components",
https://arxiv.org/abs/2304.11127 (2023).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp, ndtr, ndtri

from jaxhpt.keys import uniforms
from jaxhpt.space import Space
from jaxhpt.surrogates.features import embed, features
from jaxhpt.surrogates.gp import squared_distances
from jaxhpt.typing import Array, Key

LEAST_WIDTH = 1e-3  # in units of the range
SMOOTH = 2.0  # widths beside those of Scott's rule, which takes the settings for one cloud
_LOG_ROOT_TAU = 0.5 * math.log(2.0 * math.pi)


class Density(NamedTuple):
    """A mixture.

    Attributes:
      unit: f32[N, D] the centres of the kernels.
      mask: bool[N] kernels that count.
      width: f32[D] deviation of a kernel along an ordered dimension; of a choice, the chance to draw anew.
      x: f32[N, F] features, of which half the squared distance is what a kernel loses.
      peak: f32[N + 1] logarithms of what each kernel adds where it is highest; the uniform one is last.
    """

    unit: Array
    mask: Array
    width: Array
    x: Array
    peak: Array


def estimate(unit: Array, mask: Array, space: Space, vague: Array | float = 0.0) -> Density:
    """Estimate the density of settings.

    Args:
      unit: f32[N, D], snapped.
      mask: bool[N] settings that count.
      space: static.
      vague: f32[] settings' worth of belief that they lie anywhere; it widens kernels where settings are few.
    """
    onehot, active = features(space).onehot, space.active(unit) & mask[:, None]
    width = _widths(unit, active, mask, space, vague)
    inside = ndtr((1.0 - unit) / width) - ndtr(-unit / width)
    volume = jnp.log(width * inside) + _LOG_ROOT_TAU
    if onehot.any():
        volume = jnp.where(onehot, -jnp.log1p(width / _levels(space) - width), volume)
    peak = jnp.where(mask, -jnp.sum(jnp.where(active, volume, 0.0), axis=1), -jnp.inf)
    uniform = -np.sum(np.log(_levels(space)[onehot]), dtype=np.float32)
    peak = jnp.append(peak, uniform) - jnp.log1p(jnp.sum(mask, dtype=jnp.float32))
    return Density(unit, mask, width, _scaled(unit, width, space), peak)


def _widths(unit: Array, active: Array, mask: Array, space: Space, vague: Array | float) -> Array:
    """Return f32[D]: by the spread of the settings that have the dimension, and the less the more settings."""
    onehot, levels = features(space).onehot, _levels(space)
    count = jnp.maximum(jnp.sum(mask, dtype=jnp.float32), 1.0)
    there = jnp.sum(active, axis=0, dtype=jnp.float32)
    middle = jnp.sum(jnp.where(active, unit, 0.0), axis=0) / jnp.maximum(there, 1.0)
    squares = jnp.sum(jnp.where(active, (unit - middle) ** 2, 0.0), axis=0)
    spread = jnp.sqrt((squares + vague / 12.0) / jnp.maximum(there + vague, 1.0))
    width = SMOOTH * spread * count ** (-1.0 / (space.num_dimensions + 4))
    width = jnp.clip(width, np.maximum(0.5 / levels, LEAST_WIDTH), 1.0)
    return jnp.where(onehot, levels / (levels + count), width) if onehot.any() else width


def log_density(density: Density, unit: Array, space: Space) -> Array:
    """Return the logarithm of the density at settings: snapped f32[P, D] -> f32[P]."""
    away = squared_distances(density.x, _scaled(unit, density.width, space))
    return jnp.logaddexp(logsumexp(density.peak[:-1, None] - 0.5 * away, axis=0), density.peak[-1])


def draw(key: Key, density: Density, num: int, space: Space) -> Array:
    """Draw settings: f32[num, D], snapped."""
    shape, size = (num, space.num_dimensions), density.unit.shape[0]
    k = jax.random.split(key, 3)
    sums = jnp.cumsum(density.mask.astype(jnp.float32))
    kernel = jnp.searchsorted(sums, uniforms(k[0], (num,)) * (sums[-1] + 1.0), side="right")
    anywhere, base = uniforms(k[1], shape), density.unit[jnp.minimum(kernel, size - 1)]
    low, high = (ndtr((end - base) / density.width) for end in (0.0, 1.0))
    near = jnp.clip(base + density.width * ndtri(low + anywhere * (high - low)), 0.0, 1.0)
    onehot = features(space).onehot
    if onehot.any():
        again = uniforms(k[2], shape) < density.width
        near = jnp.where(onehot, jnp.where(again, anywhere, base), near)
    of_kernel = space.active(base) & (kernel < size)[:, None]
    return space.snap(jnp.where(of_kernel, near, anywhere))


def _levels(space: Space) -> np.ndarray:
    return np.array([np.inf if d.levels is None else d.levels for d in space.dimensions], np.float32)


def _scaled(unit: Array, width: Array, space: Space) -> Array:
    """Return features of which half the squared distance is what a kernel loses: f32[P, D] -> f32[P, F]."""
    about, scale = features(space), 1.0 / width
    if about.onehot.any():
        fall = jnp.log1p(jnp.where(about.onehot, _levels(space) * (1.0 - width) / width, 0.0))
        scale = jnp.where(about.onehot, jnp.sqrt(2.0 * fall), scale)
    return embed(unit, space) * scale[about.owner]
