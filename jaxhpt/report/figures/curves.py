"""Learning curves, and where they were stopped."""

import dataclasses

import numpy as np

from jaxhpt.report.axis import Axis, objective_axis
from jaxhpt.report.figures.base import Missing, even, thinned
from jaxhpt.report.findings import Findings

MOST, REPORTS = 200, 64


@dataclasses.dataclass(frozen=True)
class Curves:
    """Learning curves of the first objective.

    Attributes:
      objective: its axis.
      row: i[M] rows of the trials, the worst first.
      steps: i[M, R] of the reports.
      value: f64[M, R]; NaN for none.
      status: i8[M] a `Status`: why the curve ends.
      of: trials with a curve, of which these are some.
      reports: of a trial, of which R are drawn.
    """

    objective: Axis
    row: np.ndarray
    steps: np.ndarray
    value: np.ndarray
    status: np.ndarray
    of: int
    reports: int


def curves(findings: Findings) -> Curves | Missing:
    """Return the curves of at most 200 trials, the best half and evenly spread others, of at most 64 reports each."""
    rows = np.flatnonzero(np.isfinite(findings.curve).any(axis=1))
    if not len(rows) or np.isfinite(findings.curve).sum(axis=1).max() < 2:
        return Missing("one report of each trial was kept: a scheduler that looks at curves keeps more")
    drawn = thinned(findings.fitness, rows, MOST)
    drawn = drawn[np.argsort(-findings.fitness[drawn], kind="stable")]
    kept = even(findings.curve.shape[1], REPORTS)
    value, steps = findings.curve[drawn][:, kept], findings.report[drawn][:, kept]
    last = _last(findings.curve[drawn])  # so that each curve ends where its trial did
    value[:, -1] = np.where(np.isfinite(value[:, -1]), value[:, -1], findings.curve[drawn, last])
    steps[:, -1] = np.maximum(steps[:, -1], findings.report[drawn, last])
    steps[:, -1] = np.where(np.isfinite(findings.curve[drawn, -1]), steps[:, -1], findings.report[drawn, last])
    objective = findings.metrics.objectives[0]
    axis = objective_axis(objective.name, findings.curve[drawn], objective.direction)
    return Curves(axis, drawn, steps, value, findings.status[drawn], len(rows), findings.curve.shape[1])


def _last(curve: np.ndarray) -> np.ndarray:
    """Return the place of the last report in each row: i[M]."""
    num: int = curve.shape[1]
    found: np.ndarray = num - 1 - np.isfinite(curve)[:, ::-1].argmax(axis=1)
    return found
