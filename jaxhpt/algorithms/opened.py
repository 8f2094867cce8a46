"""Structures that there are, and how many more may begin: other proposals take the one that is nearest.

A structure is a setting of the dimensions that shape the program, and compiling one takes seconds. How many may begin
is the engine's affair; here proposals heed it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms.base import Proposals
from jaxhpt.algorithms.variation import genes
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array


class Opened(NamedTuple):
    """The structures that there are.

    Attributes:
      units: f32[M, S] their structural columns, the one used last first; rows from `num` on mean nothing.
      num: i32[] how many there are.
      more: i32[] how many others may begin.
    """

    units: Array
    num: Array
    more: Array


def confined(found: Proposals, opened: Opened, space: Space, given: Array) -> Proposals:
    """Let proposals begin as many structures as may begin, the first first; move the others to structures there are.

    Only the structural columns move, to the nearest ones: another choice counts as a whole range. Of equally near ones
    it is the one used last, which is still training where others lost.

    Args:
      found: Q of them, snapped.
      opened: structures that there are.
      space: static; with structural dimensions.
      given: bool[Q] the user's own, which stay as they are.
    """
    columns = np.array(space.structural)
    unordered, room = genes(space).unordered[columns], opened.units.shape[0]

    def one(now: Opened, row: tuple[Array, Array, Array]) -> tuple[Opened, Array]:
        unit, valid, own = row
        apart = jnp.abs(now.units - unit[None])
        apart = jnp.sum(jnp.where(unordered[None], (apart > 0).astype(jnp.float32), apart), axis=1)
        apart = jnp.where(jnp.arange(room, dtype=jnp.int32) < now.num, apart, jnp.inf)
        near = jax.lax.argmin(apart, 0, jnp.int32)
        new = valid & (apart[near] > 0)
        begins = new & (own | (now.more > 0) | (now.num == 0))
        place = jnp.where(begins, now.num, room)
        units = now.units.at[place].set(unit, mode="drop")
        after = Opened(units, jnp.minimum(now.num + begins, room), now.more - (begins & ~own))
        return after, jnp.where(new & ~begins, now.units[near], unit)

    _, moved = jax.lax.scan(one, opened, (found.unit[:, columns], found.valid, given))
    return found._replace(unit=space.snap(found.unit.at[:, columns].set(moved)))
