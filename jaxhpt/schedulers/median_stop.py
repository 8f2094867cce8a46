"""Median stopping: what is worse than half of the others were at the same age ends.

Golovin, Solnik, Moitra, Kochanski, Karro and Sculley, "Google Vizier: a service for black-box optimization",
https://research.google/pubs/google-vizier-a-service-for-black-box-optimization/ (2017), section 3.2.2.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp

from jaxhpt.core.checks import settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Key
from jaxhpt.schedulers import rungs
from jaxhpt.schedulers.base import (
    PARTS,
    Reporting,
    Verdict,
    curves_of,
    require_one_objective,
    require_to_act,
    scores_of,
)
from jaxhpt.schedulers.rungs import Rungs


@dataclasses.dataclass(frozen=True)
class MedianStop(Reporting):
    """Median stopping rule: end a trial whose best is worse than the median of the others' means so far.

    Choose it to stop little, safely. Trials are compared at each report with the running means of all that came as far.

    Args:
      eval_interval: steps between reports, at least 1; None is a twentieth of the longest trial.
      min_steps: steps before any trial is stopped, at least 1; None is a tenth of the longest trial.
      min_trials: trials that must have come as far, at least 1.

    Raises:
      ValueError, TypeError: an argument out of range; at the start of a search, several objectives.

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

    def init(self, key: Key, problem: Problem) -> Rungs:
        """Begin without any trial to compare with: a rung for each report."""
        require_one_objective(self, problem)
        period, least = self.period(problem.schedule), self._least(problem)
        require_to_act(self, problem, "eval_interval", period)
        require_to_act(self, problem, "min_steps", period * -(-least // period))
        return rungs.empty(problem.schedule.reports, problem, 2)

    def decide(
        self, key: Key, state: Rungs, lane_notes: Any, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, Rungs, Any]:
        """Stop what is behind."""
        curve = curves_of(lanes, history, problem)
        reported = jnp.isfinite(curve)
        count = jnp.maximum(jnp.sum(reported, axis=1, dtype=jnp.float32), 1.0)
        mean = jnp.sum(jnp.where(reported, curve, 0.0), axis=1) / count
        came = self.needs_score(lane_notes, lanes, problem)
        which = jnp.where(came, problem.schedule.place(lanes.steps), problem.schedule.reports)
        sound = jnp.isfinite(scores_of(lanes, history, problem))
        state, _ = rungs.enter(state, which, jnp.where(sound, mean, jnp.inf), lanes.trial)
        arrived = state.num_arrived[jnp.minimum(which, problem.schedule.reports - 1)]
        better = rungs.better_than(state, which, jnp.min(curve, axis=1))
        old = (lanes.steps >= self._least(problem)) & (arrived >= self.min_trials)
        return Verdict(came & old & (2 * better > arrived), lanes.budget, None), state, lane_notes

    def _least(self, problem: Problem) -> int:
        return self.min_steps or 2 * problem.schedule.steps // PARTS
