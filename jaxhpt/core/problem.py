"""Problem: the static record that every algorithm and scheduler is given."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from jaxhpt.core.checks import require
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is searched, for how long, and how wide. Static and hashable by value.

    Attributes:
      space: the search space; D columns.
      metrics: the K metrics; the objectives come first.
      trials: trials to open.
      lanes: lanes that train side by side, L.
      steps: training steps of the longest trial.
      interval: training steps between two events.
      report_interval: training steps between two reports that are kept of a trial's learning curve, a multiple of
        `interval`; 0 keeps one report.
      exact: whether `interval` divides every trial's steps, so that no update needs a mask.
      prior: trials known beforehand; they have the first rows.
      copies: rows that trials may open that go on from another's weights, at most.
    """

    space: Space
    metrics: MetricSpec
    trials: int
    lanes: int
    steps: int
    interval: int
    report_interval: int = 0
    exact: bool = False
    prior: int = 0
    copies: int = 0

    def bare(self) -> "Problem":
        """Return the problem without the user's own objects, for a program that outlives the search."""
        return dataclasses.replace(self, space=self.space.bare())

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The metrics to optimise."""
        return self.metrics.objectives

    @property
    def capacity(self) -> int:
        """Rows of the history, C."""
        return self.prior + self.trials + self.copies

    def left(self, opened: Array) -> Array:
        """Return how many trials are left to start, where rows i32[] `opened`, copies not among them, have been."""
        return self.prior + self.trials - opened

    @property
    def reports(self) -> int:
        """Reports kept of each trial's learning curve, R."""
        return -(-self.steps // self.report_interval) if self.report_interval else 1

    def require_one_objective(self, taker: Any, remedy: str) -> None:
        """Raise where there are several objectives and `taker` can follow one only; `remedy` tells what takes more."""
        names = [o.name for o in self.objectives]
        require(len(names) == 1, "objectives", names, f"one, for {type(taker).__name__}; {remedy}")

    def place(self, steps: Array) -> Array:
        """Return the column of the curve for a report at i32 `steps`."""
        return jnp.clip((steps - 1) // (self.report_interval or self.steps), 0, self.reports - 1)

    @property
    def num_dimensions(self) -> int:
        """Columns of `unit`, D."""
        return self.space.num_dimensions

    @property
    def num_metrics(self) -> int:
        """Columns of scores, K."""
        return len(self.metrics.names)
