"""How a search ran, in numbers."""

import contextlib
import dataclasses
import time
from collections.abc import Hashable, Iterator
from typing import NamedTuple

import jax
import numpy as np

from jaxhpt.core.history import History, Status
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE
from jaxhpt.engine.driver import Outcome
from jaxhpt.engine.endings import phrase
from jaxhpt.engine.state import Program
from jaxhpt.results.lineage import births


@dataclasses.dataclass(frozen=True)
class Stats:
    """How a search ran.

    Attributes:
      trials: trials of this search that ended.
      failed: those whose objective was not finite.
      copies: trials that went on from the weights of others; they count as none of `trials`.
      seconds: wall time without compilation; of a run that went on from disk, of all its processes.
      compile_seconds: tracing and compiling; close to 0 where the program was there already.
      first_seconds: from the call to the end of the first trials; None if none ended.
      lanes: lanes, L.
      lanes_busy: share of the lanes' steps that trained a trial, the drain at the end included.
      interval: steps between events.
      events: events run.
      ended: "finished", "timeout", "interrupted", "terminated", "stopped", "callback" or "error"; "unfinished" of a run
        that was read from disk and has not ended in order.
      device: kind of the device.
      jax: version of jax.
      memory: what was done where memory did not suffice, in words, in order.
      devices: that shared the lanes, or the searches of many.
      stopped: trials that a scheduler or a command ended early; one that others went on from does not count.
    """

    trials: int
    failed: int
    copies: int
    seconds: float
    compile_seconds: float
    first_seconds: float | None
    lanes: int
    lanes_busy: float
    interval: int
    events: int
    ended: str
    device: str
    jax: str
    memory: tuple[str, ...] = ()
    devices: int = 1
    stopped: int = 0

    @property
    def done(self) -> int:
        """Trials that trained to their ends."""
        return self.trials - self.stopped - self.failed

    @property
    def trials_per_second(self) -> float:
        """Ended trials a second, compilation not included."""
        return self.trials / max(self.seconds, 1e-9)


class Stopwatch:
    """The times of a search that is driven from outside.

    Attributes:
      compile_seconds: spent in the first run of each program.
      first_seconds: until the first trials ended; None before.
    """

    def __init__(self) -> None:
        self._begun = time.perf_counter()
        self._met: set[Hashable] = set()
        self.compile_seconds = 0.0
        self.first_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """Wall time so far, without compilation."""
        return time.perf_counter() - self._begun - self.compile_seconds

    @contextlib.contextmanager
    def compiling(self, program: Hashable) -> Iterator[None]:
        """Count what is done inside as compiling, at the first use of a program."""
        begun = time.perf_counter()
        yield
        if program not in self._met:
            self._met.add(program)
            self.compile_seconds += time.perf_counter() - begun

    def ended(self) -> None:
        """Note that trials ended."""
        if self.first_seconds is None:
            self.first_seconds = time.perf_counter() - self._begun


class Ran(NamedTuple):
    """What is known of how a search ran beside its history; see `Stats`.

    Attributes:
      steps: that each lane had time for.
      trained: steps that trials trained that have not ended.
    """

    ended: str
    seconds: float = 0.0
    compile_seconds: float = 0.0
    first_seconds: float | None = None
    events: int = 0
    steps: int = 0
    trained: int = 0
    device: str = ""
    jax: str = ""
    memory: tuple[str, ...] = ()
    devices: int = 1


def stats_of(program: Program, history: History, outcome: Outcome) -> Stats:
    """Sum up a search."""
    summary, device = outcome.summary, jax.local_devices()[0].device_kind
    times = (outcome.seconds, outcome.compile_seconds, outcome.first_seconds)
    counts = (int(summary.events), int(summary.steps), int(summary.trained))
    ran = Ran(outcome.ended, *times, *counts, device, jax.__version__, outcome.memory, outcome.devices)
    return counted(program.problem, history, ran)


def counted(problem: Problem, history: History, ran: Ran) -> Stats:
    """Sum up a search from its history, on the host, and from how it ran."""
    ended = np.isin(history.status, (Status.DONE, Status.STOPPED, Status.FAILED))
    born = births(history, problem.schedule.interval)
    trained = int((history.steps - born)[ended].sum()) + ran.trained
    trained -= int(born[history.status == Status.RUNNING].sum())
    copies = int((history.parent < NONE).sum())
    return Stats(
        trials=int(ended.sum()) - copies,
        copies=copies,
        failed=int((history.status == Status.FAILED).sum()),
        seconds=ran.seconds,
        compile_seconds=ran.compile_seconds,
        first_seconds=ran.first_seconds,
        lanes=problem.lanes,
        lanes_busy=trained / (ran.steps * problem.lanes) if ran.steps else 1.0,
        interval=problem.schedule.interval,
        events=ran.events,
        ended=ran.ended,
        device=ran.device,
        jax=ran.jax,
        memory=ran.memory,
        devices=ran.devices,
        stopped=max(int((history.status == Status.STOPPED).sum()) - copies, 0),
    )


def headline(stats: Stats, state: str = "", done: bool = False) -> list[str]:
    """Return two lines that tell it, and one for each time that memory did not suffice.

    Args:
      stats: of the search.
      state: what it is doing, if it has not ended in order; empty for how it ended.
      done: whether trials that are done are counted beside those that are not.
    """
    copied = f", and {stats.copies:,} copies" if stats.copies else ""
    ended = "" if stats.ended == "finished" else f" ({state or phrase(stats.ended)})"
    pace = f"{stats.trials:,} trials{_counted(stats, done)}"
    if not stats.seconds:  # of a run that was killed nobody knows it
        return [f"{pace}{copied}{ended}"]
    pace += f" in {stats.seconds:.2f} s: {stats.trials_per_second:,.1f} trials/s"
    if not stats.device:  # it wrote no checkpoint
        return [f"{pace}{copied}{ended}"]
    device = stats.device if stats.devices == 1 else f"{stats.devices} x {stats.device}"
    return [
        f"{pace}{copied}{ended}",
        f"{stats.lanes} lanes, {stats.lanes_busy:.0%} busy; compiled in {stats.compile_seconds:.1f} s; {device}",
        *stats.memory,
    ]


def _counted(stats: Stats, done: bool) -> str:
    """Return how many trials did not train to their ends, in brackets; nothing where all did."""
    lost = [(stats.stopped, "stopped early"), (stats.failed, "failed")]
    told = [(stats.done, "done"), *lost] if done else lost
    return f" ({', '.join(f'{count:,} {name}' for count, name in told if count)})" if any(n for n, _ in lost) else ""
