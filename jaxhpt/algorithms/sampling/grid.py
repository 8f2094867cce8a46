"""Grid search: every combination once, coarse to fine."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxhpt.algorithms.base import AlgorithmDefaults, Proposals, proposals
from jaxhpt.core.arrays import compact
from jaxhpt.core.checks import settle_counts
from jaxhpt.core.control import when
from jaxhpt.core.history import History, is_tried
from jaxhpt.core.problem import Problem
from jaxhpt.core.qmc import coarse_to_fine
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key


class GridState(NamedTuple):
    """Attributes: points, f32[n, D] in the order of visits; position, i32[] the next one."""

    points: Array
    position: Array


@dataclasses.dataclass(frozen=True)
class Grid(AlgorithmDefaults):
    """Every combination of values, each exactly once. Choose it for few dimensions and a complete table.

    The order is coarse to fine: ends and middles of all ranges first, so that a search cut short has still seen
    the whole space; within a level of refinement it changes with the seed of the search. Settings that differ only
    in dimensions that do not exist are one point. Points that were tried before, or are the user's own first ones, come
    last.

    Args:
      points: values of a continuous dimension, >= 1; also the most that are taken of a range of integers.
        A Choice is always taken whole.

    Example:
      >>> import jaxhpt
      >>> result = jaxhpt.minimize(lambda h, key: h["x"] * h["y"], {"x": [1, 2, 3], "y": jaxhpt.Float(0, 1)},
      ...                          algorithm=jaxhpt.Grid(points=5), progress=False)
      >>> len(result.trials)
      15
    """

    learns: ClassVar[bool] = False

    points: int = 5

    def __post_init__(self) -> None:
        settle_counts(self, "points")

    def num_points(self, space: Space) -> int | None:
        """Return the number of combinations."""
        return len(space.grid(self.points))

    def init(self, key: Key, problem: Problem) -> GridState:
        """Lay out the grid."""
        points = coarse_to_fine(key, problem.space.grid(self.points))
        return GridState(points, jnp.zeros((), jnp.int32))

    def ask(
        self, key: Key, state: GridState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, GridState]:
        """Take the next points, valid until the last; see `Algorithm.ask`."""
        if problem.prior or history.first.shape[0]:
            state = when(state.position == 0, lambda: _untried_first(state, history), lambda: state)
        index = state.position + jnp.arange(num, dtype=jnp.int32)
        total = state.points.shape[0]
        unit = state.points[jnp.minimum(index, total - 1)]
        return proposals(unit, valid=index < total), state._replace(position=jnp.minimum(state.position + count, total))


def _untried_first(state: GridState, history: History) -> GridState:
    """Put the points that were tried behind the others."""
    return state._replace(points=state.points[compact(~is_tried(history, state.points))])
