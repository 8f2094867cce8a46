"""What figures share: what stands for one with nothing to show, and which trials are drawn where all are too many."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxhpt.report.findings import Findings

MOST_SEARCHES = 200  # that are drawn together
POINTS = 12_000  # of all their lines


@dataclasses.dataclass(frozen=True)
class Missing:
    """A figure that has nothing to show.

    Attributes:
      why: it is left out.
    """

    why: str


def thinned(fitness: np.ndarray, rows: np.ndarray, most: int) -> np.ndarray:
    """Choose at most so many rows: the best half, and as many of the others, evenly spread in their order.

    Args:
      fitness: f64[N] minimised.
      rows: i[M] to choose from, rising.
      most: even.

    Returns:
      i[m], rising.
    """
    if len(rows) <= most:
        return rows
    order = np.argsort(fitness[rows], kind="stable")
    best, others = rows[order[: most // 2]], np.sort(rows[order[most // 2 :]])
    spread = others[np.linspace(0, len(others) - 1, most - most // 2).round().astype(int)]
    return np.sort(np.concatenate([best, spread]))


def best_so_far(findings: Findings, column: int, order: np.ndarray) -> np.ndarray:
    """Return the best value after each trial, in an order i[M] of rows: f64[M]; NaN before there is one."""
    objective = findings.metrics.objectives[column]
    value = np.where(findings.counted(column), findings.score[:, column] * objective.sign, np.inf)
    best = np.minimum.accumulate(value[order]) if len(order) else np.zeros(0)
    return np.where(np.isfinite(best), best * objective.sign, np.nan)


def few_searches(searches: Sequence[Findings], column: int) -> np.ndarray:
    """Choose the searches that are drawn together: all, or of many the best half and evenly spread others: i[S]."""
    sign = searches[0].metrics.objectives[column].sign
    best = [np.min(one.score[one.counted(column), column] * sign, initial=np.inf) for one in searches]
    return thinned(np.array(best), np.arange(len(searches)), MOST_SEARCHES)


def points_each(num: int) -> int:
    """Return at how many places each of so many lines is drawn, at most."""
    return max(20, min(200, POINTS // max(1, num)))


def even(num: int, most: int) -> np.ndarray:
    """Return at most so many places among `num`, evenly spread, the first and the last included: i[m], rising."""
    if num <= most:
        return np.arange(num)
    return np.unique(np.linspace(0, num - 1, most).round().astype(int))
