"""Median stopping: what is worse than half of the others were at the same age ends.

Golovin, Solnik, Moitra, Kochanski, Karro and Sculley, "Google Vizier: a service for black-box optimization",
https://research.google/pubs/google-vizier-a-service-for-black-box-optimization/ (2017), section 3.2.2.
"""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxhpt.core.checks import settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, Key
from jaxhpt.schedulers import archive, rungs
from jaxhpt.schedulers.archive import Archive, Gathering
from jaxhpt.schedulers.base import PARTS, Reporting, Verdict, curves_of, require_to_act, scores_of
from jaxhpt.schedulers.rungs import Rungs


class Course(NamedTuple):
    """The reports of each lane's trial, of M objectives.

    Attributes:
      trial: i32[L] whose they are.
      num_reports: i32[L] how many.
      total: f32[L, M] their sum.
      least: f32[L, M] the best of each objective; +inf where there is none.
    """

    trial: Array
    num_reports: Array
    total: Array
    least: Array


@dataclasses.dataclass(frozen=True)
class MedianStop(Reporting):
    """Median stopping rule: end a trial whose best is worse than the median of the others' means so far.

    Choose it to stop little, safely. Trials are compared at each report with the running means of all that came as far.

    Of several objectives, the best and the mean are those of each objective, and a trial ends whose best is in a later
    front of non-dominated sorting than more than half of the means. A report remembers the latest 512 trials then.

    Args:
      eval_interval: steps between reports, at least 1; None is a twentieth of the longest trial.
      min_steps: steps before any trial is stopped, at least 1; None is a tenth of the longest trial.
      min_trials: trials that must have come as far, at least 1.

    Raises:
      ValueError, TypeError: an argument out of range.

    Example:
      >>> import jaxhpt, jax.numpy as jnp
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=40, trials=256, algorithm="random", scheduler="median_stop", progress=False,
      ... )
      >>> 0 < sum(trial.status == "stopped" for trial in result.trials) < 200
      True

    References:
      See the module.
    """

    eval_interval: int | None = None
    min_steps: int | None = None
    min_trials: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_counts(self, "min_steps", "min_trials")

    def init(self, key: Key, problem: Problem) -> Rungs | Archive:
        """Begin without any trial to compare with: a rung for each report."""
        period, least = self.period(problem.schedule), self._least(problem)
        require_to_act(self, problem, "eval_interval", period)
        require_to_act(self, problem, "min_steps", period * -(-least // period))
        if len(problem.objectives) > 1:
            return archive.empty(problem.schedule.reports, problem, len(problem.objectives))
        return rungs.empty(problem.schedule.reports, problem, 2)

    def lane_init(self, problem: Problem) -> Course | None:
        """Return what the reports of a lane's trial were, of several objectives; None of one: the history has them."""
        num, none = len(problem.objectives), jnp.zeros(problem.lanes, jnp.int32)
        if num == 1:
            return None
        total = jnp.zeros((problem.lanes, num), jnp.float32)
        return Course(none + NONE, none, total, total)

    def decide(
        self, key: Key, state: Rungs | Archive, lane_notes: Any, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, Rungs | Archive, Any]:
        """Stop what is behind."""
        came = self.needs_score(lane_notes, lanes, problem)
        which = jnp.where(came, problem.schedule.place(lanes.steps), problem.schedule.reports)
        if isinstance(state, Rungs):
            state, behind = self._by_score(state, which, lanes, history, problem)
        else:
            state, behind, lane_notes = self._by_front(state, which, lane_notes, lanes, history, problem)
        arrived = state.num_arrived[jnp.minimum(which, problem.schedule.reports - 1)]
        old = (lanes.steps >= self._least(problem)) & (arrived >= self.min_trials)
        return Verdict(came & old & behind, lanes.budget, None), state, lane_notes

    def _by_score(
        self, state: Rungs, which: Array, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Rungs, Array]:
        """Enter the means of what came to reports i32[L], and tell what is behind half of those there: bool[L]."""
        curve = curves_of(lanes, history, problem)
        reported = jnp.isfinite(curve)
        count = jnp.maximum(jnp.sum(reported, axis=1, dtype=jnp.float32), 1.0)
        mean = jnp.sum(jnp.where(reported, curve, 0.0), axis=1) / count
        sound = jnp.isfinite(scores_of(lanes, history, problem))
        state, _ = rungs.enter(state, which, jnp.where(sound, mean, jnp.inf), lanes.trial)
        arrived = state.num_arrived[jnp.minimum(which, problem.schedule.reports - 1)]
        better = rungs.better_than(state, which, jnp.min(curve, axis=1))
        return state, 2 * better > arrived

    def _by_front(
        self, state: Archive, which: Array, course: Course, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Archive, Array, Course]:
        """Do as `_by_score`, of several objectives, with what the reports were so far."""
        points = archive.points_of(lanes, history, problem)[:, : len(problem.objectives)]
        reported = (which < problem.schedule.reports) & jnp.isfinite(points[:, 0])
        course = _followed(course, lanes.trial, points, reported)
        mean = course.total / jnp.maximum(course.num_reports, 1).astype(jnp.float32)[:, None]
        means = jnp.where(reported[:, None], mean, jnp.inf)

        def judge(gathering: Gathering) -> Array:
            return archive.behind_half(gathering, course.least)

        return *archive.enter(state, which, means, judge), course

    def _least(self, problem: Problem) -> int:
        return self.min_steps or 2 * problem.schedule.steps // PARTS


def _followed(course: Course, trial: Array, points: Array, reported: Array) -> Course:
    """Add reports f32[L, M] of trials i32[L] to what is known of them, where bool[L] there is one."""
    new = (course.trial != trial)[:, None]
    total, least = jnp.where(new, 0.0, course.total), jnp.where(new, jnp.inf, course.least)
    added = reported[:, None]
    return Course(
        trial,
        jnp.where(new[:, 0], 0, course.num_reports) + reported.astype(jnp.int32),
        total + jnp.where(added, points, 0.0),
        jnp.where(added, jnp.minimum(least, points), least),
    )
