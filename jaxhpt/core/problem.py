"""Problem: the static record that every algorithm and scheduler is given."""

import dataclasses
from typing import Any

from jaxhpt.core.checks import require
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is searched, for how long, and how wide. Static and hashable by value.

    Attributes:
      space: the search space; D columns.
      metrics: the K metrics; the objectives come first.
      trials: trials to open, at most; how many, the history knows, so that one program serves all of a bucket.
      lanes: lanes that train side by side, L.
      schedule: how long trials train, and when they are looked at.
      prior: trials known beforehand; they have the first rows.
      copies: rows that trials may open that go on from another's weights, at most.
    """

    space: Space
    metrics: MetricSpec
    trials: int
    lanes: int
    schedule: Schedule
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

    def require_one_objective(self, taker: Any, remedy: str) -> None:
        """Raise where there are several objectives and `taker` can follow one only; `remedy` tells what takes more."""
        names = [o.name for o in self.objectives]
        require(len(names) == 1, "objectives", names, f"one, for {type(taker).__name__}; {remedy}")

    @property
    def num_dimensions(self) -> int:
        """Columns of `unit`, D."""
        return self.space.num_dimensions

    @property
    def num_metrics(self) -> int:
        """Columns of scores, K."""
        return len(self.metrics.names)


def bucket(trials: int) -> int:
    """Round up to a multiple of an eighth of the next power of two: numbers that are near share their programs."""
    step = max(1, (1 << (trials - 1).bit_length()) // 8)
    return step * -(-trials // step)
