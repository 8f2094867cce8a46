"""The trials that are laid out before any has ended: a quasi-random sequence."""

import jax.numpy as jnp

from jaxhpt.algorithms.beliefs import designed
from jaxhpt.core.control import when
from jaxhpt.core.qmc import sobol
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key


def initial_design(key: Key, index: Array, fresh: Array, child: Array, space: Space) -> Array:
    """Put points of a quasi-random design, which lean to what is believed, in the places of the first generation.

    Args:
      key: of the scramble; the same in every event.
      index: i32[Q] places in the design.
      fresh: bool[Q] where a point goes.
      child: f32[Q, D] what stays elsewhere.
      space: static.

    Returns:
      f32[Q, D] snapped.
    """

    def design() -> Array:
        unit = designed(sobol(key, index, space.num_dimensions), index, space)
        return jnp.where(fresh[:, None], space.snap(unit), child)

    return when(jnp.any(fresh), design, lambda: child)
