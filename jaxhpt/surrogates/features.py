"""What a kernel sees of a setting: distances between features are distances between settings, choices included."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.arrays import beside
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array
from jaxhpt.surrogates.config import CONFIG


class Features(NamedTuple):
    """How the features of a space are made. All static.

    Attributes:
      owner: i32[F] the dimension that each feature belongs to.
      onehot: bool[D] whether a dimension has a feature for each of its values.
      conditional: bool[D] whether it has one more, which tells whether it exists.
    """

    owner: np.ndarray
    onehot: np.ndarray
    conditional: np.ndarray


@functools.cache
def features(space: Space) -> Features:
    """Describe the features of a space."""
    onehot = np.array([not d.ordered for d in space.dimensions])
    conditional = np.array([bool(c) for c in space.conditions])
    sizes = [(d.levels or 1) if o else 1 for d, o in zip(space.dimensions, onehot, strict=True)]
    owner = np.repeat(np.arange(len(sizes)), np.array(sizes) + conditional).astype(np.int32)
    return Features(owner, onehot, conditional)


def with_column(x: Array, value: Array) -> Array:
    """Add a feature of its own, such as time, f32[N] or f32[]: f32[N, F] -> f32[N, F + 1]."""
    return jnp.concatenate([x, jnp.broadcast_to(value, x.shape[:1])[:, None]], axis=1)


def with_owner(space: Space) -> np.ndarray:
    """Return the owners of the features and of one more, which has the length-scale D: i32[F + 1]."""
    return np.append(features(space).owner, np.int32(space.num_dimensions))


def embed(unit: Array, space: Space) -> Array:
    """Turn settings into features: snapped f32[..., D] -> f32[..., F].

    Squared distances add up over dimensions: for ordered ones the squared difference of `unit`, for unordered ones 1
    where they differ. A dimension that does not exist stands in the middle of its range, some way off.
    """
    about, columns = features(space), []
    active = space.active(unit) if about.conditional.any() else None
    for i, dimension in enumerate(space.dimensions):
        if about.onehot[i]:
            levels = dimension.levels or 1
            level = dimension.level(unit[..., i])[..., None]
            hot = level == beside(jnp.arange(levels, dtype=jnp.int32), level)
            columns.append(hot.astype(jnp.float32) * jnp.float32(0.5**0.5))
        else:
            columns.append(unit[..., i : i + 1])
        if active is not None and about.conditional[i]:
            columns.append(active[..., i : i + 1].astype(jnp.float32) * CONFIG.absence)
    return jnp.concatenate(columns, axis=-1)
