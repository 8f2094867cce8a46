"""A space as algorithms see it: the same rows, bins, order and conditions, and one for all ends of ranges."""

import numpy as np
import pytest

from jaxhpt import Bool, Choice, Float, Int, Space, When
from jaxhpt.core.encoded import encoded

MIXED = {
    "b2": When("opt", "adam", Float(0.9, 0.999)),
    "depth": When("opt", ["adam", "sgd"], Int(1, 4)),
    "flag": Bool(),
    "fixed": 3,
    "lr": Float(1e-4, 1e-1, log=True),
    "layers": Int(2, 9),
    "opt": ["sgd", "adam", "none"],
    "size": [16, 32, 64],
    "step": Float(0.0, 1.0, step=0.25),
    "width": Int(8, 512, log=True),
    "words": Choice(["b", "a"]),
    "pair": ({"x": Float(-1, 1)}, [True, False]),
}


@pytest.fixture(scope="module")
def pair():
    space = Space.of(MIXED)
    return space, encoded(space)


@pytest.fixture(scope="module")
def rows(pair):
    """Return rows in [0, 1], ends and middles of bins included: f32[n, D]."""
    rng = np.random.default_rng(0)
    num = pair[0].num_dimensions
    anywhere, ends = rng.uniform(size=(400, num)), rng.choice([0.0, 0.25, 1 / 3, 0.5, 1.0], (200, num))
    return np.concatenate([anywhere, ends]).astype(np.float32)


def test_rows_snap_to_the_same_bits(pair, rows, same_bits):
    space, bare = pair
    same_bits(bare.snap(rows), space.snap(rows))
    same_bits(bare.active(space.snap(rows)), space.active(space.snap(rows)))
    same_bits(bare.bins(space.snap(rows)), space.bins(space.snap(rows)))


@pytest.mark.parametrize("points", [1, 2, 3, 7])
def test_a_grid_is_the_same_rows(pair, points, same_bits):
    if points < 3:
        same_bits(pair[1].grid(points), pair[0].grid(points))
    for one, other in zip(pair[0].dimensions, pair[1].dimensions, strict=True):
        same_bits(other.grid(points), one.grid(points))


def test_what_tells_settings_apart_is_kept(pair):
    space, bare = pair
    assert (bare.size, bare.conditions) == (space.size, space.conditions)
    np.testing.assert_array_equal(bare.levels, space.levels)
    for one, other in zip(space.dimensions, bare.dimensions, strict=True):
        assert (other.levels, other.ordered, other.even) == (one.levels, one.ordered, one.even)


def test_nothing_else_is_kept(pair):
    text = repr(pair[1])
    for word in ("lr", "adam", "0.0001", "0.999", "depth", "16"):
        assert word not in text


def test_it_is_its_own_encoding_and_no_other(pair):
    assert encoded(pair[1]) == pair[1]
    assert hash(encoded(Space.of(MIXED))) == hash(pair[1])


BASE = {"a": Float(0, 1), "n": Int(1, 8), "c": ["x", "y", "z"], "o": [1, 2, 4], "s": Float(0, 1, step=0.5)}


@pytest.mark.parametrize(
    "change",
    [
        {"a": Float(-5, 7)},
        {"a": Float(1e-3, 7, log=True)},
        {"n": Int(11, 18)},
        {"c": ["p", "q", "r"]},
        {"o": [1, 5, 6]},
        {"s": Float(2, 6, step=2)},
        {"n": Float(0, 7, step=1)},
    ],
    ids=str,
)
def test_ends_and_values_are_no_part_of_it(change):
    assert encoded(Space.of({**BASE, **change})) == encoded(Space.of(BASE))


@pytest.mark.parametrize(
    "change",
    [
        {"a": Float(0, 1, step=0.5)},
        {"n": Int(1, 9)},
        {"n": Int(1, 8, log=True)},  # bins of other widths
        {"c": ["x", "y"]},
        {"c": [1, 2, 3]},  # which are in order
        {"o": ["1", "2", "4"]},
        {"more": Float(0, 1)},
        {"w": When("c", "x", Float(0, 1))},
    ],
    ids=str,
)
def test_bins_order_and_conditions_are(change):
    assert encoded(Space.of({**BASE, **change})) != encoded(Space.of(BASE))


def test_names_are_no_part_of_it_but_the_order_of_columns_is():
    assert encoded(Space.of({"p": Float(0, 1), "q": Int(1, 3)})) == encoded(
        Space.of({"x": Float(2, 3), "y": Int(0, 2)})
    )
    assert encoded(Space.of({"p": Int(1, 3), "q": Float(0, 1)})) != encoded(
        Space.of({"x": Float(2, 3), "y": Int(0, 2)})
    )


def test_conditions_on_other_values_in_the_same_places_are_the_same():
    def space(names, when):
        return Space.of({"c": names, "w": When("c", when, Float(0, 1))})

    assert encoded(space(["x", "y"], "y")) == encoded(space(["u", "v"], "v"))
    assert encoded(space(["x", "y"], "y")) != encoded(space(["x", "y"], "x"))
