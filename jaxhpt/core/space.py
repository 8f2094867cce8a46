"""Space: a pytree of dimensions and constants, as one row of `unit` and back.

A space is static and hashable by value, so it may be part of a compiled program's name.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.belief import Belief
from jaxhpt.core.checks import require
from jaxhpt.core.dimension import Dimension, even_snap
from jaxhpt.core.dimensions import Choice
from jaxhpt.core.plain_data import parts_of, spec_of
from jaxhpt.core.showing import shown
from jaxhpt.core.space_spec import Condition, Constant, Slot, Walk, constant
from jaxhpt.core.typing import Array, Hparams
from jaxhpt.core.values import Part, is_part

MAX_GRID = 2**22


@dataclasses.dataclass(frozen=True)
class Space(Part):
    """A search space: what may vary, and how.

    Build it with `Space.of`; `search` does so by itself. Dicts nest, and any pytree will do; a plain list is a
    `Choice`; any other plain value is a constant, handed to the user's functions as it is.

    Attributes:
      names: dotted path of each dimension, [D].
      dimensions: the dimensions, [D].
      conditions: for each dimension, all the conditions under which it exists, [D].
      beliefs: where the best value of each dimension is believed to be, [D], None for anywhere; () where nothing is
        believed.

    Example:
      >>> from jaxhpt import Float
      >>> space = Space.of({"lr": Float(1e-4, 1e-1, log=True), "batch": [32, 64], "momentum": 0.9})
      >>> space.names
      ('batch', 'lr')
      >>> space.label(space.encode({"lr": 0.1, "batch": 64, "momentum": 0.9}))
      {'batch': 64, 'lr': 0.1, 'momentum': 0.9}
    """

    names: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    conditions: tuple[tuple[Condition, ...], ...]
    slots: tuple[Slot | Constant, ...]
    treedef: Any
    beliefs: tuple[Belief | None, ...] = dataclasses.field(default=(), repr=False)

    @classmethod
    def of(cls, spec: Any) -> "Space":
        """Build a space from a pytree of dimensions, lists, `When` and constants.

        Raises:
          ValueError: no dimension, two of one name, an unknown or circular `When` parent.
          TypeError: no space at all, a constant that is not hashable, such as an array, a class in place of a
            dimension, or names of several kinds.
        """
        if isinstance(spec, Space):
            return spec
        if spec is None or (callable(spec) and not is_part(spec)):
            raise TypeError(f"space={spec!r}: must be a Float, Int, Choice, Bool or list, or a dict of them by name")
        walk = Walk()
        slots, treedef = jax.tree.flatten(walk.tree(spec, "", ()))
        if not walk.names:
            tuples = any(isinstance(slot, Constant) and slot.name.split(".")[-1] == "0" for slot in slots)
            more = "; a tuple is a constant, a range is Float(low, high) or Int(low, high)" * tuples
            raise ValueError(f"space={spec!r}: must hold at least one Float, Int, Choice, Bool or list{more}")
        twice = sorted({name for name in walk.names if walk.names.count(name) > 1})
        require(not twice, "space names", twice, "distinct; a dot in a key reads like a nested dict")
        conditions = tuple(walk.resolve(column) for column in range(len(walk.names)))
        return cls(
            tuple(walk.names), tuple(walk.dimensions), conditions, tuple(slots), treedef, _beliefs(walk.dimensions)
        )

    def to_spec(self) -> dict[str, Any]:
        """Return the space as plain data, which JSON holds: what `Space.from_spec` makes an equal space of.

        Values that are no plain data, such as functions, are there by name.
        """
        return spec_of(self.names, self.dimensions, self.conditions, self.slots, self.treedef)

    @classmethod
    def from_spec(cls, spec: Any) -> "Space":
        """Return the space that was written by `to_spec`; what was there by name alone is a name in it.

        Raises:
          ValueError: no such data.
        """
        parts = parts_of(spec)
        return cls(*parts, _beliefs(parts.dimensions))

    def bare(self) -> "Space":
        """Return the same ranges without the user's own objects and constants: all that a compiled program needs."""
        bare = tuple(d.with_values(lambda value, place: str(place)) for d in self.dimensions)
        slots = tuple(Slot(column) for column in range(self.num_dimensions))
        treedef = jax.tree.structure(tuple(range(self.num_dimensions)))
        return Space(self.names, bare, self.conditions, slots, treedef, self.beliefs)

    def with_values(self, change: Callable[[Any, int], Any]) -> "Space":
        """Return the space with other objects in the places of choices without numbers, and of constants.

        Args:
          change: (value, its place in the choice or among the constants) -> what takes its place.
        """
        dimensions = tuple(d.with_values(change) for d in self.dimensions)
        slots = tuple(
            constant(slot.name, change(slot.value, place)) if isinstance(slot, Constant) else slot
            for place, slot in enumerate(self.slots)
        )
        return dataclasses.replace(self, dimensions=dimensions, slots=slots)

    @property
    def structural(self) -> tuple[int, ...]:
        """The columns whose values shape the program, in order; a setting of all of them is a structure."""
        return tuple(column for column, dimension in enumerate(self.dimensions) if dimension.structural)

    def of_structure(self, unit: Any) -> "Space":
        """Return the space of one structure, in whose pytree plain values stand for the structural dimensions.

        Args:
          unit: f32[D] a snapped row, whose structural columns count.
        """
        labels = {column: self.dimensions[column].label(unit[column]) for column in self.structural}
        slots = tuple(
            constant(self.names[slot.column], labels[slot.column])
            if isinstance(slot, Slot) and slot.column in labels
            else slot
            for slot in self.slots
        )
        return dataclasses.replace(self, slots=slots)

    def possible(self, unit: Any) -> np.ndarray:
        """Tell which dimensions may exist in one structure: f32[D] -> bool[D]."""
        levels = {column: int(self.dimensions[column].level(jnp.float32(unit[column]))) for column in self.structural}
        return np.array(
            [all(c.parent not in levels or levels[c.parent] in c.levels for c in found) for found in self.conditions]
        )

    @property
    def value_shapes(self) -> tuple[jax.ShapeDtypeStruct, ...]:
        """Shapes of one trial's decoded dimensions, [D]."""
        return tuple(jax.ShapeDtypeStruct((), d.dtype) for d in self.dimensions)

    @property
    def constants(self) -> dict[str, Any]:
        """The constants, by dotted name: those of conditional parts too."""
        return {slot.name: slot.value for slot in self.slots if isinstance(slot, Constant)}

    @property
    def num_dimensions(self) -> int:
        """Number of columns of `unit`, D."""
        return len(self.dimensions)

    @property
    def levels(self) -> np.ndarray:
        """Values of each dimension, f64[D]; +inf where continuous."""
        return np.array([np.inf if d.levels is None else d.levels for d in self.dimensions])

    @property
    def size(self) -> int | None:
        """Number of settings, those told apart by inactive dimensions included; None where one is continuous."""
        levels = [dimension.levels for dimension in self.dimensions]
        return None if None in levels else math.prod(n for n in levels if n is not None)

    def active(self, unit: Array) -> Array:
        """Tell which dimensions exist: unit f32[..., D] -> bool[..., D]."""
        columns = []
        for conditions in self.conditions:
            exists = jnp.ones(unit.shape[:-1], bool)
            for condition in conditions:
                level = self.dimensions[condition.parent].level(unit[..., condition.parent])
                exists &= jnp.isin(level, jnp.array(condition.levels, jnp.int32))
            columns.append(exists)
        return jnp.stack(columns, axis=-1)

    def snap(self, unit: Array) -> Array:
        """Move rows to the one place that stands for their setting: f32[..., D] -> f32[..., D].

        Inactive dimensions go to the middle of their range.
        """
        snapped = self._snap_all(unit)
        if not any(self.conditions):
            return snapped
        middle = self._snap_all(jnp.full(self.num_dimensions, 0.5, jnp.float32))
        return jnp.where(self.active(snapped), snapped, jnp.broadcast_to(middle, snapped.shape))

    def _snap_all(self, unit: Array) -> Array:
        """Snap every column: those with even bins, and those without bins, at once."""
        snapped = even_snap(unit, self.levels)
        for column, dimension in enumerate(self.dimensions):
            if not dimension.even:
                snapped = snapped.at[..., column].set(dimension.snap(unit[..., column]))
        return snapped

    def bins(self, unit: Array) -> tuple[Array, Array]:
        """Return the ends of the bins around snapped rows: f32[..., D] -> two f32[..., D]."""
        ends = [d.bin(unit[..., i]) for i, d in enumerate(self.dimensions)]
        low, high = (jnp.stack(side, axis=-1).astype(jnp.float32) for side in zip(*ends, strict=True))
        return low, high

    def values(self, unit: Any, xp: Any = jnp) -> tuple[Any, ...]:
        """Decode the dimensions alone, by `jnp` or `np`: f32[..., D] -> D arrays [...], each of its dtype."""
        return tuple(d.value(unit[..., i], xp) for i, d in enumerate(self.dimensions))

    def assemble(self, values: Any) -> Hparams:
        """Put D values into the user's pytree, constants beside them."""
        leaves = [values[s.column] if isinstance(s, Slot) else s.value for s in self.slots]
        return jax.tree.unflatten(self.treedef, leaves)

    def values_of(self, hparams: Hparams) -> tuple[Any, ...]:
        """Take the D values out of the user's pytree again."""
        leaves = zip(self.slots, self.treedef.flatten_up_to(hparams), strict=True)
        found = {slot.column: leaf for slot, leaf in leaves if isinstance(slot, Slot)}
        return tuple(found[column] for column in range(self.num_dimensions))

    def decode(self, unit: Array) -> Hparams:
        """Decode rows to the user's pytree: f32[..., D] -> leaves [...]."""
        return self.assemble(self.values(unit))

    def encode(self, hparams: Hparams) -> np.ndarray:
        """Encode one setting, written as in results, to a snapped row f32[D].

        Args:
          hparams: the space's structure, with values for dimensions; None where a dimension does not exist.

        Raises:
          ValueError: another structure, a value outside its dimension, or None for one that exists; the name is given.
        """
        try:
            leaves = self.treedef.flatten_up_to(hparams)
        except (ValueError, TypeError) as error:
            raise ValueError(f"hparams={shown(hparams)}: must have the structure of the space: {error}") from error
        unit = np.full(self.num_dimensions, np.nan, np.float32)
        for slot, value in zip(self.slots, leaves, strict=True):
            if isinstance(slot, Slot) and not (value is None and self._never_none(slot.column)):
                unit[slot.column] = self._encode(slot.column, value)
        row = np.asarray(self.snap(jnp.asarray(np.nan_to_num(unit, nan=0.5))))
        missing = np.isnan(unit) & np.asarray(self.active(jnp.asarray(row)))
        require(not missing.any(), "hparams", hparams, f"complete: {self.names[int(missing.argmax())]!r} is None")
        return row

    def label(self, unit: Any) -> Hparams:
        """Show one row f32[D] as the user would write it; None where a dimension does not exist."""
        return self.labels(np.asarray(unit)[None])[0]

    def labels(self, unit: Any) -> list[Hparams]:
        """Show rows f32[n, D] as the user would write them."""
        return [self.assemble(row) for row in self.label_rows(unit)]

    def label_rows(self, unit: Any) -> list[list[Any]]:
        """Show rows f32[n, D] as n lists of D plain values, in the order of `names`."""
        unit = np.asarray(unit)
        columns = [d.labels(unit[:, i]) for i, d in enumerate(self.dimensions)]
        if not any(self.conditions):
            return [list(row) for row in zip(*columns, strict=True)]
        active = np.asarray(self.active(jnp.asarray(unit)))
        shown = [[v if a else None for v, a in zip(c, active[:, i], strict=True)] for i, c in enumerate(columns)]
        return [list(row) for row in zip(*shown, strict=True)]

    def grid(self, points: int) -> np.ndarray:
        """Return every combination of at most `points` values a dimension, a Choice's all: f32[n, D].

        Raises:
          ValueError: more than 4,194,304 combinations.
        """
        axes = [d.grid(points) for d in self.dimensions]
        total = math.prod(len(axis) for axis in axes)
        require(total <= MAX_GRID, "grid size", total, f"at most {MAX_GRID}; use fewer points, or QuasiRandom")
        rows = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(total, len(axes))
        with jax.ensure_compile_time_eval():  # a grid may be laid out inside a trace
            snapped = np.asarray(self.snap(jnp.asarray(rows, jnp.float32)))
        if not any(self.conditions):
            return snapped
        _, first = np.unique(snapped, axis=0, return_index=True)
        return snapped[np.sort(first)]

    def _never_none(self, column: int) -> bool:
        """Tell whether None can only mean that the dimension does not exist."""
        dimension = self.dimensions[column]
        return not (isinstance(dimension, Choice) and None in dimension.values)

    def _encode(self, column: int, value: Any) -> float:
        try:
            return self.dimensions[column].encode(value)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{self.names[column]}: {error}") from error


def _beliefs(dimensions: Sequence[Dimension]) -> tuple[Belief | None, ...]:
    beliefs = tuple(dimension.belief for dimension in dimensions)
    return beliefs if any(beliefs) else ()
