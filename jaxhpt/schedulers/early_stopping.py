"""Early stopping: a trial that no longer gets better is done.

Prechelt, "Early stopping - but when?", https://doi.org/10.1007/978-3-642-35289-8_5 (1998).
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.checks import require, settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key
from jaxhpt.schedulers.base import Reporting, Verdict, curves_of, require_one_objective, require_to_act


class EarlyStoppingState(NamedTuple):
    """Nothing: the curves tell."""


@dataclasses.dataclass(frozen=True)
class EarlyStopping(Reporting):
    """Early stopping: end a trial that has not become better for `patience` reports.

    Choose it where trainings converge at their own pace. Such a trial is done, not stopped: it counts as one that
    trained for its whole budget.

    Args:
      patience: reports in a row without a better one, at least 1, after which a trial ends.
      min_delta: by how much a report must be better than the last one that counted as better, at least 0, in units of
        the objective.
      eval_interval: steps between reports, at least 1; None is a twentieth of the longest trial.

    Raises:
      ValueError, TypeError: an argument out of range; at the start of a search, several objectives.

    Example:
      >>> import jaxhpt, jax.numpy as jnp
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=100, trials=64, scheduler=jaxhpt.EarlyStopping(3, min_delta=1e-3), progress=False,
      ... )
      >>> result.best.steps < 100
      True

    References:
      See the module.
    """

    patience: int = 3
    min_delta: float = 0.0
    eval_interval: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_counts(self, "patience")
        sound = isinstance(self.min_delta, int | float) and math.isfinite(self.min_delta)
        require(sound and self.min_delta >= 0, "min_delta", self.min_delta, "a finite number, at least 0")

    def init(self, key: Key, problem: Problem) -> EarlyStoppingState:
        """Return the empty state."""
        require_one_objective(self, problem)
        require_to_act(self, problem, "eval_interval", self.period(problem.schedule))
        require_to_act(self, problem, "patience", (1 + self.patience) * self.period(problem.schedule))
        return EarlyStoppingState()

    def decide(
        self, key: Key, state: EarlyStoppingState, lane_notes: Any, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, EarlyStoppingState, Any]:
        """Call done what stands still."""
        curve = curves_of(lanes, history, problem)

        def read(carry: tuple[Array, Array], report: Array) -> tuple[tuple[Array, Array], None]:
            best, waited = carry
            better = report < best - self.min_delta
            waited = jnp.where(better, 0, waited + jnp.isfinite(report).astype(jnp.int32))
            return (jnp.where(better, report, best), waited), None

        best = jnp.full(curve.shape[0], jnp.inf, jnp.float32)
        (_, waited), _ = jax.lax.scan(read, (best, jnp.zeros_like(lanes.steps)), curve.T)
        still = lanes.live & (waited >= self.patience)
        budget = jnp.where(still, lanes.steps, lanes.budget)
        return Verdict(jnp.zeros_like(still), budget, None), state, lane_notes
