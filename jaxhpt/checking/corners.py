"""A few trials at the ends of the ranges, trained for a step or two by the very programs that the search will run."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.keys import root_of
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Hparams
from jaxhpt.engine import compiling
from jaxhpt.engine.build import Built
from jaxhpt.engine.memory import exhausted, require_free
from jaxhpt.engine.pools import ADVANCE, FILL, VACANT, Room
from jaxhpt.engine.programs import Programs
from jaxhpt.training.memory import compiled_bytes
from jaxhpt.training.pool import Data, Orders, Pool
from jaxhpt.training.sharded import copying_of
from jaxhpt.training.structures import first_unit

STEPS = 2  # that each setting trains


class Ran(NamedTuple):
    """What came of it.

    Attributes:
      settings: that were tried.
      failed: those of them whose metrics or weights were not finite.
      steps: that each trained.
      seconds: for which the programs that begin and train were compiled, or loaded.
      compiled: whether they were compiled now, rather than kept in the process or on disk.
      bytes: that the program which trains asks for; None where that is not known.
      lacking: what was said where memory did not suffice, so that nothing was tried; "" elsewhere.
    """

    settings: list[Hparams]
    failed: list[Hparams]
    steps: int
    seconds: float
    compiled: bool
    bytes: int | None
    lacking: str = ""


def rows_of(space: Space, fixed: Any) -> np.ndarray:
    """Return settings that reach the low, the middle and the high end of each dimension: snapped f32[n, D].

    In all other dimensions they are in the middle, but for two that are at all low ends, and at all high ends; what
    shapes the program stays as it is.

    Args:
      space: of the search.
      fixed: f32[D] a row of the structure.
    """
    axes = [[u] if d.structural else d.grid(3) for u, d in zip(fixed, space.dimensions, strict=True)]
    middle = np.array([axis[len(axis) // 2] for axis in axes], np.float32)
    rows = [[axis[0] for axis in axes], [axis[-1] for axis in axes], middle]
    for column, axis in enumerate(axes):
        for unit in (axis[0], axis[-1]):
            row = middle.copy()
            row[column] = unit
            rows.append(_existing(space, row, column))
    return np.unique(np.asarray(space.snap(jnp.asarray(np.array(rows, np.float32)))), axis=0)


def _existing(space: Space, row: np.ndarray, column: int) -> np.ndarray:
    """Move a row to where a dimension of it exists."""
    for condition in space.conditions[column]:
        parent = space.dimensions[condition.parent]
        if not parent.structural:
            row[condition.parent] = parent.grid(parent.levels or 1)[condition.levels[0]]
    return row


def run(built: Built, seed: int) -> Ran:
    """Compile what begins and what trains, and let it train the corners of the space, as many at once as lanes."""
    programs = Programs(built.program.devices)
    try:
        return _Corners(built, programs, seed).ran()
    finally:
        programs.close()


class _Corners:
    def __init__(self, built: Built, programs: Programs, seed: int) -> None:
        self.built, self.programs = built, programs
        self.pool: Pool = built.program.pool
        self.space = built.structures.space
        first = built.structures.first
        self.rows = rows_of(self.space, first_unit(self.space))
        self.lanes = built.program.problem.lanes // built.program.pools
        self.root = programs.put(root_of(seed))
        self.data: Data = programs.put(first.data(built.data))

    def ran(self) -> Ran:
        parts = [self.rows[i : i + self.lanes] for i in range(0, len(self.rows), self.lanes)]
        begun, before = time.perf_counter(), len(compiling.made) and compiling.made[-1]
        begin, train = self._programs(self._orders(parts[0]))
        seconds = time.perf_counter() - begun
        compiled = bool(compiling.made) and compiling.made[-1] is not before
        need = compiled_bytes(train)
        try:
            require_free((need or 0) * self.built.program.pools)
            ok = np.concatenate([self._healthy(begin, train, part)[: len(part)] for part in parts])
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not exhausted(error):
                raise
            return Ran([], [], 0, seconds, compiled, need, str(error).splitlines()[0])
        settings = self.space.labels(self.rows)
        failed = [setting for setting, well in zip(settings, ok, strict=True) if not well]
        return Ran(settings, failed, self._steps, seconds, compiled, need)

    def _programs(self, orders: Orders) -> tuple[Any, Any]:
        state, number = self._vacant(), self.programs.number(0)
        given = (state, orders, self.data, self.root)
        return FILL.program(self.pool, *given), ADVANCE.program(self.pool, *given, number, number)

    @property
    def _grains(self) -> int:
        """Grains at the end of an event that hold so many steps."""
        return min(self.pool.grains, max(1, STEPS // self.pool.grain))

    @property
    def _steps(self) -> int:
        return self._grains * self.pool.grain

    def _vacant(self) -> Any:
        shapes, structure = jax.tree.flatten(self.pool.functions.state)
        room = Room(self.pool.batches, self.pool.lanes, self.pool.interval, 1)
        given = (copying_of(self.pool), tuple(shapes), structure, room, self.programs.number(0))
        return self.programs.call("vacant", VACANT, *given)[0][0]

    def _orders(self, rows: np.ndarray) -> Orders:
        """Return orders for all lanes, the rows again where there are more lanes than rows."""
        place = np.arange(self.lanes, dtype=np.int32) % len(rows)
        every, none = np.ones(self.lanes, bool), np.zeros(self.lanes, np.int32)
        values = tuple(np.asarray(v) for v in self.space.values(rows[place], np))
        budget = np.full(self.lanes, self.pool.interval, np.int32)
        made: Any = (values, every, every, Lanes(*map(jnp.asarray, (place, none, budget))), np.int32(0))
        found: Orders = self.programs.put(Orders(*made))
        return found

    def _healthy(self, begin: Any, train: Any, rows: np.ndarray) -> np.ndarray:
        """Train settings f32[n, D]: bool[L] whether each is well."""
        orders, last = self._orders(rows), self.pool.grains
        state = begin(self._vacant(), orders, self.data, self.root)
        span = self.programs.numbers(last - self._grains, last)
        return np.asarray(train(state, orders, self.data, self.root, *span)[1].ok)
