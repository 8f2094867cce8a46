"""The host's side of a search: dispatch until it ends, is told to stop, or its time is up.

Between two dispatches the host may show progress, call the user's callbacks, look at the time, and notice
Ctrl-C. Nothing that goes wrong there, or in the dispatch, loses a finished trial: each dispatch leaves a copy of them.
"""

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxhpt.core.typing import TrainState
from jaxhpt.engine import memory
from jaxhpt.engine.endings import ENDINGS
from jaxhpt.engine.execution import UNRECORDED, Execution, Record
from jaxhpt.engine.signals import Signals, signals
from jaxhpt.engine.snapshot import Display, Silent, Snapshot
from jaxhpt.engine.state import MOST_GRAINS, Program, Summary
from jaxhpt.training.devices import home_of
from jaxhpt.training.hosts import agreed, alone, elsewhere, leads, lost, require_alike
from jaxhpt.training.pool import Data

SECONDS_A_DISPATCH = 0.25
GROWTH = 16  # of a dispatch beside the one before, at most; the first holds a proposal, and seems longer than it is

Callback = Callable[[Snapshot], Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """When the host looks up.

    Attributes:
      events: events of a dispatch: a number, "all", or "auto" for about a quarter of a second, which may be a part of
        an event.
      timeout: seconds of searching, compilation not included; None for no limit.
      callbacks: called with a `Snapshot` after each dispatch; a true answer ends the search.
      record: where the search is written down.
    """

    events: int | str = "auto"
    timeout: float | None = None
    callbacks: Sequence[Callback] = ()
    record: Record = UNRECORDED


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a driven search leaves.

    Attributes:
      program: that ran, in the end; it has fewer lanes than the given one where memory did not suffice.
      best: weights of the winner, without the lane axis; None where they were lost in a crash.
      summary: after the last look, on the host; it holds the history.
      key: the root key.
      compile_seconds: for which it waited for programs to be traced and compiled.
      seconds: spent on searching, in processes before this one, too.
      first_seconds: until the first trials had ended, compilation included; None if none did.
      ended: why: one of `ENDINGS`.
      memory: what was done where memory did not suffice, in words.
      devices: that shared the lanes, or the searches.
      error: what was raised by a callback, the display or the search itself; None for nothing.
    """

    program: Program
    best: TrainState | None
    summary: Summary
    key: jax.Array
    compile_seconds: float
    seconds: float
    first_seconds: float | None
    ended: str
    memory: tuple[str, ...]
    devices: int
    error: BaseException | None = None


def drive(
    program: Program, key: jax.Array, data: Data, limits: Limits, shown: Display, make: Callable[[Program], Execution]
) -> Outcome:
    """Run a search to its end, on the device where its data is.

    Args:
      program: all that is static.
      key: the root key.
      data: on device.
      limits: when the host looks up.
      shown: what shows it.
      make: begins the search by a program, this one or one that needs less memory; called where its device is the
        default.
    """
    require_alike(seed=key)
    called = time.perf_counter()
    shown = _begun(shown if leads() else Silent(), limits.record.known)
    home = None if program.devices else home_of(data)
    try:
        there = contextlib.nullcontext() if home in (None, _usual()) else jax.default_device(home)
        with there, signals(limits.record.lasts, lambda text: shown.ending(text)) as noted:
            program, execution = _fitted(program, make)
            run = _Run(program, execution, limits, shown, called, noted)
            with contextlib.closing(execution):
                limits.record.begin(execution, program)
                ended, error = run.to_the_end()
                if not isinstance(error, KeyboardInterrupt):  # who asks for it twice does not wait
                    error = run.written_down(ended) or error
    finally:
        with contextlib.suppress(Exception):  # a display that fails has told so, or there is nothing more to show
            shown.close()
    return run.outcome(key, ended, error)


def _fitted(program: Program, make: Callable[[Program], Execution]) -> tuple[Program, Execution]:
    """Begin a search, with fewer lanes, or smaller groups of them, for as long as memory does not suffice."""
    told: list[str] = []
    while True:
        try:
            execution = make(program)
            execution.told[:0] = told
            return program, execution
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not memory.exhausted(error) or not alone():  # other processes would not know
                raise
            less = memory.smaller(program)
            if less is None:
                raise memory.too_little(error) from error
            memory.tell(told, memory.laid_out(less), error)
            program = less


def _usual() -> Any:
    """Return the device that arrays come to by default, in this thread."""
    return jax.config.values["jax_default_device"] or jax.local_devices()[0]


def _begun(shown: Display, known: str) -> Display:
    """Begin a display; do without where it fails, as with a closed terminal: nothing is lost by that."""
    try:
        shown.compiling(known)
    except Exception as error:
        warnings.warn(f"progress: cannot be shown: {type(error).__name__}: {error}", stacklevel=4)
        return Silent()
    return shown


class _Run:
    """A search under way."""

    def __init__(
        self,
        program: Program,
        execution: Execution,
        limits: Limits,
        shown: Display,
        called: float,
        noted: Signals,
    ) -> None:
        self.program, self.execution, self.limits, self.shown = program, execution, limits, shown
        self.called, self.noted = called, noted
        self.first: float | None = None

    def to_the_end(self) -> tuple[str, BaseException | None]:
        """Dispatch until there is a reason to end; return it, and what was raised, if anything."""
        grains = 1 if self.limits.events == "auto" else self._grains(self.limits.events)
        try:
            while True:
                sent = time.perf_counter()
                self.execution.run(grains)
                took = time.perf_counter() - sent
                if self.limits.events == "auto":
                    grains = _retime(grains, took)
                verdict, grains, error = self._agreed(grains)
                if verdict:
                    return verdict, elsewhere() if verdict == "error" and error is None else error
        except BaseException as error:  # what was raised is raised again, with what had ended
            return "error", lost(error)

    def written_down(self, ended: str) -> BaseException | None:
        """Write down the end, and return what was raised by that."""
        try:
            self.limits.record.end(self.execution, self._snapshot(), ended)
        except BaseException as error:
            return error
        return None

    def _agreed(self, grains: int) -> tuple[str, int, BaseException | None]:
        """Look, and agree with other processes on why to end, if at all, and on the next dispatch."""
        error: BaseException | None = None
        try:
            verdict = self._look()
        except BaseException as raised:
            if alone():
                raise
            verdict, error = "error", raised
        return *agreed(tuple(ENDINGS), verdict, grains), error

    def _grains(self, events: int | str) -> int:
        return MOST_GRAINS if events == "all" else self.program.grains_of(int(events))

    @property
    def seconds(self) -> float:
        """Wall time of searching so far, without waiting for programs."""
        return self.limits.record.before + (0.0 if self.limits.record.over else self.own_seconds)

    @property
    def own_seconds(self) -> float:
        """The same of this process alone, whatever it goes on from."""
        return time.perf_counter() - self.called - self.execution.compile_seconds

    def _look(self) -> str:
        """Show where the search stands, write it down, ask the callbacks; return a reason to end, or nothing."""
        self.noted.require_patience()
        snapshot = self._snapshot()
        if self.first is None and snapshot.finished:
            self.first = time.perf_counter() - self.called
        self.shown.update(snapshot)
        told = self.limits.record.look(self.execution, snapshot, self.noted)
        answers = [callback(snapshot) for callback in self.limits.callbacks if leads()]
        if told == "raised":
            return told
        if np.all(self.execution.summary.finished):
            return "finished"
        if self.noted.ending or told:
            return self.noted.ending or told
        if self.limits.timeout is not None and self.own_seconds >= self.limits.timeout:
            return "timeout"
        return "callback" if any(answers) else ""

    def _snapshot(self) -> Snapshot:
        problem = self.program.problem
        summary = jax.device_get(self.execution.summary._replace(history=None))  # type: ignore[arg-type]  # large
        objective, searches = problem.objectives[0], np.size(summary.finished)
        one = np.ndim(summary.finished) == 0  # what is best of several searches means nothing
        found = one and bool(np.isfinite(summary.score))
        return Snapshot(
            trials=problem.trials * searches,
            started=int(np.sum(summary.opened)),
            finished=int(np.sum(summary.opened - summary.live)),
            failed=int(np.sum(summary.failed)),
            done=int(np.sum(summary.done)),
            stopped=int(np.sum(summary.stopped)),
            lanes=problem.lanes * searches,
            lanes_busy=int(np.sum(summary.busy)),
            objective=objective.name,
            best_value=float(summary.score) * objective.sign if found else None,
            best_trial=int(summary.row) if found else None,
            seconds=self.seconds,
            events=int(np.max(summary.events)),
            shares=tuple(np.ravel(summary.shares).tolist()),
        )

    def outcome(self, key: jax.Array, ended: str, error: BaseException | None) -> Outcome:
        """Bring what there is to the host."""
        best = self.execution.best
        return Outcome(
            program=self.program,
            best=best if self.program.devices is None else self.program.devices.here(best),
            summary=jax.device_get(self.execution.summary),
            key=key,
            compile_seconds=self.execution.compile_seconds,
            seconds=self.seconds,
            first_seconds=self.first,
            ended=ended,
            memory=tuple(self.execution.told),
            devices=self.execution.devices,
            error=error,
        )


def _retime(grains: int, seconds: float) -> int:
    """Aim the next dispatch at the target time."""
    wanted = grains * SECONDS_A_DISPATCH / max(seconds, 1e-6)
    return int(np.clip(wanted, max(1, grains // 4), min(grains * GROWTH, MOST_GRAINS)))
