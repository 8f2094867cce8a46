"""Axes: the range of a dimension or a metric, and where values lie on it."""

import dataclasses
import math
from typing import Any

import numpy as np

DECADES = 30  # from the lowest to the highest of positive numbers, from where on an axis is logarithmic
FARTHEST = 1e100  # what an axis reaches to, and its reciprocal a logarithmic one: what draws has no more numbers
GOOD = 0.1  # share of the trials that are good ones,
CROWDED = 0.07  # and of the axis: where they have less room than that, it is spaced by the distance to the best
FINEST = 1e-6  # of the best: what is nearer to it is as good, as pages have six digits
FEWEST = 8  # trials with another value than the best
TICKS = 6


@dataclasses.dataclass(frozen=True)
class Axis:
    """A dimension or a metric, as the axis of a figure.

    Attributes:
      name: of the dimension or the metric.
      low: lower end of the range.
      high: upper end of the range.
      log: whether the range is logarithmic.
      whole: whether the values are whole numbers.
      texts: of the values, where they are no numbers: a value is then its place here; () where they are numbers.
      cut: whether some values lie beyond an end; they are drawn at it.
      near: where values are spaced by the logarithm of their distance to the best, the distance from which on they are
        (nearer to it they are spaced evenly); 0 for no such axis.
      best: "low" or "high", the end at which the best is of an axis with `near`.
      ticks: values to be named on an axis with `near`.
    """

    name: str
    low: float
    high: float
    log: bool = False
    whole: bool = False
    texts: tuple[str, ...] = ()
    cut: bool = False
    near: float = 0.0
    best: str = ""
    ticks: tuple[float, ...] = ()

    def place(self, value: np.ndarray) -> np.ndarray:
        """Return where values lie on the axis: f64[...] -> f64[...] in [0, 1], NaN where there is none."""
        if self.texts:
            return (value + 0.5) / len(self.texts)
        if self.low == self.high:
            return np.where(np.isnan(value), np.nan, 0.5)
        low, high = self.along(np.array([self.low, self.high]))
        return np.clip((self.along(value) - low) / (high - low), 0.0, 1.0)

    def along(self, value: Any) -> Any:
        """Return values as they are spaced on the axis: f64[...] -> f64[...], rising."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if self.near:
                gap = value - (self.low if self.best == "low" else self.high)
                return np.sign(gap) * np.log1p(np.abs(gap) / self.near)
            return np.log(value) if self.log else value

    def back(self, along: Any) -> Any:
        """Return the values that are spaced so: the inverse of `along`."""
        if self.near:
            best = self.low if self.best == "low" else self.high
            return best + np.sign(along) * self.near * np.expm1(np.abs(along))
        return np.exp(along) if self.log else along


def axis_of(name: str, values: Any, direction: str | None = None) -> Axis:
    """Return an axis for the finite ones of some numbers, logarithmic where they span more than a decade and a half.

    Args:
      name: of the axis.
      values: f64[...].
      direction: "min" or "max": the axis may be cut on the side that is worse, where a few lie far from all others;
        None for no cut.
    """
    given = np.asarray(values, float)[np.isfinite(values)]
    finite = np.clip(given, -FARTHEST, FARTHEST)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low > 0 and high > DECADES * low:
        low, high = max(low, 1 / FARTHEST), max(high, 1 / FARTHEST)
        return Axis(name, low, high, log=low < high, cut=bool((given < low).any() or (given > high).any()))
    first, last = _most(finite) if direction is not None and finite.size else (low, high)
    low, high = first if direction == "max" else low, last if direction == "min" else high
    return Axis(name, low, high, cut=bool((given < low).any() or (given > high).any()))


def objective_axis(name: str, values: Any, direction: str) -> Axis:
    """Return the axis of an objective, as `axis_of`; where good values would lie upon each other, they are moved apart.

    They are then spaced by the logarithm of their distance to the best, log(1 + distance / near): as the simple regret
    is drawn.

    Args:
      name: of the objective.
      values: f64[...].
      direction: "min" or "max".
    """
    axis = axis_of(name, values, direction)
    best, sign = (axis.low, 1) if direction == "min" else (axis.high, -1)
    gap = sign * (np.asarray(values, float)[np.isfinite(values)] - best)
    gap = gap[gap > FINEST * max(1e-3 * (axis.high - axis.low), abs(best))]
    if gap.size < FEWEST:
        return axis
    good = float(np.quantile(gap, GOOD))
    if abs(float(axis.place(np.array(best + sign * good)) - axis.place(np.array(best)))) >= CROWDED:
        return axis
    moved = dataclasses.replace(axis, log=False, near=good / 4, best="low" if direction == "min" else "high")
    return dataclasses.replace(moved, ticks=_ticks(moved))


def _ticks(axis: Axis) -> tuple[float, ...]:
    """Return the ends of an axis, and between them round values at about the same distance on it."""
    low, high = axis.along(np.array([axis.low, axis.high]))
    places = np.linspace(low, high, TICKS + 1)
    apart = np.abs(np.gradient(axis.back(places)))
    inner = [_round(value, 0.5 * space) for value, space in zip(axis.back(places), apart, strict=True)][1:-1]
    found = [value for value in inner if axis.low < value < axis.high]
    return (axis.low, *dict.fromkeys(found), axis.high)


def _round(value: float, within: float) -> float:
    """Return a multiple of 1, 2 or 5 times a power of ten that is about so near to a value."""
    power = 10.0 ** math.floor(math.log10(within))
    step = power * max(m for m in (1, 2, 5) if m * power <= within * (1 + 1e-9))
    return float(f"{round(value / step) * step:.12g}")


def _most(finite: np.ndarray) -> tuple[float, float]:
    """Return ends that leave out what lies several times as far out as the middle nine tenths are wide."""
    low, first, last, high = np.quantile(finite, [0.0, 0.05, 0.95, 1.0])
    reach = last - first
    if reach <= 0:
        return float(low), float(high)
    far = 3.0 * reach
    ends = first - 0.5 * reach if low < first - far else low, last + 0.5 * reach if high > last + far else high
    return float(ends[0]), float(ends[1])
