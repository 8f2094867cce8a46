"""How much better a winner looks on what chose it than on what did not.

Cawley and Talbot, "On over-fitting in model selection and subsequent selection bias in performance evaluation",
https://jmlr.org/papers/v11/cawley10a.html (2010).
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.metrics import Objective
from jaxhpt.results.kept import Run
from jaxhpt.results.trial import plain
from jaxhpt.training.batches import Batch, check_data
from jaxhpt.training.replica import Replicas, ReplicaTask, replicated
from jaxhpt.training.task import Task
from jaxhpt.training.user_functions import measured


@dataclasses.dataclass(frozen=True)
class Overtuning:
    """One setting, by the figure that chose it and by one that did not.

    Attributes:
      trial: id of the winner.
      chosen: its value, by which it was chosen, in the user's own sign.
      fresh: its value on what did not choose it; NaN where it failed there.
      gap: how much better it looked, in the unit of the objective: above 0 the search was too hopeful.
    """

    trial: int
    chosen: float
    fresh: float
    gap: float


def compare(trial: int, chosen: float, fresh: float, objective: Objective) -> Overtuning:
    """Set the two figures of a trial side by side; a failure is worse than any value."""
    gap = (fresh - chosen) * objective.sign if math.isfinite(fresh) else math.inf
    return Overtuning(trial, chosen, fresh, gap)


def tested(run: Run, unit: np.ndarray, row: int, test_data: Any) -> dict[str, float]:
    """Measure the winner's models on data that a search has not seen.

    Args:
      run: that trained them.
      unit: f32[D] the winner's setting.
      row: its id.
      test_data: as `valid_data`; with folds as `train_data`.

    Returns:
      Metrics by name, reduced over all its models.

    Raises:
      TypeError, ValueError: data that `evaluate` cannot take.
    """
    check_data("test_data", test_data)
    own, space = run.structures.task, run.of(unit).space
    task, state = _on(own, test_data, isinstance(run.data.valid, Batch)), run.state
    if isinstance(own, ReplicaTask):
        state = {"models": state["models"]}
    found = measured(task, space, space.values(unit, np), state, task.valid_data, run.outcome.key, row)
    return {name: plain(value) for name, value in found.items()}


def _on(task: Task, test_data: Any, weighted: bool) -> Task:
    """Return a task that is scored on other data, each of its models on all of it."""
    one, replicas = task, None
    if isinstance(task, ReplicaTask) and task.one is not None:
        one, replicas = task.one, task.replicas
        weighted |= replicas.folds is not None
    if weighted and not hasattr(one, "trainer"):  # its `evaluate` is written for rows with weights
        rows = len(jax.tree.leaves(test_data)[0])
        test_data = Batch(test_data, jnp.full(rows, 1 / rows, jnp.float32))
    scored = dataclasses.replace(one, valid_data=test_data)
    return scored if replicas is None else replicated(scored, Replicas(replicas.num, reduce=replicas.reduce))
