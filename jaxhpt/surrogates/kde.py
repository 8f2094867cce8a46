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

from jaxhpt.core.keys import uniforms
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key
from jaxhpt.surrogates.features import features

LEAST_WIDTH = 1e-3  # in units of the range
SMOOTH = 2.0  # widths beside those of Scott's rule, which takes the settings for one cloud
_LOG_ROOT_TAU = 0.5 * math.log(2.0 * math.pi)


class Density(NamedTuple):
    """A mixture.

    Attributes:
      unit: f32[N, D] the centres of the kernels.
      mask: bool[N] kernels that count.
      width: f32[D] deviation of a kernel along an ordered dimension; of a choice, the chance to draw anew.
      active: bool[N, D] dimensions that a setting has.
      middle: f32[D] of the centres, near which precision matters.
      volume: f32[N, D] logarithms: minus what a kernel adds along a dimension where it is highest.
    """

    unit: Array
    mask: Array
    width: Array
    active: Array
    middle: Array
    volume: Array


def estimate(unit: Array, mask: Array, space: Space, vague: Array | float = 0.0) -> Density:
    """Estimate the density of settings.

    Args:
      unit: f32[N, D], snapped.
      mask: bool[N] settings that count.
      space: static.
      vague: f32[] settings' worth of belief that they lie anywhere; it widens kernels where settings are few.
    """
    onehot, active = features(space).onehot, space.active(unit) & mask[:, None]
    there = jnp.sum(active, axis=0, dtype=jnp.float32)
    middle = jnp.sum(jnp.where(active, unit, 0.0), axis=0) / jnp.maximum(there, 1.0)
    squares = jnp.sum(jnp.where(active, (unit - middle[None]) ** 2, 0.0), axis=0)
    spread = jnp.sqrt((squares + vague / 12.0) / jnp.maximum(there + vague, 1.0))
    width = _widths(spread, unit, active, mask, space)
    volume = jnp.log(width[None] * (ndtr((1.0 - unit) / width[None]) - ndtr(-unit / width[None]))) + _LOG_ROOT_TAU
    if onehot.any():
        volume = jnp.where(onehot, -jnp.log1p(width / _levels(space) - width), volume)
    return Density(unit, mask, width, active, middle, volume)


def _widths(spread: Array, unit: Array, active: Array, mask: Array, space: Space) -> Array:
    """Return f32[D]: by the spread, less the more settings, and so that a whole number reaches its neighbours."""
    onehot, levels = features(space).onehot, _levels(space)
    count = jnp.maximum(jnp.sum(mask, dtype=jnp.float32), 1.0)
    low, high = space.bins(unit)
    least = jnp.maximum(0.5 * jnp.max(jnp.where(active, high - low, 0.0), axis=0), LEAST_WIDTH)
    width = jnp.clip(SMOOTH * spread * count ** (-1.0 / (space.num_dimensions + 4)), least, 1.0)
    return jnp.where(onehot, levels / (levels + count), width) if onehot.any() else width


def log_density(density: Density, unit: Array, space: Space) -> Array:
    """Return the logarithm of the density at settings: snapped f32[P, D] -> f32[P]."""
    onehot = features(space).onehot
    there = space.active(unit).astype(jnp.float32)
    mine = density.active.astype(jnp.float32)
    anywhere = np.where(onehot, np.log(np.where(onehot, _levels(space), 1.0)), 0.0).astype(np.float32)
    lost = mine * density.volume + (1.0 - mine) * anywhere[None]
    kernels = -lost @ there.T - 0.5 * _apart(density, mine, unit, there, space)
    kernels = jnp.where(density.mask[:, None], kernels, -jnp.inf)
    both = jnp.logaddexp(logsumexp(kernels, axis=0), -there @ anywhere)
    return both - jnp.log1p(jnp.sum(density.mask, dtype=jnp.float32))


def _apart(density: Density, mine: Array, unit: Array, there: Array, space: Space) -> Array:
    """Return squared distances in widths, over the dimensions that a centre and a place both have: f32[N, P]."""
    a, owner = _scaled(density.unit, density, space)
    b, _ = _scaled(unit, density, space)
    mine, there = mine[:, owner], there[:, owner]
    squares = (mine * a**2) @ there.T + mine @ (there * b**2).T
    return jnp.maximum(squares - 2.0 * (mine * a) @ (there * b).T, 0.0)


def _scaled(unit: Array, density: Density, space: Space) -> tuple[Array, np.ndarray]:
    """Return features of which half the squared distance is what a kernel loses, f32[P, F], and whose they are."""
    onehot, levels, columns, owner = features(space).onehot, _levels(space), [], []
    for i, dimension in enumerate(space.dimensions):
        width = density.width[i]
        if onehot[i]:
            hot = dimension.level(unit[:, i])[:, None] == jnp.arange(int(levels[i]), dtype=jnp.int32)[None]
            columns.append(hot.astype(jnp.float32) * jnp.sqrt(jnp.log1p(levels[i] * (1.0 - width) / width)))
        else:
            columns.append((unit[:, i : i + 1] - density.middle[i]) / width)
        owner += [i] * columns[-1].shape[1]
    return jnp.concatenate(columns, axis=1), np.array(owner, np.int32)


def draw(key: Key, density: Density, num: int, space: Space) -> Array:
    """Draw settings: f32[num, D], snapped."""
    shape, size = (num, space.num_dimensions), density.unit.shape[0]
    k = jax.random.split(key, 3)
    sums = jnp.cumsum(density.mask.astype(jnp.float32))
    kernel = jnp.searchsorted(sums, uniforms(k[0], (num,)) * (sums[-1] + 1.0), side="right").astype(jnp.int32)
    anywhere, base = uniforms(k[1], shape), density.unit[jnp.minimum(kernel, size - 1)]
    low, high = (ndtr((end - base) / density.width[None]) for end in (0.0, 1.0))
    near = jnp.clip(base + density.width[None] * ndtri(low + anywhere * (high - low)), 0.0, 1.0)
    onehot = features(space).onehot
    if onehot.any():
        again = uniforms(k[2], shape) < density.width[None]
        near = jnp.where(onehot, jnp.where(again, anywhere, base), near)
    of_kernel = density.active[jnp.minimum(kernel, size - 1)] & (kernel < size)[:, None]
    return space.snap(jnp.where(of_kernel, near, anywhere))


def _levels(space: Space) -> np.ndarray:
    return space.levels.astype(np.float32)
