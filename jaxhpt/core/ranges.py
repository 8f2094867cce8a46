"""Which ranges int32 and float32 hold and tell apart: what is checked here is what the functions will be given."""

import math

import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.decoding import TINY

MAX_LEVELS = 2**22  # more bins than this are narrower than float32 resolves in [0, 1]
FEWEST = 256  # float32 values in a continuous range: with fewer, a searcher's small steps repeat settings
LARGEST = float(np.finfo(np.float32).max)
ELSEWHERE = "search the distance from an end instead"


def check_float(low: float, high: float) -> None:
    """Refuse a range of which float32 does not hold the ends, or the width.

    Raises:
      ValueError: names the range.
    """
    _check_order("Float", low, high)
    ends = (low, high)
    require(max(-low, high) <= LARGEST, "Float range", ends, "within float32; search the exponent, or in another unit")
    remedy = "no wider than float32 holds; halve it, and double the value in the function"
    require(high - low <= LARGEST, "Float range", ends, remedy)
    small = [end for end in ends if end != 0 and abs(end) < TINY]
    remedy = f"of ends that are 0 or at least {TINY:.2g} in size, float32's least; search it in another unit"
    require(not small, "Float range", ends, remedy)


def check_fine(low: float, high: float) -> None:
    """Refuse a continuous range in which float32 has few values.

    Raises:
      ValueError: names the range.
    """
    gap = spacing(low, high)
    if low <= 0 <= high:
        gap = max(gap, float(TINY))
    remedy = f"at least {FEWEST} float32 values wide, which are {gap:.2g} apart here; {ELSEWHERE}"
    require((high - low) / gap >= FEWEST, "Float range", (low, high), remedy)


def check_apart(low: float, high: float, step: float) -> None:
    """Refuse a step that float32 does not take everywhere in a range.

    Raises:
      ValueError: names the range and the step.
    """
    gap = max(spacing(low, high), float(TINY) * 2**24)  # so that rounding errors of a step are held, too
    exact = all(float(np.float32(end)) == end for end in (low, high))
    remedy = f"of steps that float32 tells apart, which step={step} is not: from {gap:.2g} here; {ELSEWHERE}"
    require(step > gap or (step == gap and exact), "Float range", (low, high), remedy)


def check_int(low: int, high: int) -> None:
    """Refuse a range of which int32 does not hold the ends, or the width.

    Raises:
      ValueError: names the range.
    """
    fits = low >= -(2**31) and high < 2**31 and high - low < 2**31
    require(fits, "Int range", (low, high), "within int32, its width too; count in thousands, or take Float(log=True)")
    _check_order("Int", low, high)


def check_step(kind: str, low: float, high: float, step: float) -> None:
    """Refuse a step that does not divide the range, or makes more levels than `unit` tells apart.

    Raises:
      ValueError: names the step, or the range.
    """
    require(step > 0, f"{kind} step", step, "above 0")
    ratio = (high - low) / step
    remedy = f"at most {MAX_LEVELS} values; take a larger step" + ", or Float and round it" * (kind == "Int")
    require(ratio < MAX_LEVELS, f"{kind} range", (low, high), remedy)
    divides = abs(ratio - round(ratio)) < min(1e-6 * max(1.0, ratio), 0.01)
    require(divides and round(ratio) >= 1, f"{kind} step", step, f"a divisor of high - low = {high - low}")


def spacing(low: float, high: float) -> float:
    """Return the distance of float32 values at the end that is further from 0."""
    return float(np.spacing(np.float32(max(abs(low), abs(high)))))


def _check_order(kind: str, low: float, high: float) -> None:
    try:
        finite = math.isfinite(low) and math.isfinite(high)
    except OverflowError:  # a whole number that no float holds
        finite = False
    require(finite, f"{kind} range", (low, high), "finite")
    require(low < high, f"{kind} range", (low, high), "low < high")
