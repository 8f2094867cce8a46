"""View: a study of Optuna as an algorithm of ours sees it, in one search space."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhpt.algorithms import Algorithm
from jaxhpt.core.metrics import MetricSpec, choose
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Key
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.optuna.space import Column
from jaxhpt.integrations.proposer import Proposer

with extra("optuna"):
    from optuna.distributions import BaseDistribution
    from optuna.study import StudyDirection
    from optuna.trial import FrozenTrial, TrialState


class View:
    """The trials of a study that lie in one search space, and an algorithm that learns from them.

    Args:
      algorithm: that proposes.
      distributions: of the space, by name.
      metrics: of the study.
      room: for so many trials.
      lanes: trials that run at once, about.
      root: of all randomness.
    """

    def __init__(
        self,
        algorithm: Algorithm,
        distributions: dict[str, BaseDistribution],
        metrics: MetricSpec,
        room: int,
        lanes: int,
        root: Key,
    ) -> None:
        self._columns = {name: Column.of(distributions[name]) for name in sorted(distributions)}
        self._dimensions = [column.dimension for column in self._columns.values()]
        self._space = Space.of(tuple(self._dimensions))
        self.proposer, self.metrics = Proposer(algorithm, self._space, metrics, room, lanes, root), metrics
        self._rows: dict[int, int] = {}  # trial's number -> row, of those that have not ended
        self._units: dict[int, np.ndarray] = {}  # what was proposed for them
        self._ended: set[int] = set()
        self._first = 0  # trials before it have ended, and are known

    def fits(self, trials: Sequence[FrozenTrial], metrics: MetricSpec) -> bool:
        """Tell whether there is room for the trials of a study, and as many constraints."""
        return self.metrics == metrics and self.proposer.count + len(trials) - self._first < self.proposer.room

    def learn(self, trials: Sequence[FrozenTrial], current: int) -> None:
        """Take in what is new of all trials of the study, but for the one that is asked for."""
        fresh = [t for t in trials[self._first :] if t.number != current and t.number not in self._ended]
        units = {t.number: self._unit(t) for t in fresh if t.number not in self._rows or t.state.is_finished()}
        others = [number for number, unit in units.items() if unit is not None and number not in self._rows]
        rows = self.proposer.enter([unit for number in others if (unit := units[number]) is not None])
        self._rows |= dict(zip(others, rows, strict=True))
        self._amend(units)
        self._close([trial for trial in fresh if trial.state.is_finished()])
        while self._first < len(trials) and trials[self._first].number in self._ended:
            self._ended.remove(trials[self._first].number)
            self._first += 1

    def propose(self, number: int) -> dict[str, Any]:
        """Return parameters for a trial; none where the algorithm has no more."""
        found = self.proposer.ask()
        if found is None:
            return {}
        self._rows[number], unit = found
        self._units[number] = unit
        row = self._space.label_rows(unit[None])[0]
        return {name: column.param(v) for (name, column), v in zip(self._columns.items(), row, strict=True)}

    def _amend(self, units: dict[int, np.ndarray | None]) -> None:
        """Correct those that took other settings than were proposed."""
        for number, unit in units.items():
            proposed = self._units.get(number)
            if unit is not None and proposed is not None and not np.allclose(unit, proposed, rtol=0, atol=1e-6):
                self.proposer.amend([self._rows[number]], [unit])

    def _close(self, trials: Sequence[FrozenTrial]) -> None:
        """Tell those that ended; of those that are not in the space only that."""
        known = [trial for trial in trials if trial.number in self._rows]
        scores = [self._scores(trial) for trial in known]
        rows = [self._rows.pop(trial.number) for trial in known]
        self.proposer.tell(rows, scores, [trial.state == TrialState.PRUNED for trial in known])
        for trial in trials:
            self._units.pop(trial.number, None)
            self._ended.add(trial.number)

    def _unit(self, trial: FrozenTrial) -> np.ndarray | None:
        """Return where a trial lies, f32[D]; None where it is not in the space, or not yet."""
        try:
            places = [
                column.dimension.encode(column.given(trial.params[name])) for name, column in self._columns.items()
            ]
        except (KeyError, ValueError, TypeError):
            return None
        return np.asarray(places, np.float32)

    def _scores(self, trial: FrozenTrial) -> np.ndarray:
        """Return what a trial came to; of one that was pruned, its last report."""
        values: list[float] | None = trial.values
        if trial.state == TrialState.PRUNED and len(self.metrics.objectives) == 1:
            last = max(trial.intermediate_values, default=None)
            values = None if last is None else [trial.intermediate_values[last]]
        if trial.state == TrialState.FAIL or values is None:
            return self.metrics.host_scores(None)
        told = dict(zip(self.metrics.names, values, strict=False))
        told |= {constraint_name(name): value for name, value in trial.constraints.items()}
        return self.metrics.host_scores(told)


def metrics_of(directions: Sequence[StudyDirection], trials: Sequence[FrozenTrial]) -> MetricSpec:
    """Return what is told of the trials of a study: its objectives, and the constraints that any of them has."""
    objectives = {
        f"value{place}": "max" if one == StudyDirection.MAXIMIZE else "min" for place, one in enumerate(directions)
    }
    bounded = dict.fromkeys(constraint_name(name) for trial in trials for name in trial.constraints)
    bounds = dict.fromkeys(sorted(bounded), ("<=", 0.0))
    return choose((*objectives, *bounds), objectives=objectives, constraints=bounds)


def constraint_name(name: str) -> str:
    """Return the name of a constraint among the metrics."""
    return f"constraint {name}"


def room_for(trials: int, planned: int) -> int:
    """Return a room for more than so many trials: the planned ones, doubled as often as need be."""
    return planned * 2 ** max(0, math.ceil(math.log2((trials + 1) / planned)))
