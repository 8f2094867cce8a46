"""Lineage of a population: who went on from whose weights, and under which settings."""

import dataclasses

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.axis import Axis
from jaxhpt.report.figures.base import Missing
from jaxhpt.report.figures.parallel import in_order
from jaxhpt.report.findings import Findings


@dataclasses.dataclass(frozen=True)
class Lineage:
    """A tree over training steps: a stretch for each trial, from the steps that its weights had to where it ended.

    Attributes:
      axes: the dimensions, the most important first where that is known, [D].
      row: i[M] rows of the trials.
      parent: i[M] place of the parent among these; -1 for none.
      first: i[M] training steps behind the weights at the start.
      last: i[M] training steps at the end.
      place: f64[D, M] settings on the axes, in [0, 1]; NaN where a dimension did not exist.
      family: i[M] order in which a tree is drawn without crossings.
      status: i8[M] a `Status`.
      winner: i[W] places of the first ancestor of the best trial, and so on down to the best trial.
    """

    axes: tuple[Axis, ...]
    row: np.ndarray
    parent: np.ndarray
    first: np.ndarray
    last: np.ndarray
    place: np.ndarray
    family: np.ndarray
    status: np.ndarray
    winner: np.ndarray


def lineage(findings: Findings) -> Lineage | Missing:
    """Return the tree of a search in which trials went on from others' weights."""
    rows = np.flatnonzero(~findings.has(Status.PRIOR))
    if not len(rows) or (findings.parent[rows] < 0).all():
        return Missing("no trial went on from the weights of another")
    where = np.full(len(findings.trial), -1)
    where[rows] = np.arange(len(rows))
    parent = np.where(findings.parent[rows] >= 0, where[findings.parent[rows]], -1)
    columns = in_order(findings)
    place = np.stack([findings.axes[i].place(findings.value[rows, i]) for i in columns])
    axes, last = tuple(findings.axes[i] for i in columns), np.maximum(findings.steps[rows], findings.born[rows])
    winner = _line(parent, int(where[_winner(findings, rows)]))
    given = (findings.born[rows], last, place, _family(parent), findings.status[rows], winner)
    return Lineage(axes, rows, parent, *given)


def _winner(findings: Findings, rows: np.ndarray) -> int:
    """Return the one of the rows that is the best trial; of several objectives, the first of the front."""
    if findings.best >= 0:
        return findings.best
    return int(findings.front[0]) if len(findings.front) else int(rows[np.argmin(findings.fitness[rows])])


def _line(parent: np.ndarray, place: int) -> np.ndarray:
    """Return the places from the first ancestor of one down to it: i[W]."""
    found = []
    while place >= 0:
        found.append(place)
        place = int(parent[place])
    return np.array(found[::-1], int)


def _family(parent: np.ndarray) -> np.ndarray:
    """Return the order of a tree's leaves from left to right, parents before their children: i[M]."""
    children: dict[int, list[int]] = {}
    for child, of in enumerate(parent.tolist()):
        children.setdefault(of, []).append(child)
    order, waiting = np.zeros(len(parent), int), children.get(-1, [])[::-1]
    for turn in range(len(parent)):
        one = waiting.pop()
        order[one] = turn
        waiting += children.get(one, [])[::-1]
    return order
