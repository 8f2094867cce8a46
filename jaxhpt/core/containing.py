"""Whether one space contains another, and where settings of the one lie in the other."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Choice, Float, Int
from jaxhpt.core.space import Space


def require_contained(old: Space, new: Space) -> None:
    """Raise unless a space is another one with wider ranges, or with more choices.

    Raises:
      ValueError: a dimension that is new, gone, narrower or of another kind, or one that shapes programs.
    """
    require(old.names == new.names, "extend", new.names, f"a space of the same names as before, {old.names}")
    for name, then, now in zip(old.names, old.dimensions, new.dimensions, strict=True):
        fits = type(then) is type(now) and _contains(then, now)
        require(fits, f"extend {name}", now, f"{then} with a wider range or more choices")
        require(then == now or not now.structural, f"extend {name}", now, "as before, where structural=True")


def _contains(old: Any, new: Any) -> bool:
    if isinstance(old, Choice):
        return old.numeric == new.numeric and old.dtype == new.dtype and None not in _places(old, new)
    if isinstance(old, Float | Int):
        step = old.step or 0
        aligned = not step or abs((old.low - new.low) / step - round((old.low - new.low) / step)) < 1e-6
        return (old.log, old.step) == (new.log, new.step) and new.low <= old.low and old.high <= new.high and aligned
    return old == new


def _places(old: Choice, new: Choice) -> list[int | None]:
    """Return the places of a choice's values among those of another; functions are known by their names."""
    return [new.find(value) for value in old.values]


def moved(unit: np.ndarray, old: Space, new: Space) -> np.ndarray:
    """Move rows of a space to where their settings lie in one that contains it: f32[n, D] -> f32[n, D] snapped."""
    columns = [_column(unit[:, i], *pair) for i, pair in enumerate(zip(old.dimensions, new.dimensions, strict=True))]
    return np.asarray(new.snap(jnp.asarray(np.stack(columns, axis=1), jnp.float32)))


def _column(unit: np.ndarray, old: Dimension, new: Dimension) -> np.ndarray:
    if old == new:
        return unit
    if isinstance(old, Choice) and isinstance(new, Choice):
        places = np.array(_places(old, new), np.float64)
        return (places[old.level(unit, np)] + 0.5) / len(new.values)
    if not len(unit):
        return unit
    return np.array([new.encode(value) for value in old.value(unit, np).tolist()])
