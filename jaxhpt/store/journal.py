"""The calls of a `Tuner` on disk: each is there before it returns, and all are made again when a run goes on.

What an algorithm has learned follows from the calls alone, to the bit, so nothing else need be kept.
"""

import json
import os
import pathlib
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxhpt.algorithms.base import Algorithm
from jaxhpt.core.history import History, Known
from jaxhpt.core.plain_data import plain_settings
from jaxhpt.core.plain_problem import problem_data
from jaxhpt.core.problem import Problem
from jaxhpt.store.files import CALLS, LOG, MANIFEST, Lock, RunError, folder_of, read_json, require_whole, write_json
from jaxhpt.store.log import Log, read_lines
from jaxhpt.store.manifest import FORMAT, digest_of, require_same, versions
from jaxhpt.store.run import checked


class Journal:
    """The calls of one `Tuner`.

    Args:
      folder: of the run.
      problem: in the user's own space.
      algorithm: as the user gave it.
      known: before.
      seed: of the run.

    Raises:
      RunError: another process is in the directory, or it holds another run.
    """

    def __init__(self, folder: pathlib.Path, problem: Problem, algorithm: Algorithm, known: Known, seed: int) -> None:
        self._folder, self._problem, self._lock = folder, problem, Lock(folder)
        try:
            path = folder / MANIFEST
            require_whole(folder)
            now = self._described(algorithm, known, seed)
            if path.exists():
                require_same(folder, checked(read_json(path), path), now)
            write_json(path, now)
            self._calls, whole = read_lines(folder / CALLS, _call)
            if (folder / CALLS).exists():
                os.truncate(folder / CALLS, whole)
            self._log = Log(folder / LOG, problem, None, prior=True)
            weakref.finalize(self, self._lock.release)
        except BaseException:
            self._lock.release()
            raise

    def _described(self, algorithm: Algorithm, known: Known, seed: int) -> dict[str, Any]:
        return {
            "format": FORMAT, "versions": versions(), "way": "Tuner", **problem_data(self._problem),
            "algorithm": plain_settings(algorithm), "scheduler": None, "seed": seed, "before": digest_of(known),
            "task": None, "layout": {"lanes": self._problem.lanes}, "searches": None, "ended": None,
            "chosen_for": self._problem.trials, "called": self._problem.trials,
        }  # fmt: skip

    def replay(
        self,
        ask: Callable[[int, int], tuple[np.ndarray, np.ndarray]],
        tell: Callable[[np.ndarray, np.ndarray], Any],
    ) -> None:
        """Make all calls again.

        Args:
          ask: (num, count) -> rows i32[n] and settings f32[n, D].
          tell: (rows, scores f64[n, K]) -> nothing.

        Raises:
          RunError: the algorithm asks for other settings than it did.
        """
        try:
            for call in self._calls:
                self._repeat(call, ask, tell)
        except BaseException:
            self.close()
            raise
        self._calls = []

    def _repeat(self, call: dict[str, Any], ask: Callable, tell: Callable) -> None:
        if "tell" in call:
            scores = [[np.inf if value is None else value for value in row] for row in call["scores"]]
            tell(np.array(call["tell"], int), np.array(scores, float))
            return
        rows, unit = ask(call["ask"], call["count"])
        same = rows.tolist() == call["trials"] and np.array_equal(unit, np.array(call["unit"], np.float32))
        if len(rows) and not same:
            raise RunError(
                f"run_dir={str(self._folder)!r}: the algorithm asks for other settings than in the run, as it may with "
                "another number of trials or another version; take another directory, and this run as prior"
            )

    def asked(self, num: int, count: int, rows: np.ndarray, unit: np.ndarray) -> None:
        """Write down what was asked for."""
        self._write({"ask": num, "count": count, "trials": rows.tolist(), "unit": np.asarray(unit).tolist()})

    def told(self, rows: list[int], scores: np.ndarray, history: Callable[[], tuple[History, np.ndarray]]) -> None:
        """Write down what was told, and the trials that have ended."""
        values = [[value if np.isfinite(value) else None for value in row] for row in scores.tolist()]
        self._write({"tell": list(map(int, rows)), "scores": values})
        self._log.add(*history())

    def _write(self, call: dict[str, Any]) -> None:
        if not self._lock.held:
            raise RunError(f"run_dir={str(self._folder)!r}: this Tuner was closed; make another one in the same way")
        with (self._folder / CALLS).open("a") as file:
            file.write(json.dumps(call, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        """Let others in."""
        self._lock.release()


def _call(line: Any) -> None:
    """Raise unless a line is a call."""
    if "tell" in line:
        len(line["scores"])
    else:
        line["ask"], line["count"], line["trials"], line["unit"]


class Unwritten:
    """Stands for the journal of a Tuner that has none."""

    def replay(self, ask: Any, tell: Any) -> None:
        """Make no calls."""

    def asked(self, num: int, count: int, rows: np.ndarray, unit: np.ndarray) -> None:
        """Write nothing."""

    def told(self, rows: list[int], scores: np.ndarray, history: Any) -> None:
        """Write nothing."""

    def close(self) -> None:
        """Do nothing."""


def journal(run_dir: Any, *run: Any) -> Journal | Unwritten:
    """Open the journal of a run directory, as `Journal`; a stand-in for None."""
    folder = folder_of(run_dir)
    return Unwritten() if folder is None else Journal(folder, *run)
