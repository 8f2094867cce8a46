"""A study that goes on with more trials than it began with: its columns get room for them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import zeros
from jaxhpt.core.hashing import fingerprint, inserted
from jaxhpt.core.history import History, Known
from jaxhpt.core.typing import Array, Key
from jaxhpt.engine import event
from jaxhpt.engine.carrying import Carried
from jaxhpt.engine.extending import extended
from jaxhpt.engine.state import Program, StudyState


def sizes_of(program: Program) -> dict[str, int]:
    """Return what the room of a study follows from."""
    return {"trials": program.study.problem.trials, "copies": program.study.problem.copies}


def like_of(
    program: Program, sizes: dict[str, Any], root: Key, known: Known | None, searches: int | None = None
) -> StudyState:
    """Return a study of the shapes that this one had when it had room for other numbers of trials.

    Args:
      program: all that is static now.
      sizes: of then, as `sizes_of` returned them.
      root: the root key, of one search.
      known: before one search.
      searches: R, for leaves [R, ...]; None for one alone.
    """
    problem = dataclasses.replace(program.study.problem, trials=int(sizes["trials"]), copies=int(sizes["copies"]))
    study = dataclasses.replace(program.study, problem=problem)
    older: StudyState = zeros(jax.eval_shape(lambda: event.begin(study, root, known, jnp.int32(1))), searches)
    return older


def gone_on(program: Program, carried: Carried, state: StudyState, fresh: StudyState) -> StudyState:
    """Return a study as it goes on: with the trials that this search has, and in its space.

    Args:
      program: all that is static.
      carried: what it goes on from.
      state: as it was.
      fresh: of this search, which has not begun.
    """
    state = raised(state, fresh, program.problem.trials)
    return state if carried.moved is None else extended(program.study, state, carried.moved)


def raised(state: StudyState, fresh: StudyState, trials: int) -> StudyState:
    """Give a study the room of a fresh one, and so many trials in all.

    Args:
      state: as it was.
      fresh: of this search, which has not begun.
      trials: not less than it had.
    """
    more = state.history.num_trials != trials
    history = _widened(state.history, fresh.history)._replace(
        num_trials=jnp.full_like(state.history.num_trials, trials)
    )
    learned = jax.tree.map(_roomier, (state.algorithm, state.scheduler), (fresh.algorithm, fresh.scheduler))
    state = state._replace(algorithm=learned[0], scheduler=learned[1])
    return state._replace(history=history, finished=state.finished & ~more)


def _roomier(old: Array, fresh: Array) -> Array:
    """Put what is known into the room of what has not begun, from its beginning on: a rung of more trials is longer."""
    if old.shape == fresh.shape:
        return old
    return fresh.at[tuple(slice(size) for size in old.shape)].set(old)


def _widened(history: History, fresh: History) -> History:
    """Take over all rows into columns that have more."""
    rows = history.status.shape[0]
    if rows == fresh.status.shape[0]:
        return history
    kept = {name: getattr(history, name) for name in ("num_rows", "num_trials", "first", "begun")}
    columns = jax.tree.map(lambda new, old: new.at[:rows].set(old) if new.ndim else old, _bare(fresh), _bare(history))
    there = jnp.arange(rows, dtype=jnp.int32) < history.num_rows
    tried: Array = inserted(fresh.tried, fingerprint(history.unit), there)[0]
    wider: History = columns._replace(tried=tried, **kept)
    return wider


def _bare(history: History) -> History:
    """Return the columns alone."""
    nothing: Any = jnp.zeros((), jnp.int32)
    return history._replace(tried=nothing, num_rows=nothing, num_trials=nothing, first=nothing, begun=None)
