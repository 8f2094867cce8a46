"""Hashes of rows, and a hash table of them: what was there before is found in a few looks, however much there is.

The table is open and probed linearly: a mark stands at the first place, from its own on, that was free when it came.
So whoever looks for it looks on until he meets it, or a free place.

Knuth, "The art of computer programming", volume 3, section 6.4 (1998), for linear probing.
"""

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array

FREE = 0  # marks of a place that holds none


def fingerprint(rows: Array) -> Array:
    """Hash rows of float32 to 32 bits, so that equal rows meet and others rarely do.

    FNV-1a over the words of a row, then the finaliser of MurmurHash3.

    Args:
      rows: f32[N, D].

    Returns:
      u32[N].

    References:
      Appleby, "MurmurHash3", https://github.com/aappleby/smhasher (2011).
      Fowler, Noll and Vo, "FNV hash", http://www.isthe.com/chongo/tech/comp/fnv/ (1991).
    """
    rows = jnp.where(rows == 0, 0.0, rows)  # folds -0.0 into 0.0; a compiler drops `rows + 0.0`
    words = jax.lax.bitcast_convert_type(rows, jnp.uint32)
    value = jnp.full(rows.shape[0], 2166136261, jnp.uint32)
    for column in range(rows.shape[1]):
        value = (value ^ words[:, column]) * jnp.uint32(16777619)
        value = value ^ (value >> 15)
    value = (value ^ (value >> 16)) * jnp.uint32(0x85EBCA6B)
    value = (value ^ (value >> 13)) * jnp.uint32(0xC2B2AE35)
    return value ^ (value >> 16)


def empty_table(num: int) -> Array:
    """Return a table for `num` marks without any: u32[T], where T is a power of two and at least 4 `num`."""
    return jnp.zeros(4 << (num - 1).bit_length(), jnp.uint32)


def inserted(table: Array, values: Array, wanted: Array) -> tuple[Array, Array]:
    """Enter values in a table.

    Args:
      table: u32[T] with room for them.
      values: u32[N] well mixed; 0 counts as 1.
      wanted: bool[N] which of them.

    Returns:
      The table u32[T], and the places i32[N] of the values in it; T for those that are not wanted.
    """
    marks = _marks(values)

    def step(carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        probe, table, left, place = carry
        slot = _slot(table, marks, probe)
        free = left & (table[slot] == FREE)
        # Of several for one place the largest gets it, on every device; the others go on to their next.
        table = table.at[jnp.where(free, slot, table.shape[0])].max(marks, mode="drop")
        there = left & (table[slot] == marks)
        return probe + jnp.uint32(1), table, left & ~there, jnp.where(there, slot, place)

    nowhere = jnp.full(values.shape, table.shape[0], jnp.int32)
    begin = (jnp.uint32(0), table, wanted, nowhere)
    _, table, _, place = jax.lax.while_loop(lambda carry: jnp.any(carry[2]), step, begin)
    return table, place


def contained(table: Array, values: Array) -> Array:
    """Tell which values are in a table: u32[N] -> bool[N]."""
    marks = _marks(values)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        probe, left, found = carry
        there = table[_slot(table, marks, probe)]
        same = there == marks
        return probe + jnp.uint32(1), left & ~same & (there != FREE), found | (left & same)

    begin = (jnp.uint32(0), jnp.ones(values.shape, bool), jnp.zeros(values.shape, bool))
    return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), step, begin)[2]


def repeats(values: Array, wanted: Array | None = None) -> Array:
    """Tell which values equal an earlier one: u32[N] well mixed -> bool[N]. No sort, no comparison of all pairs.

    Args:
      values: u32[N].
      wanted: bool[N] which of them count; None is all.
    """
    num = values.shape[0]
    wanted = jnp.ones(num, bool) if wanted is None else wanted
    table, place = inserted(empty_table(2 * num), values, wanted)
    index = jnp.arange(num, dtype=jnp.int32)
    first = jnp.full(table.shape, num, jnp.int32).at[place].min(index, mode="drop")
    return wanted & (first[jnp.minimum(place, table.shape[0] - 1)] < index)


def _marks(values: Array) -> Array:
    return jnp.maximum(values, jnp.uint32(FREE + 1))


def _slot(table: Array, marks: Array, probe: Array) -> Array:
    return ((marks + probe) & jnp.uint32(table.shape[0] - 1)).astype(jnp.int32)
