"""A search under way, as the host sees it, and what may write it down."""

from typing import Any, Protocol

from jaxhpt.engine.carrying import Carried
from jaxhpt.engine.signals import Signals
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.engine.state import Program, Summary
from jaxhpt.engine.steering import Steered


class Execution(Protocol):
    """A search under way, however it is executed.

    Attributes:
      best: weights of the winner so far, without the lane axis; None where they were lost in a crash.
      summary: as of the last look.
      compile_seconds: for which it waited for programs.
      told: what was done where memory did not suffice.
      devices: that share the lanes, or the searches.
    """

    summary: Summary
    told: list[str]

    @property
    def steering(self) -> Steered:
        """Orders to it."""

    @property
    def devices(self) -> int:
        """Devices that share the lanes, or the searches."""

    @property
    def compile_seconds(self) -> float:
        """Seconds for which it waited for programs."""

    @property
    def best(self) -> Any:
        """Weights of the winner so far."""

    def run(self, grains: int) -> None:
        """Train for at most so many grains, and look."""

    def carried(self) -> Carried:
        """Copy all that it needs to go on from here."""

    def close(self) -> None:
        """Leave nothing running."""


class Record(Protocol):
    """Where a search is written down while it runs.

    Attributes:
      lasts: whether what is written is there after the process.
      trials: that there are to be, once it was told so; None before.
      before: seconds of searching before this process began.
      known: what people are told of that; empty for nothing.
      over: whether it had ended then, so that there is nothing to search.
    """

    lasts: bool
    trials: int | None
    before: float
    known: str
    over: bool

    def begin(self, execution: Execution, program: Program) -> None:
        """See a search before it runs, and its program, which has fewer lanes where memory did not suffice."""
        ...

    def look(self, execution: Execution, snapshot: Snapshot, noted: Signals) -> str:
        """Write down what is new between two dispatches; return a reason to end, or nothing."""
        ...

    def end(self, execution: Execution, snapshot: Snapshot, ended: str) -> None:
        """Write down the end."""
        ...


class Unrecorded:
    """A search that is not written down."""

    lasts = False
    trials: int | None = None
    before = 0.0
    known = ""
    over = False

    def begin(self, execution: Execution, program: Program) -> None:
        """Do nothing."""

    def look(self, execution: Execution, snapshot: Snapshot, noted: Signals) -> str:
        """Find no reason to end."""
        return ""

    def end(self, execution: Execution, snapshot: Snapshot, ended: str) -> None:
        """Do nothing."""


UNRECORDED = Unrecorded()
