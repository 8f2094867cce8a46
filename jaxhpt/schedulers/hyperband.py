"""Hyperband: successive halving begun early, late and not at all, side by side.

Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: a novel bandit-based approach to hyperparameter
optimization", https://arxiv.org/abs/1603.06560 (2018); asynchronous brackets as in the paper on ASHA, see `asha.py`.
"""

import dataclasses

from jaxhpt.core.checks import settle_counts
from jaxhpt.core.problem import Problem
from jaxhpt.schedulers.asha import ASHA


@dataclasses.dataclass(frozen=True)
class Hyperband(ASHA):
    """Hyperband: several brackets of successive halving side by side, as in `ASHA`, begun early and late.

    Choose it where nobody knows how early losers show. The first bracket has all rungs, the next one lacks the lowest,
    and so on; the last one stops nothing. Lanes are dealt to the brackets in turn, so that each gets the same compute,
    and trials are compared within their bracket. It takes several objectives as `ASHA` does.

    Args:
      eta: as of `ASHA`.
      min_steps: as of `ASHA`.
      promote: as of `ASHA`; a trial goes on in a lane of its bracket.
      parked: as of `ASHA`, of all brackets together.
      brackets: at least 1, at most one more than there are rungs, and no more than lanes; None is as many as possible.

    Raises:
      ValueError, TypeError: an argument out of range.

    Example:
      >>> import jaxhpt, jax.numpy as jnp
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=27, trials=256, algorithm="random", scheduler="hyperband", progress=False,
      ... )
      >>> result.best.steps
      27

    References:
      See the module.
    """

    brackets: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_counts(self, "brackets")

    def num_brackets(self, problem: Problem) -> int:
        """Return how many there are."""
        most = min(len(self._levels(problem)) + 1, problem.lanes)
        return min(self.brackets or most, most)
