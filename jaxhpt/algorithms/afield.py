"""When a model-based search looks further afield: its model sees scores straight, not bent, and its hopes are bolder.

A model of bent scores looks closely at what the best trials have in common; one of straight scores sees trends over
the whole space. Alone, each is stuck on tasks where the other is not: so half of the events look afield at first, and
again while the best stands still.

Only for one objective and where all trials are trained to their end: of several, there is no one best; before the end,
the best may be of any age, as it only now came so far.
"""

import jax.numpy as jnp

from jaxhpt.algorithms.evidence import partial
from jaxhpt.history import History
from jaxhpt.keys import uniforms
from jaxhpt.problem import Problem
from jaxhpt.typing import Array, Key

EARLY = 50  # trials of a search until which some events look afield
STILL_EVENTS, STILL_TRIALS = 2, 10  # without a better trial after which the best stands still: both
SHARE = 0.5  # of the events at first, and while the best stands still


def looks_afield(key: Key, history: History, problem: Problem, best: Array, num: int) -> Array:
    """Draw whether an event looks further afield: bool[].

    Args:
      key: consumed.
      history: all trials.
      problem: static.
      best: i32[B] rows, best first; C for none.
      num: static; trials of an event.
    """
    if len(problem.objectives) > 1 or partial(problem):
        return jnp.zeros((), bool)
    unsure = (history.count < EARLY) | stands_still(history, best, num)
    return unsure & (uniforms(key, ()) < SHARE)


def stands_still(history: History, best: Array, num: int) -> Array:
    """Tell whether the best has not been bettered for long: bool[]; see `looks_afield`."""
    return history.count - 1 - best[0] >= max(STILL_EVENTS * num, STILL_TRIALS)
