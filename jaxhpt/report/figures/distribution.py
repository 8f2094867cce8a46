"""Empirical distribution: the share of trials of a search that are as good as a value."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.figures.base import Missing, even
from jaxhpt.report.findings import Axis, Findings, axis_of

TITLE = "Empirical distribution"
POINTS = 200


@dataclasses.dataclass(frozen=True)
class Distribution:
    """Empirical distribution functions of several searches.

    Attributes:
      objective: its axis.
      direction: "min" or "max".
      names: of the searches, [S].
      value: of each, f64[n], the best first.
      share: of each, f64[n]: the trials that are at least as good; failed ones are never.
    """

    objective: Axis
    direction: str
    names: tuple[str, ...]
    value: tuple[np.ndarray, ...]
    share: tuple[np.ndarray, ...]


def distribution(searches: Sequence[Findings], column: int = 0) -> Distribution | Missing:
    """Return the distribution of one objective in searches that have it in common."""
    objective = searches[0].metrics.objectives[column]
    found = [_one(findings, column, objective.sign) for findings in searches]
    every = np.concatenate([value for value, _ in found])
    if not len(every):
        return Missing(TITLE, "no trial has come to a finite value yet")
    names = tuple(findings.name for findings in searches)
    values, shares = zip(*found, strict=True)
    return Distribution(axis_of(objective.name, every), objective.direction, names, values, shares)


def _one(findings: Findings, column: int, sign: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of a search, the best first, and the shares that are as good."""
    value = findings.score[:, column] * sign
    value = value[findings.has(Status.DONE, Status.STOPPED, Status.FAILED)]
    rising, last = np.unique(value[np.isfinite(value)], return_counts=True)
    kept = even(len(rising), POINTS)
    return rising[kept] * sign, np.cumsum(last)[kept] / max(1, len(value))
