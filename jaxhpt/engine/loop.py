"""Fused execution: many events as one program, for events so cheap that calling a program costs as much."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.history import Known
from jaxhpt.core.typing import Array, Key, TrainState
from jaxhpt.engine import event
from jaxhpt.engine.carrying import Carried, on_host, onto
from jaxhpt.engine.compiling import Function
from jaxhpt.engine.memory import Fitting, halved_inside
from jaxhpt.engine.raising import gone_on, like_of, sizes_of
from jaxhpt.engine.settle import settle, summary
from jaxhpt.engine.state import Program, StudyState, Summary
from jaxhpt.engine.steering import Steering
from jaxhpt.training.devices import CUT, WHOLE, put_of
from jaxhpt.training.pool import Data, PoolState
from jaxhpt.training.sharded import LANES_CUT, copying_of


class SearchState(NamedTuple):
    """The carry of the loop, which is the whole search.

    Attributes:
      study: what decides.
      pools: what trains.
      best: weights of the winner so far.
      store: weights of parked trials; None where there may be none.
    """

    study: StudyState
    pools: tuple[PoolState, ...]
    best: TrainState
    store: PoolState | None = None


def fresh(program: Program, root: Key, known: Known | None = None) -> SearchState:
    """Make the carry of a search that has not begun, but for what was `known` before."""
    pool, copying, trials = program.pool, copying_of(program.pool), jnp.int32(program.problem.trials)
    given = (pool.functions.state, pool.batches, pool.lanes, pool.interval)
    pools, study = tuple(copying.vacant(*given) for _ in range(program.pools)), (program.study, root, known, trials)
    store = copying.parked(pool.functions.state, program.slots) if program.slots else None
    return SearchState(event.begin(*study), pools, copying.nobody(pool.functions.state), store)


def run_event(program: Program, carry: SearchState, data: Data) -> SearchState:
    """Run one event."""
    given, pool = (program.ranges, program.study.scheduler, program.pool.functions.steps, program.pools), program.pool
    study, places = event.propose(program.study, False, carry.study)
    orders, lanes, scored = event.instruct(*given, data.captured.steps, places)
    first, last = jnp.int32(0), jnp.int32(pool.grains)
    key, each = study.key, zip(carry.pools, orders, strict=True)
    filled = [(pool.fill(state, mine, data, key), mine) for state, mine in each]
    trained = [pool.advance(state, mine, data, key, first, last) for state, mine in filled]
    pools, reports = zip(*trained, strict=True)
    study, moves = settle(program.study, study, lanes, scored, reports)
    copying = copying_of(pool)
    best = copying.keep(pools, carry.best, moves.keep)
    if carry.store is not None:
        pools, store = copying.exchange(pools, carry.store, moves.source, moves.target)
        return SearchState(study, pools, best, store)
    moved = copying.move(pools, moves.source, moves.target) if moves.target.size else pools
    return SearchState(study, moved, best)


def _dispatch(program: Program, carry: SearchState, data: Data, events: Array) -> tuple[SearchState, Summary]:
    """Run at most i32[] `events` events, fewer where the search ends before.

    The number is traced: one program runs the whole search at once or an event at a time, to the same bits.
    """

    def going(state: tuple[SearchState, Array]) -> Array:
        carry, left = state
        return (left > 0) & ~carry.study.finished

    def one(state: tuple[SearchState, Array]) -> tuple[SearchState, Array]:
        carry, left = state
        return run_event(program, carry, data), left - 1

    carry, _ = jax.lax.while_loop(going, one, (carry, events))
    return carry, summary(program.study, carry.study, carry.study.lanes, jnp.int32(0))


CARRY: Any = SearchState(WHOLE, (LANES_CUT,), WHOLE, CUT)  # type: ignore[arg-type]  # a prefix of its tree
begin = Function(fresh, 1, out=CARRY)
dispatch = Function(_dispatch, 1, donated=(0,), out=(CARRY, WHOLE))


class Fused:
    """A search that runs as one program, from its beginning, or from where another stood that was `carried` here.

    Attributes:
      summary: after the last dispatch.
      compile_seconds: spent on tracing and compiling.
      told: what was done where memory did not suffice.
      steering: orders to it.
      devices: that share the lanes.
    """

    def __init__(
        self, program: Program, root: Key, known: Known | None, data: Data, carried: Carried | None = None
    ) -> None:
        begun, self._program = time.perf_counter(), program
        self._put, self.devices = put_of(program.devices), program.num_devices
        self._data, self.told, self.steering = self._put(data), list[str](), Steering(program)
        self._carry: SearchState | None = begin(program, *self._put((root, known)))
        if carried is not None:
            like = self._carry._replace(study=like_of(program, carried.facts["sizes"], root, known))
            then = onto(like, carried.arrays)
            self._carry = then._replace(study=self._put(gone_on(program, carried, then.study, self._carry.study)))
        given = (self._carry, self._data, self._put(np.int32(0)))
        self._run = Fitting(dispatch, program, given, halved_inside, self.told)
        self.compile_seconds = time.perf_counter() - begun
        self.run(0)

    def run(self, grains: int) -> None:
        """Run at most so many events, and carry out orders before those that they name."""
        while True:
            now, carry = grains, self._carry
            if self.steering.waits and carry is not None:
                self._carry = carry._replace(study=self.steering.due(carry.study))
                now = self.steering.free(grains, int(carry.study.clock))
            self._some(now)
            grains -= now
            if grains <= 0 or np.all(self.summary.finished):
                return

    def _some(self, grains: int) -> None:
        number = self._put(np.int32(grains))
        self._run.require_room((self._carry, self._data, number))
        carry, self._carry = self._carry, None  # it is given away
        carry, found = self._run(carry, self._data, number)
        self.summary: Summary = jax.block_until_ready(found)
        self._carry = carry

    def carried(self) -> Carried:
        """Copy all that it needs to go on from here."""
        return Carried(on_host(self._carry), {"sizes": sizes_of(self._program)})

    @property
    def best(self) -> TrainState | None:
        """Weights of the winner so far, without the lane axis; None where they were lost in a crash."""
        return None if self._carry is None else self._carry.best

    def close(self) -> None:
        """Leave nothing running."""
