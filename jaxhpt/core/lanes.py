"""Lanes: who trains where, and for how long. What is trained, the weights, is in a pool; see `training.pool`."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxhpt.core.typing import Array


class Copies(NamedTuple):
    """Lanes that go on from another lane's weights.

    Attributes:
      source: i32[N] lane copied from; NONE for none.
      target: i32[N] lane that takes the copy, each once; NONE for none.
      unit: f32[N, D] settings of the copy.
    """

    source: Array
    target: Array
    unit: Array


class Onset(NamedTuple):
    """Lanes whose trials begin, in this event, from weights that there are.

    Attributes:
      which: i32[L] of these weights; NONE for none.
      steps: i32[L] training steps that they have behind them; 0 for none.
    """

    which: Array
    steps: Array


class Lanes(NamedTuple):
    """L slots, each holding one live trial or none.

    Attributes:
      trial: i32[L] row of the trial; NONE for none.
      steps: i32[L] training steps done.
      budget: i32[L] training steps the trial may have; 0 where the lane is free.
    """

    trial: Array
    steps: Array
    budget: Array

    @property
    def live(self) -> Array:
        """bool[L]: lanes that hold a trial."""
        return self.budget > 0

    @property
    def spent(self) -> Array:
        """bool[L]: lanes whose trial has trained for its whole budget."""
        return self.live & (self.steps >= self.budget)

    def trained(self, steps: int) -> "Lanes":
        """Return the lanes after so many more steps, or as many as their budgets allow."""
        after = jnp.minimum(self.steps + jnp.int32(steps), self.budget)
        return self._replace(steps=jnp.where(self.live, after, self.steps))
