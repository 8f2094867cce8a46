"""Pareto front, and the hypervolume that it dominates as trials end."""

import dataclasses

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.figures.base import Missing, even
from jaxhpt.report.findings import Axis, Findings, axis_of

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
    """Measure the region that points f64[N, M] dominate up to a reference f64[M], M of 2 or 3; all is minimised."""
    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 2:
        points = points[np.lexsort(points.T[::-1])]
        lowest = np.minimum.accumulate(points[:, 1])
        right = np.append(points[1:, 0], reference[0])
        return float(((right - points[:, 0]) * (reference[1] - lowest)).sum())
    heights = np.unique(points[:, 2])
    thick = np.diff(np.append(heights, reference[2]))
    areas = [hypervolume(points[points[:, 2] <= height, :2], reference[:2]) for height in heights]
    return float((np.array(areas) * thick).sum())
