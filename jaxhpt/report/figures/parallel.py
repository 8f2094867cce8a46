"""Parallel coordinates: a line for each trial through all its settings and objectives."""

import dataclasses

import numpy as np

from jaxhpt.report.axis import Axis, objective_axis
from jaxhpt.report.figures.base import Missing, thinned
from jaxhpt.report.findings import Findings

MOST = 1000


@dataclasses.dataclass(frozen=True)
class Parallel:
    """A line for each trial.

    Attributes:
      axes: the dimensions, the most important first where that is known, then the objectives, [A].
      row: i[M] rows of the trials, the worst first, so that the best are drawn above them.
      place: f64[M, A] where they lie on the axes, in [0, 1]; NaN where a dimension did not exist.
      rank: f64[M] share of the trials that are no better, 1 for the best.
      of: trials with a finite value, of which these are some.
    """

    axes: tuple[Axis, ...]
    row: np.ndarray
    place: np.ndarray
    rank: np.ndarray
    of: int


def parallel(findings: Findings) -> Parallel | Missing:
    """Return the lines of trials with finite objectives: of many, the best half and evenly spread others."""
    num = len(findings.metrics.objectives)
    rows = np.flatnonzero(np.isfinite(findings.score[:, :num]).all(axis=1))
    if not len(rows):
        return Missing("no trial has come to a finite value yet")
    drawn = thinned(findings.fitness, rows, MOST)
    drawn = drawn[np.argsort(-findings.fitness[drawn], kind="stable")]
    columns = in_order(findings)
    objectives = enumerate(findings.metrics.objectives)
    goals = [objective_axis(o.name, findings.score[rows, i], o.direction) for i, o in objectives]
    places = [findings.axes[i].place(findings.value[drawn, i]) for i in columns]
    places += [axis.place(findings.score[drawn, i]) for i, axis in enumerate(goals)]
    rank = np.arange(1, len(drawn) + 1) / len(drawn)
    return Parallel((*(findings.axes[i] for i in columns), *goals), drawn, np.stack(places, axis=1), rank, len(rows))


def in_order(findings: Findings, column: int = 0) -> list[int]:
    """Return the dimensions' columns, the most important first where that is known."""
    names = [axis.name for axis in findings.axes]
    if column >= len(findings.shares):
        return list(range(len(names)))
    return [names.index(name) for name in findings.shares[column].names]
