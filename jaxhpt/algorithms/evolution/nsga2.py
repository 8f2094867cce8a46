"""NSGA-II: a genetic algorithm for several objectives, by non-dominated sorting and crowding.

Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II", https://doi.org/10.1109/4235.996017 (2002).
"""

import dataclasses
from typing import ClassVar

from jaxhpt.algorithms.base import by_fronts
from jaxhpt.algorithms.evolution.genetic import Genetic, GeneticState
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key


@dataclasses.dataclass(frozen=True)
class NSGA2(Genetic):
    """A genetic algorithm that spreads over the Pareto front. Choose it for two or three objectives.

    Selection, crossover and mutation are those of `Genetic`; what is "better" is decided by the front a trial is in,
    and within a front by how alone it is there. Trials that break constraints come last, by their violation.

    Args:
      population: members, at least 2; the points a front is drawn with.
      crossover_rate: as in `Genetic`, but all children by default: of copies too many would crowd the front.
      mutation_rate: as in `Genetic`, but None is 0.7 / D: a front of many points is kept up by crossing.
      mutation_eta: as in `Genetic`, but of smaller steps.

    Example:
      >>> import jaxhpt
      >>> space = {"x": jaxhpt.Float(0, 1), "y": jaxhpt.Float(0, 1)}
      >>> two = lambda h, key: {"cost": h["x"], "error": 1 - h["x"] ** 0.5 + h["y"]}
      >>> result = jaxhpt.minimize(two, space, objectives={"cost": "min", "error": "min"}, algorithm="nsga2",
      ...                          trials=2048, progress=False)
      >>> len(result.pareto_front()) > 20
      True

    References:
      See the module.
    """

    population: int = 100
    crossover_rate: float = 1.0
    mutation_eta: float = 20.0
    _usual: ClassVar[float] = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.elites is not None:
            raise ValueError(f"elites={self.elites!r}: must be None; the front itself is what survives")

    def init(self, key: Key, problem: Problem) -> GeneticState:
        """Start without members."""
        return self._begin(key, problem)

    def ranked(self, history: History, problem: Problem, rows: Array) -> Array:
        """Order candidates by front, then by crowding; see `Genetic.ranked`."""
        return by_fronts(history, problem, rows, self.population)
