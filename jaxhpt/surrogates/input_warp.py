"""Ranges seen on another scale: a linear range of a learning rate or a weight decay should often have been logarithmic.

With z the place that a model sees of u in [0, 1], and a log-warp k for each dimension:

    z = log(1 + (e^k - 1) u) / k,    u = (e^(k z) - 1) / (e^k - 1),    z = u for k = 0.

A linear range from a to b, seen with k = log(b / a), is the logarithmic one: the model learns from the data how
many e-foldings it should span. With k < 0 it is fine at the upper end, in the same way; k is how much finer, by the
logarithm, the lower end is seen than the upper one.

How far a log-warp may go depends on where the best trial is: the model must not see it more coarsely than without. Else
likelihood, which counts all trials alike, looks closely at a steep end that is far from anything good. dz / du is 1 at
u = 1 / k - 1 / (e^k - 1) = (1 - L(k / 2)) / 2, L Langevin's function, so the largest log-warp is 2 L^-1(1 - 2 u).

Snoek, Swersky, Zemel and Adams, "Input warping for Bayesian optimization of non-stationary functions",
https://arxiv.org/abs/1402.0929 (2014), for the idea, with two parameters a dimension.
Jedynak, "Approximation of the inverse Langevin function revisited", https://doi.org/10.1007/s00397-014-0802-2
(2015), for Cohen's formula, within 5% everywhere.
"""

import jax.numpy as jnp

from jaxhpt.core.arrays import beside
from jaxhpt.core.typing import Array

MOST = 10.0  # log-warp: a factor of 22,000 from end to end
STRAIGHT = 3e-3  # log-warp below which the first terms of its series are more precise


def forward(unit: Array, log_warp: Array | float) -> Array:
    """Return the places that a model sees: f32[..., F] in [0, 1], log_warp f32[F] -> f32[..., F] in [0, 1]."""
    log_warp = _beside(log_warp, unit)
    straight, k = _size(log_warp)
    u = _turned(unit, log_warp)
    return _turned(
        jnp.where(straight, u + 0.5 * jnp.abs(log_warp) * u * (1.0 - u), jnp.log1p(jnp.expm1(k) * u) / k), log_warp
    )


def backward(warped: Array, log_warp: Array | float) -> Array:
    """Return where in the range a model's places are, the inverse of `forward`: f32[..., F] -> f32[..., F]."""
    log_warp = _beside(log_warp, warped)
    straight, k = _size(log_warp)
    z = _turned(warped, log_warp)
    u = jnp.where(straight, z - 0.5 * jnp.abs(log_warp) * z * (1.0 - z), jnp.expm1(k * z) / jnp.expm1(k))
    return jnp.clip(_turned(u, log_warp), 0.0, 1.0)


def by_log_warp(unit: Array, log_warp: Array) -> Array:
    """Return the derivative of `forward` by the log-warp: f32[..., F], f32[F] -> f32[..., F]."""
    log_warp = _beside(log_warp, unit)
    straight, k = _size(log_warp)
    u = _turned(unit, log_warp)
    rest = jnp.exp(k) * u / (1.0 + jnp.expm1(k) * u)
    return jnp.where(straight, 0.5 * u * (1.0 - u), (rest - jnp.log1p(jnp.expm1(k) * u) / k) / k)


def reach(best: Array) -> Array:
    """Return the log-warp of the largest size that suits the place of the best trial: f32[F] in [0, 1] -> f32[F]."""
    y = 1.0 - 2.0 * best
    return jnp.clip(2.0 * y * (3.0 - y**2) / jnp.maximum(1.0 - y**2, 1e-6), -MOST, MOST)


def _beside(log_warp: Array | float, place: Array) -> Array:
    return beside(jnp.asarray(log_warp, jnp.float32), place)


def _turned(place: Array, log_warp: Array) -> Array:
    """Count places from the end that is seen closely, where float32 is precise; and back."""
    return jnp.where(jnp.less(log_warp, 0.0), 1.0 - place, place)


def _size(log_warp: Array) -> tuple[Array, Array]:
    """Tell which log-warps are too small to divide by, and return the sizes of the others; 1 for those."""
    straight = jnp.abs(log_warp) < STRAIGHT
    return straight, jnp.where(straight, 1.0, jnp.abs(log_warp))
