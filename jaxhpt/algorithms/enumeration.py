"""All settings of a space that has few, as a table."""

import functools

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array


def settings(space: Space, most: int) -> Array | None:
    """Return every setting of a space once, f32[S, D] snapped; None where there are more than `most`.

    Args:
      space: static.
      most: static; at least 1.
    """
    rows = _rows(space, most)
    return None if rows is None else space.snap(jnp.asarray(rows))  # in the trace: outside it takes longer to compile


@functools.cache
def _rows(space: Space, most: int) -> np.ndarray | None:
    """Return the settings before they are snapped, f32[S, D].

    Column by column, parents first, so that time and memory follow the settings that exist, not the combinations.
    """
    if space.size is None:
        return None
    rows = np.full((1, space.num_dimensions), 0.5, np.float32)
    for column in sorted(range(space.num_dimensions), key=lambda i: len(space.conditions[i])):  # a child has more
        there, levels = _active(space, rows, column), space.dimensions[column].levels or 1
        if len(rows) + int(there.sum()) * (levels - 1) > most:
            return None
        grown = np.repeat(rows[there], levels, axis=0)
        grown[:, column] = np.tile(space.dimensions[column].grid(levels), int(there.sum()))
        rows = np.concatenate([rows[~there], grown])
    return rows


def _active(space: Space, rows: np.ndarray, column: int) -> np.ndarray:
    """Tell in which rows f32[n, D] a dimension exists, as `Space.active` does, on the host: bool[n]."""
    there = np.ones(len(rows), bool)
    for condition in space.conditions[column]:
        level = space.dimensions[condition.parent].level(rows[:, condition.parent], np)
        there &= np.isin(level, condition.levels)
    return there
