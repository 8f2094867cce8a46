"""Designs: point sets that fill the unit cube evenly.

Sobol points are made on device from their index, so that any part of the sequence costs only its own length.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.keys import words
from jaxhpt.core.typing import Array, Key

SOBOL_BITS = 20  # index bits: the sequence repeats, with another scramble, after 2^20 points
MAX_SOBOL_DIMENSIONS = 2048


@functools.lru_cache(maxsize=16)
def sobol_directions(dimensions: int) -> np.ndarray:
    """Return Sobol direction numbers of Joe and Kuo as 32-bit fractions: u32[SOBOL_BITS, D].

    Args:
      dimensions: D, at most `MAX_SOBOL_DIMENSIONS`. Their numbers, of the first so many dimensions, are in `sobol.npz`.

    References:
      Joe and Kuo, "Constructing Sobol sequences with better two-dimensional projections",
      https://doi.org/10.1137/070709359 (2008); the file new-joe-kuo-6.21201.
    """
    with np.load(pathlib.Path(__file__).with_name("sobol.npz")) as numbers:
        directions: np.ndarray = numbers["directions"][:, :dimensions]
    return directions


def sobol(key: Key, index: Array, dimensions: int) -> Array:
    """Make points of an Owen-scrambled Sobol sequence.

    Args:
      key: the scramble; the same key belongs to the same sequence.
      index: i32[n] places in the sequence.
      dimensions: D.

    Returns:
      f32[n, D] in (0, 1). Every aligned block of 2^m points has one point in each of 2^m equal slices of
      every axis.

    References:
      Sobol, "On the distribution of points in a cube", https://doi.org/10.1016/0041-5553(67)90144-9 (1967).
      Burley, "Practical hash-based Owen scrambling", https://jcgt.org/published/0009/04/01/ (2020).
    """
    return scrambled_sobol(words(key, (1, dimensions)), index)


def scrambled_sobol(seed: Array, index: Array) -> Array:
    """Make points of Owen-scrambled Sobol sequences, as `sobol` does, of given scrambles.

    Args:
      seed: u32[n or 1, D] well mixed: the scramble that each point is of.
      index: i32[n] places in the sequences.

    Returns:
      f32[n, D] in (0, 1).
    """
    directions = jnp.asarray(sobol_directions(seed.shape[1]))
    place = index.astype(jnp.uint32)
    bits = (place[:, None] >> jnp.arange(SOBOL_BITS, dtype=jnp.uint32)[None]) & jnp.uint32(1)
    picked = jnp.where(bits[:, :, None] == 1, directions[None], jnp.uint32(0))
    raw = jax.lax.reduce(picked, np.uint32(0), jax.lax.bitwise_xor, (1,))
    lap = (place >> SOBOL_BITS)[:, None] * jnp.uint32(0x9E3779B9)
    scrambled = owen_scramble(raw, seed + lap)
    return (scrambled >> 9).astype(jnp.float32) * jnp.float32(2.0**-23) + jnp.float32(2.0**-24)


def owen_scramble(value: Array, seed: Array) -> Array:
    """Scramble 32-bit fractions so that each bit's flip depends on the bits above it: u32[...] -> u32[...].

    The hash works upwards from the lowest bit, hence the reversals.

    References:
      Laine and Karras, "Stratified sampling for stochastic transparency",
      https://doi.org/10.1111/j.1467-8659.2011.02010.x (2011).
      Vegdahl, "Building a better LK hash",
      https://psychopath.io/post/2021_01_30_building_a_better_lk_hash (2021), for the constants.
    """
    x = _reverse_bits(value)
    x = x ^ (x * jnp.uint32(0x3D20ADEA))
    x = x + seed
    x = x * ((seed >> 16) | jnp.uint32(1))
    x = x ^ (x * jnp.uint32(0x05526C56))
    x = x ^ (x * jnp.uint32(0x53A22864))
    return _reverse_bits(x)


def _reverse_bits(x: Array) -> Array:
    for shift, mask in ((1, 0x55555555), (2, 0x33333333), (4, 0x0F0F0F0F), (8, 0x00FF00FF)):
        x = ((x >> shift) & jnp.uint32(mask)) | ((x & jnp.uint32(mask)) << shift)
    return (x >> 16) | (x << 16)


def coarse_to_fine(key: Key, grid: np.ndarray) -> Array:
    """Order grid points so that every prefix covers the whole range: first the ends and middles, then between.

    Each axis's values get the level at which a bisection of their order would reach them; a point's level is
    the greatest of its axes, and points of one level come shuffled. A completed level is a full, coarser grid.

    Args:
      key: of the shuffle within a level; consumed.
      grid: f32[n, D].

    Returns:
      f32[n, D] the same points.
    """
    levels = np.zeros(len(grid), np.int32)
    for column in grid.T:
        values, place = np.unique(column, return_inverse=True)
        levels = np.maximum(levels, _bisection_levels(len(values))[place])
    return jnp.asarray(grid)[jnp.lexsort((words(key, (len(grid),)), jnp.asarray(levels))).astype(jnp.int32)]


def _bisection_levels(count: int) -> np.ndarray:
    """Level at which bisecting 0 .. count-1 reaches each place: ends 0, middle 1, quarters 2 ..."""
    levels = np.zeros(count, np.int32)
    spans, level = [(0, count - 1)], 0
    while spans:
        level += 1
        halves = [(a, (a + b) // 2, b) for a, b in spans if b - a > 1]
        for _, middle, _ in halves:
            levels[middle] = level
        spans = [pair for a, m, b in halves for pair in ((a, m), (m, b))]
    return levels
