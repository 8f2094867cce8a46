"""Screening: one algorithm breeds, and the acquisition of a Gaussian process picks.

Jin, "Surrogate-assisted evolutionary computation: recent advances and future challenges",
https://doi.org/10.1016/j.swevo.2011.05.001 (2011).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Algorithm, Proposals, proposals
from jaxhpt.algorithms.hybrids.base import Composite, require_algorithm, require_endless
from jaxhpt.algorithms.initial_design import initial_design
from jaxhpt.algorithms.model_based.bayesian import Bayesian, BayesianState
from jaxhpt.algorithms.model_based.dataset import in_initial_design
from jaxhpt.core.arrays import select
from jaxhpt.core.checks import require, settle_counts
from jaxhpt.core.control import when
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key

CHILDREN = 256  # of an event, at least, for a model to choose from


class ScreenState(NamedTuple):
    """Attributes: parts, the states of the breeder and of the model."""

    parts: tuple[Any, BayesianState]


@dataclasses.dataclass(frozen=True)
class Screen(Composite):
    """One algorithm breeds many children, and a model's acquisition picks. Choose it for up to 5,000 trials in batches.

    With `Genetic` it is Bayesian and genetic search in one: the Gaussian process is asked about the children, about its
    own steps around the best trials, and about as many places again all over the space. The most promising follow the
    gradient.

    Args:
      breeder: any algorithm without an end.
      factor: children for each proposal, at least 2; in all at least 256 in each event.
      model: whose initial design, process and acquisition it is.

    Raises:
      ValueError, TypeError: a value out of its range, or what is no algorithm; at the start of a search, a breeder
        that has an end.

    Example:
      >>> import jaxhpt
      >>> hartmann6, algorithm = jaxhpt.problems.hartmann6, jaxhpt.Screen(jaxhpt.Genetic())
      >>> result = jaxhpt.minimize(hartmann6, hartmann6.space(), algorithm=algorithm, trials=96, lanes=16,
      ...                          progress=False)
      >>> result.best.value < -3
      True

    References:
      See the module.
    """

    breeder: Algorithm
    factor: int = 16
    model: Bayesian = dataclasses.field(default_factory=Bayesian)

    def __post_init__(self) -> None:
        require_algorithm("breeder", self.breeder)
        settle_counts(self, "factor")
        require(self.factor >= 2, "factor", self.factor, "at least 2")
        if not isinstance(self.model, Bayesian):
            raise TypeError(f"model={self.model!r}: must be a Bayesian()")

    @property
    def parts(self) -> tuple[Algorithm, ...]:
        """The breeder and the model."""
        return (self.breeder, self.model)

    def init(self, key: Key, problem: Problem) -> ScreenState:
        """Start both."""
        require_endless("breeder", self.breeder, problem.space)
        return ScreenState(self.begin(key, problem))

    def ask(
        self, key: Key, state: ScreenState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, ScreenState]:
        """Follow the model's design while that knows too little, then breed, and choose. See `Algorithm.ask`."""
        many, index = max(num * self.factor, CHILDREN), history.next_rows(num)
        breeds = ~in_initial_design(index, state.parts[1].best, self.model.initial, problem)[0] & (count > 0)
        children, parts = self.ask_part(
            0, key, state.parts, history, problem, many, jnp.where(breeds, jnp.int32(many), 0)
        )
        local, model = problem.space.snap(children.unit), parts[1]

        def choose() -> tuple[Proposals, BayesianState]:
            unit, origin, after = self.model.choose(key, model, history, problem, num, count, local)
            child = jnp.minimum(origin, many - 1)
            bred = jnp.all(unit == local[child], axis=1)  # no child, or one that was moved, is the model's own
            found = self.as_ours(1, proposals(unit), problem)
            made = select(bred, jax.tree.map(lambda a: a[child], children.made), found.made)
            return found._replace(note=made.note, author=made.author), after

        def design() -> tuple[Proposals, BayesianState]:
            return self._design(model, history, problem, num), model

        found, model = when(breeds, choose, design)
        return found, ScreenState((parts[0], model))

    def in_design(self, problem: Problem, last: int, none_ended: bool) -> bool:
        """Tell whether the first `last` rows all are of the model's design; see `Designed`."""
        return self.model.in_design(problem, last, none_ended)

    def design(
        self, key: Key, state: ScreenState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, ScreenState]:
        """Propose the model's design; see `Designed`."""
        return self._design(state.parts[1], history, problem, num), state

    def _design(self, model: BayesianState, history: History, problem: Problem, num: int) -> Proposals:
        """Return the model's design, which is its own."""
        index, none = history.next_rows(num), jnp.zeros((num, problem.num_dimensions), jnp.float32)
        unit = initial_design(model.scramble, index, jnp.ones(num, bool), none, problem.space)
        return self.as_ours(1, proposals(unit), problem)

    def tell(self, key: Key, state: ScreenState, history: History, problem: Problem, finished: Array) -> ScreenState:
        """Tell both."""
        return ScreenState(self.tell_parts(key, state.parts, history, problem, finished))
