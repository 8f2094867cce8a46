"""Pools of several structures: the lanes of a study in groups, each of one structure, that come and go with demand.

A lane belongs to the study; which group trains it follows from the structure of its trial alone, never from the clock,
so bits do not depend on when a program was ready. Structures' programs are compiled at the event where trials
of them begin, side by side on a CPU's cores: what is compiled already trains meanwhile.
"""

import collections
import concurrent.futures
from typing import Any

import jax
import numpy as np

from jaxhpt.algorithms.opened import Opened
from jaxhpt.core.typing import NONE, Key, PyTree, TrainState
from jaxhpt.engine.carrying import Carried, onto
from jaxhpt.engine.compiling import shapes_of
from jaxhpt.engine.groups import ADVANCE, FILL, PUT, SELECT, TAKE, VACANT, Fitted, Group, fitted, joined
from jaxhpt.engine.opening import Opening
from jaxhpt.engine.pools import report_shape
from jaxhpt.engine.programs import Programs
from jaxhpt.engine.slots import Apart, Slots
from jaxhpt.engine.state import Moves, Places, Program
from jaxhpt.training.copying import Copying
from jaxhpt.training.devices import together, usable
from jaxhpt.training.memory import footprint
from jaxhpt.training.pool import Data, Orders, Report
from jaxhpt.training.structures import Structure, Structures

KINDS = ("fill", "advance", "vacant", "take", "put")  # of programs
CPU_WIDTH = 16  # lanes of a group: more gain little on a core, see `benchmarks/throughput.py`, and share out worse
CACHE = 1 << 19  # bytes of a core's own cache: lanes that do not fit into it train faster one after the other


class StructuredPools:
    """Groups of lanes, in the order in which they came to be; what is done where memory is short goes to `told`."""

    def __init__(
        self, program: Program, root: Key, data: Data, programs: Programs, structures: Structures, told: list[str]
    ) -> None:
        self._told, self._fitted = told, dict[tuple, Fitted]()
        self._program, self._root, self._programs = program, root, programs
        self._data, self._begun = data._replace(begun=None), data.begun or ()
        self._structures, self._groups = structures, list[Group]()
        on_cpu, lanes = jax.default_backend() == "cpu", program.problem.lanes
        self._cores = structures.layout.num_cores if on_cpu else 1
        self._widest, self._on_cpu = _power(min(lanes, CPU_WIDTH) if on_cpu else lanes), on_cpu
        self._opening = Opening(structures.space, structures.layout.compile_share)
        self._threads = concurrent.futures.ThreadPoolExecutor(self._cores, thread_name_prefix="jaxhpt-pool")
        self._used: collections.OrderedDict[tuple, None] = collections.OrderedDict()  # programs, the latest last
        several, _ = usable(structures.layout.mesh, data)
        self._devices: list[jax.Device | None] = list(several.mesh.devices.flat) if several else [None]
        self._placed: dict[jax.Device | None, Data] = {None: self._data}
        self.best: TrainState | None = None
        self._winner: Structure | None = None  # whose weights the best ones are
        self._slots = Slots(lanes)

    @property
    def devices(self) -> int:
        """Return how many share the lanes."""
        return len(self._devices)

    def opened(self) -> tuple[Opened, ...]:
        """Return the structures that proposals are to heed; none where an algorithm has a list to go through."""
        study = self._program.study
        free = study.algorithm.num_points(study.problem.space) is not None
        return () if free else (self._opening.opened(),)

    def begin(self, places: Places, orders: tuple[Orders, ...]) -> None:
        """Give the trials that begin, or go on, to groups of their structures, and begin to compile what is new."""
        fresh, trial, unit = jax.device_get((places.fresh, places.lanes.trial, places.unit))
        comes = fresh | np.isin(np.arange(fresh.size), list(self._slots.woken))
        self._release(comes | (trial == NONE))
        wanted: dict[Any, list[int]] = {}
        for lane in np.flatnonzero(comes):
            wanted.setdefault(self._structures.key(unit[lane]), []).append(int(lane))
        for lanes in wanted.values():
            self._place(self._structures.of(unit[lanes[0]]), lanes)
        if places.onset is not None:
            self._begin_from(jax.device_get(places.onset.which))
        for group in self._groups:
            steps = self._program.pool.interval * int((group.lanes != NONE).sum())
            self._opening.train(group.structure, steps)
        self._order(fresh, orders)

    def _begin_from(self, which: np.ndarray) -> None:
        """Let lanes begin from weights, i32[L] which; NONE for none."""
        for lane in np.flatnonzero(which != NONE).tolist():
            structure = self._find(lane)[0].structure
            self._slots.woken[lane] = Apart(structure, self._begun[which[lane]])

    def _order(self, fresh: np.ndarray, orders: tuple[Orders, ...]) -> None:
        """Give each group the orders of its lanes, of which those bool[L] `fresh` begin."""
        for group in self._groups:
            group.begins = bool(fresh[group.lanes[group.lanes != NONE]].any())
            lanes = jax.device_put(group.lanes)
            mine = self._programs.call(("select", group.pool.lanes), SELECT, orders[0], lanes)
            group.orders = mine if group.device is None else group.put(mine)
        self._compile()

    def carried(self) -> tuple[PyTree, dict[str, Any]]:
        """Return the weights, and which structures they are of."""
        groups = [
            {"key": group.structure.key, "lanes": group.lanes.tolist(), "place": self._devices.index(group.device)}
            for group in self._groups
        ]
        used = [(key, width, self._devices.index(device)) for key, width, device in self._used]
        best = None if self._winner is None else self._winner.key
        facts = {"groups": groups, "used": used, "opening": self._opening.facts(), "best": best}
        apart, told = self._slots.carried()
        return ([group.state for group in self._groups], self.best, apart), facts | told

    def go_on(self, places: Places, orders: tuple[Orders, ...], carried: Carried) -> None:
        """Make the groups as they were, and take the weights once their programs are known to fit."""
        facts = carried.facts
        for told in facts["groups"]:
            group = self._made(self._structures.named(told["key"]), len(told["lanes"]), self._devices[told["place"]])
            group.lanes[:] = told["lanes"]
            self._groups.append(group)
        self._opening.go_on(facts["opening"])
        for key, width, place in facts["used"]:
            self._used[tuple(key), width, self._devices[place]] = None
            self._used.move_to_end((tuple(key), width, self._devices[place]))
        self._order(np.asarray(places.fresh), orders)
        for group in self._groups:
            self._prepare(group, min(self._cores, len(self._groups)))
        self._winner = None if facts["best"] is None else self._structures.named(facts["best"])
        best = None if self._winner is None else Copying().nobody(self._winner.functions.state)
        like = ([group.state for group in self._groups], best, self._slots.like(facts, self._structures.named))
        states, self.best, apart = onto(like, carried.arrays)
        self._slots.take(apart)
        for group, state in zip(self._groups, states, strict=True):
            group.state = state

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
            device = self._freest(structure)
            group = self._made(structure, self._width(structure, len(lanes), device), device)
            taken = lanes[: group.pool.lanes]
            group.lanes[: len(taken)], lanes = taken, lanes[group.pool.lanes :]
            self._groups.append(group)

    def _freest(self, structure: Structure) -> jax.Device | None:
        """Return the device with the least to do, where compiling a structure that it has not is something to do."""
        known = {device for key, _, device in self._used if key == structure.key}
        steps = self._program.problem.schedule.steps

        def to_do(device: jax.Device | None) -> float:
            trains = steps * sum(group.work for group in self._groups if group.device == device)
            return trains + (device not in known) * self._opening.price

        return min(self._devices, key=to_do)

    def _width(self, structure: Structure, num: int, place: jax.Device | None) -> int:
        """Return the lanes of a new group for so many trials: a power of two, near one whose program there is."""
        fit = min(self._widest_of(structure), _power(num) if _power(num) == num else 2 * _power(num))
        there = [width for key, width, device in self._used if (key, device) == (structure.key, place)]
        near = [width for width in there if fit // 4 <= width <= 2 * fit]
        return min(near, key=lambda width: (abs(width - fit), width), default=fit)

    def _widest_of(self, structure: Structure) -> int:
        """Return the most lanes of a group: on a CPU as many as fit into a core's cache."""
        step = max(1, footprint(structure.functions).step.lane)
        return min(self._widest, _power(max(1, CACHE // step))) if self._on_cpu else self._widest

    def _made(self, structure: Structure, width: int, device: jax.Device | None) -> Group:
        pool = self._structures.pool(structure, self._program.pool, width)
        data, root = together(structure.data(self._on(device))), self._root
        state = self._programs.call(("vacant", structure.key, width, device), VACANT, pool)
        if device is not None:
            data, root, state = jax.device_put((data, root, state), device)
        self._used[structure.key, width, device] = None
        return Group(structure, pool, data, root, np.full(width, NONE, np.int32), state, device=device)

    def _on(self, device: jax.Device | None) -> Data:
        """Return what all structures share, put on a device once."""
        if device not in self._placed:
            self._placed[device] = jax.device_put(self._data, device)
        return self._placed[device]

    def _compile(self) -> None:
        """Begin to compile what the groups need, and let go of what was not used for longest."""
        zero = self._programs.number(0)
        for group in self._groups:
            self._used.move_to_end(group.name)
            if group.name not in self._fitted:
                given = group.arguments()
                self._programs.later(("advance", *group.name), ADVANCE, group.pool, *shapes_of((*given, zero, zero)))
                self._programs.later(("fill", *group.name), FILL, group.pool, *shapes_of(given))
        needed, most = {group.name for group in self._groups}, self._structures.layout.max_programs
        for name in [n for n in self._used if n not in needed][: max(0, len(self._used) - most)]:
            del self._used[name]
            self._fitted.pop(name, None)
            for kind in KINDS:
                self._programs.drop((kind, *name))

    def fill(self) -> None:
        """Do nothing: a group starts its trials where it trains first, so that none waits for another's program."""

    def advance(self, first: int, last: int) -> tuple[Report, ...]:
        """Train all groups, those first whose programs are there; side by side on a CPU."""
        span, times = self._programs.numbers(first, last), min(self._cores, len(self._groups))

        def one(group: Group) -> Report:
            programs = self._fitted[group.name]
            if first == 0 and group.begins:
                group.state = programs.fill(*group.arguments())
            found = programs.advance(*group.arguments(), *span)
            group.state, report = jax.block_until_ready(found) if self._cores > 1 else found
            return report

        def begun(group: Group) -> concurrent.futures.Future:
            self._prepare(group, times)
            self._wake(group)
            self._fitted[group.name].fill.require_room(group.arguments(), times)
            self._fitted[group.name].advance.require_room((*group.arguments(), *span), times)
            return self._threads.submit(one, group)

        # The longest first, so that cores end together; programs that are missing are waited for in this thread.
        order = sorted(self._groups, key=lambda group: (not self._is_ready(group), -group.work))
        running = {id(group): begun(group) for group in order}
        reports = [running[id(group)].result() for group in self._groups]
        return (joined(self._groups, reports, self._program.problem.lanes, len(self._program.pool.metrics.names)),)

    def _is_ready(self, group: Group) -> bool:
        """Tell whether nothing is to be waited for."""
        coming = [(kind, *group.name) for kind in ("fill", "advance")]
        return group.name in self._fitted or all(map(self._programs.is_ready, coming))

    def _prepare(self, group: Group, times: int) -> None:
        """Make the programs of a group, where they are used first."""
        if group.name not in self._fitted:
            with self._programs.waiting():
                self._fitted[group.name] = fitted(group, self._told, times)

    def settle(self, moves: Moves) -> None:
        """Keep, and move, within a structure."""
        keep, source, target = jax.device_get(moves)
        if keep != NONE:
            group, place = self._find(int(keep))
            self.best, self._winner = self._taken(group, place), group.structure
        if self._program.slots:
            self._slots.exchange(source, target, self._apart)
        else:
            self._copy(source, target)

    def _copy(self, source: np.ndarray, target: np.ndarray) -> None:
        """Copy weights from lanes i32[N] to others, NONE for none."""
        made = [(self._find(int(s)), self._find(int(t))) for s, t in zip(source, target, strict=True) if t != NONE]
        assert all(of.structure is to.structure for (of, _), (to, _) in made), "weights fit nowhere else"
        taken = [self._taken(*of) for of, _ in made]  # all, before any is written
        for (_, (group, place)), one in zip(made, taken, strict=True):
            self._put(group, place, one)

    def _put(self, group: Group, place: int, one: TrainState) -> None:
        given = (group.state.weights, self._programs.number(place), group.put(one))
        weights = self._programs.call(("put", *group.name), PUT, *given)
        group.state = group.state._replace(weights=weights)

    def _wake(self, group: Group) -> None:
        """Let the parked trials go on that are in this group now."""
        for place, lane in enumerate(group.lanes.tolist()):
            if lane in self._slots.woken:
                self._put(group, place, self._slots.woken.pop(lane).weights)

    def _apart(self, lane: int) -> Apart:
        group, place = self._find(lane)
        return Apart(group.structure, self._taken(group, place))

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
