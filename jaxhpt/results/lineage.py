"""Where trials come from: copies go on from other trials' weights, so a life may have several settings."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE
from jaxhpt.engine.replay import Segments


def births(history: History, interval: int) -> np.ndarray:
    """Return the training steps that each row's weights had behind them when it was opened: i32[C].

    A lane trains a step a tick, so a parent's age at a copy follows from the two starts; one that was parked meanwhile
    has grown no older than it was then. What goes on from an earlier search begins at the end of an interval, see
    `engine/onset.py`.

    Args:
      history: on the host.
      interval: steps between events.
    """
    born = np.zeros(history.start.shape[0], np.int32)
    if history.begun is not None:
        began = np.asarray(history.begun.row) < NONE
        born[history.begun.row[began]] = history.begun.steps[began]
    for row in np.flatnonzero(history.parent < NONE):  # parents have the smaller ids
        parent = history.parent[row]
        age = born[parent] - born[parent] % interval + history.start[row] - history.start[parent]
        born[row] = min(age, history.steps[parent])
    return born


def segments_of(history: History, problem: Problem, row: int, steps: int) -> Segments:
    """Trace a trial's life back to its first ancestor in this search, up to a number of training steps."""
    rows = [row]
    while history.parent[rows[0]] < NONE:
        rows.insert(0, int(history.parent[rows[0]]))
    line = np.array(rows, np.int32)
    first = births(history, problem.schedule.interval)[line]
    last = np.append(first[1:], np.int32(steps))
    values = problem.space.values(np.asarray(history.unit[line]), np)
    start = history.start[line] + first % problem.schedule.interval
    return Segments(*jax.tree.map(jnp.asarray, (line, values, start, first, last)))
