"""What an algorithm is: it says WHERE to look next, and reads everything it knows from the history.

An algorithm is a frozen dataclass of settings in a file of its own, with three pure functions. It runs inside
one compiled program, beside the training, so it must answer any `count`, any number of finished rows, an empty
or an all-failed history, one dimension, constant columns and ties.
"""

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import full_precision, zeros
from jaxhpt.core.checks import Settings
from jaxhpt.core.history import History, Known, Made, empty_history, remember
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.pareto import crowding, dominates, fronts
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Array, Key, PyTree


class Proposals(NamedTuple):
    """Settings to try.

    Attributes:
      unit: f32[Q, D] in [0, 1]; the loop snaps them.
      note: pytree of [Q, ...] what `tell` will want to know of the row, each with its own dtype; it stays with a
        proposal that is moved, see `untried`.
      valid: bool[Q]; False where nothing is left to propose.
      author: i8[Q] which part of a combination proposed it; 0 for an algorithm that has no parts.
    """

    unit: Array
    note: PyTree
    valid: Array
    author: Array

    @property
    def made(self) -> Made:
        """What the history keeps of them besides the settings."""
        return Made(self.note, self.author)


def no_proposals(num: int, dimensions: int, note: PyTree) -> Proposals:
    """Return `num` proposals of which none is valid, with notes of the shapes of `note`, see `Algorithm.note`."""
    return proposals(jnp.zeros((num, dimensions), jnp.float32), zeros(note, num), jnp.zeros(num, bool))


def proposals(unit: Array, note: PyTree = (), valid: Array | None = None) -> Proposals:
    """Return proposals f32[Q, D] of an algorithm without parts; without notes and all valid unless told otherwise."""
    num = unit.shape[0]
    return Proposals(unit, note, jnp.ones(num, bool) if valid is None else valid, jnp.zeros(num, jnp.int8))


def column(dtype: Any, *shape: int) -> Any:
    """Describe a column of a note: the dtype and the shape of what is kept with one row; see `Algorithm.note`."""
    return jax.ShapeDtypeStruct(shape, dtype)


def is_own(history: History, rows: Array) -> Array:
    """Tell which rows i32[n], NONE for none, are an algorithm's own proposals, whose notes count: bool[n]."""
    return (rows < NONE) & (history.author[rows] == 0)


@full_precision
def informed(algorithm: "Algorithm", root: Key, problem: Problem, known: Known | None) -> tuple[History, Any]:
    """Return the history and the state of an algorithm that is told what was known before, if anything."""
    first, begun = (None, None) if known is None else (known.first, known.begun)
    history = empty_history(problem, algorithm.note(problem), first, begun)
    state = algorithm.init(key_of(root, Stream.ALGORITHM), problem)
    if known is None or problem.prior == 0:
        return history, state
    history, rows = remember(history, known)
    return history, algorithm.tell(key_of(root, Stream.PRIOR), state, history, problem, rows)


def fitness(history: History, problem: Problem, rows: Array) -> Array:
    """Return what single-objective algorithms minimise, constraints included.

    Args:
      history: all trials.
      problem: static.
      rows: i32[n] row ids; NONE for none.

    Returns:
      f32[n]; +inf for none and for failed trials.
    """
    known = rows < NONE
    return jnp.where(known, problem.metrics.fitness(history.metrics[rows]), jnp.inf)


def by_fitness(history: History, problem: Problem, rows: Array, num: int) -> Array:
    """Return the best of rows i32[n], NONE for none, by fitness: i32[num], best first; NONE for those that failed."""
    value = fitness(history, problem, rows)
    _, order = jax.lax.top_k(-value, num)
    return jnp.where(jnp.isfinite(value), rows, NONE)[order]


def by_fronts(history: History, problem: Problem, rows: Array, num: int) -> Array:
    """Order rows i32[n], NONE for none, by front and then by crowding, the best `num` at least: i32[n], best first."""
    scores = history.metrics[rows]
    objectives = scores[:, : len(problem.objectives)]
    alive = (rows < NONE) & jnp.isfinite(scores[:, 0])
    violation = problem.metrics.violation(scores) if problem.metrics.constraints else None
    rank = fronts(dominates(objectives, violation) & alive[:, None], alive, num)
    order = jnp.lexsort((rows, -crowding(objectives, rank), rank)).astype(jnp.int32)
    return jnp.where(alive, rows, NONE)[order]


def require_one_objective(algorithm: Any, problem: Problem) -> None:
    """Raise where there are several objectives and the algorithm can follow one only."""
    problem.require_one_objective(algorithm, "NSGA2 takes several, Random and others any")


@runtime_checkable
class Algorithm(Protocol):
    """Where to look next."""

    def note(self, problem: Problem) -> PyTree:
        """Return what is kept with each row: a pytree of what `column` returns; () for nothing."""
        ...

    def num_authors(self, problem: Problem) -> int:
        """Return how many parts number the rows that they propose: 1, but for combinations."""
        ...

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
        """Learn from rows that ended: `finished` i32[n] row ids, NONE for none. Return the state."""
        ...

    def num_points(self, space: Space) -> int | None:
        """Return how many proposals there are in all; None where there is no end."""
        ...

    def may_repeat(self, problem: Problem) -> bool:
        """Return whether it means to propose what was tried, though settings of a finite space are left.

        Where not, what it proposes again is moved to an untried setting near by; see `untried`.
        """
        ...


@runtime_checkable
class Designed(Protocol):
    """An algorithm whose first proposals are a design, which can be laid out without the program of its model."""

    def in_design(self, problem: Problem, last: int, none_ended: bool) -> bool:
        """Tell, on the host, whether the first `last` rows all are of the design.

        Args:
          problem: static.
          last: rows there will be.
          none_ended: whether no trial has ended yet, nor is any known from before.
        """
        ...

    def design(
        self, key: Key, state: Any, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, Any]:
        """Propose what `ask` would, to the bit, where all that will be used is of the design; see `Algorithm.ask`."""
        ...


@runtime_checkable
class Chooses(Protocol):
    """An algorithm that is another one, chosen at the start of a search."""

    def chosen(self, problem: Problem) -> Algorithm:
        """Return the algorithm for a search."""
        ...


class AlgorithmDefaults(Settings):
    """The part that most algorithms share: no notes, proposals without end, nothing learned, nothing repeated.

    Attributes:
      learns: whether proposals depend on results, so that a search needs rounds to learn from.
    """

    learns: ClassVar[bool] = True

    def note(self, problem: Problem) -> PyTree:
        """Return (): nothing is kept."""
        return ()

    def num_authors(self, problem: Problem) -> int:
        """Return 1: it has no parts."""
        return 1

    def tell(self, key: Key, state: Any, history: History, problem: Problem, finished: Array) -> Any:
        """Learn nothing: keep the state."""
        return state

    def num_points(self, space: Space) -> int | None:
        """Return None: there is no end."""
        return None

    def may_repeat(self, problem: Problem) -> bool:
        """Return False: no setting is tried twice while others are left."""
        return False
