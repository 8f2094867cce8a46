"""What images and grades share: sequences as columns, places that count, and means over these.

Notations. N places of a sequence, D sequences: x f32[N, D], columns; a place counts where its weight f32[N] is above 0.
"""

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import beside
from jaxhpt.core.checks import require
from jaxhpt.core.typing import Array


def columns(x: Array, weight: Array | None, name: str = "x") -> tuple[Array, Array]:
    """Read sequences and weights: f32[N, D], and f32[N] >= 0 with 1 for None.

    Raises:
      ValueError: `x` that is no matrix, or a weight that has not as many places.
    """
    x = jnp.asarray(x, jnp.float32)
    require(x.ndim == 2, f"{name}.shape", x.shape, "(N, D): one column a sequence; one alone is x[:, None]")
    if weight is None:
        return x, jnp.ones(x.shape[0], jnp.float32)
    weight = jnp.asarray(weight)
    require(weight.shape == x.shape[:1], "weight.shape", weight.shape, f"{x.shape[:1]}, one for each place of {name}")
    return x, weight.astype(jnp.float32)


def reference(y: Array, x: Array) -> Array:
    """Read the reference of f32[N, D] sequences: f32[N].

    Raises:
      ValueError: not as many places.
    """
    y = jnp.asarray(y, jnp.float32)
    require(y.shape == x.shape[:1], "y.shape", y.shape, f"{x.shape[:1]}, one number for each place of x")
    return y


def present(weight: Array) -> Array:
    """Tell which places count: bool[N, 1]."""
    return (weight > 0)[:, None]


def ends(x: Array, weight: Array) -> tuple[Array, Array]:
    """Return the least and the largest value of each sequence, f32[D] twice; 0 where there is none."""
    there = present(weight)
    low = jnp.min(jnp.where(there, x, jnp.inf), axis=0)
    high = jnp.max(jnp.where(there, x, -jnp.inf), axis=0)
    some = jnp.any(there)
    return jnp.where(some, low, 0.0), jnp.where(some, high, 0.0)


def mean(x: Array, weight: Array) -> Array:
    """Return the weighted mean of each sequence, f32[D]; 0 where no place counts."""
    share = weight[:, None]
    return over(jnp.sum(jnp.where(share > 0, share * x, 0.0), axis=0), jnp.sum(share))


def over(a: Array, b: Array) -> Array:
    """Divide; 0 where the divisor is."""
    b = beside(b, a)
    return jnp.where(b == 0, 0.0, a / jnp.where(b == 0, 1.0, b))


def first(mask: Array) -> Array:
    """Return the first place of bool[N] that is True: i32[]."""
    return jax.lax.argmax(mask, 0, jnp.int32)
