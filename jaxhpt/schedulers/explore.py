"""New settings for copies: near those that they are copied from, in every dimension's own type."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.dimensions import Choice
from jaxhpt.keys import uniforms
from jaxhpt.numerics import reflect
from jaxhpt.space import Space
from jaxhpt.surrogates.features import unordered
from jaxhpt.typing import Array, Key

EDGE = 1e-5  # this far beyond the end of its bin another level begins


def perturbed(key: Key, unit: Array, space: Space, step: float, resample: float) -> Array:
    """Move settings a little: f32[N, D] snapped -> f32[N, D] snapped.

    Floats and numbers move up or down by half to one and a half steps, what would leave the range turns back; whole
    numbers and ordered choices move by one level at least. Any dimension is drawn anew by chance, and unordered choices
    only so.

    Args:
      key: consumed.
      unit: what is moved.
      space: static.
      step: in units of the range, on the scale of the dimension.
      resample: chance of each dimension to be drawn anew, in [0, 1].
    """
    k = jax.random.split(key, 2)
    levels = space.levels.astype(np.float32)
    free = np.array([isinstance(d, Choice) and unordered(d) for d in space.dimensions])
    chance = uniforms(k[0], (3, *unit.shape))
    size = jnp.maximum(step * (0.5 + chance[0]), 1.0 / levels[None])
    moved = reflect(unit + jnp.where(chance[1] < 0.5, -size, size))
    if np.isfinite(levels).any():
        moved = _beyond(moved, unit, chance[1] >= 0.5, space)
    anew = chance[2] < resample
    return space.snap(jnp.where(anew, uniforms(k[1], unit.shape), jnp.where(free[None], unit, moved)))


def _beyond(moved: Array, unit: Array, up: Array, space: Space) -> Array:
    """Let what is still of the same level go to the next one, upwards where bool[N, D] `up`, if there is one."""
    low, high = space.bins(unit)
    rises = (up & (high < 1.0 - EDGE)) | (low <= EDGE)
    stays = np.isfinite(space.levels)[None] & (moved >= low) & (moved <= high)
    return jnp.clip(jnp.where(stays, jnp.where(rises, high + EDGE, low - EDGE), moved), 0.0, 1.0)
