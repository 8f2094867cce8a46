"""Dimensions: shares, dtypes, labels, grids, bits that stay, and errors that name the argument."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Bool, Choice, Float, Int, Space
from jaxhpt.algorithms.variation import genes
from jaxhpt.core.dimensions import MAX_LOG_INT
from jaxhpt.core.ranges import MAX_LEVELS
from jaxhpt.surrogates.features import features

DISCRETE = [
    Int(0, 2),
    Int(-3, 996),
    Int(-50, 50, step=5),
    Int(1, MAX_LEVELS - 1),
    Int(0, MAX_LEVELS - 1),
    Int(2, 7, log=True),
    Float(0.0, 1.0, step=0.1),
    Choice([3, 1, 2]),
    Bool(),
]
LOG_INTS = [Int(low, MAX_LOG_INT, log=True) for low in (1, 2, 255, 65_000)]


def bits(unit):
    return np.asarray(unit, np.float32).view(np.uint32)


def uniform(count):
    """Return `count` evenly spread units of float32, the middles of equal slices."""
    return jnp.asarray((np.arange(count) + 0.5) / count, jnp.float32)


def test_an_integer_range_gives_its_ends_their_full_share():
    counts = np.bincount(np.asarray(Int(3, 7).value(uniform(5000))))
    np.testing.assert_array_equal(counts, [0, 0, 0, 1000, 1000, 1000, 1000, 1000])


def test_a_logarithmic_integer_range_gives_each_value_the_share_of_its_half_steps():
    dimension, count = Int(1, 100, log=True), 200_000
    shares = np.bincount(np.asarray(dimension.value(uniform(count))), minlength=101)[1:] / count
    value = np.arange(1, 101)
    expected = np.log((value + 0.5) / (value - 0.5)) / math.log(100.5 / 0.5)
    np.testing.assert_allclose(shares, expected, atol=2 / count)


def test_every_step_of_an_integer_range_is_reached_and_nothing_else():
    values = np.asarray(Int(-4, 8, step=3).value(uniform(1000)))
    assert values.dtype == np.int32
    np.testing.assert_array_equal(np.unique(values, return_counts=True), [[-4, -1, 2, 5, 8], [200] * 5])


def test_every_step_of_a_real_range_has_the_same_share():
    values = np.asarray(Float(0.5, 2.0, step=0.25).value(uniform(700)))
    assert values.dtype == np.float32
    unique, counts = np.unique(values, return_counts=True)
    np.testing.assert_array_equal(unique, [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0])
    np.testing.assert_array_equal(counts, 100)


def test_a_real_range_is_even():
    unit = uniform(101)
    values = Float(-2.0, 3.0).value(unit)
    assert values.dtype == jnp.float32
    np.testing.assert_allclose(values, -2.0 + 5.0 * np.asarray(unit, np.float64), rtol=1e-6, atol=1e-6)


def test_a_logarithmic_real_range_is_even_in_its_exponent():
    unit = uniform(101)
    expected = 10.0 ** (-6.0 + 5.0 * np.asarray(unit, np.float64))
    np.testing.assert_allclose(Float(1e-6, 1e-1, log=True).value(unit), expected, rtol=3e-6)


@pytest.mark.parametrize(
    "dimension", [Float(-0.1, 0.7), Float(0, 1, step=0.1), Int(3, 9), Int(3, 9, log=True)], ids=repr
)
def test_the_ends_are_exact_and_units_outside_stay_inside(dimension):
    values = np.asarray(dimension.value(jnp.array([-1.0, 0.0, 1.0, 2.0], jnp.float32)))
    ends = np.array([dimension.low, dimension.low, dimension.high, dimension.high])
    np.testing.assert_array_equal(values, ends.astype(values.dtype))


@pytest.mark.parametrize(
    ("values", "dtype", "decoded"),
    [
        ([4, 8, 16], jnp.int32, [4, 8, 16]),
        ([0.1, 1, 10], jnp.float32, [0.1, 1.0, 10.0]),
        ([np.int64(2), np.int64(3), np.int64(4)], jnp.int32, [2, 3, 4]),
        ([True, False], jnp.bool_, [True, False]),
        (["a", "b", "c"], jnp.int32, [0, 1, 2]),
        ([None, "two", False], jnp.int32, [0, 1, 2]),
        ([(64,), (64, 64)], jnp.int32, [0, 1]),
        ([True, None], jnp.int32, [0, 1]),
    ],
)
def test_a_choice_decodes_to_numbers_of_their_dtype_and_other_things_to_an_index(values, dtype, decoded):
    dimension = Choice(values)
    found = dimension.value(uniform(len(values)))
    assert found.dtype == dimension.dtype == dtype
    np.testing.assert_array_equal(found, np.asarray(decoded, dtype))
    assert [dimension.label(u) for u in np.asarray(uniform(len(values)))] == list(values)


@pytest.mark.parametrize(
    ("dimension", "ordered"),
    [
        (Float(0, 1), True),
        (Float(0, 1, step=0.5), True),
        (Int(1, 9, log=True), True),
        (Choice([16, 32, 64, 128]), True),
        (Choice([0.1, 0.01, 0.001]), True),
        (Choice([0.5, 1, 7]), True),
        (Choice([3, 1, 2]), False),
        (Choice([7]), False),
        (Choice(["a", "b"]), False),
        (Choice([(1,), (2,)]), False),
        (Choice([False, True]), False),
        (Bool(), False),
    ],
    ids=repr,
)
def test_ranges_and_rising_or_falling_numbers_are_ordered(dimension, ordered):
    assert dimension.ordered is ordered
    space = Space.of({"x": dimension})
    assert genes(space).unordered.tolist() == features(space).onehot.tolist() == [not ordered]


@pytest.mark.parametrize(
    ("low", "high"), [(np.int64(1), np.int32(8)), (jnp.int32(1), np.array(8)), (np.uint8(1), jnp.array(8, jnp.int32))]
)
def test_ends_of_any_library_are_plain_numbers(low, high):
    for kind in (Int, Float):
        assert kind(low, high) == kind(1, 8)
        assert hash(kind(low, high)) == hash(kind(1, 8))
        assert type(kind(low, high).low) is int
    assert Float(jnp.float32(1e-4), np.float64(1.0), log=np.bool_(True)) == Float(1e-4, 1.0, log=True)


def test_a_choice_gives_each_value_the_same_share():
    np.testing.assert_array_equal(np.bincount(np.asarray(Choice(list("xyz")).value(uniform(999)))), [333] * 3)


def test_a_bool_decodes_to_a_bool():
    found = Bool().value(jnp.array([0.2, 0.8]))
    assert found.dtype == jnp.bool_
    assert found.tolist() == [False, True]
    assert Bool().label(0.8) is True


def test_choices_of_equal_numbers_of_other_types_are_not_equal():
    assert Choice([0, 1]) == Choice((0, 1))
    assert hash(Choice([0, 1])) == hash(Choice((0, 1)))
    assert Choice([0, 1]) != Choice([False, True])
    assert Choice([0, 1]) != Choice([0.0, 1.0])


@pytest.mark.parametrize("dimension", DISCRETE + LOG_INTS, ids=repr)
def test_every_value_keeps_its_bits_and_comes_back(dimension):
    """Over all values: encode, snap and decode agree, and snapping is the same bits in every program."""
    index = np.arange(dimension.levels)
    if isinstance(dimension, Int) and dimension.log:
        edges = np.log([dimension.low - 0.5, dimension.high + 0.5])
        unit = (np.log(dimension.low + index) - edges[0]) / (edges[1] - edges[0])
    else:
        unit = (index + 0.5) / dimension.levels
    snapped = dimension.snap(jnp.asarray(unit, jnp.float32))
    assert np.array_equal(bits(dimension.snap(snapped)), bits(snapped))
    assert np.array_equal(bits(jax.jit(dimension.snap)(snapped)), bits(snapped))
    assert np.all(np.diff(snapped) > 0)

    if isinstance(dimension, Int):
        expected = dimension.low + dimension.step * index
        assert np.array_equal(dimension.value(snapped), expected)
        assert np.array_equal(dimension.value(np.asarray(snapped, np.float64), np), expected)
    for i in np.random.default_rng(0).integers(0, len(index), 20):
        alone = dimension.snap(jnp.float32(dimension.encode(dimension.label(snapped[i]))))
        np.testing.assert_array_equal(bits(alone), bits(snapped[i]))


@pytest.mark.parametrize("dimension", [*DISCRETE[:3], *DISCRETE[6:], *LOG_INTS[:2]], ids=repr)
def test_snapping_moves_no_unit_to_another_value(dimension):
    unit = jnp.asarray(np.random.default_rng(0).uniform(size=20_000), jnp.float32)
    np.testing.assert_array_equal(dimension.value(dimension.snap(unit)), dimension.value(unit))


@pytest.mark.parametrize(
    "dimension",
    [
        Int(0, 2),
        Int(-50, 50, step=5),
        Int(1, 100, log=True),
        Int(2, 7, log=True),
        Choice(list("xyz")),
        Bool(),
        DISCRETE[6],
    ],
    ids=repr,
)
def test_a_bin_is_all_that_snaps_to_its_middle(dimension):
    snapped = jnp.unique(dimension.snap(uniform(20_000)))
    assert len(snapped) == dimension.levels
    low, high = dimension.bin(snapped)
    np.testing.assert_allclose(low[1:], high[:-1], atol=1e-6)
    np.testing.assert_allclose([low[0], high[-1]], [0.0, 1.0], atol=1e-6)
    width = high - low
    for share in (0.01, 0.5, 0.99):
        np.testing.assert_array_equal(dimension.snap(low + share * width), snapped)
    np.testing.assert_array_equal(dimension.snap(low - 0.01 * width)[1:], snapped[:-1])
    np.testing.assert_array_equal(dimension.snap(high + 0.01 * width)[:-1], snapped[1:])


def test_a_continuous_range_has_no_bins():
    unit = uniform(7)
    for end in Float(1e-3, 1.0, log=True).bin(unit):
        np.testing.assert_array_equal(end, unit)


def test_the_bins_of_a_space_are_those_of_its_dimensions():
    space = Space.of({"a": Float(0, 1), "b": Int(1, 9, log=True), "c": Choice(list("xyz"))})
    rows = space.snap(jax.random.uniform(jax.random.key(0), (20, 3)))
    for side, found in enumerate(space.bins(rows)):
        assert found.dtype == jnp.float32
        expected = [d.bin(rows[:, i])[side] for i, d in enumerate(space.dimensions)]
        np.testing.assert_array_equal(found, np.stack(expected, axis=1))


@pytest.mark.parametrize(
    "dimension",
    [Float(1e-5, 1e-1, log=True), Float(-3.0, 7.0), Float(0, 1, step=0.05), Int(-5, 5), Int(1, 300, log=True)],
    ids=repr,
)
def test_a_label_is_plain_python_and_encodes_to_where_it_came_from(dimension):
    for unit in np.asarray(dimension.snap(uniform(37))):
        label = dimension.label(unit)
        assert type(label) is (int if isinstance(dimension, Int) else float)
        assert dimension.encode(label) == pytest.approx(float(unit), abs=1e-6)


def test_a_label_is_as_short_as_the_number_that_was_written():
    assert Float(1e-4, 1e-1, log=True).label(0.0) == 1e-4
    assert Float(0.0, 1.0, step=0.1).label(0.35) == 0.3


@pytest.mark.parametrize(
    ("dimension", "points", "expected"),
    [
        (Float(0.0, 4.0), 5, [0.0, 1.0, 2.0, 3.0, 4.0]),
        (Float(0.0, 4.0), 1, [2.0]),
        (Float(1.0, 100.0, log=True), 3, [1.0, 10.0, 100.0]),
        (Float(0.0, 1.0, step=0.5), 9, [0.0, 0.5, 1.0]),
        (Int(0, 100), 3, [0, 50, 100]),
        (Int(0, 100), 1, [50]),
        (Int(3, 6), 9, [3, 4, 5, 6]),
        (Int(1, 100, log=True), 3, [1, 10, 100]),
        (Int(1, 100, log=True), 1, [10]),
        (Int(2, 10, log=True), 9, [2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (Choice([5, 7, 9]), 2, [5, 7, 9]),
    ],
)
def test_a_grid_spreads_its_points_over_the_range(dimension, points, expected):
    assert [dimension.label(u) for u in dimension.grid(points)] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(1.0, 1.0), "Float range"),
        (lambda: Float(2.0, 1.0), "Float range.*low < high"),
        (lambda: Float(0.0, math.inf), "Float range.*finite"),
        (lambda: Float(math.nan, 1.0), "Float range.*finite"),
        (lambda: Float(0.0, 1e39), "Float range.*float32"),
        (lambda: Float(0.0, 1.0, log=True), "low=0.0.*log=True"),
        (lambda: Float(-1.0, 1.0, log=True), "low=-1.0.*log=True"),
        (lambda: Float(1.0, 2.0, log=True, step=0.5), "step=0.5.*log=True"),
        (lambda: Float(0.0, 1.0, step=0.3), "Float step=0.3.*divisor"),
        (lambda: Float(0.0, 1.0, step=-0.5), "Float step=-0.5.*above 0"),
        (lambda: Float(0.0, 1.0, step=2.0), "Float step=2.0"),
        (lambda: Float(0.0, 1.0, step=1e-9), "Float range.*at most 4194304 values"),
        (lambda: Int(5, 5), "Int range"),
        (lambda: Int(6, 5), "Int range.*low < high"),
        (lambda: Int(0, 10, log=True), "low=0.*log=True"),
        (lambda: Int(1, 9, log=True, step=2), "step=2.*log=True"),
        (lambda: Int(0, 10, step=3), "Int step=3.*divisor"),
        (lambda: Int(0, 10, step=0), "Int step=0.*above 0"),
        (lambda: Int(0, MAX_LEVELS), "Int range.*at most 4194304 values"),
        (lambda: Int(2**31 - 5, 2**31), "Int range.*int32"),
        (lambda: Int(-(2**31), 2**31 - 1, step=2**32 - 1), "Int range.*int32"),
        (lambda: Int(1, MAX_LOG_INT + 1, log=True), "high=65537.*at most 65536"),
        (lambda: Choice([]), "Choice values.*at least one"),
        (lambda: Choice([1, 2, 1]), "Choice values.*distinct"),
        (lambda: Choice([1, 1.0]), "Choice values.*distinct"),
        (lambda: Choice([1, 2**31]), "Choice values.*int32"),
    ],
)
def test_a_wrong_dimension_names_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Int(0.0, 5), "Int low=0.0"),
        (lambda: Int(0, 5.5), "Int high=5.5"),
        (lambda: Int(0, 4, step=2.0), "Int step=2.0"),
        (lambda: Int(False, 5), "Int low=False"),
        (lambda: Choice([[1], [2]]), "Choice values.*tuple"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    ("dimension", "value"),
    [
        (Float(0.0, 1.0), 1.1),
        (Float(0.0, 1.0), math.nan),
        (Int(1, 5), 0),
        (Int(1, 5, log=True), 6),
        (Choice(list("ab")), "c"),
        (Int(1, 5), 2.5),
        (Int(1, 5, log=True), 2.5),
        (Int(0, 10, step=5), 3),
        (Float(0, 1, step=0.1), 0.33),
        (Float(0, 100_000, step=0.1), 0.15),
    ],
)
def test_a_value_outside_its_dimension_is_refused(dimension, value):
    with pytest.raises(ValueError, match="value="):
        dimension.encode(value)
