"""Comparison of several searches: the best so far of each."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxhpt.report.figures.base import Missing, best_so_far, even
from jaxhpt.report.findings import Axis, Findings, axis_of

TITLE = "Best so far of each search"
POINTS = 200


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The best so far of several searches.

    Attributes:
      objective: its axis.
      direction: "min" or "max".
      names: of the searches, [S].
      count: of each, i[n] trials so far.
      best: of each, f64[n]; NaN before there is one.
    """

    objective: Axis
    direction: str
    names: tuple[str, ...]
    count: tuple[np.ndarray, ...]
    best: tuple[np.ndarray, ...]


def comparison(searches: Sequence[Findings], column: int = 0) -> Comparison | Missing:
    """Return the best so far of one objective in searches that have it in common, at up to 200 places each."""
    lines = [best_so_far(findings, column, np.arange(len(findings.trial))) for findings in searches]
    every = np.concatenate(lines)
    if not np.isfinite(every).any():
        return Missing(TITLE, "no trial has come to a finite value yet")
    places = [_steps(line) for line in lines]
    objective = searches[0].metrics.objectives[column]
    names = tuple(findings.name for findings in searches)
    counts, best = tuple(at + 1 for at in places), tuple(x[at] for x, at in zip(lines, places, strict=True))
    return Comparison(axis_of(objective.name, every, objective.direction), objective.direction, names, counts, best)


def _steps(line: np.ndarray) -> np.ndarray:
    """Return the places where a line gets better, and its ends: i[n], rising."""
    better = np.flatnonzero(line[1:] != line[:-1]) + 1
    better = better[np.isfinite(line[better])]
    ends = [0, len(line) - 1] if len(line) else []
    return np.unique(np.concatenate([ends, better[even(len(better), POINTS)]]).astype(int))
