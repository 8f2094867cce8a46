"""The log of a run: a line of JSON for each trial that ended, in order of their ends."""

import json
import math
import os
import pathlib
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxhpt.core.history import History, Status
from jaxhpt.core.plain_data import value_of
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE
from jaxhpt.results.columns import begun_steps
from jaxhpt.results.plain import plain_trials
from jaxhpt.results.trial import read_rows
from jaxhpt.store.files import RunError

CODES = {status.name.lower(): int(status) for status in Status}


class Log:
    """The log of a run, to which lines are added.

    What was logged already is not logged again: a search that goes on from a checkpoint runs some trials once more,
    to the same bits.

    Args:
      path: of the file; what an interrupted write left at its end is cut off.
      problem: the search, in the user's own space.
      searches: of the run; None for one alone.
      prior: whether trials that were known before are written, too.
    """

    def __init__(self, path: pathlib.Path, problem: Problem, searches: int | None, prior: bool = False) -> None:
        self._path, self._problem, self._searches, self._prior = path, problem, searches, prior
        self._tag = tag_of(problem.space)
        self._logged = np.zeros((searches or 1, problem.capacity), bool)
        lines, whole = read(path)
        for line in lines:
            search, row = line.get("search", 0), line["trial"]
            if search < self._logged.shape[0] and row < self._logged.shape[1]:
                self._logged[search, row] = True
        if path.exists() and path.stat().st_size != whole:
            os.truncate(path, whole)

    @property
    def num(self) -> int:
        """Trials that it has."""
        return int(self._logged.sum())

    def add(self, history: History, exact: np.ndarray | None = None, seconds: float | None = None) -> None:
        """Write the trials of a history that ended since, and see them on the disk.

        Args:
          history: on the host.
          exact: f64[C, K] scores as a person told them; None where they are those of the history.
          seconds: of searching so far; None where they are not told.
        """
        lines, when = [], {} if seconds is None else {"seconds": round(seconds, 3)}
        for search in range(self._logged.shape[0]):
            one = history if self._searches is None else _one(history, search)
            status = np.asarray(one.status)[: self._logged.shape[1]]
            ended = (status >= Status.DONE) & (self._prior | (status != Status.PRIOR))
            rows = np.flatnonzero(ended & ~self._logged[search, : len(status)])
            lines += [json.dumps(told | when, allow_nan=False) + "\n" for told in self._told(one, rows, search, exact)]
            self._logged[search, rows] = True
        if lines:
            with self._path.open("a") as file:
                file.write("".join(lines))
                file.flush()
                os.fsync(file.fileno())

    def _told(self, history: History, rows: np.ndarray, search: int, exact: np.ndarray | None) -> list[dict[str, Any]]:
        first = {} if self._searches is None else {"search": search}
        trials = read_rows(history, self._problem, np.ones(len(history.status), bool), rows, exact)
        found, begun = [], begun_steps(history)
        for trial, told in zip(trials, plain_trials(trials, history.unit, self._problem.space), strict=True):
            line = {**first, **told, "start": trial.start} | ({} if trial.parent is None else {"parent": trial.parent})
            line |= {"begun": int(begun[trial.id])} if trial.id in begun else {}
            line |= {"space": self._tag, "unit": history.unit[trial.id].tolist()}
            found.append(line)
        return found


def read(path: pathlib.Path) -> tuple[list[dict[str, Any]], int]:
    """Read the whole lines of a log, see `read_lines`."""
    return read_lines(path, _trial)


def read_lines(path: pathlib.Path, check: Callable[[Any], None]) -> tuple[list[dict[str, Any]], int]:
    """Read the whole lines of a file, and how many bytes they are; an unfinished line at the end does not count.

    Args:
      path: of the file; one that is not there has no lines.
      check: raises where a line is none.

    Raises:
      RunError: a line before the last is damaged.
    """
    if not path.exists():
        return [], 0
    lines, whole, parts = [], 0, path.read_bytes().split(b"\n")
    for place, part in enumerate(parts[:-1]):
        try:
            line = json.loads(part)
            check(line)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if place == len(parts) - 2:  # the last one: a power cut leaves any bytes there
                break
            raise RunError(f"{path}: line {place + 1} is damaged: {error}; remove that line to go on") from error
        lines.append(line)
        whole += len(part) + 1
    return lines, whole


def tag_of(space: Space) -> str:
    """Name a space in a few letters: that in which the `unit` of a line lies."""
    return f"{zlib.crc32(json.dumps(space.to_spec()).encode()):08x}"


def unit_of(line: dict[str, Any], space: Space, tag: str) -> Any:
    """Return where a trial of a line lies in a space, f32[D]; one of before it was widened is put there anew."""
    if line["space"] == tag:
        return line["unit"]
    return space.encode(space.assemble([value_of(value) for value in line["hparams"].values()]))


def _trial(line: Any) -> None:
    """Raise unless a line is a trial."""
    optional = [line.get(name, 0) for name in ("search", "parent", "begun")]
    numbers = [line["trial"], line["steps"], line["start"], *optional]
    if not all(type(value) is int and 0 <= value < NONE for value in numbers):
        raise ValueError("no trial")
    if not (isinstance(line.get("seconds", 0.0), int | float) and 0 <= line.get("seconds", 0.0) < math.inf):
        raise ValueError("no trial")
    kinds = {"metrics": dict, "hparams": dict, "unit": list, "curve": list, "space": str}
    if line["status"] not in CODES or not all(isinstance(line[name], kind) for name, kind in kinds.items()):
        raise ValueError("no trial")


def _one(history: History, search: int) -> History:
    columns = {
        name: column[search] for name, column in history._asdict().items() if np.ndim(column) and np.size(column)
    }
    return history._replace(**columns)
