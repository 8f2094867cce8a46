"""Snapshot: what progress displays and callbacks are told between dispatches."""

import dataclasses
from typing import Protocol


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Where a search stands.

    Attributes:
      trials: trials to run in all.
      started: trials opened.
      finished: trials ended, failed ones included.
      failed: trials whose objective was not finite.
      lanes: lanes, L.
      lanes_busy: lanes that trained in the latest event.
      objective: name of the objective.
      best_value: best value so far in the user's own sign; None before the first.
      best_trial: its trial id; None before the first.
      seconds: wall time since the first event, compilation not included.
      events: events so far.
      under_way: what the lanes have trained of trials that have not ended, in trials.
    """

    trials: int
    started: int
    finished: int
    failed: int
    lanes: int
    lanes_busy: int
    objective: str
    best_value: float | None
    best_trial: int | None
    seconds: float
    events: int
    under_way: float = 0.0

    @property
    def trials_per_second(self) -> float:
        """Finished trials a second."""
        return self.finished / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds to go at the pace of training so far; None before there is any."""
        done = self.finished + self.under_way
        return self.seconds * max(self.trials - done, 0.0) / done if done > 0 and self.seconds > 0 else None


class Display(Protocol):
    """What shows a search; made by `report.progress.display`."""

    def compiling(self) -> None:
        """Say that the program is being compiled."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """Show where the search stands."""
        ...

    def close(self) -> None:
        """Leave the last state on the screen."""
        ...


class Silent:
    """A display that shows nothing."""

    def compiling(self) -> None:
        """Say nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Leave nothing."""
