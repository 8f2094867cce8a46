"""Quasi-random search: an Owen-scrambled Sobol sequence.

Sobol, "On the distribution of points in a cube", https://doi.org/10.1016/0041-5553(67)90144-9 (1967).
Bousquet et al., "Critical hyper-parameters: no random, no cry", https://arxiv.org/abs/1706.03200 (2017).
"""

import dataclasses
from typing import ClassVar, NamedTuple

import jax.numpy as jnp

from jaxhpt.algorithms.base import AlgorithmDefaults, Proposals, proposals
from jaxhpt.algorithms.beliefs import designed
from jaxhpt.core.checks import require
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.qmc import MAX_SOBOL_DIMENSIONS, sobol
from jaxhpt.core.typing import Array, Key


class QuasiRandomState(NamedTuple):
    """Attributes: scramble, a key; position, i32[] the next place in the sequence."""

    scramble: Key
    position: Array


@dataclasses.dataclass(frozen=True)
class QuasiRandom(AlgorithmDefaults):
    """Settings that fill the space evenly, at any number of trials. Choose it wherever `Random` would do.

    Example:
      >>> import jaxhpt
      >>> result = jaxhpt.minimize(lambda h, key: h["x"] ** 2, {"x": jaxhpt.Float(-1, 1)},
      ...                          algorithm="quasi_random", trials=128, progress=False)
      >>> result.best.value < 0.001
      True

    References:
      See the module.
    """

    learns: ClassVar[bool] = False

    def init(self, key: Key, problem: Problem) -> QuasiRandomState:
        """Start at the beginning of a sequence scrambled by `key`."""
        dimensions = problem.num_dimensions
        require(dimensions <= MAX_SOBOL_DIMENSIONS, "dimensions", dimensions, f"at most {MAX_SOBOL_DIMENSIONS}")
        return QuasiRandomState(key, jnp.zeros((), jnp.int32))

    def ask(
        self, key: Key, state: QuasiRandomState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, QuasiRandomState]:
        """Take the next points; see `Algorithm.ask`."""
        index = state.position + jnp.arange(num, dtype=jnp.int32)
        unit = designed(sobol(state.scramble, index, problem.num_dimensions), index, problem.space)
        return proposals(unit), state._replace(position=state.position + count)
