"""Contours: an objective over two dimensions at once, smoothed."""

import dataclasses
import itertools

import numpy as np

from jaxhpt.report.axis import Axis
from jaxhpt.report.figures.base import Missing, even
from jaxhpt.report.figures.parallel import in_order
from jaxhpt.report.findings import Findings

CELLS = 36  # along an axis of numbers
DIMENSIONS = 4  # of which pairs are made
POINTS = 1000  # that are smoothed
WIDTH = 0.08  # of the kernel, in the unit of the axes
LEVELS = np.linspace(0, 1, 5)  # ranks that are named
LEAST = 0.1  # of the kernel's weight at its centre: where there is less, nothing is known


@dataclasses.dataclass(frozen=True)
class Contour:
    """An objective over two dimensions.

    Attributes:
      x: the first.
      y: the second.
      rank: f64[Y, X] in cells from the low ends: the share of trials that are no better, smoothed; NaN where no trial
        is near.
      row: i[M] rows of the trials that were smoothed, with both dimensions.
      left: f64[M] where they lie on x, in [0, 1].
      up: f64[M] where they lie on y.
      level: f64[5] the objective at the ranks 0, 1/4, 1/2, 3/4 and 1: what the colours stand for.
    """

    x: Axis
    y: Axis
    rank: np.ndarray
    row: np.ndarray
    left: np.ndarray
    up: np.ndarray
    level: np.ndarray


@dataclasses.dataclass(frozen=True)
class Contours:
    """Contours of the pairs of the most important dimensions.

    Attributes:
      objective: its name.
      pairs: a contour each.
    """

    objective: str
    pairs: tuple[Contour, ...]


def contours(findings: Findings, column: int = 0, names: tuple[str, ...] = ()) -> Contours | Missing:
    """Return contours of one of the objectives.

    Args:
      findings: of a search.
      column: which of the objectives.
      names: dimensions of whose pairs they are; () for at most four, the most important ones where that is known.
    """
    given = [axis.name for axis in findings.axes]
    columns = [given.index(name) for name in names] if names else in_order(findings, column)[:DIMENSIONS]
    rows = np.flatnonzero(np.isfinite(findings.score[:, column]))
    if len(columns) < 2:
        return Missing("the space has one dimension")
    if len(rows) < 3:
        return Missing("fewer than three trials have come to a finite value")
    rows = rows[even(len(rows), POINTS)]
    pairs = (_contour(findings, column, rows, *pair) for pair in itertools.combinations(columns, 2))
    found = tuple(pair for pair in pairs if len(pair.row) > 2)
    if not found:
        return Missing("no two dimensions exist together in three trials")
    return Contours(findings.metrics.names[column], found)


def _contour(findings: Findings, column: int, rows: np.ndarray, first: int, second: int) -> Contour:
    x, y = findings.axes[first], findings.axes[second]
    left, up = x.place(findings.value[rows, first]), y.place(findings.value[rows, second])
    both = np.isfinite(left) & np.isfinite(up)
    rows, left, up = rows[both], left[both], up[both]
    sign = findings.metrics.objectives[column].sign
    score = findings.score[rows, column] * sign
    worse = 1 - np.searchsorted(np.sort(score), score, side="left") / max(1, len(rows))
    rank = _smoothed(left, up, worse, _cells(x), _cells(y)) if len(rows) else np.zeros((0, 0))
    level = np.quantile(score, LEVELS[::-1], method="nearest") * sign if len(rows) else np.zeros(0)
    return Contour(x, y, rank, rows, left, up, level)


def _cells(axis: Axis) -> np.ndarray:
    """Return the middles of the cells along an axis, in [0, 1]."""
    num = len(axis.texts) or CELLS
    return (np.arange(num) + 0.5) / num


def _smoothed(left: np.ndarray, up: np.ndarray, worse: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the mean of near trials in each cell, by a Gaussian kernel (Nadaraya and Watson): f64[Y, X]."""
    across = np.exp(-0.5 * ((x[:, None] - left[None]) / WIDTH) ** 2)
    along = np.exp(-0.5 * ((y[:, None] - up[None]) / WIDTH) ** 2)
    weight = along @ across.T
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (along * worse) @ across.T / weight
    return np.where(weight > LEAST, mean.round(3), np.nan)
