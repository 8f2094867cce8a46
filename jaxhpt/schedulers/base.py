"""What a scheduler is: it says HOW LONG a trial trains.

A scheduler is a frozen dataclass of settings with pure functions, run at every event inside the compiled loop.
"""

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp

from jaxhpt.core.checks import Settings, settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Copies, Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key


class Verdict(NamedTuple):
    """What becomes of the lanes.

    Attributes:
      stop: bool[L] end these trials now, as stopped.
      budget: i32[L] training steps each trial may have in all; one that has had them is done.
      copies: copies to make; None is static, so that schedulers that never copy pay nothing.
    """

    stop: Array
    budget: Array
    copies: Copies | None


MOST_REPORTS = 128  # of a trial's curve
PARTS = 20  # reports of a trial, where nothing else is asked for


@runtime_checkable
class Scheduler(Protocol):
    """How long to train."""

    def event_interval(self, longest: int) -> int | None:
        """Return the steps between events that suit it, for trials of up to `longest` steps; None for any."""
        ...

    def report_interval(self, problem: Problem) -> int:
        """Return the steps between reports that are kept, a multiple of the interval; 0 keeps one of each trial."""
        ...

    def num_copies(self, problem: Problem) -> int:
        """Return how many copies may be made in a whole search, at most."""
        ...

    def init(self, key: Key, problem: Problem) -> Any:
        """Return the state, a NamedTuple of arrays."""
        ...

    def needs_score(self, state: Any, lanes: Lanes, problem: Problem) -> Array:
        """Tell which lanes must be scored now: bool[L]. Scoring runs only when one is."""
        ...

    def decide(self, key: Key, state: Any, lanes: Lanes, history: History, problem: Problem) -> tuple[Verdict, Any]:
        """Judge the lanes after their reports."""
        ...


class KeepsCurves(Settings):
    """The part that schedulers share which look at trials while they train: curves are kept, nothing is copied."""

    def report_interval(self, problem: Problem) -> int:
        """Return an interval, or as many as leave no more than some reports of a trial."""
        events = -(-problem.steps // problem.interval)
        return problem.interval * -(-events // MOST_REPORTS)

    def num_copies(self, problem: Problem) -> int:
        """Return 0."""
        return 0


class Periodic(KeepsCurves):
    """The part of those that look at trials every so many steps.

    Attributes:
      period_name: the setting that says how many steps are between two looks, at least 1; None is the longest trial
        over `looks`.
      looks: at the longest trial, where nothing else is asked for.
    """

    period_name: ClassVar[str] = "eval_interval"
    looks: ClassVar[int] = PARTS

    def __post_init__(self) -> None:
        settle_counts(self, self.period_name)

    def event_interval(self, longest: int) -> int | None:
        """Ask for an event at each look."""
        return min(longest, self._wanted(longest))

    def period(self, problem: Problem) -> int:
        """Return the steps between two looks, a multiple of the interval."""
        return up_to_interval(self._wanted(problem.steps), problem)

    def looked_at(self, lanes: Lanes, problem: Problem) -> Array:
        """Tell which lanes it looks at in this event: bool[L]."""
        return lanes.live & (lanes.steps % self.period(problem) == 0)

    def needs_score(self, state: Any, lanes: Lanes, problem: Problem) -> Array:
        """Score trials at each look, and at their end."""
        return lanes.spent | self.looked_at(lanes, problem)

    def _wanted(self, longest: int) -> int:
        return getattr(self, self.period_name) or max(1, longest // self.looks)


class Reporting(Periodic):
    """The part of those that read whole curves: a report of each look is kept."""

    def report_interval(self, problem: Problem) -> int:
        """Return the steps between reports: all are kept."""
        return self.period(problem)


def passed_now(lanes: Lanes, problem: Problem, steps: Array) -> Array:
    """Tell which lanes passed each of some numbers of steps, i32[G], in this event and go on: bool[L, G].

    Trials that have trained for their whole budget have nothing left to be judged for.
    """
    now, goes_on = lanes.steps[:, None], (lanes.live & ~lanes.spent)[:, None]
    return (now >= steps[None]) & (now - problem.interval < steps[None]) & goes_on


def up_to_interval(steps: int, problem: Problem) -> int:
    """Return the next multiple of the interval."""
    return problem.interval * -(-steps // problem.interval)


def scores_of(lanes: Lanes, history: History, problem: Problem) -> Array:
    """Return the fitness of each lane's latest report, minimised: f32[L]; +inf where it failed or has none."""
    return jnp.where(lanes.live, problem.metrics.fitness(history.metrics[lanes.trial]), jnp.inf)


def require_one_objective(scheduler: Any, problem: Problem) -> None:
    """Raise where there are several objectives: which of two trials is better would not be clear."""
    problem.require_one_objective(scheduler, "RunToEnd takes several")


def curves_of(lanes: Lanes, history: History, problem: Problem) -> Array:
    """Return the reports of each lane's trial, minimised: f32[L, R]; +inf where there is none."""
    curve = history.curve[lanes.trial]
    return jnp.where(lanes.live[:, None], curve, jnp.inf)
