"""Dimensions of a search space: Float, Int, Choice, Bool, and When for conditional ones.

A dimension maps `unit` in [0, 1] to a value and back. A dimension with `levels` distinct values cuts [0, 1]
into as many bins; its snapped unit is the middle of a bin, so that equal values are equal bits.
"""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt.checks import require
from jaxhpt.numerics import beside
from jaxhpt.typing import Array

MAX_LEVELS = 2**22  # more bins than this are narrower than float32 resolves in [0, 1]
MAX_LOG_INT = 2**16  # the bins at the upper end of a logarithmic range are narrower still


class Dimension:
    """One column of `unit`. Subclasses give `levels`, `dtype`, `value` and `encode`."""

    @property
    def levels(self) -> int | None:
        """Number of distinct values; None where the range is continuous."""
        raise NotImplementedError

    @property
    def dtype(self) -> Any:
        """Dtype of the decoded value."""
        raise NotImplementedError

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        """Decode: `unit` of any shape to values of that shape, by `jnp` on device or `np` on the host."""
        raise NotImplementedError

    def encode(self, value: Any) -> float:
        """Return the snapped unit of a value a user would write."""
        raise NotImplementedError

    def level(self, unit: Any, xp: Any = jnp) -> Any:
        """Return the bin of `unit`, i32 of the same shape."""
        top = (self.levels or 1) - 1
        return xp.clip(xp.floor(unit * (top + 1)), 0, top).astype(np.int32)

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
        """Return the value as plain Python, as the user wrote it."""
        return self.value(np.float64(unit), np).item()

    def labels(self, unit: np.ndarray) -> list:
        """Return the values of units f32[n] as plain Python."""
        return [self.label(u) for u in unit]

    def grid(self, points: int) -> np.ndarray:
        """Return at most `points` units, evenly spread over the range, ends included: f64[n]."""
        if self.levels is None:
            return np.linspace(0.0, 1.0, points) if points > 1 else np.array([0.5])
        count = min(points, self.levels)
        index = np.linspace(0, self.levels - 1, count) if count > 1 else np.array([(self.levels - 1) // 2])
        return (np.round(index) + 0.5) / self.levels


@dataclasses.dataclass(frozen=True)
class Float(Dimension):
    """A real number in [low, high], decoded to float32. Choose it for rates, scales and probabilities.

    Args:
      low: lower end, included.
      high: upper end, included; above `low`.
      log: search the exponent evenly; needs `low` > 0. Right for anything that spans decades.
      step: distance between neighbours; must divide `high - low`. None is continuous.

    Raises:
      ValueError: `low` >= `high`, `log` with `low` <= 0 or with `step`, or a `step` that does not divide the range.

    Example:
      >>> Float(1e-4, 1e-1, log=True).label(0.5)
      0.0031622776
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _check_range(self, "Float")
        largest = float(np.finfo(np.float32).max)
        require(max(-self.low, self.high) <= largest, "Float range", (self.low, self.high), "within float32")
        require(not (self.log and self.low <= 0), "low", self.low, "above 0 where log=True")
        if self.step is not None:
            require(not self.log, "step", self.step, "None where log=True")
            _check_step(self, "Float")

    @property
    def levels(self) -> int | None:
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    @property
    def dtype(self) -> Any:
        return np.float32

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        if self.step is not None:
            raw = self.low + self.step * self.level(unit, xp).astype(np.float32)
        elif self.log:
            low, high = math.log(self.low), math.log(self.high)
            raw = xp.exp(low + (high - low) * unit)
        else:
            raw = self.low + (self.high - self.low) * unit
        return xp.clip(xp.asarray(raw, np.float32), np.float32(self.low), np.float32(self.high))

    def encode(self, value: Any) -> float:
        _check_inside(self, value)
        if self.step is not None:
            return (round((value - self.low) / self.step) + 0.5) / (self.levels or 1)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def label(self, unit: Any) -> float:
        return self.labels(np.asarray([unit]))[0]

    def labels(self, unit: np.ndarray) -> list:
        values = self.value(unit.astype(np.float64), np)
        return [float(str(value)) for value in values]  # the shortest number that is this float32


@dataclasses.dataclass(frozen=True)
class Int(Dimension):
    """A whole number in [low, high], decoded to int32; every value, the ends too, has its full share.

    Args:
      low: lower end, included.
      high: upper end, included; above `low`.
      log: shares shrink as 1 / value; needs `low` >= 1 and `high` <= 65,536.
      step: distance between neighbours; must divide `high - low`; 1 where `log`.

    Raises:
      ValueError: a range the wrong way round, not divided by `step`, too wide for float32, or not positive where `log`.

    Example:
      >>> Int(1, 4).label(0.99)
      4
    """

    low: int
    high: int
    log: bool = False
    step: int = 1

    def __post_init__(self) -> None:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"Int {name}={value!r}: must be an int; use Float for real numbers")
        _check_range(self, "Int")
        _check_step(self, "Int")
        require(not (self.log and self.low < 1), "low", self.low, "at least 1 where log=True")
        require(not (self.log and self.step != 1), "step", self.step, "1 where log=True")
        fits = self.low >= -(2**31) and self.high < 2**31 and self.high - self.low < 2**31
        require(fits, "Int range", (self.low, self.high), "within int32, its width too")
        narrow = not self.log or self.high <= MAX_LOG_INT
        remedy = f"at most {MAX_LOG_INT} where log=True; or take Float(log=True) and round it"
        require(narrow, "high", self.high, remedy)

    @property
    def levels(self) -> int | None:
        return (self.high - self.low) // self.step + 1

    @property
    def dtype(self) -> Any:
        return np.int32

    @property
    def _edges(self) -> tuple[float, float]:
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        if not self.log:
            return self.low + self.step * self.level(unit, xp)
        low, high = self._edges
        raw = xp.round(xp.exp(low + (high - low) * unit))
        return xp.clip(raw, self.low, self.high).astype(np.int32)

    @property
    def even(self) -> bool:
        return not self.log

    def snap(self, unit: Array) -> Array:
        if self.even:
            return super().snap(unit)
        low, high = self._edges
        # Looked up: a log on device differs in its last bit from one program to the next.
        middles = (np.log(np.arange(self.low, self.high + 1)) - low) / (high - low)
        return jnp.asarray(middles, jnp.float32)[self.value(unit) - self.low]

    def bin(self, unit: Array) -> tuple[Array, Array]:
        if not self.log:
            return super().bin(unit)
        (low, high), value = self._edges, self.value(unit).astype(jnp.float32)
        return (jnp.log(value - 0.5) - low) / (high - low), (jnp.log(value + 0.5) - low) / (high - low)

    def encode(self, value: Any) -> float:
        _check_inside(self, value)
        if not self.log:
            return (round((value - self.low) / self.step) + 0.5) / (self.levels or 1)
        low, high = self._edges
        return (math.log(value) - low) / (high - low)

    def grid(self, points: int) -> np.ndarray:
        if not self.log:
            return super().grid(points)
        if points >= (self.levels or 1):
            values = list(range(self.low, self.high + 1))
        else:
            spots = np.geomspace(self.low, self.high, points) if points > 1 else [math.sqrt(self.low * self.high)]
            values = sorted({round(v) for v in spots})
        return np.array([self.encode(v) for v in values])


@dataclasses.dataclass(frozen=True)
class Choice(Dimension):
    """One of several values without order. A plain list in a space means the same.

    Numbers decode to the number (int32, or float32 where one is not whole); anything else to its index, for
    `jax.lax.switch`. Results always show the value itself.

    Args:
      values: at least one value; hashable and distinct.

    Raises:
      ValueError: no value, a duplicate, or a whole number outside int32.
      TypeError: a value that is not hashable.

    Example:
      >>> Choice(["adam", "lion"]).label(0.9)
      'lion'
    """

    values: tuple
    kinds: tuple[type, ...] = dataclasses.field(init=False, repr=False)  # tells 1, 1.0 and True apart

    def __init__(self, values: Any) -> None:
        plain = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
        object.__setattr__(self, "values", plain)
        object.__setattr__(self, "kinds", tuple(type(v) for v in plain))
        require(len(plain) > 0, "Choice values", list(plain), "at least one value")
        try:
            distinct = len(set(plain)) == len(plain)
        except TypeError as error:
            raise TypeError(f"Choice values {plain!r}: each must be hashable; write a list as a tuple") from error
        require(distinct, "Choice values", list(plain), "distinct")
        whole = [v for v in plain if isinstance(v, int)]
        require(all(abs(v) < 2**31 for v in whole), "Choice values", whole, "within int32")

    @property
    def levels(self) -> int | None:
        return len(self.values)

    @property
    def dtype(self) -> Any:
        kinds = set(self.kinds)
        if kinds == {bool}:
            return np.bool_
        return np.float32 if float in kinds and kinds <= {int, float} else np.int32

    @property
    def numeric(self) -> bool:
        """Whether the values decode to themselves."""
        kinds = set(self.kinds)
        return kinds <= {int, float} or kinds == {bool}

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        index = self.level(unit, xp)
        return xp.asarray(self.values, self.dtype)[index] if self.numeric else index

    def encode(self, value: Any) -> float:
        value = value.item() if isinstance(value, np.generic) else value
        if value not in self.values:
            raise ValueError(f"value={value!r}: must be one of {list(self.values)}")
        return (self.values.index(value) + 0.5) / len(self.values)

    def grid(self, points: int) -> np.ndarray:
        """Return the units of all values, however few `points`: they have no order to thin out by."""
        return super().grid(len(self.values))

    def label(self, unit: Any) -> Any:
        return self.values[int(self.level(np.float64(unit), np))]


def Bool() -> Choice:
    """A switch: False or True, decoded to a bool.

    Example:
      >>> Bool().label(0.9)
      True
    """
    return Choice((False, True))


@dataclasses.dataclass(frozen=True)
class When:
    """A part of a space that exists only for some settings of a Choice or Bool.

    Where it does not, its dimensions rest at one canonical value, so that two equal trials are equal rows, and
    results show None.

    Args:
      parent: name of the Choice that decides: a sibling's, or a dotted path from the root.
      value: the value, or a list of the values, for which the part exists.
      space: the conditional part: a dimension, or a dict or other pytree of them.

    Example:
      >>> import jaxhpt
      >>> space = jaxhpt.Space.of({"rule": ["sgd", "adam"], "adam": When("rule", "adam", {"b2": Float(0.9, 0.999)})})
      >>> space.label(space.encode({"rule": "sgd", "adam": {"b2": None}}))
      {'adam': {'b2': None}, 'rule': 'sgd'}
    """

    parent: str
    value: Any
    space: Any


def even_snap(unit: Array, levels: np.ndarray) -> Array:
    """Move f32[..., D] to the middles of `levels` f[D] even bins; into [0, 1] only where there are infinitely many."""
    unit = jnp.asarray(unit, jnp.float32)
    inside = jnp.clip(unit, 0.0, 1.0)
    stepped = np.isfinite(levels)
    if not stepped.any():
        return inside
    bins = beside(np.where(stepped, levels, 1).astype(np.float32), inside)
    # XLA turns a division by the bins into this, but not everywhere.
    share = beside((1 / np.where(stepped, levels, 1)).astype(np.float32), inside)
    middle = (jnp.clip(jnp.floor(unit * bins), 0.0, bins - 1) + 0.5) * share
    return middle if stepped.all() else jnp.where(stepped, middle, inside)


def _check_range(dimension: Any, kind: str) -> None:
    low, high = dimension.low, dimension.high
    require(math.isfinite(low) and math.isfinite(high), f"{kind} range", (low, high), "finite")
    require(low < high, f"{kind} range", (low, high), "low < high")


def _check_step(dimension: Any, kind: str) -> None:
    require(dimension.step > 0, f"{kind} step", dimension.step, "above 0")
    ratio = (dimension.high - dimension.low) / dimension.step
    divides = abs(ratio - round(ratio)) < 1e-6 * max(1.0, ratio)
    remedy = f"a divisor of high - low = {dimension.high - dimension.low}"
    require(divides and round(ratio) >= 1, f"{kind} step", dimension.step, remedy)
    width = (dimension.low, dimension.high)
    require(ratio < MAX_LEVELS, f"{kind} range", width, f"at most {MAX_LEVELS} values; take a larger step")


def _check_inside(dimension: Any, value: Any) -> None:
    slack = 1e-6 * (dimension.high - dimension.low)
    inside = dimension.low - slack <= value <= dimension.high + slack
    require(bool(inside), "value", value, f"within [{dimension.low}, {dimension.high}]")
