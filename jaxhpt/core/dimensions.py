"""Dimensions of a search space: Float, Int, Choice, Bool, and When for conditional ones."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt.core import decoding
from jaxhpt.core.checks import number, require, switch, whole
from jaxhpt.core.choice import Bool, Choice
from jaxhpt.core.dimension import Dimension, settle_belief, write_fields
from jaxhpt.core.ranges import check_apart, check_fine, check_float, check_int, check_step, spacing
from jaxhpt.core.typing import Array
from jaxhpt.core.values import Part

__all__ = ["Bool", "Choice", "Dimension", "Float", "Int", "When"]

MAX_LOG_INT = 2**16  # the bins at the upper end of a logarithmic range are narrower than float32 resolves in [0, 1]


@dataclasses.dataclass(frozen=True, repr=False)
class Float(Dimension):
    """A real number in [low, high], decoded to float32. Choose it for rates, scales and probabilities.

    Args:
      low: lower end, included.
      high: upper end, included; above `low`.
      log: search the exponent evenly; needs `low` > 0. Right for anything that spans decades.
      step: distance between neighbours; must divide `high - low`. None is continuous.
      near: a value in the range that you believe to be near the best: searches lean to it, less and less as trials
        end. None is no belief.
      trust: how sure you are, "low" or "high"; None is "low" where there is a belief.

    Raises:
      ValueError: `low` >= `high`, `log` with `low` <= 0 or with `step`, a `step` that does not divide the range, a
        range that float32 does not hold, or holds fewer than 256 values of, or a belief outside of the range.
      TypeError: an end or a step that is no number, a `log` that is no bool.

    Example:
      >>> Float(1.0, 100.0, log=True).label(0.5)
      10.0
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    near: float | None = dataclasses.field(default=None, kw_only=True, repr=False)
    trust: str | None = dataclasses.field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        self._check_range()
        settle_belief(self, self.near, self.trust)

    def _check_range(self) -> None:
        write_fields(self, low=number("Float low", self.low), high=number("Float high", self.high))
        write_fields(self, log=_switch("Float", self.log))
        check_float(self.low, self.high)
        require(not (self.log and self.low <= 0), "low", self.low, "above 0 where log=True")
        if self.step is None:
            check_fine(self.low, self.high)
            return
        require(not self.log, "step", self.step, "None where log=True")
        write_fields(self, step=number("Float step", self.step))
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
        gap = spacing(self.low, self.high)
        _check_inside(self, value, gap)
        value = min(max(value, self.low), self.high)
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        if self.step is not None:
            return _middle(self, value, 1e-3 + gap / self.step)
        return (value - self.low) / (self.high - self.low)

    def labels(self, unit: np.ndarray) -> list:
        return [float(str(value)) for value in self.value(unit, np)]  # the shortest number that is this float32


@dataclasses.dataclass(frozen=True, repr=False)
class Int(Dimension):
    """A whole number in [low, high], decoded to int32; every value, the ends too, has its full share.

    Args:
      low: lower end, included.
      high: upper end, included; above `low`.
      log: shares shrink as 1 / value; needs `low` >= 1 and `high` <= 65,536.
      step: distance between neighbours; must divide `high - low`; 1 where `log`.
      structural: whether the functions get the plain int, for a shape or a loop in Python: each value is then a program
        of its own. Few values are best.
      near: as of `Float`.
      trust: as of `Float`.

    Raises:
      ValueError: a range the wrong way round, not divided by `step`, too wide for float32, or not positive where `log`,
        or a belief outside of the range.
      TypeError: an end or a step that is no whole number, a `log` that is no bool.

    Example:
      >>> Int(1, 4).label(0.99)
      4
    """

    low: int
    high: int
    log: bool = False
    step: int = 1
    structural: bool = False
    near: int | None = dataclasses.field(default=None, kw_only=True, repr=False)
    trust: str | None = dataclasses.field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        self._check_range()
        settle_belief(self, self.near, self.trust)

    def _check_range(self) -> None:
        for name in ("low", "high", "step"):
            write_fields(
                self, **{name: whole(f"Int {name}", getattr(self, name), "an int; use Float for real numbers")}
            )
        write_fields(self, log=_switch("Int", self.log))
        write_fields(self, structural=switch("Int structural", self.structural, "must be True or False"))
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
            return _middle(self, value, 1e-6)
        require(value == round(value), "value", value, "a whole number")
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


def _check_inside(dimension: Any, value: float, gap: float) -> None:
    slack = max(1e-6 * (dimension.high - dimension.low), gap)
    inside = dimension.low - slack <= value <= dimension.high + slack
    require(bool(inside), "value", value, f"within [{dimension.low}, {dimension.high}]")


def _middle(dimension: Any, value: float, slack: float) -> float:
    """Return the middle of a value's bin, where it is a step of the range but for `slack`, in steps."""
    levels = dimension.levels
    place = (value - dimension.low) / (dimension.high - dimension.low) * (levels - 1)
    found = abs(place - round(place)) <= min(slack, 0.5)
    require(found, "value", value, f"a step of {dimension.step} from {dimension.low}")
    return (round(place) + 0.5) / levels


def _switch(kind: str, log: Any) -> bool:
    return switch(f"{kind} log", log, f"must be True or False; write a step as step={log!r}")
