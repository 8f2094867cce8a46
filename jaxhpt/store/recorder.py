"""Writes a search down while it runs: ended trials about every second, all that it needs to go on every half minute."""

import dataclasses
import math
import pathlib
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE
from jaxhpt.engine.carrying import Carried, on_host
from jaxhpt.engine.execution import Execution
from jaxhpt.engine.signals import Signals
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.engine.state import Program
from jaxhpt.results.columns import COLUMNS, begun_data, written_columns
from jaxhpt.results.loose import places_of
from jaxhpt.store.checkpoints import Checkpoints
from jaxhpt.store.commands import Commands
from jaxhpt.store.log import Log

LOG_SECONDS = 1.0
FIRST_SECONDS = 5.0  # of searching to the first checkpoint: what is lost before it is lost whole
PAUSE_SECONDS = 0.2
SHARE = 0.02  # of the time, at most, that may go into writing


@dataclasses.dataclass
class Due:
    """When something is to be done: every so many seconds, but never so often that it takes more than its share.

    Attributes:
      seconds: from one time to the next, at least.
      most: seconds after which it is done whatever it takes.
      next: time of the clock that nobody can set.
      spare: times whose cost does not count: the first is dearer than all others, where it compiles.
    """

    seconds: float
    next: float = 0.0
    most: float = math.inf
    spare: int = 0

    def __call__(self) -> bool:
        """Tell whether it is time."""
        return time.monotonic() >= self.next

    def done(self, cost: float) -> None:
        """Note that it was done, and took so many seconds."""
        wait = self.seconds if self.spare else max(self.seconds, cost / SHARE)
        self.spare, self.next = max(self.spare - 1, 0), time.monotonic() + min(wait, self.most)


class Recorder:
    """Writes one run down, and tells the search what it is told.

    Args:
      folder: of the run.
      problem: in the user's own space.
      searches: of the run; None for one alone.
      checkpoints: of the run.
      log: of the run.
      commands: to the run.
      orders: of them that were carried out before this process began.
      seconds: between checkpoints.
      before: seconds of searching before this process began.
      known: what people are told of that.
      over: whether it had ended then.
      built: (leaves of the best, f32[D] its settings) -> the state as the user made it.
      task: what a loaded winner must know of it: whether it exports, and how many models a trial has; and what its
        functions are.
      begun: called with the program that runs.
      ended: called with how it ended, and the numbers of it.

    Attributes:
      trials: that there are to be, once the run was told so.
    """

    lasts = True

    def __init__(
        self,
        folder: pathlib.Path,
        problem: Problem,
        searches: int | None,
        checkpoints: Checkpoints,
        log: Log,
        commands: Commands,
        orders: int,
        seconds: float,
        before: float,
        known: str,
        over: bool,
        built: Callable[[Any, Any], Any],
        task: Callable[[], dict[str, Any]],
        begun: Callable[[Program], None],
        ended: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._folder, self._problem, self._searches = folder, problem, searches
        self._checkpoints, self._log = checkpoints, log
        self._built, self._task, self._begun, self._ended = built, task, begun, ended
        self._log_due = Due(LOG_SECONDS, most=max(seconds, LOG_SECONDS), spare=1)
        self._due = Due(seconds, math.inf)
        self._commands, self._orders, self._orders_due = commands, orders, Due(LOG_SECONDS)
        self._noted, self._repeated, self._warned = 0, 0, False
        self.trials: int | None = None
        self.before, self.known, self.over = before, known, over

    def look(self, execution: Execution, snapshot: Snapshot, noted: Signals) -> str:
        """Write what is due, and do what the run is told."""
        self._note(execution)
        if math.isinf(self._due.next):  # compiling is over
            self._due.next = time.monotonic() + min(self._due.seconds, FIRST_SECONDS)
        if self._log_due():
            begun = time.monotonic()
            self._write_log(execution, snapshot)
            self._log_due.done(time.monotonic() - begun)
        if self._due() and not self._checkpoints.busy:
            begun = time.monotonic()
            self._safely(lambda: self._checkpoint(execution, snapshot))
            self._due.done(time.monotonic() - begun)
        return self._told(execution, snapshot.trials, noted) if self._orders_due() else ""

    def begin(self, execution: Execution, program: Program) -> None:
        """Write down how it is laid out; let one that goes on repeat its orders of after the checkpoint."""
        self._safely(lambda: self._begun(program))
        again = self._commands.again(self._orders)
        for order in again:
            execution.steering.take(order)
        self._repeated = len(again)

    def _told(self, execution: Execution, trials: int, noted: Signals) -> str:
        """Do what the run is told; return a reason to end, or nothing."""
        self._orders_due.done(0.0)
        paused = False
        while True:
            for command in self._commands.take():
                if command.kind == "trials" and self._searches is not None:
                    self._commands.log(command, wrong="not for many searches at once")
                elif command.kind == "trials" and command.value < trials:
                    self._commands.log(command, wrong=f"the run has {trials} already; not less: stop ends it")
                elif command.kind in ("stop", "trials"):
                    self.trials = command.value
                    self._commands.log(command)
                    return "stopped" if command.kind == "stop" else "raised"
                elif command.kind in ("pause", "resume"):
                    paused = command.kind == "pause"
                    self._commands.log(command)
                elif order := self._commands.order(command):
                    execution.steering.take(order)
            if not paused or noted.ending:
                return ""
            time.sleep(PAUSE_SECONDS)

    def _note(self, execution: Execution) -> None:
        """Write down the orders that were carried out, but for those that are repeated."""
        for order, wrong in execution.steering.done[self._noted :]:
            self._noted += 1
            if self._repeated:
                self._repeated -= 1
            else:
                self._safely(lambda: self._commands.log(order, order.event, wrong))  # noqa: B023

    def end(self, execution: Execution, snapshot: Snapshot, ended: str) -> None:
        """Write all of it; after an error the log alone, as pools may have gone different ways."""
        self._note(execution)
        self._write_log(execution, snapshot)
        try:
            if ended != "error":
                self._safely(lambda: self._checkpoint(execution, snapshot))
            self._safely(self._checkpoints.wait)
        finally:
            self._safely(lambda: self._ended(ended, self._numbers(execution, snapshot)))

    def _write_log(self, execution: Execution, snapshot: Snapshot) -> None:
        """Write down the trials that ended since."""
        self._safely(lambda: self._log.add(written_columns(execution.summary.history), seconds=snapshot.seconds))

    def _checkpoint(self, execution: Execution, snapshot: Snapshot) -> None:
        begun = time.monotonic()
        history, carried = written_columns(execution.summary.history), execution.carried()
        best, about = self._best(execution)
        columns = [np.asarray(getattr(history, name)) for name in COLUMNS]
        facts = {
            "engine": carried.facts, "engine_arrays": len(carried.arrays), "best": about,
            "space": self._problem.space.to_spec(), "task": self._task(),
            "numbers": self._numbers(execution, snapshot), "orders": self._orders + len(execution.steering.done),
            "begun": begun_data(history),
        }  # fmt: skip
        self._checkpoints.save(Carried([*columns, *carried.arrays, *best], facts))
        if jax.default_backend() == "cpu":  # what writes in the background takes from what trains
            self._checkpoints.when_done(lambda: self._due.done(time.monotonic() - begun))

    def _best(self, execution: Execution) -> tuple[list[np.ndarray], dict[str, Any]]:
        """Return the weights of the winner, and where they belong."""
        row, best = np.asarray(execution.summary.row), execution.best
        if best is None or (row == NONE).all():
            return [], {"row": row.tolist()}
        first = 0 if self._searches is None else int(np.argmax(row != NONE))
        unit = np.asarray(execution.summary.history.unit).reshape(-1, *execution.summary.history.unit.shape[-2:])
        state = self._built(best, unit[first, int(row.reshape(-1)[first])])
        return on_host(best), {"row": row.tolist(), **places_of(state)}

    def _numbers(self, execution: Execution, snapshot: Snapshot) -> dict[str, Any]:
        """Return what `Ran` says, but for how it ended."""
        summary = execution.summary
        return {
            "seconds": snapshot.seconds,
            "compile_seconds": execution.compile_seconds,
            "events": np.asarray(summary.events).tolist(),
            "steps": np.asarray(summary.steps).tolist(),
            "trained": np.asarray(summary.trained).tolist(),
            "device": jax.local_devices()[0].device_kind,
            "jax": jax.__version__,
            "memory": list(execution.told),
            "devices": execution.devices,
        }

    def _safely(self, write: Callable[[], None]) -> None:
        """Write; where that fails, warn, and search on: what was found is not lost by it."""
        try:
            write()
        except Exception as error:  # a full disk, a folder that is gone or read only: Orbax may raise anything
            if not self._warned:
                reason = f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
                warnings.warn(f"run_dir={str(self._folder)!r}: cannot be written ({reason}); the search goes on, and "
                              "tries again", stacklevel=2)  # fmt: skip
            self._warned = True
        else:
            self._warned = False


def known_of(there: int | None, logged: int, over: bool) -> str:
    """Return what people are told of a run that goes on: trials of its checkpoint, if any, and of its log."""
    if over:
        return f"has ended already, with {there:,} trials: nothing is searched"
    if there is None:
        told = f"begins anew: it was killed before its first checkpoint; {logged:,} trials of its log are trained again"
        return told if logged else ""
    more = f"; {logged - there:,} more, which ended after the checkpoint, are trained again" if logged > there else ""
    return f"goes on with {there:,} trials{more}"


def num_ended(columns: Sequence[Any]) -> int:
    """Count the trials that ended, in the columns of a checkpoint."""
    status = np.asarray(columns[COLUMNS.index("status")])
    return int(((status >= Status.DONE) & (status != Status.PRIOR)).sum())
