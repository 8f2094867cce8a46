"""The trials that are laid out before any has ended: a quasi-random sequence, within a space and on its faces."""

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.variation import genes
from jaxhpt.core.qmc import sobol
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key

WIDER = 2.0  # than the space: a point of it is at an end in half of the dimensions, on average


def initial_design(key: Key, index: Array, fresh: Array, child: Array, space: Space, size: int | None = None) -> Array:
    """Put points of a quasi-random design in the places of the first generation.

    Args:
      key: of the scramble; the same in every event.
      index: i32[Q] places in the design.
      fresh: bool[Q] where a point goes.
      child: f32[Q, D] what stays elsewhere.
      space: static.
      size: static; beyond so many points every other one is on faces of the space; None for none.

    Returns:
      f32[Q, D] snapped.
    """

    def design() -> Array:
        unit = sobol(key, index, space.num_dimensions) if size is None else _outwards(key, index, space, size)
        return jnp.where(fresh[:, None], space.snap(unit), child)

    return jax.lax.cond(jnp.any(fresh), design, lambda: child)


def _outwards(key: Key, index: Array, space: Space, size: int) -> Array:
    """Return points of a design, beyond `size` by turns within the space and on its faces: i32[Q] -> f32[Q, D]."""
    beyond = jnp.maximum(index - size, 0)
    inside = sobol(key, jnp.minimum(index, size) + beyond // 2, space.num_dimensions)
    outside = on_faces(jax.random.fold_in(key, 1), beyond // 2, space)
    return jnp.where(((index >= size) & (beyond % 2 == 0))[:, None], outside, inside)


def on_faces(key: Key, index: Array, space: Space) -> Array:
    """Return points of a quasi-random sequence on faces of the space: i32[n] -> f32[n, D] in [0, 1].

    They are from a wider space, and moved to the nearest end in the dimensions where they are outside. The best of
    many tasks is at some ends of the ranges, where an even sequence never is. Choices without order have no ends.

    Every other point of one sequence would not do: those are all in one half of the first dimension.

    Args:
      key: of the scramble.
      index: i32[n] places in the sequence.
      space: static.
    """
    unit = sobol(key, index, space.num_dimensions)
    wide = jnp.clip(0.5 + WIDER * (unit - 0.5), 0.0, 1.0)
    return jnp.where(genes(space).unordered, unit, wide)
