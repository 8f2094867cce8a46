"""Random search: independent, uniform settings.

Bergstra and Bengio, "Random search for hyper-parameter optimization",
https://jmlr.org/papers/v13/bergstra12a.html (2012).
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import AlgorithmDefaults, Proposals, proposals
from jaxhpt.algorithms.beliefs import drawn
from jaxhpt.algorithms.variation import Focus
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key


class RandomState(NamedTuple):
    """Nothing: every event has a key of its own."""


@dataclasses.dataclass(frozen=True)
class Random(AlgorithmDefaults):
    """Independent, uniform settings. Choose it as the baseline, or where trials must not depend on each other.

    Example:
      >>> import jaxhpt
      >>> result = jaxhpt.minimize(lambda h, key: h["x"] ** 2, {"x": jaxhpt.Float(-1, 1)},
      ...                          algorithm=jaxhpt.Random(), trials=128, progress=False)
      >>> result.best.value < 0.01
      True

    References:
      See the module.
    """

    learns: ClassVar[bool] = False

    def init(self, key: Key, problem: Problem) -> RandomState:
        """Return the empty state."""
        return RandomState()

    def may_repeat(self, problem: Problem) -> bool:
        """Return True: its settings are independent."""
        return True

    def ask(
        self, key: Key, state: RandomState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, RandomState]:
        """Draw `num` rows; see `Algorithm.ask`."""
        unit = self._uniform(key, num, problem)
        lean = jax.random.fold_in(key, 0)
        return proposals(drawn(lean, unit, history.next_rows(num), problem.space)), state

    def _uniform(self, key: Key, num: int, problem: Problem) -> Array:
        return jax.random.uniform(key, (num, problem.num_dimensions), jnp.float32)

    def steered(
        self,
        key: Key,
        state: RandomState,
        history: History,
        problem: Problem,
        num: int,
        count: Array,
        focus: Focus,
    ) -> tuple[Proposals, RandomState]:
        """Draw within the ranges of a focus, which is what was learned; see `Steerable`."""
        unit = self._uniform(key, num, problem)
        return proposals(focus.low[None] + unit * (focus.high - focus.low)[None]), state
