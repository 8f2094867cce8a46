"""Flow through the rungs: how many trials came how far."""

import dataclasses

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.figures.base import Missing
from jaxhpt.report.findings import Findings

MOST = 8


@dataclasses.dataclass(frozen=True)
class Rungs:
    """How many trials came to each rung, and what became of them there.

    The rungs are the steps at which trials were stopped; where these are many, some of them, evenly spread among the
    stops. A trial that was stopped, and went on later from its own weights, is one trial here.

    Attributes:
      steps: i[G] of the rungs, rising; the last is where the longest trials end.
      reached: i[G] trials that trained so far.
      stopped: i[G] that were stopped after this rung was passed or reached, and before the next.
      failed: i[G] that failed there.
      done: i[G] that trained for their whole budget there.
      running: i[G] that are there now.
    """

    steps: np.ndarray
    reached: np.ndarray
    stopped: np.ndarray
    failed: np.ndarray
    done: np.ndarray
    running: np.ndarray


def rungs(findings: Findings) -> Rungs | Missing:
    """Return the flow of the trials of a search in which some were stopped."""
    rows = _ends(findings)
    steps, status = findings.steps[rows], findings.status[rows]
    stops = steps[status == Status.STOPPED]
    if len(_went_on(findings)) < (findings.parent >= 0).sum():
        return Missing("trials went on from others' weights, as the lineage shows")
    if not len(stops):
        return Missing("no trial was stopped")
    places = np.unique(stops)
    if len(places) > MOST:
        places = np.unique(np.quantile(stops, np.linspace(0, 1, MOST), method="lower"))
    levels = np.unique(np.append(places, max(findings.facts.longest, int(steps.max()))))
    at = np.maximum(np.searchsorted(levels, steps, side="right") - 1, 0)  # what ended before the first counts to it
    count = lambda *which: np.bincount(at[np.isin(status, which)], minlength=len(levels))  # noqa: E731
    reached = np.array([(at >= i).sum() for i in range(len(levels))])
    ends = count(Status.STOPPED), count(Status.FAILED), count(Status.DONE), count(Status.RUNNING)
    return Rungs(levels, reached, *ends)


def _ends(findings: Findings) -> np.ndarray:
    """Return the rows of trials that trained, without those that went on as another row: i[M]."""
    rows = np.flatnonzero(~findings.has(Status.PRIOR))
    return rows[~np.isin(rows, findings.parent[_went_on(findings)])]


def _went_on(findings: Findings) -> np.ndarray:
    """Return the rows that are a stopped trial gone on, from its own weights and under its own setting: i[M]."""
    copies = np.flatnonzero(findings.parent >= 0)
    parents = findings.parent[copies]
    same = ((findings.unit[copies] == findings.unit[parents]) | np.isnan(findings.unit[copies])).all(axis=1)
    whole = findings.steps[parents] == findings.born[copies]
    found: np.ndarray = copies[same & whole & (findings.status[parents] == Status.STOPPED)]
    return found
