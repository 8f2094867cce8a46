"""All settings of a space that has few, as a table."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.space import Space


@functools.cache
def settings(space: Space, most: int) -> np.ndarray | None:
    """Return every setting of a space once, f32[S, D] snapped; None where there are more than `most`.

    Column by column, parents first, so that time and memory follow the settings that exist, not the combinations.

    Args:
      space: static.
      most: at least 1.
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
    with jax.ensure_compile_time_eval():  # it may be laid out inside a trace
        return np.asarray(space.snap(jnp.asarray(rows, jnp.float32)))


def _active(space: Space, rows: np.ndarray, column: int) -> np.ndarray:
    """Tell in which rows f32[n, D] a dimension exists, as `Space.active` does, on the host: bool[n]."""
    there = np.ones(len(rows), bool)
    for condition in space.conditions[column]:
        level = space.dimensions[condition.parent].level(rows[:, condition.parent], np)
        there &= np.isin(level, condition.levels)
    return there
