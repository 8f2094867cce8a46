"""Snapshot: what progress displays and callbacks are told between dispatches."""

import dataclasses
from typing import Protocol

from jaxhpt.engine.signals import say

SOON = 0.01  # of a search, before which its pace is that of its first dispatches, which take longest


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
      seconds: wall time since the first event, compilation not included; of a run that goes on, of all its processes.
      events: events so far.
      done: trials that trained to their ends.
      stopped: trials that a scheduler ended; those that others went on from count, too.
      shares: what each lane has trained of its trial's budget, in [0, 1]; -1 of one that holds none.
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
    done: int = 0
    stopped: int = 0
    shares: tuple[float, ...] = ()

    @property
    def under_way(self) -> float:
        """What the lanes have trained of trials that have not ended, in trials."""
        return sum(share for share in self.shares if share > 0)

    @property
    def trials_per_second(self) -> float:
        """Finished trials a second."""
        return self.finished / self.seconds if self.seconds > 0 else 0.0

    @property
    def eta(self) -> float | None:
        """Seconds to go at the pace of training so far; None before a trial has ended, or 1 % of them is done."""
        done = self.finished + self.under_way
        early = not self.finished and done < SOON * self.trials
        return None if early or not done or not self.seconds else self.seconds * max(self.trials - done, 0.0) / done


class Display(Protocol):
    """What shows a search; made by `report.progress.display`."""

    def compiling(self, known: str = "") -> None:
        """Say that the program is being compiled, and first what is known from before, if anything."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """Show where the search stands."""
        ...

    def ending(self, text: str) -> None:
        """Say that a signal came; called in its handler, where nothing may be printed that others may be printing."""
        ...

    def close(self) -> None:
        """Leave the last state on the screen."""
        ...


class Silent:
    """A display that shows nothing."""

    def compiling(self, known: str = "") -> None:
        """Say nothing."""

    def update(self, snapshot: Snapshot) -> None:
        """Show nothing."""

    def ending(self, text: str) -> None:
        """Say it all the same: whoever presses Ctrl-C waits for an answer."""
        say(text)

    def close(self) -> None:
        """Leave nothing."""
