"""Grey guidance: mutations go where they matter, and stay where it was good.

Deng, "Introduction to grey system theory", The Journal of Grey System 1 (1989), for relational grades; how they
are made to tell dimensions apart is told in `surrogates.influence`.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms.base import Algorithm, Proposals, fitness
from jaxhpt.algorithms.model_based.dataset import ENDED, best_first, chosen
from jaxhpt.algorithms.variation import Focus, genes
from jaxhpt.core.checks import Settings, require
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Array, Key, PyTree
from jaxhpt.surrogates.influence import explained

ROWS = 256  # that grades are read from
BEST = 16  # trials whose ranges count
FEWEST = 16  # trials that must have ended


@runtime_checkable
class Steerable(Algorithm, Protocol):
    """An algorithm whose mutations may be steered."""

    def steered(
        self, key: Key, state: Any, history: History, problem: Problem, num: int, count: Array, focus: Focus
    ) -> tuple[Proposals, Any]:
        """Propose as `ask` does, with mutations, or draws, where a focus says."""
        ...


class GreyGuidedState(NamedTuple):
    """Attributes: part, the state of the algorithm; best, i32[ROWS / 2] rows, best first, NONE for none."""

    part: Any
    best: Array


@dataclasses.dataclass(frozen=True)
class GreyGuided(Settings):
    """A genetic or random search, guided by grey relational grades. Choose it where few of many dimensions matter.

    In every event each dimension is graded by how closely the scores follow it. Mutations are spent by grade, and those
    of dimensions that matter stay near the range of the best trials: the nearer, the higher the grade. Where a grade
    falls, because the best trials agree, its range widens again, and others get the mutations.

    Args:
      algorithm: `Genetic`, `NSGA2` or `Random`.
      least: share of the usual mutations that every dimension keeps, in [0, 1].
      narrowing: how far a range may close in on that of the best trials, in [0, 1): 0 leaves it whole.

    Raises:
      ValueError, TypeError: a value out of its range, or an algorithm that cannot be steered.

    Example:
      >>> import jaxhpt
      >>> space = {f"x{i}": jaxhpt.Float(-1, 1) for i in range(20)}
      >>> bowl = lambda h, key: (h["x0"] - 0.3) ** 2 + (h["x1"] + 0.2) ** 2 + 1e-4 * sum(h.values()) ** 2
      >>> result = jaxhpt.minimize(bowl, space, algorithm=jaxhpt.GreyGuided(jaxhpt.Genetic()), trials=512, lanes=16,
      ...                          progress=False)
      >>> result.best.value < 0.01
      True

    References:
      See the module.
    """

    algorithm: Steerable
    least: float = 0.6
    narrowing: float = 0.3

    def __post_init__(self) -> None:
        if isinstance(self.algorithm, type) or not isinstance(self.algorithm, Steerable):
            raise TypeError(
                f"algorithm={self.algorithm!r}: must be one that can be steered: Genetic(), NSGA2(), Random()"
            )
        require(0 <= self.least <= 1, "least", self.least, "in [0, 1]")
        require(0 <= self.narrowing < 1, "narrowing", self.narrowing, "at least 0 and below 1")

    def note(self, problem: Problem) -> PyTree:
        """Return that of the algorithm."""
        return self.algorithm.note(problem)

    def num_authors(self, problem: Problem) -> int:
        """Return that of the algorithm."""
        return self.algorithm.num_authors(problem)

    def num_points(self, space: Space) -> int | None:
        """Return that of the algorithm."""
        return self.algorithm.num_points(space)

    def may_repeat(self, problem: Problem) -> bool:
        """Return that of the algorithm."""
        return self.algorithm.may_repeat(problem)

    def init(self, key: Key, problem: Problem) -> GreyGuidedState:
        """Start it."""
        return GreyGuidedState(self.algorithm.init(key, problem), jnp.full(ROWS // 2, NONE, jnp.int32))

    def ask(
        self, key: Key, state: GreyGuidedState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, GreyGuidedState]:
        """Grade, and ask the algorithm with its mutations steered; see `Algorithm.ask`."""
        focus = self.focus(state, history, problem)
        found, part = self.algorithm.steered(key, state.part, history, problem, num, count, focus)
        return found, state._replace(part=part)

    def tell(
        self, key: Key, state: GreyGuidedState, history: History, problem: Problem, finished: Array
    ) -> GreyGuidedState:
        """Tell it, and keep the best rows in mind."""
        part = self.algorithm.tell(key, state.part, history, problem, finished)
        best = best_first(history, problem, jnp.concatenate([state.best, finished]), state.best.shape[0])
        return GreyGuidedState(part, best)

    def focus(self, state: GreyGuidedState, history: History, problem: Problem) -> Focus:
        """Say where mutations should go: everywhere alike while few trials have ended."""
        rows = chosen(history, problem, state.best, ROWS)
        whole = jnp.isin(history.status[rows], jnp.array(ENDED, jnp.int8))
        ended = (rows < NONE) & whole
        grade = explained(history.unit[rows], fitness(history, problem, rows), ended, problem.space)
        grade = jnp.where(jnp.sum(ended, dtype=jnp.int32) >= FEWEST, grade, 0.0)
        total = jnp.sum(grade)
        share = jnp.where(total > 0, grade / jnp.maximum(total, 1e-9), 1.0 / grade.shape[0])
        weight = self.least + (1.0 - self.least) * share * grade.shape[0]
        low, high = self._ranges(state, history, problem)
        near = self.narrowing * grade / jnp.maximum(jnp.max(grade), 1e-9) * jnp.minimum(total, 1.0)
        near = jnp.where(genes(problem.space).unordered, 0.0, near)
        return Focus(weight, near * low, 1.0 - near * (1.0 - high))

    def _ranges(self, state: GreyGuidedState, history: History, problem: Problem) -> tuple[Array, Array]:
        """Return the ranges of the best trials, half as wide again, f32[D] each."""
        best = state.best[:BEST]
        there = (best < NONE)[:, None]
        unit = history.unit[best]
        low = jnp.min(jnp.where(there, unit, 1.0), axis=0)
        high = jnp.max(jnp.where(there, unit, 0.0), axis=0)
        margin = 0.25 * (high - low) + 1.0 / np.minimum(problem.space.levels, 50).astype(np.float32)
        return jnp.clip(low - margin, 0.0, 1.0), jnp.clip(high + margin, 0.0, 1.0)
