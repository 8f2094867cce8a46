"""Trials that begin from weights that there are: those of an earlier search that are trained on."""

import jax
import jax.numpy as jnp

from jaxhpt.core.control import when
from jaxhpt.core.history import Begun
from jaxhpt.core.lanes import Onset
from jaxhpt.core.typing import NONE, Array
from jaxhpt.engine.state import Study, StudyState


def begun(study: Study, state: StudyState, waiting: Begun, rows: Array) -> tuple[StudyState, Array, Onset]:
    """Give weights to the trials that begin and for which there are some: of each such setting to the first.

    A lane counts its steps in whole intervals, so that looks and rungs lie where they do for others: it idles while it
    counts steps that the weights have behind them.

    Args:
      study: static.
      state: with the trials in their rows and lanes.
      waiting: weights, and who has begun with them.
      rows: i32[L] the trials that begin; NONE for none.

    Returns:
      The state, bool[L] the lanes that begin, and those of them that begin from weights.
    """
    num, fresh = waiting.steps.shape[0], rows < NONE
    lane = _lanes_of(study, state, waiting, rows)
    which = jnp.full(rows.shape, NONE, jnp.int32).at[lane].set(jnp.arange(num, dtype=jnp.int32), mode="drop")
    mine = which < NONE
    steps = jnp.where(mine, waiting.steps[jnp.minimum(which, num - 1)], 0)
    row = jnp.where(lane < NONE, rows[jnp.minimum(lane, rows.shape[0] - 1)], waiting.row)
    history = state.history._replace(
        begun=waiting._replace(row=row),
        steps=state.history.steps.at[jnp.where(mine, rows, NONE)].set(steps, mode="drop"),
    )
    lanes = state.lanes._replace(steps=jnp.where(mine, counted(steps, study), state.lanes.steps))
    return state._replace(history=history, lanes=lanes), fresh, Onset(which, steps)


def counted(steps: Array, study: Study) -> Array:
    """Return the steps that a lane counts for weights with i32[...] steps behind them: whole intervals."""
    interval = study.problem.schedule.interval
    return steps // interval * interval


def _lanes_of(study: Study, state: StudyState, waiting: Begun, rows: Array) -> Array:
    """Find the lane in which each of the weights begins, i32[E]; NONE for none in this event."""
    problem, num = study.problem, waiting.steps.shape[0]

    def find() -> Array:
        unit = state.history.unit[jnp.minimum(rows, problem.capacity - 1)]
        own = problem.space.snap(state.history.first[:num])
        fits = jnp.all(own[:, None] == unit[None], axis=2) & (waiting.row == NONE)[:, None] & (rows < NONE)[None]

        def one(taken: Array, fits: Array) -> tuple[Array, Array]:
            free = fits & ~taken
            lane = jnp.where(jnp.any(free), jax.lax.argmax(free, 0, jnp.int32), NONE)
            return taken.at[lane].set(True, mode="drop"), lane

        return jax.lax.scan(one, jnp.zeros(rows.shape, bool), fits)[1]

    some = jnp.any(rows < NONE) & jnp.any(waiting.row == NONE)
    return when(some, find, lambda: jnp.full(num, NONE, jnp.int32))
