"""Endings: why each trial ended, in all and as time goes on."""

import dataclasses

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.figures.base import Missing, even
from jaxhpt.report.findings import Findings

KINDS = (Status.DONE, Status.STOPPED, Status.FAILED)
TIMES = 100


@dataclasses.dataclass(frozen=True)
class Endings:
    """How many trials ended, and why.

    Attributes:
      names: "done", "stopped" and "failed", those that there are, [S].
      count: i[S] of each in all.
      tick: i[T] at which trials ended, rising.
      ended: i[S, T] that had ended so until then.
      running: trials that have not ended.
    """

    names: tuple[str, ...]
    count: np.ndarray
    tick: np.ndarray
    ended: np.ndarray
    running: int


def endings(findings: Findings) -> Endings | Missing:
    """Return how the trials of a search ended."""
    kinds = [kind for kind in KINDS if findings.has(kind).any()]
    if not kinds:
        return Missing("no trial has ended yet")
    every = np.unique(findings.end[findings.has(*kinds)])
    tick = every[even(len(every), TIMES)]
    ended = [np.searchsorted(np.sort(findings.end[findings.has(kind)]), tick, side="right") for kind in kinds]
    count = np.array([findings.has(kind).sum() for kind in kinds])
    running = int(findings.has(Status.RUNNING).sum())
    return Endings(tuple(kind.name.lower() for kind in kinds), count, tick, np.stack(ended), running)
