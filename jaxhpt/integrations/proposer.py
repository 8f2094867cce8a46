"""Proposer: an algorithm that is asked for one setting at a time, and told of settings that others proposed."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms import Algorithm
from jaxhpt.algorithms.base import Designed
from jaxhpt.core.encoded import encoded
from jaxhpt.core.history import Known, Status
from jaxhpt.core.host_scores import in_float32
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Key
from jaxhpt.engine import asking

SOME = 32  # rows of a call, where there are several: so two sizes of programs are compiled, no more


class Proposer:
    """A search in which others may have a say.

    Args:
      algorithm: that proposes.
      space: of one row a setting.
      metrics: that are told.
      room: for so many settings.
      lanes: settings that are in flight at once, about.
      root: of all randomness.
    """

    def __init__(
        self, algorithm: Algorithm, space: Space, metrics: MetricSpec, room: int, lanes: int, root: Key
    ) -> None:
        problem = Problem(space, metrics, room, lanes, Schedule(steps=1, interval=1))
        self.metrics, self.room, self.count, self._algorithm = metrics, room, 0, algorithm
        self.space, self._root = space, root
        self._bare = Problem(encoded(space), metrics, room, lanes, problem.schedule)
        self._scores, self._status = np.full((room, len(metrics.names)), np.inf), np.zeros(room, np.int8)
        none = jnp.zeros((0, space.num_dimensions), jnp.float32)
        known = Known(none, jnp.zeros((0, len(metrics.names)), jnp.float32), none)
        self._state = asking.begin(algorithm, self._bare, root, known)

    def ask(self) -> tuple[int, np.ndarray] | None:
        """Return a row and its setting f32[D]; None where the algorithm has no more."""
        early = isinstance(self._algorithm, Designed) and self._algorithm.in_design(
            self._bare, self.count + 1, not (self._status >= Status.DONE).any()
        )
        given = (early, self._root, self._state, jnp.int32(1))
        self._state, rows, unit = asking.ask(self._algorithm, self._bare, 1, *given)
        row = int(rows[0])
        if row == NONE:
            return None
        self._status[row], self.count = Status.RUNNING, row + 1
        return row, np.asarray(unit[0])

    def reseed(self, root: Key) -> None:
        """Take another root of what comes."""
        self._root = root

    def enter(self, units: Sequence[np.ndarray]) -> list[int]:
        """Open rows for settings f32[D] that somebody else proposed; return the rows."""
        rows = list(range(self.count, self.count + len(units)))
        self.amend(rows, units)
        self.count += len(units)
        return rows

    def amend(self, rows: Sequence[int], units: Sequence[np.ndarray]) -> None:
        """Write down what settings rows really have."""
        for some, unit in _parts(rows, units):
            self._state = asking.enter(self._bare, self._state, some, jnp.asarray(unit, jnp.float32))
        self._status[list(rows)] = Status.RUNNING

    def tell(self, rows: Sequence[int], scores: Sequence[np.ndarray], stopped: Sequence[bool]) -> None:
        """Close rows with scores f64[K], all +inf where they failed; `stopped` are those that ended early."""
        if not rows:
            return
        self._scores[list(rows)] = scores
        ended = np.where(stopped, Status.STOPPED, Status.DONE)
        self._status[list(rows)] = np.where(np.isinf(np.stack(scores)[:, 0]), Status.FAILED, ended)
        device = jnp.asarray(in_float32(self._scores, self.metrics))
        for some, status in _parts(rows, self._status[list(rows)]):
            given = (self._root, self._state, device, some, jnp.asarray(status, jnp.int8))
            self._state = asking.tell(self._algorithm, self._bare, *given)


def _parts(rows: Sequence[int], values: Sequence[np.ndarray] | np.ndarray) -> list[tuple[jax.Array, np.ndarray]]:
    """Cut rows and what belongs to them into parts of one, or of `SOME`, padded with none."""
    size = 1 if len(rows) == 1 else SOME
    parts = []
    for first in range(0, len(rows), size):
        some, value = np.asarray(rows[first : first + size], np.int32), np.asarray(values[first : first + size])
        missing = size - len(some)
        padded = np.pad(value, [(0, missing), *[(0, 0)] * (value.ndim - 1)])
        parts.append((jnp.asarray(np.pad(some, (0, missing), constant_values=NONE)), padded))
    return parts
