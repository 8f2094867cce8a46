"""Dimensions of a search space: Float, Int, Choice, Bool, and When for conditional ones.

A dimension maps `unit` in [0, 1] to a value and back. A dimension with `levels` distinct values cuts [0, 1]
into as many bins; its snapped unit is the middle of a bin, so that equal values are equal bits.
"""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt import decoding
from jaxhpt.checks import number, plain, require, whole
from jaxhpt.ranges import check_apart, check_fine, check_float, check_int, check_step
from jaxhpt.typing import Array
from jaxhpt.values import Part, check_values, is_number, marked

MAX_LOG_INT = 2**16  # the bins at the upper end of a logarithmic range are narrower than float32 resolves in [0, 1]


class Dimension(Part):
    """One column of `unit`. Subclasses give `levels`, `dtype`, `value` and `encode`."""

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


@dataclasses.dataclass(frozen=True)
class Float(Dimension):
    """A real number in [low, high], decoded to float32. Choose it for rates, scales and probabilities.

    Args:
      low: lower end, included.
      high: upper end, included; above `low`.
      log: search the exponent evenly; needs `low` > 0. Right for anything that spans decades.
      step: distance between neighbours; must divide `high - low`. None is continuous.

    Raises:
      ValueError: `low` >= `high`, `log` with `low` <= 0 or with `step`, a `step` that does not divide the range, or a
        range that float32 does not hold, or holds fewer than 256 values of.
      TypeError: an end or a step that is no number, a `log` that is no bool.

    Example:
      >>> Float(1e-4, 1e-1, log=True).label(0.5)
      0.0031622776
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        _set(self, low=number("Float low", self.low), high=number("Float high", self.high))
        _set(self, log=_switch("Float", self.log))
        check_float(self.low, self.high)
        require(not (self.log and self.low <= 0), "low", self.low, "above 0 where log=True")
        if self.step is None:
            check_fine(self.low, self.high)
            return
        require(not self.log, "step", self.step, "None where log=True")
        _set(self, step=number("Float step", self.step))
        check_step("Float", self.low, self.high, self.step)
        check_apart(self.low, self.high, self.step)

    @property
    def levels(self) -> int | None:
        return None if self.step is None else round((self.high - self.low) / self.step) + 1

    @property
    def dtype(self) -> Any:
        return np.float32

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        if self.step is not None:
            return decoding.stepped(self.level(unit, xp), self.low, self.high, self.levels or 1, xp)
        decode = decoding.exponential if self.log else decoding.linear
        return decode(unit, self.low, self.high, xp)

    def encode(self, value: Any) -> float:
        value = number("value", value)
        _check_inside(self, value, float(np.spacing(np.float32(max(abs(self.low), abs(self.high))))))
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        share = (value - self.low) / (self.high - self.low)
        return share if self.levels is None else (round(share * (self.levels - 1)) + 0.5) / self.levels

    def labels(self, unit: np.ndarray) -> list:
        return [float(str(value)) for value in self.value(unit, np)]  # the shortest number that is this float32


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
      TypeError: an end or a step that is no whole number, a `log` that is no bool.

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
            _set(self, **{name: whole(f"Int {name}", getattr(self, name), "an int; use Float for real numbers")})
        _set(self, log=_switch("Int", self.log))
        check_int(self.low, self.high)
        check_step("Int", self.low, self.high, self.step)
        require(not (self.log and self.low < 1), "low", self.low, "at least 1 where log=True")
        require(not (self.log and self.step != 1), "step", self.step, "1 where log=True")
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
        """Return the logarithms of the outer ends of the first bin and the last."""
        return math.log(self.low - 0.5), math.log(self.high + 0.5)

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        if not self.log:
            return self.low + self.step * self.level(unit, xp)
        raw = xp.round(decoding.exponential(unit, self.low - 0.5, self.high + 0.5, xp))
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
        value = number("value", value)
        _check_inside(self, value, 0.0)
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
    """One of several values. A plain list in a space means the same.

    Numbers decode to the number (int32, or float32 where one is not whole), booleans to the boolean; values of which
    none is a number decode to the index, for `jax.lax.switch`. Results always show the value itself. Rising or falling
    numbers are ordered: searchers step from one to the next.

    Args:
      values: a list of at least one value; hashable and distinct.

    Raises:
      ValueError: no value, a duplicate, or numbers that int32 or float32 do not hold or tell apart.
      TypeError: no list, a value that is not hashable, a range or a space as a value, or numbers beside other things.

    Example:
      >>> Choice(["adam", "lion"]).label(0.9)
      'lion'
    """

    values: tuple
    marks: tuple = dataclasses.field(init=False, repr=False)  # tells 1, 1.0 and True apart

    def __init__(self, values: Any, *more: Any) -> None:
        if more:
            raise TypeError(f"Choice values={(values, *more)!r}: must be one list, as in Choice([...])")
        given = check_values(values)
        _set(self, values=given, marks=tuple(marked(v) for v in given))

    @property
    def levels(self) -> int | None:
        return len(self.values)

    @property
    def dtype(self) -> Any:
        if all(isinstance(v, bool) for v in self.values):
            return np.bool_
        return np.float32 if any(isinstance(v, float) for v in self.values) else np.int32

    @property
    def numeric(self) -> bool:
        """Whether the values decode to themselves: numbers, or booleans alone."""
        return self.dtype == np.bool_ or is_number(self.values[0])  # numbers are among themselves

    @property
    def ordered(self) -> bool:
        if len(self.values) < 2 or not is_number(self.values[0]):
            return False
        pairs = list(zip(self.values[:-1], self.values[1:], strict=True))
        return all(a < b for a, b in pairs) or all(a > b for a, b in pairs)

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        index = self.level(unit, xp)
        return xp.take(np.asarray(self.values, self.dtype), index, mode="clip") if self.numeric else index

    def find(self, value: Any) -> int | None:
        """Return the place of a value, a number as float32 has it; None where it is no value of the choice."""
        value = plain(value)
        places = (i for i, v in enumerate(self.values) if self._same(v, value))
        return next(places, None)

    def _same(self, a: Any, b: Any) -> bool:
        if isinstance(a, bool) != isinstance(b, bool):
            return False
        if self.dtype == np.float32 and is_number(b):
            return bool(np.float32(a) == np.float32(b))
        return bool(a is b or a == b)

    def encode(self, value: Any) -> float:
        place = self.find(value)
        if place is None:
            raise ValueError(f"value={value!r}: must be one of {list(self.values)}")
        return (place + 0.5) / len(self.values)

    def grid(self, points: int) -> np.ndarray:
        """Return the units of all values, however few `points`: they have no order to thin out by."""
        return super().grid(len(self.values))

    def labels(self, unit: np.ndarray) -> list:
        return [self.values[i] for i in self.level(unit, np)]


class Bool(Choice):
    """A switch: False or True, decoded to a bool.

    Example:
      >>> Bool().label(0.9)
      True
    """

    def __init__(self) -> None:
        super().__init__((False, True))

    def __repr__(self) -> str:
        return "Bool()"


@dataclasses.dataclass(frozen=True)
class When(Part):
    """A part of a space that exists only for some settings of a Choice or Bool.

    Where it does not, its dimensions rest at one canonical value, so that two equal trials are equal rows, and
    results show None.

    Args:
      parent: name of the Choice that decides: a sibling's, or a dotted path from the root.
      value: the value, or a list of the values, for which the part exists.
      space: the conditional part: a dimension, or a dict or other pytree of them.

    Raises:
      TypeError: a parent that is not named by text.

    Example:
      >>> import jaxhpt
      >>> space = jaxhpt.Space.of({"rule": ["sgd", "adam"], "adam": When("rule", "adam", {"b2": Float(0.9, 0.999)})})
      >>> space.label(space.encode({"rule": "sgd", "adam": {"b2": None}}))
      {'adam': {'b2': None}, 'rule': 'sgd'}
    """

    parent: str
    value: Any
    space: Any

    def __post_init__(self) -> None:
        if not isinstance(self.parent, str):
            raise TypeError(f"When parent={self.parent!r}: must be the name of a Choice, Bool or list in the space")


def even_snap(unit: Array, levels: np.ndarray) -> Array:
    """Move f32[..., D] to the middles of `levels` f[D] even bins; into [0, 1] only where there are infinitely many."""
    inside = jnp.clip(unit, 0.0, 1.0).astype(jnp.float32)
    levels = levels.reshape((1,) * (unit.ndim - levels.ndim) + levels.shape) if levels.ndim else levels
    stepped = np.isfinite(levels)
    if not stepped.any():
        return inside
    bins = np.where(stepped, levels, 1).astype(np.float32)
    share = (1 / np.where(stepped, levels, 1)).astype(np.float32)  # XLA turns a division into this, but not everywhere
    middle = (jnp.clip(jnp.floor(unit * bins), 0.0, bins - 1) + 0.5) * share
    return middle if stepped.all() else jnp.where(stepped, middle, inside)


def _check_inside(dimension: Any, value: float, gap: float) -> None:
    slack = max(1e-6 * (dimension.high - dimension.low), gap)
    inside = dimension.low - slack <= value <= dimension.high + slack
    require(bool(inside), "value", value, f"within [{dimension.low}, {dimension.high}]")


def _switch(kind: str, log: Any) -> bool:
    if not isinstance(plain(log), bool):
        raise TypeError(f"{kind} log={log!r}: must be True or False; write a step as step={log!r}")
    return plain(log)


def _set(dimension: Any, **fields: Any) -> None:
    """Write fields of a frozen dataclass."""
    for name, value in fields.items():
        object.__setattr__(dimension, name, value)
