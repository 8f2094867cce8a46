"""Training one trial again, alone, as it trained in the search: the same key, the same batches, the same settings."""

from typing import Any, NamedTuple

import jax

from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.typing import Array, Key, PyTree
from jaxhpt.engine.compiling import Function
from jaxhpt.training.batches import Shuffle
from jaxhpt.training.pool import Data, Pool


class Segments(NamedTuple):
    """A life in order, one part for each setting.

    Attributes:
      row: i32[S] the trials, eldest first.
      values: their settings, D arrays [S].
      start: i32[S] ticks of the batch stream at which the parts began to train.
      first: i32[S] training steps done before each part.
      last: i32[S] training steps done after it.
    """

    row: Array
    values: tuple[Array, ...]
    start: Array
    first: Array
    last: Array


def _train_again(pool: Pool, root: Key, data: Data, segments: Segments, begun: PyTree = None) -> Any:
    """Train one trial alone, from its first ancestor on, on the batches they saw.

    Args:
      pool: static.
      root: the search's key.
      data: on device.
      segments: of the trial's life.
      begun: the train state that its first ancestor began from; None where that began afresh.

    Returns:
      The trial's state, and its metrics by name.
    """
    functions = pool.functions

    def train(state: PyTree, part: Segments) -> tuple[PyTree, None]:
        key = key_of(root, Stream.TRIAL, part.row)

        def step(i: Array, carry: tuple[PyTree, Shuffle]) -> tuple[PyTree, Shuffle]:
            state, shuffle = carry
            tick = part.start + i - part.first
            shuffle = pool.batches.seek(shuffle, root, tick, data.train)
            batch, own = pool.batch(shuffle, root, tick, data), jax.random.fold_in(key, i + 1)
            return functions.step(data.captured.step, part.values, state, batch, own), shuffle

        state, _ = jax.lax.fori_loop(part.first, part.last, step, (state, pool.batches.start(1)))
        return state, None

    def fresh() -> PyTree:
        eldest = key_of(root, Stream.TRIAL, segments.row[0])
        start, wave = jax.random.fold_in(eldest, 0), key_of(root, Stream.WAVE, segments.start[0])
        return functions.init(data.captured.init, tuple(v[0] for v in segments.values), start, wave)

    state = fresh() if begun is None else begun
    state, _ = jax.lax.scan(train, state, segments)
    metrics, _ = pool.measure(tuple(v[-1] for v in segments.values), state, segments.row[-1], root, data)
    return state, metrics


train_again = Function(_train_again, 1)
