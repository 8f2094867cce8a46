"""Dimension: one column of `unit`, and what all kinds of dimensions share.

A dimension maps `unit` in [0, 1] to a value and back. A dimension with `levels` distinct values cuts [0, 1]
into as many bins; its snapped unit is the middle of a bin, so that equal values are equal bits.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.belief import Belief, check_trust
from jaxhpt.core.showing import shown
from jaxhpt.core.typing import Array
from jaxhpt.core.values import Part


class Dimension(Part):
    """One column of `unit`. Subclasses give `levels`, `dtype`, `value` and `encode`.

    Attributes:
      structural: whether its value shapes the program, and so reaches the user's functions as plain Python.
      near: the value that is believed to be near the best; None where nothing is believed.
      trust: "low" or "high", how much that is trusted; None where nothing is believed.
    """

    structural = False
    near: Any = None
    trust: str | None = None

    def __repr__(self) -> str:
        """Write the fields, and what is believed where something is."""
        fields: Any = dataclasses.fields(self)  # type: ignore[arg-type]
        written = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in fields if field.repr)
        return f"{type(self).__name__}({written}{self._believed})"

    @property
    def _believed(self) -> str:
        return "" if self.near is None else f", near={shown(self.near)}, trust={self.trust!r}"

    @property
    def levels(self) -> int | None:
        """Number of distinct values; None where the range is continuous."""
        raise NotImplementedError

    @property
    def dtype(self) -> Any:
        """Dtype of the decoded value."""
        raise NotImplementedError

    @property
    def ordered(self) -> bool:
        """Whether neighbours are alike, so that small steps of `unit` are small steps of the value."""
        return True

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        """Decode `unit` to values of its shape: the same bits by `jnp`, on device, as by `np`, on the host."""
        raise NotImplementedError

    def encode(self, value: Any) -> float:
        """Return the snapped unit of a value a user would write."""
        raise NotImplementedError

    def level(self, unit: Any, xp: Any = jnp) -> Any:
        """Return the bin of `unit`, i32 of the same shape."""
        top = (self.levels or 1) - 1
        return xp.clip(xp.floor(xp.asarray(unit, np.float32) * (top + 1)), 0, top).astype(np.int32)

    @property
    def belief(self) -> Belief | None:
        """Where the best value is believed to be; None where nothing is believed."""
        return None if self.near is None else Belief(self.encode(self.near), self.trust == "high")

    def with_values(self, change: Callable[[Any, int], Any]) -> "Dimension":
        """Return the dimension with other objects in the places of the user's own; see `Space.with_values`."""
        return self

    @property
    def even(self) -> bool:
        """Whether all bins have the same width, or there are none."""
        return True

    def snap(self, unit: Array) -> Array:
        """Move `unit` to the one place that stands for its value."""
        return even_snap(unit, np.array(np.inf if self.levels is None else self.levels))

    def bin(self, unit: Array) -> tuple[Array, Array]:
        """Return the ends of the bin around snapped `unit`; `unit` itself twice where the range is continuous."""
        if self.levels is None:
            return unit, unit
        level = self.level(unit).astype(jnp.float32)
        return level / self.levels, (level + 1.0) / self.levels

    def label(self, unit: Any) -> Any:
        """Return the value as plain Python, as the user wrote it; as float32, it is the one that `value` gives."""
        return self.labels(np.asarray([unit], np.float32))[0]

    def labels(self, unit: np.ndarray) -> list:
        """Return the values of units f32[n] as plain Python."""
        return self.value(unit, np).tolist()

    def grid(self, points: int) -> np.ndarray:
        """Return at most `points` units, evenly spread over the range, ends included: f64[n]."""
        if self.levels is None:
            return np.linspace(0.0, 1.0, points) if points > 1 else np.array([0.5])
        count = min(points, self.levels)
        index = np.linspace(0, self.levels - 1, count) if count > 1 else np.array([(self.levels - 1) // 2])
        return (np.round(index) + 0.5) / self.levels


def even_snap(unit: Array, levels: np.ndarray) -> Array:
    """Move f32[..., D] to the middles of `levels` f[D] even bins; into [0, 1] only where there are infinitely many."""
    unit = jnp.asarray(unit, jnp.float32)
    inside = jnp.clip(unit, 0.0, 1.0)
    levels = levels.reshape((1,) * (unit.ndim - levels.ndim) + levels.shape) if levels.ndim else levels
    stepped = np.isfinite(levels)
    if not stepped.any():
        return inside
    bins = np.where(stepped, levels, 1).astype(np.float32)
    share = (1 / np.where(stepped, levels, 1)).astype(np.float32)  # XLA turns a division into this, but not everywhere
    middle = (jnp.clip(jnp.floor(unit * bins), 0.0, bins - 1) + 0.5) * share
    return middle if stepped.all() else jnp.where(stepped, middle, inside)


def write_fields(dimension: Any, **fields: Any) -> None:
    """Write fields of a frozen dataclass."""
    for name, value in fields.items():
        object.__setattr__(dimension, name, value)


def settle_belief(dimension: Any, near: Any, trust: Any) -> None:
    """Check a belief, and write its fields.

    Raises:
      ValueError, TypeError: a value that the dimension does not have, or an unknown trust.
    """
    kind = type(dimension).__name__
    write_fields(dimension, near=near, trust=check_trust(kind, near, trust))
    if near is None:
        return
    try:
        dimension.encode(near)
    except (ValueError, TypeError) as error:
        raise type(error)(f"{kind} near: {error}") from error
