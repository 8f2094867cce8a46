"""Pareto front, and the hypervolume that it dominates as trials end."""

import bisect
import dataclasses
import math

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.axis import Axis, axis_of
from jaxhpt.report.figures.base import Missing, even
from jaxhpt.report.findings import Findings

TIMES, MARGIN = 60, 0.1


@dataclasses.dataclass(frozen=True)
class Pareto:
    """Trials of several objectives.

    Attributes:
      axes: the objectives, [M].
      directions: of each, "min" or "max".
      row: i[N] rows of the trials whose objectives are finite.
      score: f64[M, N].
      status: i8[N] a `Status`.
      feasible: bool[N].
      front: bool[N] whether no other beats it in every objective.
      reference: f64[M] up to which the volume is measured: a tenth of the range behind the worst done trial.
      trial: i[T] ids up to which trials count; empty for more than three objectives.
      volume: f64[T] the share of the box between the ideal point and the reference that the front dominates.
    """

    axes: tuple[Axis, ...]
    directions: tuple[str, ...]
    row: np.ndarray
    score: np.ndarray
    status: np.ndarray
    feasible: np.ndarray
    front: np.ndarray
    reference: np.ndarray
    trial: np.ndarray
    volume: np.ndarray


def pareto(findings: Findings) -> Pareto | Missing:
    """Return the front of a search of several objectives."""
    objectives = findings.metrics.objectives
    if len(objectives) < 2:
        return Missing("the search has one objective")
    score = findings.score[:, : len(objectives)]
    rows = np.flatnonzero(np.isfinite(score).all(axis=1))
    if not len(rows):
        return Missing("no trial has come to finite values yet")
    signs = np.array([objective.sign for objective in objectives])
    counted = rows[(findings.has(Status.DONE) & findings.feasible)[rows]]
    reference, trial, volume = _growth(score * signs, counted, findings.trial)
    return Pareto(
        tuple(axis_of(o.name, score[:, i]) for i, o in enumerate(objectives)),
        tuple(o.direction for o in objectives),
        rows,
        score[rows].T,
        findings.status[rows],
        findings.feasible[rows],
        np.isin(rows, findings.front),
        reference * signs,
        trial,
        volume,
    )


def _growth(score: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the reference f64[M], ids i[T], and the dominated share of the box after each of them, f64[T]."""
    nothing = np.full(score.shape[1], np.nan), np.zeros(0, int), np.zeros(0)
    if not len(rows):
        return nothing
    ideal, worst = score[rows].min(axis=0), score[rows].max(axis=0)
    reference = worst + MARGIN * np.where(worst > ideal, worst - ideal, 1.0)
    if score.shape[1] > 3:
        return reference, *nothing[1:]
    times, box = rows[even(len(rows), TIMES)], float(np.prod(reference - ideal))
    volume = [hypervolume(score[rows[rows <= time]], reference) / box for time in times]
    return reference, ids[times], np.array(volume)


def hypervolume(points: np.ndarray, reference: np.ndarray) -> float:
    """Measure the region that points f64[N, M] dominate up to a reference f64[M], M of 2 or 3; all is minimised.

    The third objective is swept from below, over the area that the first two dominate of what has come so far; two
    objectives alone are a slab of height 1.
    """
    points = points[(points < reference).all(axis=1)]
    if points.shape[1] == 2:
        points, reference = np.pad(points, ((0, 0), (0, 1))), np.append(reference, 1.0)
    points = points[np.argsort(points[:, 2], kind="stable")]
    stairs, areas = _Stairs(*reference[:2].tolist()), [0.0]
    for x, y in points[:, :2].tolist():
        areas.append(areas[-1] + stairs.add(x, y))
    return float((np.array(areas[1:]) * np.diff(np.append(points[:, 2], reference[2]))).sum())


class _Stairs:
    """The front of points in the plane, up to a corner: as x rises, y falls."""

    def __init__(self, x: float, y: float) -> None:
        self._x, self._y = [-math.inf, x], [y, -math.inf]

    def add(self, x: float, y: float) -> float:
        """Add a point that lies before the corner; return by how much the area grows that is dominated."""
        place = bisect.bisect_right(self._x, x)
        left, ceiling, grown = x, self._y[place - 1], 0.0
        if ceiling <= y:
            return 0.0
        while self._y[place] >= y:  # what it dominates goes, so that all additions together take no longer
            grown += (self._x[place] - left) * (ceiling - y)
            left, ceiling, place = self._x[place], self._y[place], place + 1
        grown += (self._x[place] - left) * (ceiling - y)
        first = bisect.bisect_left(self._x, x)
        self._x[first:place], self._y[first:place] = [x], [y]
        return grown
