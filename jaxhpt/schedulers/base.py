"""What a scheduler is: it says HOW LONG a trial trains.

A scheduler is a frozen dataclass of settings with pure functions, run at every event inside the compiled loop.
"""

from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp

from jaxhpt.core.checks import Settings, require, settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Copies, Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
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


class Recall(NamedTuple):
    """What a scheduler says of trials that it stopped, and whose weights are parked.

    Attributes:
      standing: f32[P] how far each is from going on, not NaN: below 1 it does, as soon as a lane is free; of those that
        are parked, the ones with the largest are given up where there is no room.
      group: i32[P] a parked trial goes on in a lane of its own group alone.
    """

    standing: Array
    group: Array


MOST_REPORTS = 128  # of a trial's curve
PARTS = 20  # reports of a trial, where nothing else is asked for


@runtime_checkable
class Scheduler(Protocol):
    """How long to train."""

    def event_interval(self, longest: int) -> int | None:
        """Return the steps between events that suit it, for trials of up to `longest` steps; None for any."""
        ...

    def report_interval(self, schedule: Schedule) -> int:
        """Return the steps between reports that are kept, a multiple of the interval; 0 keeps one of each trial.

        Args:
          schedule: static, without reports so far.
        """
        ...

    def num_copies(self, schedule: Schedule, trials: int) -> int:
        """Return how many copies may be made in a whole search of so many trials, at most."""
        ...

    def init(self, key: Key, problem: Problem) -> Any:
        """Return the state, a NamedTuple of arrays: what the whole study has told, none of it by lanes."""
        ...

    def lane_init(self, problem: Problem) -> Any:
        """Return what is kept for each lane, a pytree of arrays with the leading axis L; None for nothing.

        A note stays in its lane when another trial starts there.
        """
        ...

    def needs_score(self, lane_notes: Any, lanes: Lanes, problem: Problem) -> Array:
        """Tell which lanes must be scored now: bool[L]. Scoring runs only when one is."""
        ...

    def decide(
        self, key: Key, state: Any, lane_notes: Any, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, Any, Any]:
        """Judge the lanes after their reports: the verdict, the state and the notes of lanes."""
        ...


@runtime_checkable
class Parks(Protocol):
    """A scheduler that may go on later with what it stopped, from the weights that the trial had.

    What it stops at a step at which it was scored is parked. Such a trial goes on as a copy of itself: a row of its
    own, which `num_copies` has to count. Its note goes with it. It makes no other copies.
    """

    def num_parked(self, lanes: int) -> int:
        """Return how many trials' weights are parked at once, at most, beside so many lanes; 0 for none at all."""
        ...

    def recall(
        self, state: Any, lane_notes: Any, parked: Lanes, history: History, problem: Problem, last: Array
    ) -> Recall:
        """Judge trials that are parked, or are to be in this event: of these, those that may go on stay in their lanes.

        Args:
          state: as `decide` left it.
          lane_notes: of each, leaves [P, ...].
          parked: P places, of which those that are not live hold none.
          history: of all trials.
          problem: static.
          last: bool[] whether no other trial is left to begin, so that lanes that are freed may stay empty.
        """
        ...


def num_parked(scheduler: Any, lanes: int) -> int:
    """Return how many trials' weights a scheduler parks at once, at most."""
    return scheduler.num_parked(lanes) if isinstance(scheduler, Parks) else 0


class KeepsCurves(Settings):
    """The part that schedulers share which look at trials while they train: curves are kept, nothing is copied."""

    def report_interval(self, schedule: Schedule) -> int:
        """Return an interval, or as many as leave no more than some reports of a trial."""
        events = -(-schedule.steps // schedule.interval)
        return schedule.interval * -(-events // MOST_REPORTS)

    def num_copies(self, schedule: Schedule, trials: int) -> int:
        """Return 0."""
        return 0

    def lane_init(self, problem: Problem) -> Any:
        """Return None: nothing is kept for a lane."""
        return None


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

    def period(self, schedule: Schedule) -> int:
        """Return the steps between two looks, a multiple of the interval."""
        return schedule.up_to_interval(self._wanted(schedule.steps))

    def looked_at(self, lanes: Lanes, problem: Problem) -> Array:
        """Tell which lanes it looks at in this event: bool[L]."""
        return lanes.live & (lanes.steps % self.period(problem.schedule) == 0)

    def needs_score(self, lane_notes: Any, lanes: Lanes, problem: Problem) -> Array:
        """Score trials at each look, and at their end."""
        return lanes.spent | self.looked_at(lanes, problem)

    def _wanted(self, longest: int) -> int:
        return getattr(self, self.period_name) or max(1, longest // self.looks)


class Reporting(Periodic):
    """The part of those that read whole curves: a report of each look is kept."""

    def report_interval(self, schedule: Schedule) -> int:
        """Return the steps between reports: all are kept."""
        return self.period(schedule)


def passed_now(lanes: Lanes, problem: Problem, steps: Array) -> Array:
    """Tell which lanes passed each of some numbers of steps, i32[G], in this event and go on: bool[L, G].

    Trials that have trained for their whole budget have nothing left to be judged for.
    """
    now, goes_on = lanes.steps[:, None], (lanes.live & ~lanes.spent)[:, None]
    return (now >= steps[None]) & (now - problem.schedule.interval < steps[None]) & goes_on


def scores_of(lanes: Lanes, history: History, problem: Problem) -> Array:
    """Return the fitness of each lane's latest report, minimised: f32[L]; +inf where it failed or has none."""
    return jnp.where(lanes.live, problem.metrics.fitness(history.metrics[lanes.trial]), jnp.inf)


def require_one_objective(scheduler: Any, problem: Problem) -> None:
    """Raise where there are several objectives: which of two trials is better would not be clear."""
    problem.require_one_objective(scheduler, "ASHA, Hyperband, MedianStop, PBT and RunToEnd take several")


def require_to_act(scheduler: Any, problem: Problem, name: str, first: int) -> None:
    """Raise where a scheduler would do nothing in a whole search, because even the longest trial has ended before.

    Args:
      scheduler: in the message.
      problem: static.
      name: the setting that says when it acts.
      first: steps of a trial after which it may act for the first time.

    Raises:
      ValueError: `first` is not below the steps of the longest trial.
    """
    value, kind, longest = getattr(scheduler, name), type(scheduler).__name__, problem.schedule.steps
    acts = f"{kind} acts at step {first} for the first time, with interval={problem.schedule.interval}"
    if value is None:
        require(first < longest, "steps", longest, f"more, as {acts}; or say scheduler='run_to_end'")
    ends = f"and the longest trial ends at step {longest}; or say scheduler='run_to_end'"
    require(first < longest, name, value, f"smaller, as {acts}, {ends}")


def curves_of(lanes: Lanes, history: History, problem: Problem) -> Array:
    """Return the reports of each lane's trial, minimised: f32[L, R]; +inf where there is none."""
    curve = history.curve[lanes.trial]
    return jnp.where(lanes.live[:, None], curve, jnp.inf)
