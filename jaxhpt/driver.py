"""The host's side of a search: dispatch until it ends, is told to stop, or its time is up.

Between two dispatches the host may show progress, call the user's callbacks, look at the time, and notice
Ctrl-C. None of them loses a finished trial, because the carry holds them all.
"""

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.carry import Program, SearchState, Summary
from jaxhpt.history import Known
from jaxhpt.loop import begin, dispatch
from jaxhpt.report.progress import Display
from jaxhpt.report.snapshot import Snapshot
from jaxhpt.training.pool import Data

SECONDS_A_DISPATCH = 0.25
ALL_EVENTS = np.iinfo(np.int32).max

Callback = Callable[[Snapshot], Any]


@dataclasses.dataclass(frozen=True)
class Limits:
    """When the host looks up.

    Attributes:
      events: events of a dispatch: a number, "all", or "auto" for about a quarter of a second.
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
      carry: the last state.
      compile_seconds: spent on tracing and compiling.
      seconds: spent on searching.
      first_seconds: until the first trials had ended, compilation included; None if none did.
      ended: why: "finished", "timeout", "interrupted" or "callback".
    """

    carry: SearchState
    compile_seconds: float
    seconds: float
    first_seconds: float | None
    ended: str


def drive(
    program: Program, key: jax.Array, data: Data, limits: Limits, shown: Display, known: Known | None = None
) -> Outcome:
    """Run a search to its end, from what was known before."""
    called = time.perf_counter()
    shown.compiling()
    carry, _ = dispatch(program, begin(program, key, known), data, jnp.int32(0))
    jax.block_until_ready(carry)
    begun = time.perf_counter()
    first, ended, events = None, "finished", 1 if limits.events == "auto" else _events(limits.events)
    with _interrupts() as interrupted:
        while True:
            sent = time.perf_counter()
            carry, summary = dispatch(program, carry, data, jnp.int32(events))
            snapshot = _snapshot(program, jax.device_get(summary), begun)
            now = time.perf_counter()
            first = now - called if first is None and snapshot.finished else first
            shown.update(snapshot)
            verdict = _verdict(summary, snapshot, limits, interrupted, now - begun)
            if verdict:
                ended = verdict
                break
            if limits.events == "auto":
                events = _retime(events, now - sent)
    shown.close()
    return Outcome(carry, begun - called, time.perf_counter() - begun, first, ended)


def _events(wanted: int | str) -> int:
    return int(ALL_EVENTS) if wanted == "all" else int(wanted)


def _retime(events: int, seconds: float) -> int:
    """Aim the next dispatch at the target time, at most four times as long as the last."""
    wanted = events * SECONDS_A_DISPATCH / max(seconds, 1e-6)
    return int(np.clip(wanted, max(1, events // 4), min(events * 4, 2**20)))


def _verdict(summary: Summary, snapshot: Snapshot, limits: Limits, interrupted: list, seconds: float) -> str:
    answers = [callback(snapshot) for callback in limits.callbacks]
    if bool(summary.finished):
        return "finished"
    if interrupted:
        return "interrupted"
    if limits.timeout is not None and seconds >= limits.timeout:
        return "timeout"
    return "callback" if any(answers) else ""


def _snapshot(program: Program, summary: Summary, begun: float) -> Snapshot:
    objective = program.problem.objectives[0]
    found = bool(np.isfinite(summary.score))
    return Snapshot(
        trials=program.problem.trials,
        started=int(summary.count),
        finished=int(summary.count - summary.live),
        failed=int(summary.failed),
        lanes=program.problem.lanes,
        lanes_busy=int(summary.busy),
        objective=objective.name,
        best_value=float(summary.score) * objective.sign if found else None,
        best_trial=int(summary.row) if found else None,
        seconds=time.perf_counter() - begun,
        events=int(summary.events),
    )


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
