"""Timeline: which trial trained when, in lanes."""

import dataclasses
import heapq

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.figures.base import Missing
from jaxhpt.report.findings import Findings


@dataclasses.dataclass(frozen=True)
class Lanes:
    """Who trained in which lane when.

    A history has the tick at which a trial started, and the steps that it trained: that gives the spans. It does not
    have the lane: the trials are put into lanes here as the search fills them, each into the first that is free, so a
    row of the figure need not be the very lane on the device. A lane that a trial leaves is free at the next event.

    Attributes:
      row: i[M] rows of the trials.
      lane: i[M] from 0.
      first: i[M] tick at which they started.
      last: i[M] tick at which they ended.
      status: i8[M] a `Status`.
      num: lanes of the search; trials that overlap more often than that get lanes beyond it.
    """

    row: np.ndarray
    lane: np.ndarray
    first: np.ndarray
    last: np.ndarray
    status: np.ndarray
    num: int


def lanes(findings: Findings) -> Lanes | Missing:
    """Return the timeline of the trials of a search; those that were known before it have none."""
    rows = np.flatnonzero(~findings.has(Status.PRIOR) & (findings.end > findings.start))
    if not len(rows):
        return Missing("no trial has trained in a lane")
    rows = rows[np.argsort(findings.start[rows], kind="stable")]
    first, last = findings.start[rows], findings.end[rows]
    lane = assigned(first, last, findings.facts.interval)
    return Lanes(rows, lane, first, last, findings.status[rows], findings.facts.lanes)


def assigned(first: np.ndarray, last: np.ndarray, interval: int) -> np.ndarray:
    """Put spans i[M], ordered by their begin, each into the first lane that is free at it: i[M]."""
    free: list[int] = []
    busy: list[tuple[int, int]] = []
    found, num = np.zeros(len(first), int), 0
    for i, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        while busy and busy[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if not free:
            heapq.heappush(free, num)
            num += 1
        found[i] = heapq.heappop(free)
        heapq.heappush(busy, (begin + interval * -(-(end - begin) // interval), int(found[i])))
    return found
