"""How a search ran, in numbers."""

import dataclasses

import jax
import numpy as np

from jaxhpt.carry import Program
from jaxhpt.driver import Outcome
from jaxhpt.history import History, Status
from jaxhpt.lineage import births


@dataclasses.dataclass(frozen=True)
class Stats:
    """How a search ran.

    Attributes:
      trials: trials of this search that ended.
      failed: those whose objective was not finite.
      copies: trials that went on from the weights of others; they count as none of `trials`.
      seconds: wall time without compilation.
      compile_seconds: tracing and compiling; close to 0 where the program was there already.
      first_seconds: from the call to the end of the first trials; None if none ended.
      lanes: lanes, L.
      lanes_busy: share of the lanes' steps that trained a trial, the drain at the end included.
      interval: steps between events.
      events: events run.
      ended: "finished", "timeout", "interrupted", "callback" or "error".
      device: kind of the device.
      jax: version of jax.
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

    @property
    def trials_per_second(self) -> float:
        """Ended trials a second, compilation not included."""
        return self.trials / max(self.seconds, 1e-9)


def stats_of(program: Program, history: History, outcome: Outcome) -> Stats:
    """Sum up a search."""
    problem, events = program.problem, int(outcome.summary.events)
    ended = np.isin(history.status, (Status.DONE, Status.STOPPED, Status.FAILED))
    born = births(history)
    trained = int((history.steps - born)[ended].sum()) + int(outcome.summary.trained)
    trained -= int(born[history.status == Status.RUNNING].sum())
    copies = int((history.parent >= 0).sum())
    return Stats(
        trials=int(ended.sum()) - copies,
        copies=copies,
        failed=int((history.status == Status.FAILED).sum()),
        seconds=outcome.seconds,
        compile_seconds=outcome.compile_seconds,
        first_seconds=outcome.first_seconds,
        lanes=problem.lanes,
        lanes_busy=trained / max(1, events * problem.interval * problem.lanes),
        interval=problem.interval,
        events=events,
        ended=outcome.ended,
        device=jax.devices()[0].device_kind,
        jax=jax.__version__,
    )


def headline(stats: Stats) -> list[str]:
    """Return two lines that tell it."""
    failed = f", {stats.failed:,} of them failed" if stats.failed else ""
    copied = f", and {stats.copies:,} copies" if stats.copies else ""
    ended = "" if stats.ended == "finished" else f" (ended by {stats.ended})"
    pace = f"{stats.trials:,} trials in {stats.seconds:.2f} s: {stats.trials_per_second:,.1f} trials/s"
    return [
        f"{pace}{failed}{copied}{ended}",
        f"{stats.lanes} lanes, {stats.lanes_busy:.0%} busy; compiled in {stats.compile_seconds:.1f} s; {stats.device}",
    ]
