"""One algorithm after the other. Each reads the whole history, whoever proposed it."""

import dataclasses
import itertools
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.algorithms.hybrids.base import Composite, joined, several, write_fields_of
from jaxhpt.algorithms.model_based.dataset import design_size
from jaxhpt.core.checks import settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key


class ChainState(NamedTuple):
    """Attributes: parts, the states of all; asked, i32[] proposals made."""

    parts: tuple[Any, ...]
    asked: Array


@dataclasses.dataclass(frozen=True, init=False)
class Chain(Composite):
    """One algorithm after the other. Choose it to give a search another beginning, such as a grid before a model.

    Args:
      *algorithms: at least two; each but the last hands over after `trials`, or when it has nothing left to propose.
      trials: of each but the last, at least 1; None is the usual design of a model: 2 D, from 8 to 64.

    Raises:
      ValueError, TypeError: fewer than two algorithms, or what is none; a number out of its range.

    Example:
      >>> import jaxhpt
      >>> branin = jaxhpt.problems.branin
      >>> algorithm = jaxhpt.Chain(jaxhpt.Grid(points=3), jaxhpt.Bayesian())
      >>> result = jaxhpt.minimize(branin, branin.space(), algorithm=algorithm, trials=64, lanes=4, progress=False)
      >>> result.best.value < 0.5
      True
    """

    algorithms: tuple[Algorithm, ...]
    trials: int | None

    def __init__(self, *algorithms: Algorithm, trials: int | None = None) -> None:
        write_fields_of(self, algorithms=several(algorithms), trials=trials)
        settle_counts(self, "trials")

    @property
    def parts(self) -> tuple[Algorithm, ...]:
        """The algorithms."""
        return self.algorithms

    def num_points(self, space: Space) -> int | None:
        """Return the points of all, where the last has an end."""
        last = self.algorithms[-1].num_points(space)
        return None if last is None else self._ends(space)[-1] + last

    def init(self, key: Key, problem: Problem) -> ChainState:
        """Start all."""
        return ChainState(self.begin(key, problem), jnp.int32(0))

    def ask(
        self, key: Key, state: ChainState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, ChainState]:
        """Ask whose turn it is, two or more where one hands over; see `Algorithm.ask`."""
        index, ends = jnp.arange(num, dtype=jnp.int32), jnp.array(self._ends(problem.space), jnp.int32)
        begins = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.clip(ends - state.asked, 0, count), count[None]])
        found, parts = [], state.parts
        for i in range(len(parts)):
            one, parts = self.ask_part(i, key, parts, history, problem, num, begins[i + 1] - begins[i])
            found.append(one)
        which = jnp.searchsorted(ends, state.asked + index, side="right").astype(jnp.int32)
        both = joined(found, which, jnp.maximum(index - begins[which], 0))
        return both, ChainState(parts, state.asked + count)

    def tell(self, key: Key, state: ChainState, history: History, problem: Problem, finished: Array) -> ChainState:
        """Tell all."""
        return state._replace(parts=self.tell_parts(key, state.parts, history, problem, finished))

    def _ends(self, space: Space) -> list[int]:
        """Return the proposals after which each but the last has handed over."""
        wanted = self.trials or design_size(space)
        points = (part.num_points(space) for part in self.algorithms[:-1])
        return list(itertools.accumulate(wanted if n is None else min(wanted, n) for n in points))
