"""Pools of several structures: the lanes of a study in groups, each of one structure, that come and go with demand.

A lane belongs to the study; which group trains it follows from the structure of its trial alone, never from the clock,
so bits do not depend on when a program was ready. A structure's program is compiled at the event where a trial of it
begins: what is compiled already trains meanwhile.
"""

import collections
import concurrent.futures
import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.lanes import Lanes
from jaxhpt.core.typing import NONE, Array, Key, TrainState
from jaxhpt.engine.compiling import SOON, Function, shapes_of
from jaxhpt.engine.pools import ADVANCE, FILL, report_shape
from jaxhpt.engine.programs import Programs
from jaxhpt.engine.state import Moves, Places, Program
from jaxhpt.training.copying import Copying
from jaxhpt.training.devices import together
from jaxhpt.training.pool import Data, Orders, Pool, PoolState, Report
from jaxhpt.training.structures import Structure, Structures

MOST_ALIVE = 60  # structures whose programs stay in the process: they take up memory maps
CPU_WIDTH = 16  # lanes of a group: more gain little on a core, see `benchmarks/throughput.py`, and share out worse


def _select(orders: Orders, lanes: Array) -> Orders:
    """Take the orders of some lanes, i32[w]; NONE is a lane without a trial."""
    there, place = lanes != NONE, jnp.minimum(lanes, orders.fresh.shape[0] - 1)
    taken: Orders = jax.tree.map(lambda a: a[place], orders._replace(tick=orders.fresh))
    old = taken.lanes
    empty = Lanes(jnp.where(there, old.trial, NONE), jnp.where(there, old.steps, 0), jnp.where(there, old.budget, 0))
    return taken._replace(fresh=taken.fresh & there, score=taken.score & there, lanes=empty, tick=orders.tick)


def _vacant(pool: Pool) -> PoolState:
    return Copying().vacant(pool.functions.state, pool.batches, pool.lanes, pool.interval)


def _take(weights: TrainState, place: Array) -> TrainState:
    """Return the weights of lane i32[]: one trial's."""
    return jax.tree.map(lambda a: a[place], weights)


def _put(weights: TrainState, place: Array, one: TrainState) -> TrainState:
    """Put one trial's weights into lane i32[]."""
    return jax.tree.map(lambda a, b: a.at[place].set(b), weights, one)


SELECT = Function(_select, 0, options=SOON)
VACANT = Function(_vacant, 1, options=SOON)
TAKE = Function(_take, 0, options=SOON)
PUT = Function(_put, 0, donated=(0,), options=SOON)


@dataclasses.dataclass(eq=False)
class Group:
    """Lanes of one structure that train by one program.

    Attributes:
      structure: theirs.
      pool: how they train; its functions are the structure's.
      data: what its program is given.
      lanes: i32[w] of the study, on the host; NONE for a place that is free.
      state: their weights.
      orders: of the event at hand.
    """

    structure: Structure
    pool: Pool
    data: Data
    lanes: np.ndarray
    state: PoolState
    orders: Orders | None = None

    @property
    def name(self) -> tuple:
        """What names its programs."""
        return self.structure.key, self.pool.lanes


class StructuredPools:
    """Groups of lanes, in the order in which they came to be."""

    def __init__(self, program: Program, root: Key, data: Data, programs: Programs, structures: Structures) -> None:
        self._program, self._root, self._data, self._programs = program, root, data, programs
        self._structures, self._groups = structures, list[Group]()
        on_cpu, lanes = jax.default_backend() == "cpu", program.problem.lanes
        self._cores = structures.layout.num_cores if on_cpu else 1
        self._widest = _power(min(lanes, CPU_WIDTH) if on_cpu else lanes)
        self._threads = concurrent.futures.ThreadPoolExecutor(self._cores, thread_name_prefix="jaxhpt-pool")
        self._used: collections.OrderedDict[tuple, None] = collections.OrderedDict()  # programs, the latest last
        self.best: TrainState | None = None

    def begin(self, places: Places, orders: tuple[Orders, ...]) -> None:
        """Give the trials that begin to groups of their structures, and begin to compile what is new."""
        fresh, trial, unit = jax.device_get((places.fresh, places.lanes.trial, places.unit))
        self._release(fresh | (trial == NONE))
        wanted: dict[Any, list[int]] = {}
        for lane in np.flatnonzero(fresh):
            wanted.setdefault(self._structures.key(unit[lane]), []).append(int(lane))
        for lanes in wanted.values():
            self._place(self._structures.of(unit[lanes[0]]), lanes)
        for group in self._groups:
            lanes = jax.device_put(group.lanes)
            group.orders = self._programs.call(("select", group.pool.lanes), SELECT, orders[0], lanes)
        self._compile()

    def _release(self, free: np.ndarray) -> None:
        """Free the places of lanes, bool[L], and let go of groups without any."""
        for group in self._groups:
            there = group.lanes != NONE
            group.lanes[there & free[np.minimum(group.lanes, len(free) - 1)]] = NONE
        self._groups = [group for group in self._groups if (group.lanes != NONE).any()]

    def _place(self, structure: Structure, lanes: list[int]) -> None:
        """Put lanes into the free places of a structure's groups, then into new groups."""
        for group in (g for g in self._groups if g.structure is structure):
            free = np.flatnonzero(group.lanes == NONE)[: len(lanes)]
            group.lanes[free], lanes = lanes[: len(free)], lanes[len(free) :]
        while lanes:
            group = self._made(structure, self._width(structure, len(lanes)))
            taken = lanes[: group.pool.lanes]
            group.lanes[: len(taken)], lanes = taken, lanes[group.pool.lanes :]
            self._groups.append(group)

    def _width(self, structure: Structure, num: int) -> int:
        """Return the lanes of a new group for so many trials: a power of two, near one whose program there is."""
        fit = min(self._widest, _power(num) if _power(num) == num else 2 * _power(num))
        near = [width for key, width in self._used if key == structure.key and fit // 4 <= width <= 2 * fit]
        return min(near, key=lambda width: (abs(width - fit), width), default=fit)

    def _made(self, structure: Structure, width: int) -> Group:
        pool = self._structures.pool(structure, self._program.pool, width)
        data = together(structure.data(self._data))
        state = self._programs.call(("vacant", structure.key, width), VACANT, pool)
        self._used[structure.key, width] = None
        return Group(structure, pool, data, np.full(width, NONE, np.int32), state)

    def _compile(self) -> None:
        """Begin to compile what the groups need, and let go of what was not used for longest."""
        zero = self._programs.number(0)
        for group in self._groups:
            self._used.move_to_end(group.name)
            shapes = shapes_of(self._arguments(group))
            self._programs.later(("fill", *group.name), FILL, group.pool, *shapes)
            self._programs.later(("advance", *group.name), ADVANCE, group.pool, *shapes, *shapes_of((zero, zero)))
        needed = {group.name for group in self._groups}
        for name in [n for n in self._used if n not in needed][: max(0, len(self._used) - MOST_ALIVE)]:
            del self._used[name]
            for kind in ("fill", "advance", "vacant", "take", "put"):
                self._programs.drop((kind, *name))

    def _arguments(self, group: Group) -> tuple:
        return group.state, group.orders, group.data, self._root

    def fill(self) -> None:
        """Do nothing: a group starts its trials where it trains first, so that none waits for another's program."""

    def advance(self, first: int, last: int) -> tuple[Report, ...]:
        """Train all groups, those first whose programs are there; side by side on a CPU."""
        span = self._programs.number(first), self._programs.number(last)

        def one(group: Group) -> None:
            if first == 0:
                fill = self._programs.get(("fill", *group.name), FILL, group.pool, *self._arguments(group))
                group.state = fill(*self._arguments(group))
            run = self._programs.get(("advance", *group.name), ADVANCE, group.pool, *self._arguments(group), *span)
            found = run(*self._arguments(group), *span)
            group.state, reports[id(group)] = jax.block_until_ready(found) if self._cores > 1 else found

        reports: dict[int, Report] = {}
        ready = [g for g in self._groups if self._programs.is_ready(("advance", *g.name))]
        coming = [g for g in self._groups if g not in ready]
        running = [self._threads.submit(one, group) for group in ready]
        for group in coming:  # waited for here, so that no thread is kept from training
            self._programs.get(("advance", *group.name), ADVANCE, group.pool, *self._arguments(group), *span)
            running.append(self._threads.submit(one, group))
        for future in running:
            future.result()
        return (self._joined(reports),)

    def _joined(self, reports: dict[int, Report]) -> Report:
        """Put the reports of the groups in the places of their lanes."""
        lanes, metrics = self._program.problem.lanes, len(self._program.pool.metrics.names)
        scores, ok = np.full((lanes, metrics), np.inf, np.float32), np.zeros(lanes, bool)
        found = jax.device_get([reports[id(group)] for group in self._groups])
        for group, report in zip(self._groups, found, strict=True):
            there = group.lanes != NONE
            scores[group.lanes[there]], ok[group.lanes[there]] = report.scores[there], report.ok[there]
        return Report(jnp.asarray(scores), jnp.asarray(ok))

    def settle(self, moves: Moves) -> None:
        """Keep, and move, within a structure."""
        keep, source, target = jax.device_get(moves)
        if keep != NONE:
            self.best = self._taken(*self._find(int(keep)))
        made = [(self._find(int(s)), self._find(int(t))) for s, t in zip(source, target, strict=True) if t != NONE]
        assert all(of.structure is to.structure for (of, _), (to, _) in made), "weights fit nowhere else"
        taken = [self._taken(*of) for of, _ in made]  # all, before any is written
        for (_, (group, place)), one in zip(made, taken, strict=True):
            given = (group.state.weights, self._programs.number(place), one)
            weights = self._programs.call(("put", *group.name), PUT, *given)
            group.state = group.state._replace(weights=weights)

    def _taken(self, group: Group, place: int) -> TrainState:
        return self._programs.call(("take", *group.name), TAKE, group.state.weights, self._programs.number(place))

    def _find(self, lane: int) -> tuple[Group, int]:
        """Return the group of a lane, and its place there."""
        return next((g, int(np.argmax(g.lanes == lane))) for g in self._groups if (g.lanes == lane).any())

    def report_shapes(self) -> tuple[Report, ...]:
        """Return the shape of the one report of all lanes."""
        return (report_shape(self._program.problem.lanes, len(self._program.pool.metrics.names)),)

    def close(self) -> None:
        """Leave nothing running."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _power(num: int) -> int:
    """Return the largest power of two that is at most `num`."""
    return 1 << (num.bit_length() - 1)
