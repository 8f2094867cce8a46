"""Asynchronous successive halving: many trials begin, few end, and no lane waits for another.

Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht and Talwalkar, "A system for massively parallel hyperparameter
tuning", https://arxiv.org/abs/1810.05934 (2020); the variant that stops is of Klein, Tiao, Lienart, Archambeau and
Seeger, "Model-based asynchronous hyperparameter and neural architecture search",
https://arxiv.org/abs/2003.10865 (2020). Of several objectives: Schmucker, Donini, Zafar, Salinas and Archambeau,
"Multi-objective asynchronous successive halving", https://arxiv.org/abs/2106.12639 (2021).
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.checks import require, settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import Array, Key
from jaxhpt.schedulers import archive, rungs
from jaxhpt.schedulers.archive import Archive, Gathering
from jaxhpt.schedulers.base import KeepsCurves, Recall, Verdict, passed_now, require_to_act, scores_of
from jaxhpt.schedulers.rungs import Rungs

PARKED = 2  # trials that are parked for each lane, where nothing else is asked for


class Note(NamedTuple):
    """What is kept for each lane where trials may go on later.

    Attributes:
      bracket: i32[L].
      before: i32[L] of the trial's latest rung, how many had come there before it: those of its score alone, or of
        several objectives all.
    """

    bracket: Array
    before: Array


@dataclasses.dataclass(frozen=True)
class ASHA(KeepsCurves):
    """Asynchronous successive halving: stop at each rung all but the best of those that came there.

    Choose it where losers show early. At `min_steps`, `eta` times as many, and so on, a trial is scored and goes on if
    it is in the best 1/`eta` of all that came so far, itself included; the best always goes on. The lane of one that
    stops begins another trial at once.

    Of several objectives, the best are the first fronts of non-dominated sorting; from the front that is cut, those go
    on that lie farthest apart. Constraints come before objectives. A rung remembers the latest 512 trials then.

    With `promote`, as in the paper, what stops is not lost: its weights are parked, and once it is in the best 1/`eta`
    of its rung, because many worse ones came, it goes on from there in the next lane that is free, before any other
    trial begins. It does so as a copy of itself, under the same settings: a trial of its own, beyond `trials`, with its
    `parent`. The best goes on only where `eta` have come, or no trial is left to begin.

    Args:
      eta: at least 2. A rung stops all but one in `eta`, and the next one is `eta` times as far; 2 is careful.
      min_steps: steps before the first rung, at least 1; None is about a 27th of the longest trial. Too few, and slow
        starters are lost.
      promote: whether trials that stopped may go on later.
      parked: trials whose weights are parked at once, at most, at least 1; None is twice as many as lanes. Where there
        is no room, those are given up that are farthest from going on.

    Raises:
      ValueError, TypeError: an argument out of range.

    Example:
      >>> import jaxhpt, jax.numpy as jnp
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=27, trials=256, algorithm="random", scheduler=jaxhpt.ASHA(min_steps=3), progress=False,
      ... )
      >>> sum(trial.status == "stopped" for trial in result.trials) > 100
      True

    References:
      See the module.
    """

    eta: int = 3
    min_steps: int | None = None
    promote: bool = dataclasses.field(default=False, kw_only=True)
    parked: int | None = dataclasses.field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        settle_counts(self, "eta", "min_steps", "parked")
        require(self.eta >= 2, "eta", self.eta, "at least 2")
        require(self.promote in (False, True), "promote", self.promote, "True or False")
        object.__setattr__(self, "promote", bool(self.promote))
        require(self.promote or self.parked is None, "parked", self.parked, "left out, or promote=True said")

    def event_interval(self, longest: int) -> int | None:
        """Ask for an event at each rung."""
        return min(longest, self.min_steps or rungs.lowest_of(self.eta, longest))

    def num_copies(self, schedule: Schedule, trials: int) -> int:
        """Return how many may be promoted at most.

        At each rung one goes on each time that its best 1/`eta` are one more, and the best at the end of the search.
        """
        if not self.promote:
            return 0
        levels = len(rungs.levels_of(self.min_steps, self.eta, schedule))
        return levels * (trials // self.eta + levels)  # there are at most so many brackets with rungs

    def num_parked(self, lanes: int) -> int:
        """Return how many trials are parked at once, at most."""
        return (self.parked or PARKED * lanes) if self.promote else 0

    def init(self, key: Key, problem: Problem) -> Rungs | Archive:
        """Begin with empty rungs."""
        require_to_act(self, problem, "min_steps", rungs.first_level(self.min_steps, self.eta, problem))
        groups = self.num_brackets(problem) * len(self._levels(problem))
        if len(problem.objectives) > 1:
            return archive.empty(groups, problem, archive.width_of(problem))
        return rungs.empty(groups, problem, 1 if self.promote else self.eta)

    def lane_init(self, problem: Problem) -> Array | Note:
        """Deal the lanes to the brackets in turn: i32[L]."""
        bracket = jnp.arange(problem.lanes, dtype=jnp.int32) % self.num_brackets(problem)
        return Note(bracket, jnp.zeros_like(bracket)) if self.promote else bracket

    def needs_score(self, lane_notes: Array | Note, lanes: Lanes, problem: Problem) -> Array:
        """Score trials at a rung, and at their end."""
        rungs = self.num_brackets(problem) * len(self._levels(problem))
        return lanes.spent | (self._rung(_bracket(lane_notes), lanes, problem) < rungs)

    def decide(
        self,
        key: Key,
        state: Rungs | Archive,
        lane_notes: Array | Note,
        lanes: Lanes,
        history: History,
        problem: Problem,
    ) -> tuple[Verdict, Rungs | Archive, Array | Note]:
        """Stop what is not among the best at its rung."""
        which, none = self._rung(_bracket(lane_notes), lanes, problem), state.num_arrived.shape[0]
        goes_on: Array
        if isinstance(state, Rungs):
            state, goes_on, before = self._by_score(state, which, lanes, history, problem)
        else:
            state, goes_on, before = self._by_front(state, which, lanes, history, problem)
        if isinstance(lane_notes, Note):
            lane_notes = lane_notes._replace(before=jnp.where(which < none, before, lane_notes.before))
        return Verdict((which < none) & ~goes_on, lanes.budget, None), state, lane_notes

    def recall(
        self, state: Rungs | Archive, lane_notes: Note, parked: Lanes, history: History, problem: Problem, last: Array
    ) -> Recall:
        """Let those go on that are among the best at their rung by now; the best of all at the `last`."""
        below = jnp.array(self._levels(problem), jnp.int32)[None] < parked.steps[:, None]
        rung = lane_notes.bracket * below.shape[1] + jnp.sum(below, axis=1, dtype=jnp.int32)
        arrived, none = state.num_arrived, state.num_arrived.shape[0]
        which = jnp.where(parked.live, rung, none)
        if isinstance(state, Rungs):
            better = rungs.better_than(state, which, scores_of(parked, history, problem))
            place = better + lane_notes.before
        else:
            place = archive.place_of(state, which, lane_notes.before, len(problem.objectives))
            arrived = jnp.minimum(arrived, state.points.shape[1])
        room = jnp.maximum(arrived[jnp.minimum(which, none - 1)] // self.eta, last.astype(jnp.int32))
        place = jnp.where(room > 0, place, place + 1)  # where nobody may go on, the best is the next that may
        standing = place.astype(jnp.float32) / jnp.maximum(room, 1).astype(jnp.float32)
        return Recall(jnp.where(parked.live, standing, jnp.inf), lane_notes.bracket)

    def _by_score(
        self, state: Rungs, which: Array, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Rungs, Array, Array]:
        """Enter what came to rungs i32[L]; tell what is among the best there, bool[L], and how many came before."""
        score = scores_of(lanes, history, problem)
        state, better = rungs.enter(state, which, score, lanes.trial)
        last = state.num_arrived.shape[0] - 1
        goes_on = better < jnp.maximum(state.num_arrived[jnp.minimum(which, last)] // self.eta, self._least)
        return state, goes_on, better - rungs.better_than(state, which, score) if self.promote else better

    def _by_front(
        self, state: Archive, which: Array, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Archive, Array, Array]:
        """Do as `_by_score`, of several objectives."""

        def judge(gathering: Gathering) -> Array:
            return archive.in_best(gathering, self.eta, len(problem.objectives), problem.lanes, self._least)

        lane = jnp.arange(which.shape[0], dtype=jnp.int32)
        ahead = (which[:, None] == which[None]) & (lane[None] < lane[:, None])
        before = state.num_arrived[jnp.minimum(which, state.num_arrived.shape[0] - 1)]
        before += jnp.sum(ahead, axis=1, dtype=jnp.int32)
        state, goes_on = archive.enter(state, which, archive.points_of(lanes, history, problem), judge)
        return state, goes_on, before

    @property
    def _least(self) -> int:
        """Return how many go on where fewer than `eta` came: what stops for good must not stop all that there is."""
        return 0 if self.promote else 1

    def num_brackets(self, problem: Problem) -> int:
        """Return how many groups of trials are compared apart from each other: 1."""
        return 1

    def _levels(self, problem: Problem) -> tuple[int, ...]:
        return rungs.levels(self.min_steps, self.eta, problem)

    def _rung(self, bracket: Array, lanes: Lanes, problem: Problem) -> Array:
        """Return the rung that each lane's trial, of i32[L] `bracket`, came to in this event: i32[L]; G for none."""
        levels = self._levels(problem)
        size, none = len(levels), self.num_brackets(problem) * len(levels)
        passed = passed_now(lanes, problem, jnp.array(levels, jnp.int32))
        level = jax.lax.argmax(passed, 1, jnp.int32)
        judged = jnp.any(passed, axis=1) & (level >= bracket)
        return jnp.where(judged, bracket * size + level, none)


def _bracket(lane_notes: Array | Note) -> Array:
    return lane_notes.bracket if isinstance(lane_notes, Note) else lane_notes
