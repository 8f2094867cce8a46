"""Structures: the programs of a search whose hyperparameters shape them, one for each setting of those, made on demand.

A space without structural dimensions has one structure.
"""

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.showing import shown
from jaxhpt.core.space import Space
from jaxhpt.core.typing import PyTree
from jaxhpt.training.batches import Batches
from jaxhpt.training.budget import Budget
from jaxhpt.training.devices import tracing
from jaxhpt.training.layout import Layout
from jaxhpt.training.pool import Data, Pool
from jaxhpt.training.task import Task
from jaxhpt.training.unread import require_read, values_read
from jaxhpt.training.user_functions import Captured, UserFunctions, user_functions
from jaxhpt.training.work import operations

STRUCTURE = "structure: "  # begins the note of an error that says in which one
Key = tuple[float, ...]  # the units of the structural dimensions, which are one for each setting


class Structure(NamedTuple):
    """What one structure trains.

    Attributes:
      key: names it.
      space: in whose pytree its values are constants.
      functions: the user's.
      captured: arrays that they captured.
      treedef: of a train state, whose leaves the program holds.
    """

    key: Key
    space: Space
    functions: UserFunctions
    captured: Captured
    treedef: Any

    @property
    def label(self) -> str:
        """How a person would write it."""
        values = self.space.constants
        named = {name: values[name] for name in (self.space.names[c] for c in self.space.structural)}
        return ", ".join(f"{name}={shown(value)}" for name, value in named.items())

    @property
    def state(self) -> PyTree:
        """A train state as the user made it, of shapes."""
        return jax.tree.unflatten(self.treedef, jax.tree.leaves(self.functions.state))

    @property
    def operations(self) -> float:
        """Additions and multiplications of a step of training, about."""
        return operations(self.functions.step.jaxpr)

    def data(self, common: Data) -> Data:
        """Return what its program is given."""
        return common._replace(captured=self.captured, begun=None)


@dataclasses.dataclass(eq=False)
class Structures:
    """All structures of a search, traced when they are first asked for.

    Attributes:
      task: whose functions.
      space: of the search.
      batches: how minibatches are cut.
      length: the training steps of a trial.
      train: arrays on the device.
      valid: arrays on the device.
      layout: wishes for how trials are laid out.
    """

    task: Task
    space: Space
    batches: Batches
    length: Budget
    train: PyTree
    valid: PyTree
    layout: Layout
    _made: dict[Key, Structure] = dataclasses.field(default_factory=dict)
    _read: Any = False  # bool[D] dimensions that any of them reads
    _lock: Any = dataclasses.field(default_factory=threading.RLock)

    def key(self, unit: Any) -> Key:
        """Return the name of a row's structure: f32[D] snapped."""
        return tuple(float(unit[column]) for column in self.space.structural)

    def of(self, unit: Any) -> Structure:
        """Return the structure of a row, f32[D] snapped.

        Raises:
          TypeError, ValueError: as `user_functions`; or metrics of other names than those of the first one, or a
            hyperparameter that no function reads.
        """
        with self._lock:
            key = self.key(unit)
            if key not in self._made:
                self._made[key] = self._traced(key, unit)
            return self._made[key]

    @property
    def made(self) -> dict[Key, Structure]:
        """Those that were traced so far."""
        with self._lock:
            return dict(self._made)

    def named(self, key: Sequence[float]) -> Structure:
        """Return the structure of a name."""
        row = np.array(first_unit(self.space))
        row[list(self.space.structural)] = key
        return self.of(row)

    def pool(self, structure: Structure, alike: Pool, lanes: int) -> Pool:
        """Return how so many lanes of a structure train, in all else as other lanes of the search."""
        groups = self.layout.groups_of(structure.functions, lanes)
        return dataclasses.replace(alike, functions=structure.functions, lanes=lanes, **groups)

    @property
    def first(self) -> Structure:
        """The structure that was traced first."""
        return next(iter(self._made.values()))

    def _traced(self, key: Key, unit: Any) -> Structure:
        space = self.space.of_structure(unit)
        given = (self.task, space, self.batches, self.length, self.train, self.valid)
        try:
            with tracing(self.layout.mesh):
                functions, captured, treedef = user_functions(*given)
        except Exception as error:
            if key:
                error.add_note(f"{STRUCTURE}{Structure(key, space, *[None] * 3).label}")  # type: ignore[arg-type]
            raise
        made = Structure(key, space, functions, captured, treedef)
        if self._made:
            _check_alike(self.first, made)
        self._read = values_read(functions, self.space.num_dimensions) | self._read
        require_read(self._read, self.space, unit, made.label)
        return made


def _check_alike(first: Structure, other: Structure) -> None:
    """Raise where two structures are not scored alike."""
    ours, theirs = first.functions, other.functions
    if (ours.metrics, ours.unnamed) != (theirs.metrics, theirs.unnamed):
        raise ValueError(
            f"evaluate: returns the metrics {list(theirs.metrics)} for {other.label}, and {list(ours.metrics)} for "
            f"{first.label}; all structures must return the same"
        )


def first_unit(space: Space) -> Any:
    """Return a row of the structure that is traced before the search: the first value of each, f32[D]."""
    return np.asarray(space.snap(jnp.zeros(space.num_dimensions, jnp.float32)))
