"""Many searches as one program: the whole search is mapped over its data and its seed.

All run the same event at the same time, by `vmap`: what one of them skips is not paid by the others, as
`core.control.when` keeps its branches under the axis of the searches. Where a Gaussian process proposes on a CPU, an
event of one search follows the other's, by `lax.map`: batched factorisations take longer there than one by one, and two
programs with some of them at a time have been seen to wait for each other for ever. A search that has ended stays as it
is.
"""

import concurrent.futures
import time
from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Designed
from jaxhpt.core.control import REPLICA
from jaxhpt.core.typing import Array, Key, PyTree
from jaxhpt.engine.compiling import Function
from jaxhpt.engine.loop import SearchState, run_event
from jaxhpt.engine.loop import fresh as fresh_one
from jaxhpt.engine.settle import summary
from jaxhpt.engine.state import Program, Summary
from jaxhpt.schedulers import PB2
from jaxhpt.training.pool import Data


def _begin(program: Program, roots: Key) -> SearchState:
    """Make the carries of searches that have not begun, of the root keys [R]: leaves [R, ...]."""
    return jax.vmap(lambda root: fresh_one(program, root), axis_name=REPLICA)(roots)


def _dispatch(
    program: Program, each: bool, carry: SearchState, data: Data, events: Array
) -> tuple[SearchState, Summary]:
    """Run at most i32[] `events` events of all searches, fewer where all end before.

    Args:
      program: static; of one search.
      each: static; whether each search has data of its own, which are stacked.
      carry: leaves [R, ...].
      data: on device; what the functions captured is the same for all.
      events: i32[].
    """

    def going(state: tuple[SearchState, Array]) -> Array:
        carry, left = state
        return (left > 0) & ~jnp.all(carry.study.finished)

    def event(carry: SearchState, own: tuple[PyTree, ...]) -> SearchState:
        later = run_event(program, carry, data._replace(train=own[0], valid=own[1]) if each else data)
        study = jax.tree.map(lambda a, b: jnp.where(carry.study.finished, a, b), carry.study, later.study)
        return later._replace(study=study)

    def one(state: tuple[SearchState, Array]) -> tuple[SearchState, Array]:
        carry, left = state
        own = (data.train, data.valid) if each else ()
        if side_by_side(program):
            return jax.vmap(event, axis_name=REPLICA)(carry, own), left - 1
        return jax.lax.map(lambda search: event(*search), (carry, own)), left - 1

    carry, _ = jax.lax.while_loop(going, one, (carry, events))
    summed = jax.vmap(lambda study: summary(program.study, study, study.lanes, jnp.int32(0)), axis_name=REPLICA)
    return carry, summed(carry.study)


def side_by_side(program: Program) -> bool:
    """Tell whether the searches run by `vmap`."""
    models = isinstance(program.study.algorithm, Designed) or isinstance(program.study.scheduler, PB2)
    return not (models and jax.default_backend() == "cpu")


BEGIN = Function(_begin, 1)
DISPATCH = Function(_dispatch, 2, donated=(0,))


class Many:
    """Searches that run as one program for each core.

    Attributes:
      summary: after the last dispatch, leaves [R, ...].
      compile_seconds: spent on tracing and compiling.
      told: what was done where memory did not suffice.
    """

    def __init__(self, program: Program, roots: Key, data: Data, each: bool, cores: int) -> None:
        begun, self.told = time.perf_counter(), list[str]()
        num = roots.shape[0]
        parts = max(n for n in range(1, cores + 1) if num % n == 0)
        size = num // parts
        self._data = [_part(data, slice(i * size, (i + 1) * size)) if each else data for i in range(parts)]
        self._threads = concurrent.futures.ThreadPoolExecutor(parts, thread_name_prefix="jaxhpt-searches")
        self._carries: list[Any] = [BEGIN(program, roots[i * size : (i + 1) * size]) for i in range(parts)]
        self._run = DISPATCH.program(program, each, self._carries[0], self._data[0], jnp.int32(0))
        self.compile_seconds = time.perf_counter() - begun
        self.run(0)

    def run(self, grains: int) -> None:
        """Run at most so many events."""
        events = jax.device_put(jnp.int32(grains))

        def one(i: int) -> Summary:
            carry, self._carries[i] = self._carries[i], None  # it is given away
            self._carries[i], found = self._run(carry, self._data[i], events)
            done: Summary = jax.block_until_ready(found)
            return done

        found = list(self._threads.map(one, range(len(self._carries))))
        self.summary: Summary = found[0] if len(found) == 1 else jax.tree.map(lambda *a: jnp.concatenate(a), *found)

    @property
    def best(self) -> Any:
        """Weights of the winners so far, leaves [R, ...]; None where they were lost in a crash."""
        if any(carry is None for carry in self._carries):
            return None
        return jax.tree.map(lambda *a: jnp.concatenate(a), *(carry.best for carry in self._carries))

    def close(self) -> None:
        """Leave nothing running."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _part(data: Data, which: slice) -> Data:
    train, valid = jax.tree.map(lambda a: a[which], (data.train, data.valid))
    return data._replace(train=train, valid=valid)
