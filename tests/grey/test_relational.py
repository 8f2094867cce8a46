"""Grades beside numbers worked by hand and float64; importance beside dense smoothers, and its invariances."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Float, Int, Space, When, grey
from jaxhpt.surrogates.influence import explained, importance
from jaxhpt.surrogates.outcome_transforms import standardize

GRADES = [grey.relational_grade, grey.absolute_grade, grey.relative_grade]
every_grade = pytest.mark.parametrize("grade", GRADES, ids=lambda g: g.__name__)
compiled = {grade: jax.jit(grade) for grade in GRADES}
undirected = {grade: jax.jit(functools.partial(grey.undirected, grade)) for grade in GRADES}
ROWS, SEEDS = 120, 8  # of all tests of importance, which so share a compiled function for each space


@functools.partial(jax.jit, static_argnums=(3, 4))
def side_by_side(unit, score, mask, space, function):
    return jax.vmap(functools.partial(function, space=space))(unit, score, mask)


def asked(unit, score, mask, name, function=importance):
    """Ask for one search, or for all SEEDS at once."""
    single = np.ndim(unit) == 2
    given = [np.broadcast_to(a, (SEEDS, *np.shape(a))) if single else a for a in (unit, score, mask)]
    found = np.asarray(side_by_side(*given, SPACES[name], function))
    return found[0] if single else found


def column(*values):
    return jnp.array(values, jnp.float32)[:, None]


def array(*values):
    return jnp.array(values, jnp.float32)


def series(seed, num=9, dimensions=5):
    return np.random.default_rng(seed).uniform(0.5, 3.0, (num, dimensions)).astype(np.float32)


# Deng's grade. d = |y - x| is (0, 0, 2) and (1, 0, 1), so least 0 and largest 2; with rho = 1/2, xi = 1 / (d + 1).
def test_dengs_coefficients_and_grade_by_hand():
    x, y = jnp.concatenate([column(1, 2, 5), column(2, 2, 2)], axis=1), array(1, 2, 3)
    xi = grey.relational_coefficients(x, y, jnp.ones(3))
    np.testing.assert_allclose(xi, [[1, 1 / 2], [1, 1], [1 / 3, 1 / 2]], rtol=1e-6)
    np.testing.assert_allclose(grey.relational_grade(x, y, jnp.ones(3)), [7 / 9, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(grey.relational_grade(x, y, array(1, 1, 2)), [2 / 3, 5 / 8], rtol=1e-6)  # weighted
    np.testing.assert_allclose(grey.relational_grade(x, y), [7 / 9, 2 / 3], rtol=1e-6)  # all places
    np.testing.assert_allclose(grey.relational_grade(x, y, jnp.ones(3), rho=1.0)[0], (1 + 1 + 1 / 2) / 3, rtol=1e-6)


# y - y(1) = (0, 2, 1, 4), so s = 2 + 1 + 4/2 = 5; x - x(1) = (0, 2, 5, 6), s = 10. Of initial images both have s = 5.
@pytest.mark.parametrize(
    ("name", "expected"),
    [("absolute_grade", 16 / 21), ("relative_grade", 1)],
)
def test_grades_of_areas_by_hand(name, expected):
    found = getattr(grey, name)(column(2, 4, 7, 8), array(1, 3, 2, 5), jnp.ones(4))
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_images_by_hand():
    x, ones = column(2, 4, 6), jnp.ones(3)
    for name, expected in [
        ("larger_is_better", [0, 1 / 2, 1]),
        ("smaller_is_better", [1, 1 / 2, 0]),
        ("initial_image", [1, 2, 3]),
        ("mean_image", [1 / 2, 1, 3 / 2]),
    ]:
        np.testing.assert_allclose(getattr(grey, name)(x, ones)[:, 0], expected, rtol=1e-6)
    np.testing.assert_allclose(grey.nominal_is_best(x, array(4), ones)[:, 0], [0, 1, 0], atol=1e-6)
    np.testing.assert_allclose(grey.nominal_is_best(x, array(2), ones)[:, 0], [1, 1 / 2, 0], atol=1e-6)


def deng64(x, y, rho=0.5):
    apart = np.abs(y[:, None] - x)
    return ((apart.min() + rho * apart.max()) / (apart + rho * apart.max())).mean(axis=0)


def area64(x):
    return np.trapezoid(x - x[0], axis=0)


def alike64(a, b):
    return (1 + abs(a) + abs(b)) / (1 + abs(a) + abs(b) + abs(a - b))


REFERENCES = {
    grey.relational_grade: deng64,
    grey.absolute_grade: lambda x, y: alike64(area64(x), area64(y)),
    grey.relative_grade: lambda x, y: alike64(area64(x / x[0]), area64(y / y[0])),
}


@every_grade
@pytest.mark.parametrize("mask", [np.ones(9, bool), np.array([0, 1, 1, 0, 1, 1, 1, 0, 0], bool)], ids=["all", "some"])
def test_grades_equal_float64_whatever_stands_in_masked_places(grade, mask):
    x, y = series(0), series(1)[:, 0]
    expected = REFERENCES[grade](x[mask].astype(np.float64), y[mask].astype(np.float64))
    for junk in (0.0, 77.0):
        found = compiled[grade](np.where(mask[:, None], x, junk), np.where(mask, y, junk), mask)
        np.testing.assert_allclose(found, expected, rtol=1e-4)


@every_grade
def test_a_sequence_is_nearest_to_itself(grade):
    x = series(2)
    found = np.asarray(compiled[grade](x, x[:, 3], np.ones(9, bool)))
    assert found[3] == pytest.approx(1.0)
    assert ((found > 0) & (found <= 1)).all()


@every_grade
def test_direction_does_not_count_where_it_should_not(grade):
    x, ones = series(3), np.ones(9, bool)
    y = x[:, 2]
    mirrored = x.min(axis=0) + x.max(axis=0) - x
    found = undirected[grade](x, y, ones)
    np.testing.assert_allclose(undirected[grade](mirrored, y, ones), found, rtol=1e-5)
    assert found[2] == pytest.approx(1.0)


def test_the_grade_of_images_does_not_depend_on_units_or_on_the_order_of_places():
    x, y, ones = series(4), series(5)[:, 0], np.ones(9, bool)

    def found(x, y):
        image = grey.larger_is_better
        return grey.relational_grade(image(x, ones), image(y[:, None], ones)[:, 0], ones)

    order = np.random.default_rng(0).permutation(9)
    np.testing.assert_allclose(found(100 * x + 3, 0.01 * y - 5), found(x, y), rtol=1e-3)
    np.testing.assert_allclose(found(x[order], y[order]), found(x, y), rtol=1e-6)


@every_grade
@pytest.mark.parametrize("case", ["constant", "zero", "one place", "none"])
def test_grades_are_numbers_whatever_comes(grade, case):
    x, y, mask = series(6), series(7)[:, 0], np.ones(9, bool)
    if case in ("constant", "zero"):
        x, y = np.full_like(x, case == "constant"), np.full_like(y, case == "constant")
    else:
        mask = np.arange(9) < (case == "one place")
    for function in (compiled[grade], undirected[grade]):
        found = np.asarray(function(x, y, mask))
        assert ((found >= 0) & (found <= 1)).all()
    for image in (grey.larger_is_better, grey.initial_image, grey.mean_image):
        assert np.isfinite(image(x, mask)).all()


# Images over the front, larger better: (1, 0), (3/4, 3/4), (0, 1); d to (1, 1): (0, 1), (1/4, 1/4), (1, 0);
# xi = 1/2 / (d + 1/2): (1, 1/3), (2/3, 2/3), (1/3, 1).
def test_the_compromise_by_hand_and_its_weights():
    scores = jnp.array([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]], jnp.float32)
    np.testing.assert_allclose(grey.compromise(scores, array(1, 1)), [2 / 3] * 3, rtol=1e-6)
    np.testing.assert_allclose(grey.compromise(scores, array(3, 1)), [5 / 6, 2 / 3, 1 / 2], rtol=1e-6)
    np.testing.assert_allclose(grey.compromise(scores, array(0, 2)), [1 / 3, 2 / 3, 1], rtol=1e-6)
    units = scores * array(1e3, 1e-3) + array(7, -2)
    np.testing.assert_allclose(grey.compromise(units, array(3, 1)), [5 / 6, 2 / 3, 1 / 2], rtol=1e-3)


def test_an_objective_that_is_the_same_for_all_has_no_say():
    scores = jnp.array([[0.0, 5.0], [1.0, 5.0]], jnp.float32)
    found = np.asarray(grey.compromise(scores, array(1, 1)))
    assert found[0] == 1.0 > found[1]


# Importance.

SPACES = {
    "line": Space.of({"x": Float(0, 1)}),
    "eight": Space.of({f"x{i}": Float(0, 1) for i in range(8)}),
    "mixed": Space.of({"c": ["a", "b", "c"], "n": Int(1, 5), "u": ["p", "q"], "x": Float(0, 1)}),
    "conditional": Space.of({"c": ["a", "b"], "w": When("c", "b", {"u": Float(0, 1)}), "x": Float(0, 1)}),
}


@functools.cache
def rows(name, seed=0):
    unit = np.random.default_rng(seed).random((ROWS, SPACES[name].num_dimensions)).astype(np.float32)
    return np.asarray(SPACES[name].snap(jnp.asarray(unit)))


def noisy(value, seed, noise=0.2):
    return (value + noise * value.std() * np.random.default_rng(100 + seed).standard_normal(len(value))).astype("f4")


def first(count):
    return np.arange(ROWS) < count


def smoother(x, dimension):
    """Return the matrix that turns scores into the response curve at each row, in float64."""
    levels, num = dimension.levels, len(x)
    if not dimension.ordered:
        near = (np.floor(x * levels)[:, None] == np.floor(x * levels)).astype(float)
    else:
        middle = (np.minimum(np.floor(x * 16), 15) + 0.5) / 16
        near = np.exp(-0.5 * ((middle[:, None] - middle) / max(0.3 * num**-0.2, 1 / 32)) ** 2)
    return near / (near.sum(axis=1, keepdims=True) + 1)


bent = jax.jit(standardize)


def reference(name, unit, score, mask):
    y = np.asarray(bent(score, mask), np.float64)
    active, shares = np.asarray(SPACES[name].active(jnp.asarray(unit))) & mask[:, None], []
    for i, dimension in enumerate(SPACES[name].dimensions):
        there = active[:, i]
        s, away, num = smoother(unit[there, i].astype(float), dimension), y[there] - y[there].mean(), there.sum()
        m = s + s.T - s.T @ s
        chance = (np.trace(m) - m.sum() / num) / (num - 1)
        ratio = away @ m @ away / (away @ away)
        share = max(0, ratio - chance - np.sqrt(2 * chance * (1 - chance) / (num + 1))) / (1 - chance)
        shares.append(share * (away @ away) / (y[mask] @ y[mask]))
    return np.array(shares)


@pytest.mark.parametrize("name", ["eight", "mixed", "conditional"])
@pytest.mark.parametrize("count", [ROWS, 25])
def test_shares_and_grades_of_dimensions_equal_dense_smoothers_in_float64(name, count):
    unit, mask = rows(name), first(count)
    score = noisy(unit[:, -1] ** 2 + 0.5 * unit[:, 0], 0)
    expected = reference(name, unit, score, mask)
    assert expected.max() > 0.1
    np.testing.assert_allclose(asked(unit, score, mask, name), expected / expected.sum(), atol=2e-5)
    if name == "eight":
        np.testing.assert_allclose(asked(unit, score, mask, name, explained), expected, atol=2e-5)


def test_what_is_taken_off_is_the_gain_over_all_orders_of_the_scores():
    x = np.array([0.05, 0.1, 0.4, 0.45, 0.8, 0.95])
    y = np.array([3.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    s, y = smoother(x, Float(0, 1)), y - y.mean()
    m = s + s.T - s.T @ s
    gains = [(y**2).sum() - ((y[list(o)] - s @ y[list(o)]) ** 2).sum() for o in itertools.permutations(range(6))]
    chance = (np.trace(m) - m.sum() / 6) / 5
    assert np.mean(gains) == pytest.approx(chance * (y**2).sum(), rel=1e-9)


EFFECTS = {
    "rising": lambda x: x,
    "falling": lambda x: -x,
    "middle": lambda x: (x - 0.5) ** 2,
    "inside": lambda x: np.abs(x - 0.3),
    "step": lambda x: 1.0 * (x > 0.7),
}


@pytest.mark.parametrize("effect", EFFECTS)
@pytest.mark.parametrize("num", [30, ROWS])
def test_an_effect_of_any_shape_is_important_and_what_has_none_is_not(effect, num):
    unit = np.stack([rows("eight", seed) for seed in range(SEEDS)])
    score = np.stack([noisy(EFFECTS[effect](u[:, 2]), seed) for seed, u in enumerate(unit)])
    found = asked(unit, score, np.tile(first(num), (SEEDS, 1)), "eight")
    assert (found.argmax(axis=1) == 2).all()
    assert found[:, 2].min() > 0.5
    assert np.delete(found.mean(axis=0), 2).max() < 0.06


def test_two_effects_come_in_the_order_of_their_size():
    unit = rows("eight")
    value = 9 * (unit[:, 0] - 0.5) ** 2 + 0.8 * unit[:, 1]  # variances .45 and .05
    found = asked(unit, noisy(value, 0, 0.1), first(ROWS), "eight")
    assert found[0] > 2 * found[1] > 10 * np.max(found[2:])


def test_noise_alone_is_little():
    unit = np.stack([rows("eight", seed) for seed in range(SEEDS)])
    score = np.random.default_rng(0).standard_normal((SEEDS, ROWS)).astype("f4")
    for count in (30, ROWS):
        assert asked(unit, score, np.tile(first(count), (SEEDS, 1)), "eight", explained).mean() < 0.02


def test_choices_and_whole_numbers_have_their_effects():
    unit = rows("mixed")
    c, n = np.floor(unit[:, 0] * 3), np.floor(unit[:, 1] * 5)
    for i, value in enumerate([1.0 * (c == 1), (n - 2) ** 2]):
        found = asked(unit, noisy(value, i), first(ROWS), "mixed")
        assert found.argmax() == i
        assert found[i] > 0.8


def test_rows_without_a_dimension_do_not_count_for_it():
    """Where u is absent it stands in the middle of its range, with scores of another kind."""
    unit = rows("conditional")
    there = unit[:, 0] > 0.5
    free = asked(unit, np.where(there, 0, 5 + unit[:, 2]).astype("f4"), first(ROWS), "conditional")
    assert free[1] == 0
    score = np.where(there, (unit[:, 1] - 0.5) ** 2 * 8, 0.7).astype("f4")
    found = asked(unit, score, first(ROWS), "conditional")
    assert found.argmax() == 1
    assert found[1] > 0.8


@pytest.mark.parametrize("name", ["eight", "mixed", "conditional"])
def test_what_it_must_not_depend_on(name):
    unit, mask = rows(name), first(60)
    score = noisy((unit[:, -1] - 0.4) ** 2 + 0.3 * unit[:, 0], 1)
    found, order = asked(unit, score, mask, name), np.random.default_rng(0).permutation(ROWS)
    same = functools.partial(np.testing.assert_allclose, desired=found, atol=2e-3)
    same(asked(unit[order], score[order], mask[order], name))
    same(asked(unit, (1e3 * score + 50).astype("f4"), mask, name))
    same(asked(np.where(mask[:, None], unit, 1 - unit), np.where(mask, score, np.float32(1e9)), mask, name))
    np.testing.assert_array_equal(asked(unit, score, mask, name), found)
    if name == "eight":
        same(asked(1 - unit, score, mask, name))
    assert found.sum() == pytest.approx(1.0, abs=1e-5)


def test_failed_rows_count_as_the_worst():
    unit = rows("eight")
    score = np.where(unit[:, 1] > 0.6, np.inf, 0.1 * unit[:, 0]).astype("f4")
    assert asked(unit, score, first(60), "eight").argmax() == 1


@pytest.mark.parametrize("case", ["none", "two", "equal", "failed", "constant", "nan", "huge"])
@pytest.mark.parametrize("name", ["line", "eight", "mixed", "conditional"])
def test_where_nothing_is_known_all_are_equal_and_never_nan(name, case):
    unit, score, mask = rows(name), np.arange(ROWS, dtype=np.float32) % 7, first(ROWS)
    if case in ("none", "two"):
        mask = first(2 if case == "two" else 0)
    elif case == "constant":
        unit = np.tile(unit[:1], (ROWS, 1))
    else:
        bad = {"equal": 3.0, "failed": np.inf, "nan": np.nan, "huge": 3e38}[case]
        score = np.full(ROWS, bad, np.float32)
    found = asked(unit, score, mask, name)
    np.testing.assert_allclose(found, 1 / len(found), rtol=1e-6)
