"""Pools of one structure, side by side: a CPU's cores train one each, from threads.

Bits do not depend on the threads: an event ends when all pools have trained, and is then settled as one.
"""

import concurrent.futures
import functools
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np

from jaxhpt.algorithms.opened import Opened
from jaxhpt.core.typing import Array, Key, PyTree, TrainState
from jaxhpt.engine.carrying import Carried, onto
from jaxhpt.engine.compiling import SOON, Function, shapes_of
from jaxhpt.engine.memory import Fitting, halved
from jaxhpt.engine.programs import Programs
from jaxhpt.engine.state import Moves, Places, Program
from jaxhpt.training.batches import Batches
from jaxhpt.training.copying import Copying
from jaxhpt.training.devices import WHOLE
from jaxhpt.training.pool import Data, Orders, Pool, PoolState, Report
from jaxhpt.training.sharded import LANES_CUT, copying_of


class Room(NamedTuple):
    """What is known of the weights of pools without the functions that make them. Static.

    Attributes:
      batches: how minibatches are cut.
      lanes: of a pool, on one device.
      interval: steps of an event.
      pools: side by side.
    """

    batches: Batches
    lanes: int
    interval: int
    pools: int


def _vacant(copying: Copying, shapes: tuple, structure: Any, room: Room, there: Array) -> tuple[Any, TrainState]:
    """Make pools whose lanes hold no trial, and the weights of no winner, of a state's shapes, and where i32[] lies."""
    state = jax.tree.unflatten(structure, shapes)
    pools = tuple(copying.vacant(state, room.batches, room.lanes, room.interval) for _ in range(room.pools))
    return pools, copying.nobody(state)


def fill(pool: Pool, *given: Any) -> PoolState:
    """Start the trials of a pool that begin."""
    return pool.fill(*given)


def advance(pool: Pool, *given: Any) -> tuple[PoolState, Report]:
    """Train a pool."""
    return pool.advance(*given)


def keep(copying: Copying, *given: Any) -> TrainState:
    """Put the weights of a new winner aside."""
    return copying.keep(*given)


def move(copying: Copying, *given: Any) -> tuple[PoolState, ...]:
    """Copy weights from lane to lane."""
    return copying.move(*given)


def store(copying: Copying, shapes: tuple, structure: Any, slots: int, there: Array) -> PoolState:
    """Make slots that hold no trial; arguments as of `_vacant`."""
    return copying.parked(jax.tree.unflatten(structure, shapes), slots)


def exchange(copying: Copying, *given: Any) -> tuple[tuple[PoolState, ...], PoolState]:
    """Copy weights between lanes and slots."""
    return copying.exchange(*given)


VACANT = Function(_vacant, 4, options=SOON, out=((LANES_CUT,), WHOLE))
FILL = Function(fill, 1, donated=(0,), options=SOON, out=LANES_CUT)
ADVANCE = Function(advance, 1, donated=(0,), out=(LANES_CUT, WHOLE))
KEEP = Function(keep, 1, options=SOON)
MOVE = Function(move, 1, donated=(0,), options=SOON, out=(LANES_CUT,))
STORE = Function(store, 4, options=SOON, out=LANES_CUT)
EXCHANGE = Function(exchange, 1, donated=(0, 1), options=SOON, out=((LANES_CUT,), LANES_CUT))


class Pools(Protocol):
    """What trains the lanes of a study, and keeps their weights.

    Attributes:
      best: weights of the winner so far, without the lane axis.
      devices: how many share the lanes.
    """

    best: Any

    @property
    def devices(self) -> int:
        """Return how many share the lanes."""
        ...

    def opened(self) -> tuple[Opened, ...]:
        """Return the structures that proposals are to heed, as one; none where they are free."""
        ...

    def begin(self, places: Places, orders: tuple[Orders, ...]) -> None:
        """Begin an event: take the orders, and begin to compile what they need."""
        ...

    def fill(self) -> None:
        """Start the trials that begin."""
        ...

    def advance(self, first: int, last: int) -> tuple[Report, ...]:
        """Train from one grain of the event to another."""
        ...

    def settle(self, moves: Moves) -> None:
        """Put the weights of a new winner aside, and copy weights from lane to lane."""
        ...

    def carried(self) -> tuple[PyTree, dict[str, Any]]:
        """Return all that is needed to go on from here: arrays, and facts; see `Carried`."""
        ...

    def go_on(self, places: Places, orders: tuple[Orders, ...], carried: Carried) -> None:
        """Stand where other pools stood, in the event of these orders."""
        ...

    def report_shapes(self) -> tuple[Report, ...]:
        """Return the shapes of what `advance` returns."""
        ...

    def close(self) -> None:
        """Leave nothing running."""
        ...


class AlikePools:
    """Pools of one structure, of equally many lanes each; what is done where memory does not suffice goes to `told`."""

    def __init__(self, program: Program, root: Key, data: Data, programs: Programs, told: list[str]) -> None:
        self._program, self._root, self._data, self._programs = program, root, data, programs
        self._copying = copying_of(program.pool)
        self._threads = concurrent.futures.ThreadPoolExecutor(program.pools, thread_name_prefix="jaxhpt-pool")
        self._orders: tuple[Orders, ...] = ()
        self._fits, self._fitting = functools.partial(Fitting, halve=halved, told=told), dict[str, Fitting]()
        self._pools: Any
        self.best: TrainState
        pool, (shapes, structure) = program.pool, jax.tree.flatten(program.pool.functions.state)
        room = Room(pool.batches, pool.lanes, pool.interval, program.pools)
        given = (self._copying, tuple(shapes), structure, room, programs.number(0))
        self._pools, self.best = programs.call("vacant", VACANT, *given)
        slots = (*given[:3], program.slots, given[-1])
        self._store: Any = programs.call("store", STORE, *slots) if program.slots else None

    @property
    def devices(self) -> int:
        """Return how many share the lanes."""
        return self._program.num_devices

    def opened(self) -> tuple[Opened, ...]:
        """Return none: there is one structure."""
        return ()

    def begin(self, places: Places, orders: tuple[Orders, ...]) -> None:
        """Take the orders; what trains is compiled at once, before anything else."""
        self._orders = orders
        if not self._fitting:
            with self._programs.waiting():
                self._prepare()
        shapes = shapes_of((self._pools, self.best, self._programs.number(0)))
        self._programs.later("keep", KEEP, self._copying, *shapes)

    def _prepare(self) -> None:
        """Compile what trains, and call it for nothing, as long as there is nothing to lose."""
        pool, num, nothing = self._program.pool, self._program.pools, (self._programs.number(0),) * 2
        fill = self._fitting["fill"] = self._fits(FILL, pool, self._arguments(0))
        advance = self._fitting["advance"] = self._fits(ADVANCE, pool, (*self._arguments(0), *nothing))
        self._pools = tuple(fill.rehearse(1, *self._arguments(i, fresh=False)) for i in range(num))
        self._pools = tuple(advance.rehearse(num, *self._arguments(i), *nothing)[0] for i in range(num))

    def fill(self) -> None:
        """Start the trials that begin, in all pools."""
        program, given = self._fitting["fill"], [self._arguments(i) for i in range(self._program.pools)]
        program.require_room(given[0])
        self._pools = tuple(program(*mine) for mine in given)

    def advance(self, first: int, last: int) -> tuple[Report, ...]:
        """Train all pools side by side."""
        program, span, pools = self._fitting["advance"], self._programs.numbers(first, last), range(self._program.pools)
        program.require_room((*self._arguments(0), *span), len(pools))

        def one(i: int) -> tuple[PoolState, Report]:
            found: tuple[PoolState, Report] = program(*self._arguments(i), *span)
            return found

        trained = [one(0)] if len(pools) == 1 else list(self._threads.map(one, pools))
        self._pools, reports = zip(*trained, strict=True)
        return reports

    def settle(self, moves: Moves) -> None:
        """Keep, and move."""
        self.best = self._programs.call("keep", KEEP, self._copying, self._pools, self.best, moves.keep)
        if self._store is not None:
            given = (self._copying, self._pools, self._store, moves.source, moves.target)
            self._pools, self._store = self._programs.call("exchange", EXCHANGE, *given)
        elif moves.target.size:
            self._pools = self._programs.call("move", MOVE, self._copying, self._pools, moves.source, moves.target)

    def carried(self) -> tuple[PyTree, dict[str, Any]]:
        """Return the weights."""
        return (self._pools, self.best, self._store), {}

    def go_on(self, places: Places, orders: tuple[Orders, ...], carried: Carried) -> None:
        """Take the weights."""
        self.begin(places, orders)
        self._pools, self.best, self._store = onto((self._pools, self.best, self._store), carried.arrays)

    def report_shapes(self) -> tuple[Report, ...]:
        """Return the shapes of the pools' reports."""
        pool = self._program.pool
        shape = report_shape(pool.lanes * pool.parts, len(pool.metrics.names))
        return (self._programs.placed(shape),) * self._program.pools

    def close(self) -> None:
        """Leave nothing running."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _arguments(self, i: int, fresh: bool = True) -> tuple:
        """Return what the programs of a pool take; no trial is fresh where `fresh` is False."""
        orders = self._orders[i]
        if not fresh:
            orders = orders._replace(fresh=self._programs.put(np.zeros(orders.fresh.shape, bool)))
        return self._pools[i], orders, self._data, self._root


def report_shape(lanes: int, metrics: int) -> Report:
    """Return the shapes of a report."""
    shapes: Any = (((lanes, metrics), np.float32), ((lanes,), np.bool_))
    parts: Any = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    return Report(*parts)
