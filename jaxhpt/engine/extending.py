"""A study that goes on in a wider space: what is known moves to its place there, and the algorithm learns it anew."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.arrays import full_precision
from jaxhpt.core.hashing import empty_table, fingerprint, inserted
from jaxhpt.core.history import History, Status
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.typing import NOBODY, NONE
from jaxhpt.engine.compiling import SOON, Function
from jaxhpt.engine.state import Study, StudyState

Moved = Callable[[np.ndarray], np.ndarray]  # f32[n, D] in the old space -> f32[n, D] in the new one


def extended(study: Study, state: StudyState, moved: Moved) -> StudyState:
    """Move all settings to their places in a wider space, and let the algorithm learn from what has ended.

    What it kept beside each trial, such as steps of its own, has no place there: old trials are to it as trials that
    were known before. Trials under way go on.
    """
    history, queue = state.history, state.queue
    unit = jnp.asarray(moved(np.asarray(history.unit)))
    first, waiting = (jnp.asarray(moved(np.asarray(a))) for a in (history.first, queue.unit))
    there = jnp.arange(unit.shape[0], dtype=jnp.int32) < history.num_rows
    tried = inserted(empty_table(unit.shape[0]), fingerprint(unit), there)[0]
    nobody = jnp.full_like(history.author, NOBODY)
    history = history._replace(unit=unit, first=first, tried=tried, author=nobody)
    queue = queue._replace(unit=waiting, author=jnp.full_like(queue.author, NOBODY))
    return RELEARNED(study, state._replace(history=history, queue=queue))


@full_precision
def _relearned(study: Study, state: StudyState) -> StudyState:
    """Let the algorithm begin anew, and tell it what has ended."""
    algorithm, problem, history = study.algorithm, study.problem, state.history
    fresh = algorithm.init(key_of(state.key, Stream.ALGORITHM), problem)
    rows = _ended(history)
    learned = algorithm.tell(key_of(state.key, Stream.PRIOR), fresh, history, problem, rows)
    return state._replace(algorithm=jax.tree.map(lambda new, old: new.astype(old.dtype), learned, state.algorithm))


def _ended(history: History) -> jax.Array:
    """Return the rows that have ended, NONE in the places of others: i32[C]."""
    rows = jnp.arange(history.status.shape[0], dtype=jnp.int32)
    return jnp.where(history.status >= jnp.int8(Status.DONE), rows, NONE)


RELEARNED = Function(_relearned, 1, options=SOON)
