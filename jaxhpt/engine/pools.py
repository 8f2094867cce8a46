"""Pools of one structure, side by side: a CPU's cores train one each, from threads.

Bits do not depend on the threads: an event ends when all pools have trained, and is then settled as one.
"""

import concurrent.futures
import functools
from typing import Any, Protocol

import jax
import numpy as np

from jaxhpt.algorithms.opened import Opened
from jaxhpt.core.arrays import zeros
from jaxhpt.core.typing import Key, TrainState
from jaxhpt.engine.compiling import SOON, Function, shapes_of
from jaxhpt.engine.memory import Fitting, halved
from jaxhpt.engine.programs import Programs, number
from jaxhpt.engine.state import Moves, Places, Program
from jaxhpt.training.batches import Batches
from jaxhpt.training.pool import Data, Orders, Pool, PoolState, Report, keep, move, vacant


def _vacant(
    shapes: tuple[jax.ShapeDtypeStruct, ...], structure: Any, batches: Batches, lanes: int, interval: int, pools: int
) -> tuple[tuple[PoolState, ...], TrainState]:
    """Make pools whose lanes hold no trial, and the weights of no winner, of a state's shapes and structure."""
    state = jax.tree.unflatten(structure, shapes)
    return tuple(vacant(state, batches, lanes, interval) for _ in range(pools)), zeros(state)


VACANT = Function(_vacant, 6, options=SOON)
FILL = Function(Pool.fill, 1, donated=(0,), options=SOON)
ADVANCE = Function(Pool.advance, 1, donated=(0,))
KEEP = Function(keep, 0, options=SOON)
MOVE = Function(move, 0, donated=(0,), options=SOON)


class Pools(Protocol):
    """What trains the lanes of a study, and keeps their weights.

    Attributes:
      best: weights of the winner so far, without the lane axis.
    """

    best: Any

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
        self._threads = concurrent.futures.ThreadPoolExecutor(program.pools, thread_name_prefix="jaxhpt-pool")
        self._orders: tuple[Orders, ...] = ()
        self._fits, self._fitting = functools.partial(Fitting, halve=halved, told=told), dict[str, Fitting]()
        self._pools: Any
        self.best: TrainState
        self._pools, self.best = programs.call("vacant", VACANT, *self._room())

    def _room(self) -> tuple:
        """Return what is known of weights without the functions that make them."""
        pool, (shapes, structure) = self._program.pool, jax.tree.flatten(self._program.pool.functions.state)
        return tuple(shapes), structure, pool.batches, pool.lanes, pool.interval, self._program.pools

    def opened(self) -> tuple[Opened, ...]:
        """Return none: there is one structure."""
        return ()

    def begin(self, places: Places, orders: tuple[Orders, ...]) -> None:
        """Take the orders; what trains is compiled at once, before anything else."""
        self._orders = orders
        if not self._fitting:
            with self._programs.waiting():
                self._prepare()
        self._programs.later("keep", KEEP, shapes_of(self._pools), shapes_of(self.best), shapes_of(number(0)))

    def _prepare(self) -> None:
        """Compile what trains, and call it for nothing, as long as there is nothing to lose."""
        pool, num, nothing = self._program.pool, self._program.pools, (number(0), number(0))
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
        program, span, pools = self._fitting["advance"], (number(first), number(last)), range(self._program.pools)
        program.require_room((*self._arguments(0), *span), len(pools))

        def one(i: int) -> tuple[PoolState, Report]:
            found: tuple[PoolState, Report] = program(*self._arguments(i), *span)
            return found

        trained = [one(0)] if len(pools) == 1 else list(self._threads.map(one, pools))
        self._pools, reports = zip(*trained, strict=True)
        return reports

    def settle(self, moves: Moves) -> None:
        """Keep, and move."""
        self.best = self._programs.call("keep", KEEP, self._pools, self.best, moves.keep)
        if moves.target.size:
            self._pools = self._programs.call("move", MOVE, self._pools, moves.source, moves.target)

    def report_shapes(self) -> tuple[Report, ...]:
        """Return the shapes of the pools' reports."""
        pool = self._program.pool
        return (report_shape(pool.lanes, len(pool.metrics.names)),) * self._program.pools

    def close(self) -> None:
        """Leave nothing running."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _arguments(self, i: int, fresh: bool = True) -> tuple:
        """Return what the programs of a pool take; no trial is fresh where `fresh` is False."""
        orders = self._orders[i]
        if not fresh:
            orders = orders._replace(fresh=jax.device_put(np.zeros(orders.fresh.shape, bool)))
        return self._pools[i], orders, self._data, self._root


def report_shape(lanes: int, metrics: int) -> Report:
    """Return the shapes of a report."""
    shapes: Any = (((lanes, metrics), np.float32), ((lanes,), np.bool_))
    parts: Any = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
    return Report(*parts)
