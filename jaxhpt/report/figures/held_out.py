"""Validation beside test: what chose the winner, beside what did not."""

import dataclasses

import numpy as np

from jaxhpt.core.metrics import SPLITS
from jaxhpt.report.axis import Axis, axis_of
from jaxhpt.report.figures.base import Missing
from jaxhpt.report.findings import Findings

AGAIN = "trained again"


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Trials by the figure that chose among them, and by one that did not.

    Attributes:
      chosen: axis of the objective.
      other: axis of what did not choose: a test metric, or the objective when trained again.
      direction: "min" or "max".
      row: i[M] rows of the trials.
      value: f64[M] of the objective.
      fresh: f64[M] of the other; NaN where it failed.
      best: i[B] places among these of the trials that were the best so far when they came, in order.
      gap: by how much the last of them looks better than it is; NaN where that is not known.
    """

    chosen: Axis
    other: Axis
    direction: str
    row: np.ndarray
    value: np.ndarray
    fresh: np.ndarray
    best: np.ndarray
    gap: float


def held_out(findings: Findings) -> HeldOut | Missing:
    """Return trials beside their test metric, else the settings of a confirmation beside what they came to again."""
    name, column = findings.metrics.objectives[0].name, _test_column(findings)
    if column is None and not len(findings.again.row):
        return Missing("all figures chose the winner: search with confirm=5, or return a test metric")
    if column is None:
        rows, fresh, other = findings.again.row, findings.again.value, f"{name}, {AGAIN}"
    else:
        rows = np.flatnonzero(findings.counted())
        fresh, other = findings.score[rows, column], findings.metrics.names[column]
    if not np.isfinite(fresh).any():
        return Missing(f"{other} is not known of any trial")
    value, objective = findings.score[rows, 0], findings.metrics.objectives[0]
    best = _records(findings.fitness[rows], findings.trial[rows], column is None)
    gap = float((fresh[best[-1]] - value[best[-1]]) * objective.sign)
    chosen, test = axis_of(name, value, objective.direction), axis_of(other, fresh, objective.direction)
    return HeldOut(chosen, test, objective.direction, rows, value, fresh, best, gap)


def _records(fitness: np.ndarray, trial: np.ndarray, last_only: bool) -> np.ndarray:
    """Return the places of those that were the best so far in order of trials; or the best alone: i[B]."""
    if last_only:
        return np.array([int(np.argmin(fitness))])
    before = np.append(np.inf, np.minimum.accumulate(fitness)[:-1])
    found: np.ndarray = np.flatnonzero(fitness < before)
    return found


def _test_column(findings: Findings) -> int | None:
    """Return the column of the objective's test metric: `test_loss` of `loss` or `val_loss`; None for none."""
    names, objective = findings.metrics.names, findings.metrics.objectives[0].name
    bare = next(objective[len(split) :] for split in sorted(SPLITS, key=len)[::-1] if objective.startswith(split))
    test = f"test_{bare}"
    return names.index(test) if test in names and test != objective else None
