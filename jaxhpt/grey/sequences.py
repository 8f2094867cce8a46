"""What models of short sequences share: which numbers are known, a straight line, and an exponential's mean.

Notations. As in `models.py`: the last axis has N numbers of which the first `count` are known. float32.
"""

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array

STEEPEST = 40.0  # exponents beyond it are cut, so that nothing overflows


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
    size = positive(jnp.max(jnp.abs(x), axis=-1, keepdims=True))
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


def tail(x: Array, count: Array, window: int) -> tuple[Array, Array]:
    """Take the last known numbers; a model of these alone is a rolling one. Choose it where old numbers mislead.

    Args:
      x: f32[..., N].
      count: i32[...].
      window: numbers to take, at least 1; static. Few follow every turn, and noise too.

    Returns:
      f32[..., window], with 0 after the known ones, and how many these are, i32[...].

    References:
      Akay and Atak, "Grey prediction with rolling mechanism for electricity demand forecasting of Turkey",
      https://doi.org/10.1016/j.energy.2006.11.014 (2007).
    """
    length = jnp.minimum(count, window)
    place = (count - length)[..., None] + places(jnp.zeros((*count.shape, window), jnp.float32))
    taken = jnp.take_along_axis(x, jnp.clip(place, 0, x.shape[-1] - 1), axis=-1)
    return jnp.where(known(taken, length), taken, 0.0), length
