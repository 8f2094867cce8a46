"""What an event of a model-based search is after: more of what is known, something further afield, or a good finish.

Afield, the model sees scores straight, not bent, and hopes are bolder. A model of bent scores looks closely at what the
best trials have in common; one of straight scores sees trends over the whole space. Alone, each is stuck on tasks where
the other is not: so half of the events look afield at first.

Later, while the best stands still, half of the picks step aside: the best with one dimension or a few drawn anew. They
are not the model's, which is sure of what lies on these lines, and wrong where something better there is narrow.

The last few trials close in on what was found, since nothing comes after them that could use what else they learned.

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

EARLY = 50  # trials of a search until which some events look afield, and no pick steps aside
STILL_EVENTS, STILL_TRIALS = 2, 10  # without a better trial after which the best stands still: both
SHARE = 0.5  # of the events that look afield, of the picks that step aside
CLOSING = 0.1  # share of the trials that close in on what was found


class Stance(NamedTuple):
    """What an event is after; none of them is the usual.

    Attributes:
      afield: bool[] whether it looks further afield.
      aside: bool[] whether some of its picks step aside from the best.
      closing: bool[] whether it closes in on what was found.
    """

    afield: Array
    aside: Array
    closing: Array


def draw_stance(key: Key, history: History, problem: Problem, best: Array, num: int) -> Stance:
    """Draw what an event is after.

    Args:
      key: consumed.
      history: all trials.
      problem: static.
      best: i32[B] rows, best first; C for none.
      num: static; trials of an event.
    """
    if len(problem.objectives) > 1 or partial(problem):
        return Stance(*jnp.zeros(3, bool))
    early, closing = history.count < EARLY, closes(history, problem)
    afield = early & (uniforms(key, ()) < SHARE)
    return Stance(afield & ~closing, stands_still(history, best, num) & ~early & ~closing, closing)


def stands_still(history: History, best: Array, num: int) -> Array:
    """Tell whether the best has not been bettered for long: bool[]; see `draw_stance`."""
    return history.count - 1 - best[0] >= max(STILL_EVENTS * num, STILL_TRIALS)


def closes(history: History, problem: Problem) -> Array:
    """Tell whether so few trials are left that they go to what was found: bool[]; see `draw_stance`."""
    return problem.left(history.count) <= CLOSING * problem.trials
