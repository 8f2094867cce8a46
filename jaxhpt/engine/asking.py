"""Programs of a search that is driven from outside: begin, open rows for what is asked for, close what was told."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxhpt.algorithms import Algorithm
from jaxhpt.algorithms.base import Designed, informed
from jaxhpt.algorithms.untried import propose
from jaxhpt.core.arrays import exclusive_count, full_precision
from jaxhpt.core.history import History, Known, close, open_rows, report
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NOBODY, NONE, Array, Key
from jaxhpt.engine.compiling import SOON, Function


class AskState(NamedTuple):
    """A search that is driven from outside.

    Attributes:
      history: what is known.
      algorithm: state of the algorithm.
      clock: i32[] calls so far.
    """

    history: History
    algorithm: Any
    clock: Array


def _begin(algorithm: Algorithm, problem: Problem, root: Key, before: Known) -> AskState:
    """Make the state of a search in which nothing was asked, but for what was known before."""
    return AskState(*informed(algorithm, root, problem, before), jnp.zeros((), jnp.int32))


@full_precision
def _ask(
    algorithm: Algorithm, problem: Problem, num: int, designed: bool, root: Key, state: AskState, count: Array
) -> tuple[AskState, Array, Array]:
    """Open `count` rows, fewer where nothing is left to propose: the rows i32[num], NONE for none, and their settings.

    Where all of them are `designed`, the program is a small one, without the algorithm's model; the bits are the same.
    """
    history, key = state.history, key_of(root, Stream.ASK, state.clock)
    how = algorithm.design if designed and isinstance(algorithm, Designed) else algorithm.ask
    found, new = propose(algorithm, key, state.algorithm, history, problem, num, count, how=how)
    rows = jnp.where(found.valid, history.num_rows + exclusive_count(found.valid), NONE)
    history = open_rows(history, rows, found.unit, state.clock, found.made)
    return AskState(history, new, state.clock + 1), rows, found.unit


@full_precision
def _tell(
    algorithm: Algorithm, problem: Problem, root: Key, state: AskState, scores: Array, rows: Array, status: Array
) -> AskState:
    """Close rows i32[num], NONE for none, after all scores f32[C, K] are renewed, and let the algorithm learn."""
    ones = jnp.ones(rows.shape, jnp.int32)
    reached = scores[rows]
    history = report(state.history._replace(metrics=scores), rows, reached, ones, jnp.zeros_like(ones))
    history = close(history, rows, status)
    key = key_of(root, Stream.TELL, state.clock)
    learned = algorithm.tell(key, state.algorithm, history, problem, rows)
    return AskState(history, learned, state.clock + 1)


def _enter(problem: Problem, state: AskState, rows: Array, unit: Array) -> AskState:
    """Open rows i32[num], NONE for none, for settings f32[num, D] that somebody else proposed.

    Rows that are open already get these settings: whoever evaluated them took others than were proposed.
    """
    history = open_rows(state.history, rows, problem.space.snap(unit), state.clock)
    last = jnp.max(jnp.where(rows < NONE, rows + 1, 0), initial=0)
    history = history._replace(
        num_rows=jnp.maximum(state.history.num_rows, last), author=history.author.at[rows].set(NOBODY, mode="drop")
    )
    return state._replace(history=history)


begin = Function(_begin, 2, options=SOON)
enter = Function(_enter, 1, donated=(0,), options=SOON)
ask = Function(_ask, 4, donated=(1,), options=SOON)
tell = Function(_tell, 2, donated=(1,), options=SOON)


def padded(num: int) -> int:
    """Round up to a power of two, so that few programs serve any number."""
    return 1 << (num - 1).bit_length()
