"""Designs: Sobol points against scipy's, what scrambling keeps, and the order of a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import qmc

from jaxhpt.core.keys import words
from jaxhpt.core.qmc import (
    MAX_SOBOL_DIMENSIONS,
    SOBOL_BITS,
    coarse_to_fine,
    owen_scramble,
    scrambled_sobol,
    sobol,
    sobol_directions,
)


def points(seed, count, dimensions, start=0):
    return np.asarray(sobol(jax.random.key(seed), start + jnp.arange(count, dtype=jnp.int32), dimensions))


@pytest.fixture(scope="module")
def block():
    """Return 256 scrambled points in 5 dimensions."""
    return points(0, 256, 5)


@pytest.mark.parametrize("dimensions", [1, 2, 5, 20])
def test_unscrambled_blocks_are_those_of_scipy(dimensions):
    directions = sobol_directions(dimensions)
    index = np.arange(2**7)[:, None, None]
    picked = np.where((index >> np.arange(SOBOL_BITS)[:, None]) & 1, directions, 0).astype(np.uint32)
    ours = np.bitwise_xor.reduce(picked, axis=1) / 2.0**32
    for m in range(8):
        theirs = qmc.Sobol(dimensions, scramble=False).random(2**m)
        np.testing.assert_array_equal(np.unique(ours[: 2**m], axis=0), np.unique(theirs, axis=0))
    gray = np.arange(2**7) ^ (np.arange(2**7) >> 1)  # scipy's order
    np.testing.assert_array_equal(ours[gray], theirs)


def test_all_direction_numbers_are_those_of_scipy():
    engine, position = qmc.Sobol(MAX_SOBOL_DIMENSIONS, scramble=False, bits=30), 0
    for bit, ours in enumerate(sobol_directions(MAX_SOBOL_DIMENSIONS)):
        place = 2 ** (bit + 1) - 1  # in Gray-code order, the point of this index is the bit's direction number itself
        engine.fast_forward(place - position)
        np.testing.assert_array_equal(ours, (engine.random(1)[0] * 2.0**32).astype(np.uint32))
        position = place + 1


def test_points_are_float32_strictly_inside_the_unit_cube(block):
    assert block.dtype == np.float32
    assert block.min() > 0.0
    assert block.max() < 1.0


@pytest.mark.parametrize("m", [1, 4, 6])
def test_every_aligned_block_has_one_point_in_each_slice_of_every_axis(block, m):
    for part in block.reshape(-1, 2**m, 5):
        slices = np.sort(np.floor(part * 2**m), axis=0)
        np.testing.assert_array_equal(slices, np.arange(2**m)[:, None] * np.ones(5))


def test_scrambling_keeps_the_net_of_the_first_two_dimensions(block):
    """Every elementary box of area 2^-8, whatever its shape, holds one of 256 points."""
    for k in range(9):
        cells = np.floor(block[:, :2] * [2**k, 2 ** (8 - k)])
        assert len(np.unique(cells, axis=0)) == 256


def test_scrambling_flips_a_bit_by_the_bits_above_it_alone():
    value = jnp.asarray(np.random.default_rng(0).integers(0, 2**32, 500, dtype=np.uint32))
    seed = jnp.uint32(0x1234ABCD)
    for bit in (1, 7, 20):
        above = jnp.uint32(0xFFFFFFFF << (32 - bit) & 0xFFFFFFFF)
        a, b = owen_scramble(value, seed), owen_scramble(value & above, seed)
        np.testing.assert_array_equal(a & above, b & above)
    assert len(np.unique(np.asarray(owen_scramble(value, seed)))) == len(np.unique(np.asarray(value)))


def test_points_are_more_even_than_random_ones(block):
    random = [qmc.discrepancy(np.random.default_rng(seed).uniform(size=(256, 5))) for seed in range(20)]
    assert qmc.discrepancy(block.astype(np.float64)) < 0.5 * np.mean(random)


def test_the_mean_over_scrambles_of_a_point_is_the_middle():
    first = np.array([points(seed, 1, 5)[0] for seed in range(200)])
    np.testing.assert_allclose(first.mean(), 0.5, atol=4 / np.sqrt(12 * first.size))


def test_a_key_gives_one_sequence_and_another_key_another(block):
    np.testing.assert_array_equal(points(0, 256, 5), block)
    assert not np.any(points(1, 256, 5) == block)


def test_any_part_of_the_sequence_can_be_had_alone(block):
    np.testing.assert_array_equal(points(0, 16, 5, start=100), block[100:116])


def test_the_sequence_does_not_come_round_again(block):
    assert not np.any(points(0, 256, 5, start=2**SOBOL_BITS) == block)
    later = points(0, 64, 5, start=3 * 2**SOBOL_BITS)
    np.testing.assert_array_equal(np.sort(np.floor(later * 64), axis=0), np.arange(64)[:, None] * np.ones(5))


def square(*counts):
    axes = [(np.arange(n) + 0.5) / n for n in counts]
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(counts)).astype(np.float32)


@pytest.mark.parametrize("counts", [(1,), (2,), (7,), (5, 5), (1, 4), (3, 2, 6)])
def test_coarse_to_fine_only_changes_the_order(counts):
    grid = square(*counts)
    ordered = np.asarray(coarse_to_fine(jax.random.key(3), grid))
    assert ordered.dtype == np.float32
    np.testing.assert_array_equal(np.unique(ordered, axis=0), np.unique(grid, axis=0))
    assert len(ordered) == len(grid)


def test_a_coarser_grid_comes_first():
    ordered = np.asarray(coarse_to_fine(jax.random.key(0), square(5, 5)))
    corners, coarse = square(5, 5)[[0, 4, 20, 24]], square(5, 5).reshape(5, 5, 2)[::2, ::2].reshape(-1, 2)
    np.testing.assert_array_equal(np.unique(ordered[:4], axis=0), np.unique(corners, axis=0))
    np.testing.assert_array_equal(np.unique(ordered[:9], axis=0), np.unique(coarse, axis=0))


def test_the_key_shuffles_within_a_level_only():
    one, same, other = (np.asarray(coarse_to_fine(jax.random.key(seed), square(5, 5))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    np.testing.assert_array_equal(np.unique(one[:9], axis=0), np.unique(other[:9], axis=0))


def test_points_of_several_scrambles_are_those_of_each():
    seeds = words(jax.random.key(4), (2, 3))
    which, index = np.arange(32) % 2, np.arange(32) // 2
    both = np.asarray(scrambled_sobol(seeds[which], jnp.asarray(index, jnp.int32)))
    for i in (0, 1):
        alone = scrambled_sobol(seeds[i][None], jnp.arange(16, dtype=jnp.int32))
        np.testing.assert_array_equal(both[which == i], alone)
    np.testing.assert_array_equal(both[which == 0], sobol(jax.random.key(4), jnp.arange(16, dtype=jnp.int32), 3))
