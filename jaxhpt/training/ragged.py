"""Data sets of several lengths in one program: filled up to the longest, of which each counts its own rows alone."""

import dataclasses

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array, Key, PyTree

EXPONENT = 3  # of `jax.random.permutation`, whose rounds grow with the logarithm of the rows


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ragged:
    """Training data that is filled up: the first rows are its own, what follows is never drawn.

    Attributes:
      data: leaves [N, ...].
      rows: i32[] its own, in [1, N].
    """

    data: PyTree
    rows: Array


def permutation(key: Key, rows: Array, longest: int) -> Array:
    """Return an order of the first i32[] `rows` of i32[N] places, and the others behind it.

    Where a random word depends on its place alone, as by default in JAX, the order has the bits of
    `jax.random.permutation(key, rows)`: a data set is drawn from as if it were alone.

    Args:
      key: consumed.
      rows: i32[] in [1, N].
      longest: static, N.
    """
    order = place = jnp.arange(longest, dtype=jnp.int32)
    for least in _rounds(longest):
        key, mine = jax.random.split(key)
        words = jax.random.bits(mine, (longest,), jnp.uint32)
        _, _, mixed = jax.lax.sort((place >= rows, words, order), num_keys=2)
        order = jnp.where(rows >= least, mixed, order)
    return order


def _rounds(longest: int) -> list[int]:
    """Return the rows from which on there is a first round of sorting, a second one and so on."""
    bounds = (int((2**32 - 1) ** (i / EXPONENT)) + 1 for i in range(EXPONENT))
    return [least for least in bounds if least <= longest]
