"""What an algorithm is: it says WHERE to look next, and reads everything it knows from the history.

An algorithm is a frozen dataclass of settings in a file of its own, with three pure functions. It runs inside
one compiled program, beside the training, so it must answer any `count`, any number of finished rows, an empty
or an all-failed history, one dimension, constant columns and ties.
"""

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp

from jaxhpt.history import History
from jaxhpt.problem import Problem
from jaxhpt.space import Space
from jaxhpt.typing import Array, Key


class Proposals(NamedTuple):
    """Settings to try.

    Attributes:
      unit: f32[Q, D] in [0, 1]; the loop snaps them.
      note: f32[Q, M] what `tell` will want to know of the row.
      valid: bool[Q]; False where nothing is left to propose.
    """

    unit: Array
    note: Array
    valid: Array


def no_proposals(num: int, dimensions: int, notes: int) -> Proposals:
    """Return `num` proposals of which none is valid."""
    unit = jnp.zeros((num, dimensions), jnp.float32)
    return Proposals(unit, jnp.full((num, notes), jnp.nan, jnp.float32), jnp.zeros(num, bool))


def proposals(unit: Array, valid: Array | None = None) -> Proposals:
    """Return proposals without notes; all valid unless told otherwise."""
    num = unit.shape[0]
    return Proposals(unit, jnp.zeros((num, 0), jnp.float32), jnp.ones(num, bool) if valid is None else valid)


@runtime_checkable
class Algorithm(Protocol):
    """Where to look next.

    Class attributes:
      notes: width M of the note kept with each row.
    """

    notes: ClassVar[int]

    def init(self, key: Key, problem: Problem) -> Any:
        """Return the state: a NamedTuple of arrays with what the history cannot give cheaply."""
        ...

    def ask(
        self, key: Key, state: Any, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, Any]:
        """Propose.

        Args:
          key: consumed.
          state: of this algorithm.
          history: all trials, running ones too.
          problem: static.
          num: Q, static: rows of the answer.
          count: i32[] how many of them will be used, always the first; a position advances by `count`.
        """
        ...

    def tell(self, key: Key, state: Any, history: History, problem: Problem, finished: Array) -> Any:
        """Learn from rows that ended: `finished` i32[L] row ids, C for none. Return the state."""
        ...

    def num_points(self, space: Space) -> int | None:
        """Return how many proposals there are in all; None where there is no end."""
        ...


class Endless:
    """The part that most algorithms share: no notes, proposals without end, nothing learned."""

    notes: ClassVar[int] = 0

    def tell(self, key: Key, state: Any, history: History, problem: Problem, finished: Array) -> Any:
        """Learn nothing: keep the state."""
        return state

    def num_points(self, space: Space) -> int | None:
        """Return None: there is no end."""
        return None
