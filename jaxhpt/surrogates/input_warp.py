"""Ranges seen on another scale: a linear range of a learning rate or a weight decay should often have been logarithmic.

With z the place that a model sees of u in [0, 1], and a skew k for each dimension:

    z = log(1 + (e^k - 1) u) / k,    u = (e^(k z) - 1) / (e^k - 1),    z = u for k = 0.

A linear range from a to b, seen with the skew log(b / a), is the logarithmic one: the model learns from the data how
many e-foldings it should span. With k < 0 it is fine at the upper end, in the same way; k is how much finer, by the
logarithm, the lower end is seen than the upper one.

How far a skew may go depends on where the best trial is: the model must not see it more coarsely than without. Else
likelihood, which counts all trials alike, looks closely at a steep end that is far from anything good. dz / du is 1 at
u = 1 / k - 1 / (e^k - 1) = (1 - L(k / 2)) / 2, L Langevin's function, so the largest skew is 2 L^-1(1 - 2 u).

Snoek, Swersky, Zemel and Adams, "Input warping for Bayesian optimization of non-stationary functions",
https://arxiv.org/abs/1402.0929 (2014), for the idea, with two parameters a dimension.
Jedynak, "Approximation of the inverse Langevin function revisited", https://doi.org/10.1007/s00397-014-0802-2
(2015), for Cohen's formula, within 5% everywhere.
"""

import jax.numpy as jnp

from jaxhpt.core.arrays import beside
from jaxhpt.core.typing import Array

MOST = 10.0  # skew: a factor of 22,000 from end to end
STRAIGHT = 3e-3  # skew below which the first terms of its series are more precise


def forward(unit: Array, skew: Array | float) -> Array:
    """Return the places that a model sees: f32[..., F] in [0, 1], skew f32[F] -> f32[..., F] in [0, 1]."""
    skew = _beside(skew, unit)
    straight, k = _size(skew)
    u = _turned(unit, skew)
    return _turned(jnp.where(straight, u + 0.5 * jnp.abs(skew) * u * (1.0 - u), jnp.log1p(jnp.expm1(k) * u) / k), skew)


def backward(seen: Array, skew: Array | float) -> Array:
    """Return where in the range a model's places are, the inverse of `forward`: f32[..., F] -> f32[..., F]."""
    skew = _beside(skew, seen)
    straight, k = _size(skew)
    z = _turned(seen, skew)
    u = jnp.where(straight, z - 0.5 * jnp.abs(skew) * z * (1.0 - z), jnp.expm1(k * z) / jnp.expm1(k))
    return jnp.clip(_turned(u, skew), 0.0, 1.0)


def by_skew(unit: Array, skew: Array) -> Array:
    """Return the derivative of `forward` by the skew: f32[..., F], f32[F] -> f32[..., F]."""
    skew = _beside(skew, unit)
    straight, k = _size(skew)
    u = _turned(unit, skew)
    rest = jnp.exp(k) * u / (1.0 + jnp.expm1(k) * u)
    return jnp.where(straight, 0.5 * u * (1.0 - u), (rest - jnp.log1p(jnp.expm1(k) * u) / k) / k)


def reach(best: Array) -> Array:
    """Return the skew of the largest size that suits the place of the best trial: f32[F] in [0, 1] -> f32[F]."""
    y = 1.0 - 2.0 * best
    return jnp.clip(2.0 * y * (3.0 - y**2) / jnp.maximum(1.0 - y**2, 1e-6), -MOST, MOST)


def _beside(skew: Array | float, place: Array) -> Array:
    return beside(jnp.asarray(skew, jnp.float32), place)


def _turned(place: Array, skew: Array) -> Array:
    """Count places from the end that is seen closely, where float32 is precise; and back."""
    return jnp.where(jnp.less(skew, 0.0), 1.0 - place, place)


def _size(skew: Array) -> tuple[Array, Array]:
    """Tell which skews are too small to divide by, and return the sizes of the others; 1 for those."""
    straight = jnp.abs(skew) < STRAIGHT
    return straight, jnp.where(straight, 1.0, jnp.abs(skew))
