"""Empirical distribution: the share of trials of a search that are as good as a value."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.axis import Axis, objective_axis
from jaxhpt.report.figures.base import Missing, even, few_searches, points_each
from jaxhpt.report.findings import Findings


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Empirical distribution functions of several searches.

    Attributes:
      objective: its axis.
      direction: "min" or "max".
      search: i[S] which of the searches they are.
      names: of them, [S].
      value: of each, f64[n], the best first.
      share: of each, f64[n]: the trials that are at least as good; failed ones are never.
      of: searches, of which these are some.
    """

    objective: Axis
    direction: str
    search: np.ndarray
    names: tuple[str, ...]
    value: tuple[np.ndarray, ...]
    share: tuple[np.ndarray, ...]
    of: int


def distribution(searches: Sequence[Findings], column: int = 0) -> Distribution | Missing:
    """Return the distribution of one objective in searches that have it in common."""
    objective = searches[0].metrics.objectives[column]
    places = few_searches(searches, column)
    found = [_one(searches[i], column, objective.sign, points_each(len(places))) for i in places]
    every = np.concatenate([value for value, _ in found])
    if not len(every):
        return Missing("no trial has come to a finite value yet")
    names, (values, shares) = tuple(searches[i].name for i in places), zip(*found, strict=True)
    axis = objective_axis(objective.name, every, objective.direction)
    return Distribution(axis, objective.direction, places, names, values, shares, len(searches))


def _one(findings: Findings, column: int, sign: float, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of a search, the best first, and the shares that are as good."""
    value = findings.score[:, column] * sign
    value = value[findings.has(Status.DONE, Status.STOPPED, Status.FAILED)]
    rising, last = np.unique(value[np.isfinite(value)], return_counts=True)
    kept = even(len(rising), points)
    return rising[kept] * sign, np.cumsum(last)[kept] / max(1, len(value))
