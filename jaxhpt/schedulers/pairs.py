"""Who copies whom where weights fit only some of the lanes: the exploit step of population-based training."""

import jax.numpy as jnp

from jaxhpt.core.keys import uniforms
from jaxhpt.core.typing import NONE, Array, Key


def alike(unit: Array, ready: Array, structural: tuple[int, ...]) -> Array:
    """Tell which lanes may copy from each other: those compared now whose structures are the same.

    Args:
      unit: f32[L, D] settings of the lanes.
      ready: bool[L] lanes that are compared.
      structural: columns of the structure.

    Returns:
      bool[L, L]
    """
    mine = unit[:, list(structural)]
    return jnp.all(mine[:, None] == mine[None], axis=2) & ready[:, None] & ready[None]


def truncated(key: Key, together: Array, score: Array, fraction: float) -> tuple[Array, Array]:
    """Pair the worst of each group with some of its best: truncation selection.

    Args:
      key: consumed.
      together: bool[L, L] as `alike` tells.
      score: f32[L] minimised.
      fraction: of a group that is copied from, and of one that takes copies.

    Returns:
      Lanes copied from and to, two i32[L]; NONE for none.
    """
    lane = jnp.arange(score.shape[0], dtype=jnp.int32)
    before = (score[None] < score[:, None]) | ((score[None] == score[:, None]) & (lane[None] < lane[:, None]))
    rank = jnp.sum(together & before, axis=1, dtype=jnp.int32)
    size = jnp.sum(together, axis=1, dtype=jnp.int32)
    few = jnp.minimum(jnp.maximum((fraction * size.astype(jnp.float32)).astype(jnp.int32), 1), size // 2)
    drawn = (uniforms(key, score.shape) * few.astype(jnp.float32)).astype(jnp.int32)
    return _paired(together, rank, drawn, (size > 0) & (rank >= size - few))


def tournament(key: Key, together: Array) -> tuple[Array, Array]:
    """Pair each lane with another one of its group: as `truncated`."""
    lane = jnp.arange(together.shape[0], dtype=jnp.int32)
    place = jnp.sum(together & (lane[None] < lane[:, None]), axis=1, dtype=jnp.int32)
    size = jnp.sum(together, axis=1, dtype=jnp.int32)
    away = 1 + (uniforms(key, lane.shape) * (size - 1).astype(jnp.float32)).astype(jnp.int32)
    return _paired(together, place, (place + away) % jnp.maximum(size, 1), size > 1)


def _paired(together: Array, place: Array, wanted: Array, used: Array) -> tuple[Array, Array]:
    """Pair the lanes that are used with the one of their group that stands at the place they want."""
    source = jnp.argmax(together & (place[None] == wanted[:, None]), axis=1).astype(jnp.int32)
    lane = jnp.arange(place.shape[0], dtype=jnp.int32)
    return jnp.where(used, source, NONE), jnp.where(used, lane, NONE)
