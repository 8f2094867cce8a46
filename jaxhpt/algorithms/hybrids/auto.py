"""The algorithm that fits: chosen from the space, the trials, the lanes and the objectives, before a search begins."""

import dataclasses
import functools
from typing import Any

import numpy as np

from jaxhpt.algorithms.base import Algorithm, Designed, Proposals
from jaxhpt.algorithms.evolution.cma_es import CMAES
from jaxhpt.algorithms.evolution.genetic import Genetic
from jaxhpt.algorithms.evolution.nsga2 import NSGA2
from jaxhpt.algorithms.hybrids.screen import Screen
from jaxhpt.algorithms.model_based.bayesian import Bayesian
from jaxhpt.algorithms.model_based.dataset import design_size, partial
from jaxhpt.algorithms.model_based.tpe import TPE
from jaxhpt.algorithms.sampling.grid import Grid
from jaxhpt.algorithms.sampling.quasi_random import QuasiRandom
from jaxhpt.core.checks import Settings
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key, PyTree

WHOLE = 256  # settings of a space that is tried whole
BATCH = 32  # lanes from which on children are bred for it
MODEL = 5000  # trials up to which a Gaussian process pays


@dataclasses.dataclass(frozen=True)
class Auto(Settings):
    """The algorithm that fits the search. Choose it where you do not want to choose.

    | where | it is |
    |---|---|
    | at most 256 settings in all, and no more than there are trials | `Grid`, so that each is tried once |
    | no more trials, earlier ones too, than twice the lanes or a model's design, 2 D from 8 to 64 | `QuasiRandom` |
    | up to 5,000 trials, with 32 lanes or more, one objective, all trained to their end | `Screen(Genetic())` |
    | up to 5,000 trials otherwise | `Bayesian` |
    | more trials, several objectives | `NSGA2` |
    | more trials, all trained to their end, all dimensions continuous | `CMAES` |
    | more trials | `TPE` |

    Example:
      >>> import jaxhpt
      >>> branin = jaxhpt.problems.branin
      >>> result = jaxhpt.minimize(branin, branin.space(), algorithm="auto", trials=64, lanes=8, progress=False)
      >>> result.best.value < 0.5
      True
    """

    def chosen(self, problem: Problem) -> Algorithm:
        """Return the algorithm for a search."""
        points, trials = _few(problem.space), problem.trials
        if points is not None and points <= trials:
            return Grid(points=WHOLE)
        if trials + problem.prior <= 2 * max(problem.lanes, design_size(problem.space)):
            return QuasiRandom()
        several, whole = len(problem.objectives) > 1, not partial(problem)
        if trials <= MODEL:
            return Screen(Genetic()) if problem.lanes >= BATCH and whole and not several else Bayesian()
        if several:
            return NSGA2()
        return CMAES() if whole and np.isinf(problem.space.levels).all() else TPE()

    def note(self, problem: Problem) -> PyTree:
        """Return that of the one that is chosen."""
        return self.chosen(problem).note(problem)

    def num_authors(self, problem: Problem) -> int:
        """Return that of the one that is chosen."""
        return self.chosen(problem).num_authors(problem)

    def num_points(self, space: Space) -> int | None:
        """Return how many settings there are in all, where they are few."""
        return _few(space)

    def may_repeat(self, problem: Problem) -> bool:
        """Return that of the one that is chosen."""
        return self.chosen(problem).may_repeat(problem)

    def init(self, key: Key, problem: Problem) -> Any:
        """Start the one that is chosen."""
        return self.chosen(problem).init(key, problem)

    def ask(
        self, key: Key, state: Any, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, Any]:
        """Ask it; see `Algorithm.ask`."""
        return self.chosen(problem).ask(key, state, history, problem, num, count)

    def in_design(self, problem: Problem, last: int, none_ended: bool) -> bool:
        """Tell whether the first `last` rows all are of its design; see `Designed`."""
        chosen = self.chosen(problem)
        return isinstance(chosen, Designed) and chosen.in_design(problem, last, none_ended)

    def design(
        self, key: Key, state: Any, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, Any]:
        """Propose its design; see `Designed`."""
        chosen = self.chosen(problem)
        propose = chosen.design if isinstance(chosen, Designed) else chosen.ask
        return propose(key, state, history, problem, num, count)

    def tell(self, key: Key, state: Any, history: History, problem: Problem, finished: Array) -> Any:
        """Tell it."""
        return self.chosen(problem).tell(key, state, history, problem, finished)


@functools.cache
def _few(space: Space) -> int | None:
    """Return how many settings exist, where they are few."""
    points = space.size
    return None if points is None or points > WHOLE else len(space.grid(WHOLE))
