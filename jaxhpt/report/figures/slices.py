"""Slices: an objective against each dimension."""

import dataclasses

import numpy as np

from jaxhpt.report.axis import Axis, objective_axis
from jaxhpt.report.figures.base import Missing
from jaxhpt.report.figures.parallel import in_order
from jaxhpt.report.findings import Findings


@dataclasses.dataclass(frozen=True)
class Slices:
    """An objective against each dimension.

    Attributes:
      objective: its axis.
      axes: the dimensions, the most important first where that is known, [D].
      status: i8[N] a `Status`.
      score: f64[N]; NaN where failed or not known.
      value: f64[D, N] values on the axes; NaN where a dimension did not exist.
    """

    objective: Axis
    axes: tuple[Axis, ...]
    status: np.ndarray
    score: np.ndarray
    value: np.ndarray


def slices(findings: Findings, column: int = 0) -> Slices | Missing:
    """Return the slices of one of the objectives: all trials, so that those that failed can be seen, too."""
    score, columns = findings.score[:, column], in_order(findings, column)
    if not np.isfinite(score).any():
        return Missing("no trial has come to a finite value yet")
    axes, objective = tuple(findings.axes[i] for i in columns), findings.metrics.objectives[column]
    axis = objective_axis(objective.name, score, objective.direction)
    return Slices(axis, axes, findings.status, score, findings.value[:, columns].T)
