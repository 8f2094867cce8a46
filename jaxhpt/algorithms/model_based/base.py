"""What algorithms share that learn from a model: a design first, the best rows in mind, a model of limited size."""

from typing import Any

import jax.numpy as jnp

from jaxhpt.algorithms.base import AlgorithmDefaults
from jaxhpt.algorithms.model_based.dataset import best_first
from jaxhpt.core.checks import require, settle_counts
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key

LIMITS = [2**i for i in range(6, 12)]


class ModelBased(AlgorithmDefaults):
    """The part that model-based algorithms share; their state has `best`, i32[B] rows, best first.

    Attributes:
      initial: trials of the design; None is 2 D, from 8 to 64.
      limit: rows of the largest model.
    """

    initial: int | None
    limit: int

    def __post_init__(self) -> None:
        settle_counts(self, "initial")
        require(self.limit in LIMITS, "limit", self.limit, f"one of {LIMITS}")

    def tell(self, key: Key, state: Any, history: History, problem: Problem, finished: Array) -> Any:
        """Keep the best rows in mind."""
        rows = jnp.concatenate([state.best, finished])
        return state._replace(best=best_first(history, problem, rows, state.best.shape[0]))
