"""New settings for copies: near those that they are copied from, in every dimension's own type."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.arrays import leave_bin, reflect
from jaxhpt.core.keys import uniforms
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key
from jaxhpt.surrogates.features import features


def perturbed(key: Key, unit: Array, space: Space, perturbation: float, resample: float) -> Array:
    """Move settings a little: f32[N, D] snapped -> f32[N, D] snapped.

    Floats and numbers move up or down by half to one and a half times `perturbation`, what would leave the range turns
    back; whole numbers and ordered choices move by one level at least. Any dimension is drawn anew by chance, and
    unordered choices only so.

    Args:
      key: consumed.
      unit: what is moved.
      space: static.
      perturbation: in units of the range, on the scale of the dimension.
      resample: chance of each dimension to be drawn anew, in [0, 1].
    """
    k = jax.random.split(key, 2)
    levels = space.levels.astype(np.float32)
    chance = uniforms(k[0], (3, *unit.shape))
    size = jnp.maximum(perturbation * (0.5 + chance[0]), 1.0 / levels[None])
    moved = reflect(unit + jnp.where(chance[1] < 0.5, -size, size))
    if np.isfinite(levels).any():
        moved = leave_bin(moved, unit, *space.bins(unit))
    anew = chance[2] < resample
    return space.snap(jnp.where(anew, uniforms(k[1], unit.shape), jnp.where(features(space).onehot[None], unit, moved)))
