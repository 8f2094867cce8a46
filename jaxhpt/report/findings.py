"""Findings: a search as columns in the user's own words and signs; all that a report is made of.

What is looked at knows nothing of engines and results: whoever has a search writes it down as `Findings`.
"""

import dataclasses

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.report.axis import Axis

RUNNING, KILLED = "running", "killed"
STATUSES = tuple(status.name.lower() for status in Status)


@dataclasses.dataclass(frozen=True)
class Facts:
    """How a search ran.

    Attributes:
      trials: that ended; copies do not count.
      wanted: trials that the search was to have.
      failed: of them.
      copies: that went on from others' weights.
      seconds: wall time without compilation; 0 where it is not known.
      compile_seconds: tracing and compiling.
      lanes: side by side.
      lanes_busy: share of the lanes' steps that trained a trial.
      interval: steps between events.
      longest: steps of the longest trial.
      ended: as in `Stats`; or "running", of a run in another process, and "killed", where that is gone.
      device: kind of the device.
      devices: that shared the work.
      algorithm: its name; empty where it is not known.
      scheduler: its name; empty where it is not known.
      memory: what was done where memory did not suffice.
      seed: of the search; None where it is not known.
    """

    trials: int = 0
    wanted: int = 0
    failed: int = 0
    copies: int = 0
    seconds: float = 0.0
    compile_seconds: float = 0.0
    lanes: int = 1
    lanes_busy: float = 1.0
    interval: int = 1
    longest: int = 1
    ended: str = "finished"
    device: str = ""
    devices: int = 1
    algorithm: str = ""
    scheduler: str = ""
    memory: tuple[str, ...] = ()
    seed: int | None = None


@dataclasses.dataclass(frozen=True)
class Shares:
    """How important dimensions were for one objective.

    Attributes:
      objective: its name.
      method: by which it was measured.
      names: of the dimensions, the most important first.
      share: f64[D] of sum 1.
      error: f64[D] standard error of each.
    """

    objective: str
    method: str
    names: tuple[str, ...]
    share: np.ndarray
    error: np.ndarray


@dataclasses.dataclass(frozen=True)
class Again:
    """Settings that were trained again, with fresh seeds and folds.

    Attributes:
      row: i[M] of the trials.
      value: f64[M] the first objective when trained again; NaN where that failed.
    """

    row: np.ndarray
    value: np.ndarray


NO_AGAIN = Again(np.zeros(0, int), np.zeros(0))


@dataclasses.dataclass(frozen=True)
class Findings:
    """A search as columns of N rows, one a trial; the rows are numbered from 0, and need not be the trials' ids.

    Attributes:
      name: of the search, among several; empty for one alone.
      axes: the dimensions, [D].
      metrics: the K metrics, the objectives first.
      trial: i[N] ids, rising.
      status: i8[N] a `Status`.
      unit: f64[N, D] encoded settings; NaN where a dimension did not exist.
      value: f64[N, D] values, or places in `Axis.texts`; NaN where a dimension did not exist.
      score: f64[N, K] metrics in the user's own sign; NaN where failed or not known.
      fitness: f64[N] what is minimised, constraints included; +inf where failed.
      feasible: bool[N] whether all constraints are kept.
      steps: i[N] training steps at the latest report.
      start: i[N] tick at which the trial started.
      born: i[N] training steps that its weights had then.
      parent: i[N] row that it was copied from; -1 for none.
      report: i[N, R] steps of the reports of the learning curves.
      curve: f64[N, R] the first objective there; NaN for none.
      front: i[F] rows of the Pareto front, in order of the first objective.
      best: row of the best trial; -1 for none, and of several objectives.
      facts: how it ran.
      shares: how important dimensions were, for each objective; () where it is not known.
      again: settings that were trained again.
    """

    name: str
    axes: tuple[Axis, ...]
    metrics: MetricSpec
    trial: np.ndarray
    status: np.ndarray
    unit: np.ndarray
    value: np.ndarray
    score: np.ndarray
    fitness: np.ndarray
    feasible: np.ndarray
    steps: np.ndarray
    start: np.ndarray
    born: np.ndarray
    parent: np.ndarray
    report: np.ndarray
    curve: np.ndarray
    front: np.ndarray
    best: int = -1
    facts: Facts = dataclasses.field(default_factory=Facts)
    shares: tuple[Shares, ...] = ()
    again: Again = NO_AGAIN

    @property
    def end(self) -> np.ndarray:
        """Ticks at which the trials ended, or up to which they are known: i[N]; a lane trains a step a tick."""
        found: np.ndarray = self.start + np.maximum(self.steps - self.born, 0)
        return found

    @property
    def running(self) -> bool:
        """Whether the search goes on in another process."""
        return self.facts.ended == RUNNING

    def has(self, *statuses: Status) -> np.ndarray:
        """Tell which trials have one of some statuses: bool[N]."""
        return np.isin(self.status, statuses)

    def counted(self, column: int = 0) -> np.ndarray:
        """Tell which trials may be the best: bool[N].

        They have a finite metric, and are those of the search that trained for their whole budget, where there are any,
        and of these the ones that keep all constraints, where there are any.
        """
        found: np.ndarray = np.isfinite(self.score[:, column]) & self.has(Status.DONE, Status.STOPPED)
        for stricter in (self.has(Status.DONE), self.feasible):
            found = found & stricter if (found & stricter).any() else found
        return found
