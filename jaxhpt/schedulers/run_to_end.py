"""The plain scheduler: every trial trains for its whole budget."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from jaxhpt.core.checks import Settings
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import Array, Key
from jaxhpt.schedulers.base import Verdict


class RunToEndState(NamedTuple):
    """Nothing."""


@dataclasses.dataclass(frozen=True)
class RunToEnd(Settings):
    """No early stopping: train every trial for its whole budget, and score it once, at the end."""

    def event_interval(self, longest: int) -> int | None:
        """Return None: it looks at nothing in between."""
        return None

    def report_interval(self, schedule: Schedule) -> int:
        """Return 0: only the end is scored."""
        return 0

    def num_copies(self, schedule: Schedule, trials: int) -> int:
        """Return 0."""
        return 0

    def init(self, key: Key, problem: Problem) -> RunToEndState:
        """Return the empty state."""
        return RunToEndState()

    def lane_init(self, problem: Problem) -> None:
        """Return None: nothing is kept for a lane."""

    def needs_score(self, lane_notes: None, lanes: Lanes, problem: Problem) -> Array:
        """Score the lanes whose budget is spent."""
        return lanes.spent

    def decide(
        self, key: Key, state: RunToEndState, lane_notes: None, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, RunToEndState, None]:
        """Stop nothing, and leave the budgets as they are."""
        return Verdict(jnp.zeros(lanes.trial.shape, bool), lanes.budget, None), state, None
