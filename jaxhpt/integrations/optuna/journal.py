"""Journal: a search that runs, as a file that `optuna-dashboard` shows."""

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from jaxhpt.core.checks import require
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.engine.watching import WatchError
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.logger import SECONDS, Paced
from jaxhpt.integrations.optuna.study import StudyWriter, to_optuna
from jaxhpt.results.result import Result

with extra("optuna"):
    from optuna.storages import JournalStorage
    from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

NAME = "optuna.journal"


class Journal(Paced):
    """Write each trial into a journal of Optuna while the search runs: a callback. Watch it by `optuna-dashboard PATH`.

    Trials that run are there with their learning curves so far; those that a scheduler stopped are "pruned". Metrics
    that are not optimised, steps and the parent of copies are user attributes. What runs when the search breaks off
    stays "running", and is gone on with where the run goes on in its `run_dir`.

    Args:
      path: of the file; None for `optuna.journal` in the `run_dir` of the search.
      study_name: in it.
      seconds: from one look to the next, at least; up to 30 where looking would take more than a fiftieth of the time.

    Raises:
      ValueError, TypeError: no path, or no number.

    Example:
      >>> import jaxhpt, optuna, tempfile
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     options = {"trials": 32, "run_dir": folder, "progress": False}
      ...     result = jaxhpt.minimize(lambda h, key: (h["x"] - 1) ** 2, space, callbacks=[Journal()], **options)
      ...     backend = optuna.storages.journal.JournalFileBackend(f"{folder}/optuna.journal")
      ...     study = optuna.load_study(study_name="jaxhpt", storage=optuna.storages.JournalStorage(backend))
      ...     study.best_params == result.best.hparams
      True
    """

    def __init__(
        self, path: str | pathlib.Path | None = None, *, study_name: str = "jaxhpt", seconds: float = SECONDS
    ) -> None:
        super().__init__(seconds)
        if path is not None and (not isinstance(path, str | pathlib.Path) or not str(path)):
            raise TypeError(f"path={path!r}: must be the path of a file, or None for one in the run_dir")
        if not isinstance(study_name, str) or not study_name:
            raise TypeError(f"study_name={study_name!r}: must be a text")
        self._path, self._name = path, study_name
        self._writer: StudyWriter | None = None

    def opened(self, problem: Problem, run_dir: pathlib.Path | None, again: bool) -> None:
        """Begin the study, or go on with it; see `Paced.opened`."""
        if again and self._writer:
            self._writer.grown(problem)
            return
        there = self._path is not None or run_dir is not None
        require(there, "path", None, "the path of a file, or search with run_dir")
        path = pathlib.Path(run_dir or "", NAME) if self._path is None else pathlib.Path(self._path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _Batches(path)
        self._writer = StudyWriter(JournalStorage(self._file), self._name, problem)
        self._file.flush()

    def write(self, history: History, snapshot: Snapshot) -> None:
        """Write what is new, all at once; see `Paced.write`."""
        assert self._writer is not None
        self._file.require_alone()
        self._writer.write(history)
        self._file.flush()


def write(path: pathlib.Path, results: Mapping[str, Result]) -> None:
    """Write results into a journal, each as a study of its name; see `to_optuna`."""
    file = _Batches(path)
    storage = JournalStorage(file)
    for name, result in results.items():
        to_optuna(result, storage, name)
    file.flush()


class _Batches(BaseJournalBackend):
    """A journal file that is written to many lines at a time: Optuna sees each line as if it were there.

    Args:
      path: of the file; what an interrupted write left at its end is cut off.
    """

    def __init__(self, path: pathlib.Path) -> None:
        _cut(path)
        self._file = JournalFileBackend(str(path))
        self._path, self._size = path, os.path.getsize(path)
        self._unread: list[dict[str, Any]] = list(self._file.read_logs(0))
        self._read, self._unwritten = 0, list[dict[str, Any]]()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        """Return the lines from a number on, each once: nobody asks again."""
        fresh = self._unread[log_number_from - self._read :]
        self._read, self._unread = log_number_from + len(fresh), []
        return iter(fresh)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Take lines."""
        self._unread += logs
        self._unwritten += logs

    def flush(self) -> None:
        """Write what was taken, and see it on the disk."""
        if self._unwritten:
            self._file.append_logs(self._unwritten)
        self._unwritten, self._size = [], os.path.getsize(self._path)

    def require_alone(self) -> None:
        """Let others write notes, but no trials: these would have the numbers of ours."""
        if os.path.getsize(self._path) == self._size:
            return
        with self._path.open("rb") as file:
            file.seek(self._size)
            added = file.read()
        if any(mark in added for mark in (b'"op_code":4,', b'"op_code":0,')):
            raise WatchError(f"path={str(self._path)!r}: somebody else adds trials to it; take another path")


def _cut(path: pathlib.Path) -> None:
    """Cut off an unfinished line."""
    if path.exists():
        content = path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)
