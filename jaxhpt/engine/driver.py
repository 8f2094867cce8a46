"""The host's side of a search: dispatch until it ends, is told to stop, or its time is up.

Between two dispatches the host may show progress, call the user's callbacks, look at the time, and notice
Ctrl-C. Nothing that goes wrong there, or in the dispatch, loses a finished trial: each dispatch leaves a copy of them.
"""

import contextlib
import dataclasses
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from jaxhpt.core.history import Known
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.engine.snapshot import Display, Silent, Snapshot
from jaxhpt.engine.state import MOST_GRAINS, Program, SearchState, Summary
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
    """

    events: int | str = "auto"
    timeout: float | None = None
    callbacks: Sequence[Callback] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a driven search leaves.

    Attributes:
      carry: the last state; None where it was lost in a crash.
      summary: after the last dispatch that ended, on the host; it holds the history.
      key: the root key.
      compile_seconds: spent on tracing and compiling.
      seconds: spent on searching.
      first_seconds: until the first trials had ended, compilation included; None if none did.
      ended: why: "finished", "timeout", "interrupted", "callback" or "error".
      error: what was raised by a callback, the display or the search itself; None for nothing.
    """

    carry: SearchState | None
    summary: Summary
    key: jax.Array
    compile_seconds: float
    seconds: float
    first_seconds: float | None
    ended: str
    error: BaseException | None = None


def drive(
    program: Program, key: jax.Array, data: Data, limits: Limits, shown: Display, known: Known | None = None
) -> Outcome:
    """Run a search to its end, from what was known before."""
    called = time.perf_counter()
    shown = _begun(shown)
    try:
        carry, summary = dispatch(program, begin(program, key, known), data, program.grains_of(0))
        jax.block_until_ready(carry)
        run = _Run(program, data, limits, shown, called, carry, summary)
        ended, error = run.to_the_end()
    finally:
        with contextlib.suppress(Exception):  # a display that fails has told so, or there is nothing more to show
            shown.close()
    return run.outcome(key, ended, error)


def _begun(shown: Display) -> Display:
    """Begin a display; do without where it fails, as with a closed terminal: nothing is lost by that."""
    try:
        shown.compiling()
    except Exception as error:
        warnings.warn(f"progress: cannot be shown: {type(error).__name__}: {error}", stacklevel=4)
        return Silent()
    return shown


class _Run:
    """A search under way."""

    def __init__(
        self,
        program: Program,
        data: Data,
        limits: Limits,
        shown: Display,
        called: float,
        carry: SearchState,
        summary: Summary,
    ) -> None:
        self.program, self.data, self.limits, self.shown = program, data, limits, shown
        self.carry: SearchState | None = carry
        self.summary = summary
        self.called, self.begun = called, time.perf_counter()
        self.first: float | None = None

    def to_the_end(self) -> tuple[str, BaseException | None]:
        """Dispatch until there is a reason to end; return it, and what was raised, if anything."""
        grains = 1 if self.limits.events == "auto" else self._grains(self.limits.events)
        with _interrupts() as interrupted:
            try:
                while True:
                    sent = time.perf_counter()
                    self._dispatch(grains)
                    took = time.perf_counter() - sent
                    verdict = self._look(interrupted)
                    if verdict:
                        return verdict, None
                    if self.limits.events == "auto":
                        grains = _retime(grains, took)
            except BaseException as error:  # what was raised is raised again, with what had ended
                return "error", error

    def _grains(self, events: int | str) -> int:
        return MOST_GRAINS if events == "all" else int(self.program.grains_of(int(events)))

    def _dispatch(self, grains: int) -> None:
        carry, self.carry = self.carry, None  # it is given away
        assert carry is not None
        carry, summary = dispatch(self.program, carry, self.data, np.int32(grains))
        jax.block_until_ready(summary)
        self.carry, self.summary = carry, summary

    def _look(self, interrupted: list[int]) -> str:
        """Show where the search stands, ask the callbacks, and return a reason to end, or nothing."""
        snapshot = self._snapshot()
        if self.first is None and snapshot.finished:
            self.first = time.perf_counter() - self.called
        self.shown.update(snapshot)
        answers = [callback(snapshot) for callback in self.limits.callbacks]
        if bool(self.summary.finished):
            return "finished"
        if interrupted:
            return "interrupted"
        if self.limits.timeout is not None and snapshot.seconds >= self.limits.timeout:
            return "timeout"
        return "callback" if any(answers) else ""

    def _snapshot(self) -> Snapshot:
        problem, summary = self.program.problem, jax.device_get(self.summary)
        objective = problem.objectives[0]
        found = bool(np.isfinite(summary.score))
        return Snapshot(
            trials=problem.trials,
            started=int(summary.count),
            finished=int(summary.count - summary.live),
            failed=int(summary.failed),
            lanes=problem.lanes,
            lanes_busy=int(summary.busy),
            objective=objective.name,
            best_value=float(summary.score) * objective.sign if found else None,
            best_trial=int(summary.row) if found else None,
            seconds=time.perf_counter() - self.begun,
            events=int(summary.events),
            under_way=float(summary.under_way),
        )

    def outcome(self, key: jax.Array, ended: str, error: BaseException | None) -> Outcome:
        """Bring what there is to the host."""
        return Outcome(
            carry=self.carry,
            summary=jax.device_get(self.summary),
            key=key,
            compile_seconds=self.begun - self.called,
            seconds=time.perf_counter() - self.begun,
            first_seconds=self.first,
            ended=ended,
            error=error,
        )


def _retime(grains: int, seconds: float) -> int:
    """Aim the next dispatch at the target time."""
    wanted = grains * SECONDS_A_DISPATCH / max(seconds, 1e-6)
    return int(np.clip(wanted, max(1, grains // 4), min(grains * GROWTH, MOST_GRAINS)))


@contextlib.contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Note the first Ctrl-C, so that a dispatch ends in order; the second one interrupts as usual."""
    noted: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    usual = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: Any) -> None:
        noted.append(number)
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, usual)
