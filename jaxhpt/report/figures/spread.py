"""Spread over seeds and folds: how sure the values of the best trials are."""

import dataclasses

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.axis import Axis, axis_of
from jaxhpt.report.figures.base import Missing
from jaxhpt.report.findings import Findings

MOST = 30


@dataclasses.dataclass(frozen=True)
class Spread:
    """The best trials with the standard deviation over their models.

    Attributes:
      objective: its axis.
      column: name of the metric that holds the deviation.
      models: of each trial.
      row: i[M] rows of the trials, the best first.
      trial: i[M] their ids.
      value: f64[M].
      deviation: f64[M] over the models.
      error: f64[M] standard error of the value, where it is the mean of the models.
      within: trials from the first on whose values lie within the standard error of the best: not worse for sure.
    """

    objective: Axis
    column: str
    models: int
    row: np.ndarray
    trial: np.ndarray
    value: np.ndarray
    deviation: np.ndarray
    error: np.ndarray
    within: int


def spread(findings: Findings, column: int = 0) -> Spread | Missing:
    """Return the spread of the 30 best done trials of one objective."""
    objective = findings.metrics.objectives[column]
    known = findings.metrics.spread_of(objective.name)
    if known is None:
        return Missing("each trial trained one model: seeds= and folds= train several")
    place, models = known
    deviation, counted = findings.score[:, place], findings.counted(column)
    rows = np.flatnonzero(counted & np.isfinite(deviation) & findings.has(Status.DONE))
    if not len(rows):
        return Missing("no trial is done yet")
    score = findings.score[rows, column] * objective.sign
    rows = rows[np.argsort(score, kind="stable")][:MOST]
    value, error = findings.score[rows, column], deviation[rows] / np.sqrt(models)
    within = int((np.abs(value - value[0]) <= error[0]).sum())
    ends = np.concatenate([value - deviation[rows], value + deviation[rows]])
    axis, name = axis_of(objective.name, ends), findings.metrics.names[place]
    return Spread(axis, name, models, rows, findings.trial[rows], value, deviation[rows], error, within)
