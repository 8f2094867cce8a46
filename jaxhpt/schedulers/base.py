"""What a scheduler is: it says HOW LONG a trial trains.

A scheduler is a frozen dataclass of settings with pure functions, run at every event inside the compiled loop.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

from jaxhpt.history import History
from jaxhpt.lanes import Lanes
from jaxhpt.problem import Problem
from jaxhpt.typing import Array, Key


class Copies(NamedTuple):
    """Lanes that go on from another lane's weights.

    Attributes:
      source: i32[N] lane copied from; L for none.
      target: i32[N] lane that takes the copy; L for none.
      unit: f32[N, D] settings of the copy.
    """

    source: Array
    target: Array
    unit: Array


class Verdict(NamedTuple):
    """What becomes of the lanes.

    Attributes:
      stop: bool[L] end these trials now.
      budget: i32[L] training steps each trial may have in all.
      copies: copies to make; None is static, so that schedulers that never copy pay nothing.
    """

    stop: Array
    budget: Array
    copies: Copies | None


@runtime_checkable
class Scheduler(Protocol):
    """How long to train."""

    def reports(self, problem: Problem) -> int:
        """Return how many reports of each trial's curve are kept, R."""
        ...

    def init(self, key: Key, problem: Problem) -> Any:
        """Return the state, a NamedTuple of arrays."""
        ...

    def due(self, state: Any, lanes: Lanes, problem: Problem) -> Array:
        """Tell which lanes must be scored now: bool[L]. Scoring runs only when one is."""
        ...

    def decide(self, key: Key, state: Any, lanes: Lanes, history: History, problem: Problem) -> tuple[Verdict, Any]:
        """Judge the lanes after their reports."""
        ...
