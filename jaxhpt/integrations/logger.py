"""Loggers: callbacks that write a search into somebody else's format, now and then, and each trial once."""

import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxhpt.core.checks import number, require, require_count
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Choice, Float
from jaxhpt.core.history import History, Status
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.engine.watching import Watcher
from jaxhpt.results.columns import written_columns
from jaxhpt.results.trial import Trial, read_rows
from jaxhpt.store.recorder import Due

SECONDS = 1.0  # between two looks, at least
MOST = 30.0  # and at most, whatever a look takes
ENDED = (Status.DONE, Status.STOPPED, Status.FAILED)
TOP = 100
NEAR = 1e-5  # of a value or a range, up to which two numbers are one setting


class Paced(Watcher):
    """A watcher of one search that does not look all the time. Subclasses give `opened`, `write` and `closed`.

    Args:
      seconds: from one look to the next, at least; up to 30 where looking would take more than a fiftieth of the time.
        0 looks whenever there may be something new.

    Raises:
      ValueError, TypeError: no such number.
    """

    def __init__(self, seconds: float = SECONDS) -> None:
        require(number("seconds", seconds) >= 0, "seconds", seconds, "at least 0")
        self._due, self._is_open = Due(float(seconds), most=max(seconds, MOST) if seconds else 0.0, spare=1), False

    def opened(self, problem: Problem, run_dir: pathlib.Path | None, again: bool) -> None:
        """Begin to write, or go on with what was written; `again` where it is open, and there are more trials."""
        raise NotImplementedError

    def write(self, history: History, snapshot: Snapshot) -> None:
        """Write what is new in a history on the host."""
        raise NotImplementedError

    def closed(self, ended: str) -> None:
        """Write the end, and close what is written to."""

    def begin(self, problem: Problem, run_dir: pathlib.Path | None, searches: int | None) -> None:
        """Open what is written to; see `Watcher.begin`.

        Raises:
          ValueError: many searches at once.
        """
        name = type(self).__name__
        require(searches is None, "callbacks", name, "of jaxhpt.search: many searches at once have no one log")
        self.opened(problem, run_dir, self._is_open)
        self._is_open = True

    def look(self, history: History, snapshot: Snapshot, last: bool) -> None:
        """Write what is new, where it is time; see `Watcher.look`."""
        if last or self._due():
            begun = time.monotonic()
            self.write(written_columns(history), snapshot)
            self._due.done(time.monotonic() - begun)

    def close(self, ended: str) -> None:
        """Close what is written to; see `Watcher.close`."""
        if self._is_open:
            self._is_open = False
            self.closed(ended)


class Logger(Paced):
    """A logger of trials that ended. Subclasses give `start`, `log` and `closed`.

    Args:
      top: write a trial if fewer than so many of those that ended before it are better, so that thousands of trials
        stay a few hundred; None for all. Of several objectives "better" is better in all.
      seconds: as in `Paced`.

    Raises:
      ValueError, TypeError: no such numbers.
    """

    problem: Problem

    def __init__(self, top: int | None = TOP, seconds: float = SECONDS) -> None:
        super().__init__(seconds)
        self._top = None if top is None else require_count("top", top)

    def start(self, run_dir: pathlib.Path | None) -> set[int]:
        """Begin to write, or go on; return the ids of trials that were written already."""
        raise NotImplementedError

    def log(self, trials: Sequence[Trial], snapshot: Snapshot) -> None:
        """Write trials that ended, and where the search stands."""
        raise NotImplementedError

    def opened(self, problem: Problem, run_dir: pathlib.Path | None, again: bool) -> None:
        """Begin; see `Paced.opened`."""
        self.problem = problem
        if not again:
            self._ranks, self._seen, self._written = _Ranks(problem), set[int](), self.start(run_dir)

    def write(self, history: History, snapshot: Snapshot) -> None:
        """Write the new ones among the best; see `Paced.write`."""
        status = history.status[: self.problem.capacity]
        rows = [int(row) for row in np.flatnonzero(np.isin(status, ENDED)) if row not in self._seen]
        kept = rows if self._top is None else self._ranks.among_best(history, rows, self._top)
        fresh = [row for row in kept if row not in self._written]
        self._seen.update(rows)
        self._written.update(fresh)
        self.log(trials_of(history, self.problem, fresh), snapshot)


class _Ranks:
    """Counts by how many of those that ended before it a trial is beaten."""

    def __init__(self, problem: Problem) -> None:
        self._metrics, self._num = problem.metrics, 0
        self._best = np.zeros((0, len(problem.objectives)))  # those that were among the best: no others need be asked

    def among_best(self, history: History, rows: Sequence[int], top: int) -> list[int]:
        """Return those of the rows that fewer than `top` of all earlier ones beat in all objectives."""
        scores = np.asarray(history.metrics[np.asarray(rows, int)], np.float64)
        objectives = np.where((self._metrics.broken(scores) > 0)[:, None], np.inf, scores[:, : self._best.shape[1]])
        return [row for row, mine in zip(rows, objectives, strict=True) if self._enters(mine, top)]

    def _enters(self, mine: np.ndarray, top: int) -> bool:
        """Tell whether fewer than `top` of those before beat one; all of them where it failed or breaks a constraint.

        One that so many beat counts no more: they beat all that it beats.
        """
        beaten = (self._best < mine).all(axis=1).sum() if np.isfinite(mine).all() else self._num
        self._num += 1
        if beaten < top:
            self._best = np.concatenate([self._best, mine[None]])
        return bool(beaten < top)


def trials_of(history: History, problem: Problem, rows: Any, exact: np.ndarray | None = None) -> list[Trial]:
    """Read rows of a history on the host; see `read_rows`."""
    scores = np.asarray(history.metrics if exact is None else exact, np.float64)
    return read_rows(history, problem, problem.metrics.broken(scores) <= 0, np.asarray(rows, int), exact)


def plain_hparams(trial: Trial, problem: Problem) -> dict[str, Any]:
    """Return a trial's settings by name, as numbers, texts and booleans; those that do not exist are left out."""
    space = problem.space
    rows = zip(space.names, space.values_of(trial.hparams), space.dimensions, strict=True)
    return {name: _plain(value, dimension) for name, value, dimension in rows if value is not None}


def alike(one: Mapping[str, Any], other: Mapping[str, Any], space: Space) -> bool:
    """Tell whether two settings by name are the same, but for what float32 makes of one moved into a wider space."""
    dimensions = zip(space.names, space.dimensions, strict=True)
    return one.keys() == other.keys() and all(_near(one[n], other[n], d) for n, d in dimensions if n in one)


def _near(one: Any, other: Any, dimension: Dimension) -> bool:
    if not isinstance(dimension, Float):
        return bool(one == other)
    width = 0.0 if dimension.log else dimension.high - dimension.low
    return math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR * width)


def _plain(value: Any, dimension: Any) -> Any:
    """Return a value as it is, or how a table writes it."""
    if isinstance(value, bool | int | float | str) or not isinstance(dimension, Choice):
        return value
    return dimension.texts[dimension.find(value)]  # type: ignore[index]
