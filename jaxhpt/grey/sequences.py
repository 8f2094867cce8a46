"""Short sequences: which numbers are known, their sums, ratios and last ones; a straight line, an exponential's mean.

Notations. As in `models.py`: the last axis has N numbers of which the first `count` are known. float32.

Deng, "Control problems of grey systems", https://doi.org/10.1016/S0167-6911(82)80025-X (1982).
Liu and Lin, "Grey systems: theory and applications", https://doi.org/10.1007/978-3-642-16158-2 (2010).
"""

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import beside
from jaxhpt.core.checks import require, require_count
from jaxhpt.core.typing import Array

STEEPEST = 40.0  # exponents beyond it are cut, so that nothing overflows


def counted(x: Array, count: Array | int | None, name: str = "x") -> tuple[Array, Array]:
    """Read sequences, and how many of their numbers are known: f32[..., N], and i32[...] with N for None.

    Raises:
      ValueError: a single number, or counts that are not one a sequence.
    """
    x = jnp.asarray(x, jnp.float32)
    require(x.ndim >= 1 and x.shape[-1] >= 1, f"{name}.shape", x.shape, "(..., N): sequences of at least one number")
    return x, each(x.shape[-1] if count is None else count, x, "count")


def each(value: Array | int, x: Array, name: str) -> Array:
    """Read whole numbers, one for each sequence of f32[..., N] or one for all: i32[...].

    Raises:
      ValueError: another number of them.
    """
    found, shape = jnp.asarray(value, jnp.int32), x.shape[:-1]
    require(found.shape in ((), shape), f"{name}.shape", found.shape, f"{shape}, one for each sequence, or one number")
    return jnp.broadcast_to(found, shape)


def at_places(place: Array | float, model: Array) -> Array:
    """Read places, the same for all sequences or not: f32[..., P] beside f32[..., 1] of a model."""
    found = jnp.atleast_1d(jnp.asarray(place, jnp.float32))
    return beside(found, model)


def known(x: Array, count: Array) -> Array:
    """Tell which places of f32[..., N] are among the first i32[...] `count`: bool[..., N]."""
    return places(x) < count[..., None]


def places(x: Array) -> Array:
    """Return 0, 1, 2 ... along the last axis: i32[..., N]."""
    return jax.lax.broadcasted_iota(jnp.int32, x.shape, x.ndim - 1)


def positive(size: Array) -> Array:
    """Return sizes to divide by, f32[...]: 1 in place of 0."""
    return jnp.where(size > 0, size, 1.0)


def line(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Fit y = slope x + level by weighted least squares, in centred and scaled form so that float32 is enough.

    Args:
      x: f32[..., N].
      y: f32[..., N].
      weight: f32[..., N], at least 0; what has 0 is not looked at.

    Returns:
      f32[...] the slope, 0 where x does not vary, and f32[...] the level.
    """
    used = weight > 0
    weight = weight / positive(jnp.sum(weight, axis=-1, keepdims=True))
    x, y = jnp.where(used, x, 0.0), jnp.where(used, y, 0.0)
    size = positive(jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0.0))
    x = x / size
    x_mean, y_mean = (jnp.sum(weight * v, axis=-1, keepdims=True) for v in (x, y))
    away = jnp.where(used, x - x_mean, 0.0)
    square = jnp.sum(weight * away**2, axis=-1)
    product = jnp.sum(weight * away * (y - y_mean), axis=-1)
    varies = square > 1e-12  # of numbers of size 1: less is rounding
    slope = jnp.where(varies, product / jnp.where(varies, square, 1.0), 0.0)
    return slope / size[..., 0], y_mean[..., 0] - slope * x_mean[..., 0]


def growth(exponent: Array) -> Array:
    """Return (exp(u) - 1) / u, and its limit 1 at 0: f32[...]. Large exponents are cut."""
    exponent = jnp.minimum(exponent, STEEPEST)
    small = jnp.abs(exponent) < 1e-4
    safe = jnp.where(small, 1.0, exponent)
    return jnp.where(small, 1.0 + 0.5 * exponent, jnp.expm1(safe) / safe)


def accumulate(x: Array) -> Array:
    """Accumulated generating operation (AGO): form running sums, x1(k) = x(0) + ... + x(k).

    Choose it to smooth noise and to make what is positive rise. Limit: sums of mixed signs need not rise.

    Args:
      x: f32[..., N].

    Returns:
      f32[..., N].

    Raises:
      ValueError: a single number.

    Example:
      >>> import jax.numpy as jnp
      >>> accumulate(jnp.array([8.0, 4.0, 2.0]))
      Array([ 8., 12., 14.], dtype=float32)

    References:
      Deng (1982).
    """
    return jnp.cumsum(counted(x, None)[0], axis=-1)


def restore(sums: Array) -> Array:
    """Inverse accumulated generating operation (IAGO): undo `accumulate`, x(0) = x1(0), x(k) = x1(k) - x1(k - 1).

    Choose it to bring forecasts of sums back. Limit: differences of large sums lose digits in float32.

    Args:
      sums: f32[..., N].

    Returns:
      f32[..., N].

    Raises:
      ValueError: a single number.

    Example:
      >>> import jax.numpy as jnp
      >>> restore(jnp.array([8.0, 12.0, 14.0]))
      Array([8., 4., 2.], dtype=float32)

    References:
      Deng (1982).
    """
    sums, _ = counted(sums, None, "sums")
    return jnp.diff(sums, axis=-1, prepend=jnp.zeros_like(sums[..., :1]))


def class_ratios_hold(x: Array, count: Array | int | None = None) -> Array:
    """Class ratio test: whether `GM11` suits the numbers, as all x(k-1) / x(k) are near enough to 1.

    They hold within exp(-2 / (n + 1)) and exp(2 / (n + 1)). Choose it before a fit. Limit: it bounds how steep the
    numbers are, not how well an exponential fits them; numbers of both signs, or with a 0, are refused.

    Args:
      x: f32[..., N].
      count: i32[...] or one number, how many of the first are known, n; None for all. Fewer than 2 hold.

    Returns:
      bool[...].

    Raises:
      ValueError: shapes that do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> bool(class_ratios_hold(jnp.array([1.0, 1.4, 1.0, 0.68])))
      True

    References:
      Liu and Lin (2010).
    """
    x, count = counted(x, count)
    before, after = x[..., :-1], x[..., 1:]
    ratio = before / jnp.where(after == 0, jnp.inf, after)
    bound = jnp.exp(2.0 / (count.astype(jnp.float32) + 1.0))[..., None]
    return jnp.all(((ratio > 1.0 / bound) & (ratio < bound)) | ~known(after, count - 1), axis=-1)


def tail(x: Array, count: Array | int | None, window: int) -> tuple[Array, Array]:
    """Rolling mechanism: take the last known numbers; a grey model of these alone is a rolling one.

    Choose it where old numbers mislead. Limit: few numbers follow every turn, and noise too.

    Args:
      x: f32[..., N].
      count: i32[...] or one number, how many of the first are known; None for all.
      window: numbers to take, at least 1; static.

    Returns:
      f32[..., window], with 0 after the known ones, and how many these are, i32[...].

    Raises:
      ValueError, TypeError: shapes that do not fit, or no such window.

    Example:
      >>> import jax.numpy as jnp
      >>> last, count = tail(jnp.array([9.0, 4.0, 2.0, 1.0]), None, 3)
      >>> last, int(count)
      (Array([4., 2., 1.], dtype=float32), 3)

    References:
      Akay and Atak, "Grey prediction with rolling mechanism for electricity demand forecasting of Turkey",
      https://doi.org/10.1016/j.energy.2006.11.014 (2007).
    """
    window = require_count("window", window)
    x, count = counted(x, count)
    length = jnp.minimum(count, window)
    place = (count - length)[..., None] + places(jnp.zeros((*count.shape, window), jnp.float32))
    taken = jnp.take_along_axis(x, jnp.clip(place, 0, x.shape[-1] - 1), axis=-1)
    return jnp.where(known(taken, length), taken, 0.0), length
