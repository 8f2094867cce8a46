"""What an event of a model-based search is after: more of what is known, something further away, or a good finish.

Exploring, the model sees scores straight, not bent, and hopes are bolder. A model of bent scores looks closely at what
the best trials have in common; one of straight scores sees trends over the whole space. Alone, each is stuck on tasks
where the other is not: so half of the events explore at first.

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

EXPLORE_UNTIL = 50  # trials of a search until which some events explore
EXPLORE_SHARE = 0.5  # of these events
EXPLOIT = 0.1  # share of the trials that close in on what was found


class Phase(NamedTuple):
    """What an event is after; neither is the usual.

    Attributes:
      explore: bool[] whether it looks further away.
      exploit: bool[] whether it closes in on what was found.
    """

    explore: Array
    exploit: Array


def draw_phase(key: Key, history: History, problem: Problem) -> Phase:
    """Draw what an event is after.

    Args:
      key: consumed.
      history: all trials.
      problem: static.
    """
    if len(problem.objectives) > 1 or partial(problem):
        return Phase(*jnp.zeros(2, bool))
    exploit = exploits(history, problem)
    return Phase((history.count < EXPLORE_UNTIL) & ~exploit & (uniforms(key, ()) < EXPLORE_SHARE), exploit)


def exploits(history: History, problem: Problem) -> Array:
    """Tell whether so few trials are left that they go to what was found: bool[]; see `draw_phase`."""
    return problem.left(history.count).astype(jnp.float32) <= EXPLOIT * problem.trials
