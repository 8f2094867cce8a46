"""Where trials come from: copies go on from other trials' weights, so a life may have several settings."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.history import History
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE
from jaxhpt.engine.replay import Segments


def births(history: History) -> np.ndarray:
    """Return the training steps that each row's weights had behind them when it was opened: i32[C].

    A lane trains a step a tick, so a parent's age at a copy follows from the two starts; one that was parked meanwhile
    has grown no older than it was then.
    """
    born = np.zeros(history.start.shape[0], np.int32)
    for row in np.flatnonzero(history.parent < NONE):  # parents have the smaller ids
        parent = history.parent[row]
        age = born[parent] + history.start[row] - history.start[parent]
        born[row] = min(age, history.steps[parent])
    return born


def segments_of(history: History, space: Space, row: int, steps: int) -> Segments:
    """Trace a trial's life back to its first ancestor, up to a number of training steps."""
    rows = [row]
    while history.parent[rows[0]] < NONE:
        rows.insert(0, int(history.parent[rows[0]]))
    line = np.array(rows, np.int32)
    first = births(history)[line]
    last = np.append(first[1:], np.int32(steps))
    values = space.values(np.asarray(history.unit[line]), np)
    return Segments(*jax.tree.map(jnp.asarray, (line, values, history.start[line], first, last)))
