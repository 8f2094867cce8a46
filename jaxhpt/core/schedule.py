"""Schedule: how long trials train, and when the search looks at them. Built once, by `training.budget.plan`."""

import dataclasses

import jax.numpy as jnp

from jaxhpt.core.typing import Array


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The schedule of a trial. Static and hashable by value.

    Attributes:
      steps: training steps of the longest trial.
      interval: training steps between two events.
      report_interval: training steps between two reports that are kept of a trial's learning curve, a multiple of
        `interval`; 0 keeps one report.
      exact: whether `interval` divides every trial's steps, so that no update needs a mask.
    """

    steps: int
    interval: int
    report_interval: int = 0
    exact: bool = False

    @property
    def reports(self) -> int:
        """Reports kept of each trial's learning curve, R."""
        return -(-self.steps // self.report_interval) if self.report_interval else 1

    @property
    def report_steps(self) -> int:
        """Training steps from one kept report to the next, or to the end of the longest trial."""
        return self.report_interval or self.steps

    def place(self, steps: Array) -> Array:
        """Return the column of the curve for a report at i32 `steps`."""
        return jnp.clip((steps - 1) // self.report_steps, 0, self.reports - 1)

    def up_to_interval(self, steps: int) -> int:
        """Return the next multiple of the interval."""
        return self.interval * -(-steps // self.interval)
