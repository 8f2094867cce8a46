"""Optimisation history: what each trial came to, and the best so far."""

import dataclasses

import numpy as np

from jaxhpt.report.axis import Axis, objective_axis
from jaxhpt.report.figures.base import Missing, best_so_far
from jaxhpt.report.findings import Findings


@dataclasses.dataclass(frozen=True)
class History:
    """What each trial came to, in order of start, and the best so far.

    Attributes:
      objective: its axis.
      direction: "min" or "max".
      trial: i[N] ids.
      value: f64[N]; NaN where failed or not known.
      status: i8[N] a `Status`.
      feasible: bool[N].
      best: f64[N] the best of the trials up to this one; NaN before there is one.
      tick: i[N] at which each trial ended.
      end: i[N] the same, rising.
      best_then: f64[N] the best of those that ended until then.
    """

    objective: Axis
    direction: str
    trial: np.ndarray
    value: np.ndarray
    status: np.ndarray
    feasible: np.ndarray
    best: np.ndarray
    tick: np.ndarray
    end: np.ndarray
    best_then: np.ndarray


def history(findings: Findings, column: int = 0) -> History | Missing:
    """Return the history of one objective.

    Args:
      findings: of a search.
      column: which of the objectives.
    """
    value = findings.score[:, column]
    if not np.isfinite(value).any():
        return Missing("no trial has come to a finite value yet")
    objective, order = findings.metrics.objectives[column], np.argsort(findings.end, kind="stable")
    return History(
        objective_axis(objective.name, value, objective.direction),
        objective.direction,
        findings.trial,
        value,
        findings.status,
        findings.feasible,
        best_so_far(findings, column, np.arange(len(value))),
        findings.end,
        findings.end[order],
        best_so_far(findings, column, order),
    )
