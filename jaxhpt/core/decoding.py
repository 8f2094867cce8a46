"""From `unit` to float32 values: the same bits on the host, on every device and in every program.

A compiler may round a product and a sum once where another rounds twice, and each has an `exp` of its own. So here
products are exact (factors of 12 bits each), powers are put together from tables and whole numbers, and what is left
are sums and products that all round alike. Results can therefore show, by NumPy, the very numbers that were used.
"""

import functools
import math
from fractions import Fraction
from typing import Any

import jax.numpy as jnp
import numpy as np

HIGH_BITS = np.uint32(0xFFFFF000)  # of a float32: sign, exponent and the upper half of its 24 digits
HALF_BIT = np.uint32(0x800)
HALF = 12
TINY = np.finfo(np.float32).tiny  # what is smaller, some devices take for 0
LEAST_UNIT = np.float32(2.0**-60)  # below, products would be smaller than TINY
FINE = 2048  # steps of the finer of two tables
_POWERS = 2.0 ** (np.arange(4096) / 4096)  # between which powers of two are on a line
POWERS = _POWERS.astype(np.float32)
POWERS_REST = (_POWERS - POWERS).astype(np.float32)


def linear(unit: Any, low: float, high: float, xp: Any = jnp) -> Any:
    """Decode evenly: low + (high - low) * unit, in [low, high].

    Args:
      unit: f32[...] in [0, 1].
      low: static, as `high`.
      high: above `low`; the width is within float32.
      xp: `jnp`, or `np` on the host.

    Returns:
      f32[...].
    """
    first, last = np.float32(low), np.float32(high)
    scale = _power(max(abs(low), abs(high)))  # in units of it nothing overflows, and little is smaller than TINY
    width = (float(last) - float(first)) / scale
    wide = _upper(np.float32(width), np)
    rest = _upper(np.float32(width - float(wide)), np)
    unit = xp.clip(xp.asarray(unit, np.float32), np.float32(0), np.float32(1))
    unit = xp.where(unit < LEAST_UNIT, np.float32(0), unit)
    upper = _upper(unit, xp)
    lower = unit - upper
    small = wide * lower + (rest * upper + rest * lower)
    value = (np.float32(float(first) / scale) + wide * upper) + small
    value = xp.where(abs(value) < np.float32(max(float(TINY), float(TINY) / scale)), np.float32(0), value)
    return _ended(value * np.float32(scale), unit, first, last, xp)


def exponential(unit: Any, low: float, high: float, xp: Any = jnp) -> Any:
    """Decode evenly in the exponent: low * (high / low)^unit, in [low, high].

    Args:
      unit: f32[...] in [0, 1]; counted in steps of 2^-24.
      low: static and above 0, as `high`.
      high: above `low`.
      xp: `jnp`, or `np` on the host.

    Returns:
      f32[...].
    """
    unit = xp.clip(xp.asarray(unit, np.float32), np.float32(0), np.float32(1))
    steps = xp.clip(unit * np.float32(2**24), np.float32(0), np.float32(2**24 - 1)).astype(np.uint32)
    exponent = _times(steps, math.log2(high) - math.log2(low)) + np.uint32(round((math.log2(low) + 127) * 2**24))
    place = (exponent & np.uint32(0xFFFFFF)) >> np.uint32(HALF)
    power = xp.take(POWERS, place, mode="clip")
    slope = _upper(power * np.float32(math.log(2) * 2.0**-24), xp)
    rest = slope * (exponent & np.uint32(0xFFF)).astype(np.float32) + xp.take(POWERS_REST, place, mode="clip")
    whole = xp.clip((exponent >> np.uint32(24)).astype(np.int32), 1, 254) << np.int32(23)
    with np.errstate(over="ignore"):  # beyond float32's largest is beyond `high`
        value = (power + rest) * whole.view(np.float32)
    return _ended(value, unit, np.float32(low), np.float32(high), xp)


def stepped(level: Any, low: float, high: float, levels: int, xp: Any = jnp) -> Any:
    """Return the values of levels: `low` for 0, `high` for `levels` - 1, evenly spaced.

    Args:
      level: i32[...] in [0, levels).
      low: static, as `high` and `levels`.
      high: above `low`.
      levels: at least 2.
      xp: `jnp`, or `np` on the host.

    Returns:
      f32[...] the float32 that is nearest; at worst its neighbour, where there are more than 2,048 levels.
    """
    (coarse, coarse_rest), (fine, fine_rest) = _tables(low, high, levels)
    if levels <= FINE:
        return xp.take(fine, level, mode="clip")
    of_coarse, of_fine = level // np.int32(FINE), level % np.int32(FINE)
    a, b = xp.take(coarse, of_coarse, mode="clip"), xp.take(fine, of_fine, mode="clip")
    rest = xp.take(coarse_rest, of_coarse, mode="clip") + xp.take(fine_rest, of_fine, mode="clip")
    total = a + b
    part = total - a
    lost = (a - (total - part)) + (b - part)  # exactly what the sum rounded off
    return total + (lost + rest)


def _ended(value: Any, unit: Any, low: np.float32, high: np.float32, xp: Any) -> Any:
    return xp.where(unit < 1, xp.clip(value, low, high), high)


def _upper(x: Any, xp: Any) -> Any:
    """Round float32 to 12 digits; what it lacks has no more."""
    return ((xp.asarray(x, np.float32).view(np.uint32) + HALF_BIT) & HIGH_BITS).view(np.float32)


def _power(x: float) -> float:
    """Return the power of two in (x / 2, x]."""
    return 2.0 ** (math.frexp(x)[1] - 1)


def _times(steps: Any, factor: float) -> Any:
    """Multiply u32 of 24 bits, in units of 2^-24, by a factor in (0, 256): u32 in units of 2^-24."""
    size = math.frexp(factor)[1]
    number = round(math.ldexp(factor, 24 - size))
    high, low = np.uint32(number >> HALF), np.uint32(number & 0xFFF)
    a, b = steps >> np.uint32(HALF), steps & np.uint32(0xFFF)
    middle = a * low + b * high + ((b * low + HALF_BIT) >> np.uint32(HALF))
    if size >= 0:
        return ((a * high) << np.uint32(size)) + _halved(middle, HALF - size)
    return _halved(a * high + (middle >> np.uint32(HALF)), min(-size, 24))


def _halved(number: Any, times: int) -> Any:
    """Divide u32 by two so many times, at least once, rounded to the nearest."""
    return (number + np.uint32(1 << (times - 1))) >> np.uint32(times)


@functools.lru_cache(maxsize=1024)
def _tables(low: float, high: float, levels: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return (values, what they lack) f32 of each 2,048th level, and of what the levels between them add.

    Of fractions, as the ends were written, so that levels are as short as a person would write them.
    """
    start, width = Fraction(str(low)), Fraction(str(high)) - Fraction(str(low))
    if levels <= FINE:
        return _table([]), _table([start + width * i / (levels - 1) for i in range(levels)])
    coarse = [start + width * i / (levels - 1) for i in range(0, levels, FINE)]
    return _table(coarse), _table([width * i / (levels - 1) for i in range(FINE)])


def _table(values: list[Fraction]) -> tuple[np.ndarray, np.ndarray]:
    nearest = np.array([float(v) for v in values], np.float32)
    rest = [float(v - Fraction(float(n))) for v, n in zip(values, nearest, strict=True)]
    return nearest, np.array(rest, np.float32)
