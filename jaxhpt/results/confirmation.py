"""Confirming a search: its best settings, trained again with fresh seeds and folds, which then choose the winner."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from jaxhpt.algorithms.sampling.random_search import Random
from jaxhpt.core.checks import whole
from jaxhpt.core.history import Known
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Key
from jaxhpt.engine.build import build
from jaxhpt.engine.driver import Limits, drive
from jaxhpt.engine.execution import Execution
from jaxhpt.engine.snapshot import Display
from jaxhpt.results.result import Result
from jaxhpt.schedulers.run_to_end import RunToEnd
from jaxhpt.training.layout import Layout
from jaxhpt.training.replica import Replicas, replicated
from jaxhpt.training.task import Task


@dataclasses.dataclass(frozen=True)
class Confirm:
    """How a search is confirmed.

    Attributes:
      num: of the best settings that are trained again.
      task: of one model.
      replicas: as in the search.
      layout: as in the search.
      interval: as in the search.
      shown: () -> what shows it.
      begun: (program, root, known, data, structures) -> the second search, to be driven.
    """

    num: int
    task: Task
    replicas: Replicas
    layout: Layout
    interval: int | str
    shown: Callable[[], Display]
    begun: Callable[..., Execution]

    def check(self, problem: Problem, slots: int = 0) -> None:
        """Refuse what cannot be confirmed, before it is searched.

        Args:
          problem: static.
          slots: of trials that are parked, where copies go on with the settings they had.

        Raises:
          ValueError: more settings than trials, several objectives, or trials that go on from others' weights.
        """
        if self.num > problem.trials:
            raise ValueError(f"confirm={self.num}: must be at most the {problem.trials} trials")
        problem.require_one_objective(self, "confirm chooses one winner: leave it out, and see pareto_front()")
        if problem.copies and not slots:
            raise ValueError(
                f"confirm={self.num}: a scheduler that copies weights finds a schedule, which no single setting "
                "repeats; leave it out, or take another scheduler"
            )

    def __call__(self, result: Result, root: Key, events: int | str) -> tuple[Result, BaseException | None]:
        """Train the best settings of a search again; return the result that knows of it, and what went wrong, if so.

        Where no trial ran to its end, or none of them does again, the winner is that of the search.
        """
        rows = result.distinct_best(self.num)
        if not len(rows):
            return result, None
        first = jnp.asarray(result.history.unit[rows])

        def before(metrics: MetricSpec) -> Known:
            unit, scores = first[:0], jnp.zeros((0, len(metrics.names)), jnp.float32)
            return Known(unit, scores, first)

        job, own = replicated(self.task, self.replicas, again=1), key_of(root, Stream.CONFIRM)
        given = (job, result.space, len(rows), Random(), RunToEnd(), self.layout, self.interval, before)
        program, data, structures, known = build(*given)
        limits = Limits(events, None, ())
        outcome = drive(program, own, data, limits, self.shown(), lambda p: self.begun(p, own, known, data, structures))
        fresh = Result.of(outcome.program, data, outcome, structures)
        return result.confirmed_by(fresh, tuple(int(row) for row in rows)), outcome.error


def require_confirm(value: object) -> int:
    """Return how many settings are to be confirmed, at least 0."""
    found = whole("confirm", value, "an int, such as 5; 0 for none")
    if found < 0:
        raise ValueError(f"confirm={found}: must be at least 0")
    return found
