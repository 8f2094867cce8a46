"""Comparison of several searches: the best so far of each."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.axis import Axis, objective_axis
from jaxhpt.report.figures.base import Missing, best_so_far, even, few_searches, points_each
from jaxhpt.report.findings import Findings


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The best so far of several searches.

    Attributes:
      objective: its axis.
      direction: "min" or "max".
      search: i[S] which of the searches they are.
      names: of them, [S].
      count: of each, i[n] trials so far; those that were known before the search do not count.
      best: of each, f64[n]; NaN before there is one.
      of: searches, of which these are some.
    """

    objective: Axis
    direction: str
    search: np.ndarray
    names: tuple[str, ...]
    count: tuple[np.ndarray, ...]
    best: tuple[np.ndarray, ...]
    of: int


def comparison(searches: Sequence[Findings], column: int = 0) -> Comparison | Missing:
    """Return the best so far of one objective in searches that have it in common."""
    chosen = few_searches(searches, column)
    lines = [best_so_far(searches[i], column, np.flatnonzero(~searches[i].has(Status.PRIOR))) for i in chosen]
    every = np.concatenate(lines)
    if not np.isfinite(every).any():
        return Missing("no trial has come to a finite value yet")
    objective, names = searches[0].metrics.objectives[column], tuple(searches[i].name for i in chosen)
    places = [_steps(line, points_each(len(chosen))) for line in lines]
    count, best = tuple(at + 1 for at in places), tuple(line[at] for line, at in zip(lines, places, strict=True))
    axis = objective_axis(objective.name, every, objective.direction)
    return Comparison(axis, objective.direction, chosen, names, count, best, len(searches))


def _steps(line: np.ndarray, points: int) -> np.ndarray:
    """Return the places where a line gets better, and its ends: i[n], rising."""
    better = np.flatnonzero(line[1:] != line[:-1]) + 1
    better = better[np.isfinite(line[better])]
    ends = [0, len(line) - 1] if len(line) else []
    return np.unique(np.concatenate([ends, better[even(len(better), points)]]).astype(int))
