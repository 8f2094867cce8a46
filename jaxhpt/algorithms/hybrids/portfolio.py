"""Several algorithms side by side, who finds more is asked more. Each reads the whole history, whoever proposed it.

Fialho, Da Costa, Schoenauer and Sebag, "Analyzing bandit-based adaptive operator selection mechanisms",
https://doi.org/10.1007/s10472-010-9213-y (2010).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.algorithms.hybrids.base import Composite, joined, require_endless, several, write_fields_of
from jaxhpt.algorithms.model_based.dataset import best_first
from jaxhpt.core.arrays import exclusive_count
from jaxhpt.core.checks import require
from jaxhpt.core.history import History
from jaxhpt.core.keys import uniforms
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, Key

TOP = 16  # best trials that credit is given for
MEMORY = 64.0  # trials of an algorithm after which its credit counts for 1 / e of a new one
GOLDEN = 0.6180339887  # multiples of it fill [0, 1) evenly


class PortfolioState(NamedTuple):
    """What the history does not tell.

    Attributes:
      parts: the states of all.
      best: i32[TOP] rows, best first; NONE for none.
      credit: f32[A] what each algorithm earned lately.
      used: f32[A] trials it had lately.
    """

    parts: tuple[Any, ...]
    best: Array
    credit: Array
    used: Array


@dataclasses.dataclass(frozen=True, init=False)
class Portfolio(Composite):
    """Several algorithms side by side; who finds more is asked more. Choose it where you do not know which is right.

    A trial earns its algorithm the more, the better it ranks among the 16 best when it ends. Shares of the proposals
    follow what each earned a trial lately.

    Args:
      *algorithms: at least two, none of them with an end.
      least: share of the proposals that each keeps, at least 0 and at most 1 / their number.

    Raises:
      ValueError, TypeError: fewer than two algorithms, or what is none; a share out of its range; at the start of a
        search, an algorithm with an end.

    Example:
      >>> import jaxhpt
      >>> ackley = jaxhpt.problems.ackley
      >>> algorithm = jaxhpt.Portfolio(jaxhpt.TPE(), jaxhpt.Genetic(), jaxhpt.DifferentialEvolution())
      >>> result = jaxhpt.minimize(ackley, ackley.space(5), algorithm=algorithm, trials=1024, lanes=32, progress=False)
      >>> result.best.value < 2
      True

    References:
      See the module.
    """

    algorithms: tuple[Algorithm, ...]
    least: float

    def __init__(self, *algorithms: Algorithm, least: float = 0.1) -> None:
        write_fields_of(self, algorithms=several(algorithms), least=least)
        require(0 <= least <= 1 / len(algorithms), "least", least, f"from 0 to {1 / len(algorithms):.3g}")

    @property
    def parts(self) -> tuple[Algorithm, ...]:
        """The algorithms."""
        return self.algorithms

    def init(self, key: Key, problem: Problem) -> PortfolioState:
        """Start all, with equal shares."""
        for part in self.algorithms:
            require_endless("algorithms", part, problem.space)
        none = jnp.zeros(len(self.algorithms), jnp.float32)
        return PortfolioState(self.begin(key, problem), jnp.full(TOP, NONE, jnp.int32), none, none)

    def ask(
        self, key: Key, state: PortfolioState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, PortfolioState]:
        """Share the proposals out; see `Algorithm.ask`."""
        which = self._shared_out(key, state, num)
        found, parts, place = [], state.parts, jnp.zeros(num, jnp.int32)
        for i in range(len(parts)):
            mine = which == i
            wanted = jnp.sum(mine & (jnp.arange(num, dtype=jnp.int32) < count), dtype=jnp.int32)
            one, parts = self.ask_part(i, key, parts, history, problem, num, wanted)
            found.append(one)
            place = jnp.where(mine, exclusive_count(mine), place)
        return joined(found, which, place), state._replace(parts=parts)

    def tell(
        self, key: Key, state: PortfolioState, history: History, problem: Problem, finished: Array
    ) -> PortfolioState:
        """Tell all, and credit those that found something."""
        parts = self.tell_parts(key, state.parts, history, problem, finished)
        best = best_first(history, problem, jnp.concatenate([state.best, finished]), TOP)
        author = history.author[finished]
        mine = jnp.stack([self.proposed_by(i, author, problem) for i in range(len(parts))], axis=1)
        mine &= (finished < NONE)[:, None]
        rank = jax.lax.argmax(finished[:, None] == best[None], 1, jnp.int32)
        there = jnp.any((finished[:, None] == best[None]) & (best < NONE)[None], axis=1)
        earned = jnp.where(there, 1.0 - rank.astype(jnp.float32) / TOP, 0.0)
        many = jnp.sum(mine, axis=0, dtype=jnp.float32)
        fade = jnp.exp(-many / MEMORY)
        credit = state.credit * fade + jnp.sum(jnp.where(mine, earned[:, None], 0.0), axis=0)
        return PortfolioState(parts, best, credit, state.used * fade + many)

    def shares(self, state: PortfolioState) -> Array:
        """Return the share of the proposals that each algorithm has now, f32[A]."""
        rate = (state.credit + 0.5) / (state.used + 1.0)
        spare = 1.0 - self.least * len(self.algorithms)
        return self.least + spare * rate / jnp.sum(rate)

    def _shared_out(self, key: Key, state: PortfolioState, num: int) -> Array:
        """Say whose each proposal is, i32[Q]: as evenly as shares allow, from a random beginning."""
        place = (uniforms(key, ()) + GOLDEN * jnp.arange(num, dtype=jnp.float32)) % 1.0
        borders = jnp.cumsum(self.shares(state))[:-1]
        return jnp.searchsorted(borders, place, side="right").astype(jnp.int32)
