"""A local finish: the last trials of a search are small steps from the best.

Rechenberg, "Evolutionsstrategie: Optimierung technischer Systeme nach Prinzipien der biologischen Evolution",
Frommann-Holzboog (1973), for the rule that a fifth of the steps should succeed.
Beyer and Schwefel, "Evolution strategies: a comprehensive introduction", https://doi.org/10.1023/A:1015059928466
(2002).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Algorithm, Proposals, by_fitness, column, fitness, proposals, require_one_objective
from jaxhpt.algorithms.hybrids.base import Composite, joined, require_algorithm
from jaxhpt.algorithms.model_based import candidates
from jaxhpt.algorithms.variation import Mutation, distinct, existing, pick, settle
from jaxhpt.core.checks import require
from jaxhpt.core.control import when
from jaxhpt.core.history import History
from jaxhpt.core.keys import normals, uniforms
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, Key

GOAL = 0.2  # share of the steps that should succeed
LEAST, LARGEST = 1e-4, 0.5  # deviation of steps, in units of the range


class RefineState(NamedTuple):
    """What the history does not tell.

    Attributes:
      parts: the state of the algorithm, alone.
      best: i32[1] row of the best trial; NONE for none.
      sigma: f32[] deviation of the steps, in units of the range.
    """

    parts: tuple[Any]
    best: Array
    sigma: Array


@dataclasses.dataclass(frozen=True)
class Refine(Composite):
    """An algorithm, and at last small steps from the best. Choose it to polish what a wide search found.

    Each step moves one or more dimensions; steps grow where more than a fifth of them succeed, and shrink where fewer
    do.

    Args:
      algorithm: of the first trials.
      share: of the trials that are steps, in (0, 1); more where the algorithm ends before.
      sigma: deviation of the first steps, in units of the range, in (0, 0.5].

    Raises:
      ValueError, TypeError: a value out of its range; at the start of a search, several objectives.

    Example:
      >>> import jaxhpt
      >>> levy, algorithm = jaxhpt.problems.levy, jaxhpt.Refine(jaxhpt.Genetic(), share=0.5)
      >>> result = jaxhpt.minimize(levy, levy.space(4), algorithm=algorithm, trials=1024, lanes=16, progress=False)
      >>> result.best.value < 0.1
      True

    References:
      See the module.
    """

    algorithm: Algorithm
    share: float = 0.25
    sigma: float = 0.05

    def __post_init__(self) -> None:
        require_algorithm("algorithm", self.algorithm)
        require(0 < self.share < 1, "share", self.share, "above 0 and below 1")
        require(0 < self.sigma <= LARGEST, "sigma", self.sigma, f"above 0 and at most {LARGEST}")

    @property
    def parts(self) -> tuple[Algorithm, ...]:
        """The algorithm, alone."""
        return (self.algorithm,)

    def note(self, problem: Problem) -> tuple:
        """Return that of the algorithm, and the row that a step is to beat; `Tuner` counts its score from the best."""
        return (*super().note(problem), column(jnp.int32))

    def num_authors(self, problem: Problem) -> int:
        """Return those of the algorithm, and one: the steps."""
        return super().num_authors(problem) + 1

    def init(self, key: Key, problem: Problem) -> RefineState:
        """Start it."""
        require_one_objective(self, problem)
        (part,) = self.begin(key, problem)
        return RefineState((part,), jnp.full(1, NONE, jnp.int32), jnp.float32(self.sigma))

    def may_repeat(self, problem: Problem) -> bool:
        """Return False: small steps soon lead where others led before."""
        return False

    def ask(
        self, key: Key, state: RefineState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, RefineState]:
        """Ask the algorithm, or step; see `Algorithm.ask`."""
        first = problem.prior + self._wide(history, problem)
        wide = jnp.where(state.best[0] < NONE, jnp.clip(first - history.num_rows, 0, count), count)
        found, parts = self.ask_part(0, key, state.parts, history, problem, num, wide)
        index = jnp.arange(num, dtype=jnp.int32)

        def step() -> Array:
            return self._steps(jax.random.fold_in(key, 1), state, history, problem, num, count)

        near = when(wide < count, step, lambda: found.unit)
        note = (jax.tree.map(jnp.zeros_like, found.note[0]), jnp.broadcast_to(state.best[0], num))
        steps = proposals(near, note)
        steps = steps._replace(author=steps.author + jnp.int8(self._first_author(1, problem)))
        both = joined([found, steps], (index >= wide).astype(jnp.int32), index)
        return both, state._replace(parts=parts)

    def tell(self, key: Key, state: RefineState, history: History, problem: Problem, finished: Array) -> RefineState:
        """Tell it; remember the best, and learn how long steps should be."""
        (part,) = self.tell_parts(key, state.parts, history, problem, finished)
        best = by_fitness(history, problem, jnp.concatenate([state.best, finished]), 1)
        own = (finished < NONE) & (history.author[finished] == self._first_author(1, problem))
        rival = jnp.where(own, history.note[1][finished], NONE)
        better = own & (fitness(history, problem, finished) < fitness(history, problem, rival))
        gain = jnp.sum(jnp.where(own, better.astype(jnp.float32) - GOAL, 0.0)) / max(1.0, problem.num_dimensions**0.5)
        sigma = jnp.clip(state.sigma * jnp.exp(jnp.clip(gain, -1.0, 1.0)), LEAST, LARGEST)
        return RefineState((part,), best, sigma)

    def _wide(self, history: History, problem: Problem) -> Array:
        """Return how many trials the algorithm proposes: i32[]."""
        share = jnp.ceil(self.share * history.num_trials.astype(jnp.float32)).astype(jnp.int32)
        points = self.algorithm.num_points(problem.space)
        return history.num_trials - share if points is None else jnp.minimum(history.num_trials - share, points)

    def _steps(self, key: Key, state: RefineState, history: History, problem: Problem, num: int, count: Array) -> Array:
        """Step from the best: f32[Q, D] snapped."""
        k, space, size = jax.random.split(key, 3), problem.space, problem.num_dimensions
        base = jnp.broadcast_to(history.unit[state.best[0]], (num, size))
        chance = uniforms(k[0], (num, size + 2))
        mask = pick(chance[:, 2:], jnp.maximum(chance[:, :1], 1.0 / size), chance[:, 1])
        moved = candidates.perturb(normals(k[1], (num, size)), base, state.sigma, space)
        child = settle(jnp.where(mask, moved, base), existing(base, space), chance[:, 2:], space)
        return distinct(k[2], child, history, problem, count, Mutation())
