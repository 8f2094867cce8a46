"""How a model-based search looks at what it knows: straight or bent, near or further afield.

A model of bent scores looks closely at what the best trials have in common; one of straight scores sees trends over
the whole space. Alone, each is stuck on tasks where the other is not: so half of the events are straight at first, and
while the best stands still, when they look further afield, too.

Only for one objective and where all trials are trained to their end: of several, there is no one best; before the end,
the best may be of any age, as it only now came so far.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxhpt.algorithms.evidence import partial
from jaxhpt.history import History
from jaxhpt.keys import uniforms
from jaxhpt.problem import Problem
from jaxhpt.typing import Array, Key

EARLY = 50  # trials of a search until which some events are straight
STILL_EVENTS, STILL_TRIALS = 2, 10  # without a better trial after which the best stands still: both
STRAIGHT = 0.5  # share of the events at first, and while the best stands still


class Mood(NamedTuple):
    """What an event is like.

    Attributes:
      bent: bool[] whether its model sees bad scores bent; see `outcomes.standardised`.
      afield: bool[] whether its hopes are bolder; see `Picker`.
    """

    bent: Array
    afield: Array


def mood(key: Key, history: History, problem: Problem, best: Array, num: int) -> Mood:
    """Draw the mood of an event.

    Args:
      key: consumed.
      history: all trials.
      problem: static.
      best: i32[B] rows, best first; C for none.
      num: static; trials of an event.
    """
    if len(problem.objectives) > 1 or partial(problem):
        return Mood(jnp.ones((), bool), jnp.zeros((), bool))
    still = stands_still(history, best, num)
    straight = (still | (history.count < EARLY)) & (uniforms(key, ()) < STRAIGHT)
    return Mood(~straight, straight & still)


def stands_still(history: History, best: Array, num: int) -> Array:
    """Tell whether the best has not been bettered for long: bool[]; see `mood`."""
    return history.count - 1 - best[0] >= max(STILL_EVENTS * num, STILL_TRIALS)
