"""What an event of a model-based search is after: more of what is known, something further afield, or a good finish.

Afield, the model sees scores straight, not bent, and hopes are bolder. A model of bent scores looks closely at what the
best trials have in common; one of straight scores sees trends over the whole space. Alone, each is stuck on tasks where
the other is not: so half of the events look afield at first.

The last few trials close in on what was found, since nothing comes after them that could use what else they learned.

Only for one objective and where all trials are trained to their end: of several, there is no one best; before the end,
the best may be of any age, as it only now came so far.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxhpt.algorithms.model_based.dataset import partial
from jaxhpt.core.history import History
from jaxhpt.core.keys import uniforms
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key

EARLY = 50  # trials of a search until which some events look afield
SHARE = 0.5  # of these events
CLOSING = 0.1  # share of the trials that close in on what was found


class Stance(NamedTuple):
    """What an event is after; neither is the usual.

    Attributes:
      afield: bool[] whether it looks further afield.
      closing: bool[] whether it closes in on what was found.
    """

    afield: Array
    closing: Array


def draw_stance(key: Key, history: History, problem: Problem) -> Stance:
    """Draw what an event is after.

    Args:
      key: consumed.
      history: all trials.
      problem: static.
    """
    if len(problem.objectives) > 1 or partial(problem):
        return Stance(*jnp.zeros(2, bool))
    closing = closes(history, problem)
    return Stance((history.count < EARLY) & ~closing & (uniforms(key, ()) < SHARE), closing)


def closes(history: History, problem: Problem) -> Array:
    """Tell whether so few trials are left that they go to what was found: bool[]; see `draw_stance`."""
    return problem.left(history.count).astype(jnp.float32) <= CLOSING * problem.trials
