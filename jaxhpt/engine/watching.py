"""Watchers: callbacks that see the trials of a search, as what writes them into somebody else's format does."""

import contextlib
import pathlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.engine.execution import Execution, Record
from jaxhpt.engine.signals import Signals
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.engine.state import Program
from jaxhpt.training.hosts import leads


class WatchError(ValueError):
    """What a watcher finds is so wrong that the search should not go on."""


class Watcher:
    """A callback of a search that sees its trials. Write one by these three methods, and give it as `callbacks=[...]`.

    What `look` or `close` raises is told by a warning, and the search goes on without it; but for a `WatchError`.
    """

    def begin(self, problem: Problem, run_dir: pathlib.Path | None, searches: int | None) -> None:
        """See a search before it runs; again where it is told of more trials.

        Args:
          problem: in the user's own space.
          run_dir: where the search is written down; None for nowhere.
          searches: how many there are at once; None for one alone.
        """

    def look(self, history: History, snapshot: Snapshot, last: bool) -> None:
        """See where the search stands, between two dispatches.

        Args:
          history: all trials, on the device.
          snapshot: of the same time.
          last: whether the search has ended, so that nothing comes after it.
        """

    def close(self, ended: str) -> None:
        """See that nothing comes any more, also after an error; `ended` tells why, such as "finished"."""

    def __call__(self, snapshot: Snapshot) -> None:
        """Do nothing: what is to be seen comes by `look`."""


class Watchers:
    """The watchers among the callbacks of one search, closed at its end, whatever that is.

    Args:
      callbacks: of the search.
    """

    def __init__(self, callbacks: Sequence[Callable[[Snapshot], Any]]) -> None:
        self._all = [one for one in callbacks if isinstance(one, Watcher)] if leads() else []
        self.ended = "error"

    def __enter__(self) -> "Watchers":
        return self

    def __exit__(self, *error: object) -> None:
        for one in tuple(self._all):
            self._safely(one, lambda: one.close(self.ended))  # noqa: B023

    def beside(self, record: Record, problem: Problem, run_dir: Any, searches: int | None = None) -> Record:
        """Let them begin, and return what lets them look whenever the search is written down."""
        folder = None if run_dir is None else pathlib.Path(run_dir)
        for one in self._all:
            one.begin(problem, folder, searches)
        return _Watched(record, self) if self._all else record

    def look(self, history: History, snapshot: Snapshot, last: bool) -> None:
        """Let all look."""
        for one in tuple(self._all):
            self._safely(one, lambda: one.look(history, snapshot, last))  # noqa: B023

    def _safely(self, one: Watcher, do: Callable[[], None]) -> None:
        """Go on without a watcher that fails: what is searched for is worth more."""
        try:
            do()
        except WatchError:
            self._leave(one)
            raise
        except Exception as error:
            self._leave(one)
            reason = f"{type(error).__name__}: {error}"
            warnings.warn(f"callbacks: {type(one).__name__} failed ({reason}); the search goes on without it",
                          RuntimeWarning, stacklevel=2)  # fmt: skip

    def _leave(self, one: Watcher) -> None:
        """Close a watcher that fails; a second time there is nothing to close."""
        if one in self._all:
            self._all.remove(one)
            with contextlib.suppress(Exception):
                one.close("error")


class _Watched:
    """A record beside which watchers look."""

    def __init__(self, record: Record, watchers: Watchers) -> None:
        self._record, self._watchers = record, watchers
        self.lasts, self.trials, self.before = record.lasts, record.trials, record.before
        self.known, self.over = record.known, record.over

    def begin(self, execution: Execution, program: Program) -> None:
        """Pass it on."""
        self._record.begin(execution, program)

    def look(self, execution: Execution, snapshot: Snapshot, noted: Signals) -> str:
        """Pass it on, and look."""
        told, self.trials = self._record.look(execution, snapshot, noted), self._record.trials
        self._watchers.look(execution.summary.history, snapshot, False)
        return told

    def end(self, execution: Execution, snapshot: Snapshot, ended: str) -> None:
        """Pass it on, and look for the last time."""
        try:
            self._record.end(execution, snapshot, ended)
        finally:
            self._watchers.ended = ended
            self._watchers.look(execution.summary.history, snapshot, ended != "raised")
