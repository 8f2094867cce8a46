"""The mixture beside scipy in float64; its sum is 1; draws follow it; widths of kernels."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from jaxhpt import Choice, Float, Int, Space, When
from jaxhpt.surrogates.features import features
from jaxhpt.surrogates.kde import LEAST_WIDTH, draw, estimate, log_density

ROWS, DRAWS = 16, 4096
SPACES = {
    "line": Space.of({"x": Float(0, 1)}),
    "square": Space.of({"x": Float(0, 1), "y": Float(1e-3, 1, log=True)}),
    "six": Space.of({f"x{i}": Float(0, 1) for i in range(6)}),
    "words": Space.of({"c": ["a", "b", "c"], "x": Float(0, 1)}),
    "mixed": Space.of({"c": ["a", "b", "c", "d"], "flag": Choice([False, True]), "x": Float(0, 1), "y": Float(0, 1)}),
    "whole": Space.of({"k": [7], "m": Int(1, 8), "n": Int(1, 40, log=True), "x": Float(0, 1)}),
    "conditional": Space.of({"c": ["a", "b", "c"], "w": When("c", "b", {"u": Float(0, 1)}), "x": Float(0, 1)}),
    "nested": Space.of({
        "c": ["a", "b"],
        "w": When("c", "b", {"n": Int(1, 9, log=True), "v": ["p", "q", "r"], "z": When("v", "q", {"u": Float(0, 1)})}),
    }),
}  # fmt: skip
estimated = jax.jit(estimate, static_argnames="space")
logarithm = jax.jit(log_density, static_argnames="space")
drawn = jax.jit(draw, static_argnames=("num", "space"))
every_space = pytest.mark.parametrize("name", SPACES)


@functools.cache
def anywhere(name, seed=0, num=ROWS):
    """Settings all over the space, snapped."""
    unit = np.random.default_rng(seed).random((num, SPACES[name].num_dimensions)).astype(np.float32)
    return np.asarray(SPACES[name].snap(jnp.asarray(unit)))


def crowd(name, spread=0.1, seed=0, num=ROWS):
    """Settings around one place, which is not the middle."""
    unit = 0.3 + spread * (anywhere(name, seed, num) - 0.5)
    return np.asarray(SPACES[name].snap(jnp.asarray(unit)))


def first(count):
    return np.arange(ROWS) < count


def density_of(name, unit, count=ROWS, vague=0.0):
    return estimated(unit, first(count), SPACES[name], np.float32(vague))


def density_at(density, places, name):
    return np.exp(np.asarray(logarithm(density, places, SPACES[name]), np.float64))


def sample(name, density, num=DRAWS, seed=0):
    return np.asarray(drawn(jax.random.key(seed), density, num, SPACES[name]))


def levels(name):
    return np.array([d.levels or np.inf for d in SPACES[name].dimensions])


def reference(density, places, name):
    """Dense, in float64: products of normals that are cut and of kernels of a choice; and the uniform one."""
    unit, mask, width = (np.asarray(part) for part in density[:3])
    onehot, size = features(SPACES[name]).onehot, levels(name)
    ours, theirs = (np.asarray(SPACES[name].active(jnp.asarray(rows))) for rows in (unit, places))
    total = np.ones((len(unit), len(places)))
    for i, w in enumerate(width.astype(np.float64)):
        c, p = unit[:, i, None].astype(np.float64), places[None, :, i].astype(np.float64)
        if onehot[i]:
            factor = np.where(np.abs(c - p) < 0.5 / size[i], 1 - w + w / size[i], w / size[i])
        else:
            factor = scipy.stats.truncnorm.pdf(p, -c / w, (1 - c) / w, loc=c, scale=w)
        total *= np.where(ours[:, i, None] & theirs[None, :, i], factor, 1.0)
    return (total[mask].sum(axis=0) + 1.0 / size[onehot].prod()) / (mask.sum() + 1.0)


def mixture_cdf(density, column):
    """Return the distribution along one ordered dimension."""
    unit, mask, width = (np.asarray(part, np.float64) for part in density[:3])
    c, w = unit[mask > 0, column, None], width[column]
    at = functools.partial(scipy.stats.truncnorm.cdf, a=-c / w, b=(1 - c) / w, loc=c, scale=w)
    return lambda x: (at(np.asarray(x)[None]).sum(axis=0) + x) / (len(c) + 1.0)


@pytest.mark.parametrize("name", ["line", "square", "words", "mixed", "whole"])
@pytest.mark.parametrize("spread", [1.0, 0.1])
def test_the_density_equals_scipy_in_float64(name, spread):
    found = density_of(name, crowd(name, spread), count=11)
    places = np.concatenate([anywhere(name, seed=1), crowd(name, spread, seed=2), np.asarray(found.unit)])
    np.testing.assert_allclose(density_at(found, places, name), reference(found, places, name), rtol=2e-3)


def test_the_narrowest_kernels_far_from_zero_equal_scipy_too():
    unit = np.full((ROWS, 6), 0.9873, np.float32)
    found = density_of("six", unit)
    np.testing.assert_allclose(found.width, LEAST_WIDTH)
    places = unit + LEAST_WIDTH * np.random.default_rng(0).normal(size=unit.shape).astype(np.float32)
    exact = np.log(reference(found, places, "six"))
    np.testing.assert_allclose(logarithm(found, places, SPACES["six"]), exact, atol=0.02)


def test_dimensions_that_both_lack_have_no_say():
    space = SPACES["conditional"]
    rows = [{"c": "ac"[i % 2], "w": {"u": None}, "x": (i + 0.5) / ROWS} for i in range(ROWS)]
    unit = np.stack([space.encode(row) for row in rows]).astype(np.float32)
    found = density_of("conditional", unit, count=12)
    kept = np.array([0, 2])
    plain = found._replace(unit=found.unit[:, kept], width=found.width[kept])
    without = reference(plain, unit[:, kept], "words")
    np.testing.assert_allclose(density_at(found, unit, "conditional"), without, rtol=0.02)


@every_space
def test_rows_that_are_masked_change_nothing(name):
    unit, places = crowd(name), anywhere(name, seed=1)
    other = np.where(first(9)[:, None], unit, anywhere(name, seed=5))
    a, b = density_of(name, unit, count=9), density_of(name, other, count=9)
    np.testing.assert_array_equal(a.width, b.width)
    np.testing.assert_array_equal(density_at(a, places, name), density_at(b, places, name))
    np.testing.assert_array_equal(sample(name, a, 64), sample(name, b, 64))


@pytest.mark.parametrize("spread", [1.0, 0.05])
def test_it_integrates_to_one_over_a_line(spread):
    x = np.linspace(0, 1, 4097, dtype=np.float32)[:, None]
    found = density_at(density_of("line", crowd("line", spread)), x, "line")
    assert scipy.integrate.simpson(found, x=x[:, 0]) == pytest.approx(1.0, abs=2e-3)


def test_it_integrates_to_one_over_a_square():
    x = np.linspace(0, 1, 129, dtype=np.float32)
    places = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, 2)
    found = density_at(density_of("square", crowd("square", 0.5)), places, "square").reshape(129, 129)
    assert scipy.integrate.simpson(scipy.integrate.simpson(found, x=x), x=x) == pytest.approx(1.0, abs=2e-3)


def test_it_sums_to_one_over_choices_and_numbers():
    x = np.linspace(0, 1, 1025)
    places = np.array([[(c + 0.5) / 3, v] for c in range(3) for v in x], np.float32)
    found = density_at(density_of("words", crowd("words", 0.3)), places, "words").reshape(3, -1)
    assert scipy.integrate.simpson(found, x=x).sum() == pytest.approx(1.0, abs=2e-3)


def conditional_total(unit, count):
    """Sum over c, and integrate over x, and over u where c is b."""
    x = np.linspace(0, 1, 65)
    places = np.array([[(c + 0.5) / 3, u, v] for c in range(3) for u in x for v in x], np.float32)
    found = density_of("conditional", unit, count)
    snapped = np.asarray(SPACES["conditional"].snap(jnp.asarray(places)))
    value = density_at(found, snapped, "conditional").reshape(3, 65, 65)
    return scipy.integrate.simpson(scipy.integrate.simpson(value, x=x), x=x).sum()


def test_it_sums_to_one_over_a_conditional_space():
    assert conditional_total(anywhere("conditional"), ROWS) == pytest.approx(1.0, abs=5e-3)


def test_a_kernel_has_no_say_along_a_dimension_it_lacks():
    """As `draw`: from kernels at `a`, the others come evenly, and with any u where they are `b`."""
    space = SPACES["conditional"]
    a, b, c = ({"c": v, "w": {"u": 0.5 if v == "b" else None}, "x": 0.5} for v in "abc")
    unit = np.tile(np.asarray(space.encode(a), np.float32), (ROWS, 1))
    places = np.stack([space.encode(b), space.encode(c)]).astype(np.float32)
    at_b, at_c = density_at(density_of("conditional", unit), places, "conditional")
    assert at_b == pytest.approx(at_c, rel=0.01)


@pytest.mark.parametrize(("name", "columns"), [("line", [0]), ("square", [0, 1]), ("mixed", [2, 3])])
def test_draws_follow_the_density_along_each_dimension(name, columns):
    found = density_of(name, crowd(name, 0.5), count=5)
    unit = sample(name, found)
    for column in columns:
        assert scipy.stats.kstest(unit[:, column], mixture_cdf(found, column)).pvalue > 1e-3
    assert scipy.stats.kstest(unit[:, columns[0]], "uniform").pvalue < 1e-6


def test_draws_take_values_of_a_choice_as_often_as_the_density_says():
    found = density_of("mixed", crowd("mixed", 1.5), count=6)
    for column, size in ((0, 4), (1, 2)):
        unit = np.asarray(found.unit)[:6, column]
        w = float(found.width[column])
        kernel = np.bincount((unit * size).astype(int), minlength=size)
        expected = ((1 - w) * kernel + 6 * w / size + 1 / size) / 7
        seen = np.bincount((sample("mixed", found)[:, column] * size).astype(int), minlength=size)
        assert scipy.stats.chisquare(seen, DRAWS * expected).pvalue > 1e-3


@pytest.mark.parametrize(("name", "volume"), [("line", 1), ("square", 1), ("words", 3), ("mixed", 8)])
def test_draws_follow_the_density_over_all_dimensions_at_once(name, volume):
    """The mean of 1 / density over draws from it is the volume of the space."""
    found = density_of(name, crowd(name, 0.6), count=4)
    weights = 1.0 / density_at(found, sample(name, found), name)
    assert weights.mean() == pytest.approx(volume, abs=4.5 * weights.std() / DRAWS**0.5)


@every_space
def test_draws_are_inside_and_snapped_and_of_every_kind(name):
    unit = sample(name, density_of(name, crowd(name), count=3))
    assert np.isfinite(unit).all()
    assert (unit >= 0).all()
    assert (unit <= 1).all()
    np.testing.assert_array_equal(unit, SPACES[name].snap(jnp.asarray(unit)))
    for column, size in enumerate(levels(name)):
        assert len(np.unique(unit[:, column])) >= min(size, 100)


@pytest.mark.parametrize("name", ["conditional", "nested"])
def test_draws_of_a_conditional_space_are_settings_of_it(name):
    space = SPACES[name]
    unit = sample(name, density_of(name, anywhere(name)), 64)
    again = np.stack([space.encode(space.label(row)) for row in unit])
    np.testing.assert_allclose(again, unit, atol=1e-6)


def test_dimensions_that_a_kernel_lacks_are_drawn_from_all_of_their_range():
    space = SPACES["conditional"]
    row = space.encode({"c": "a", "w": {"u": None}, "x": 0.5})
    found = density_of("conditional", np.tile(np.asarray(row, np.float32), (ROWS, 1)))
    unit = sample("conditional", found)
    there = np.asarray(space.active(jnp.asarray(unit)))[:, 1]
    assert 100 < there.sum() < 0.3 * DRAWS
    assert scipy.stats.kstest(unit[there, 1], "uniform").pvalue > 1e-3


def test_the_same_key_draws_the_same_and_another_others():
    found = density_of("square", crowd("square"))
    np.testing.assert_array_equal(sample("square", found), sample("square", found))
    assert not np.isin(sample("square", found)[:, 0], sample("square", found, seed=1)[:, 0]).all()


@every_space
def test_widths_are_those_of_the_rule(name):
    """Twice Scott's, of the settings that have the dimension, within bounds."""
    unit = anywhere(name)
    active, size = np.asarray(SPACES[name].active(jnp.asarray(unit))), levels(name)
    for i, width in enumerate(np.asarray(density_of(name, unit).width)):
        spread = unit[active[:, i], i].astype(np.float64).std()
        expected = 2 * spread * ROWS ** (-1 / (len(size) + 4))
        expected = np.clip(expected, max(0.5 / size[i], LEAST_WIDTH), 1.0)
        expected = size[i] / (size[i] + ROWS) if features(SPACES[name]).onehot[i] else expected
        assert width == pytest.approx(expected, rel=1e-4)


def test_widths_shrink_with_count_and_with_spread():
    unit = np.tile(anywhere("mixed", num=4), (ROWS // 4, 1))  # the same cloud, whatever the count
    few, more, most = (np.asarray(density_of("mixed", unit, count).width) for count in (4, 8, 16))
    assert (more < few).all()
    assert (most < more).all()
    wide, narrow = (np.asarray(density_of("square", crowd("square", s)).width) for s in (0.4, 0.1))
    np.testing.assert_allclose(narrow, wide / 4, rtol=1e-3)


def test_vague_belief_widens_kernels_where_settings_are_few():
    def width(count, vague):
        unit = np.tile(crowd("square", 0.05, num=2), (ROWS // 2, 1))
        return np.asarray(density_of("square", unit, count, vague).width)

    sure, bit, very = (width(4, vague) for vague in (0.0, 0.1, 100.0))
    assert (sure < bit).all()
    assert (bit < very).all()
    assert (very <= 1.0).all()
    assert (width(2, 0.5) / width(2, 0.0) > width(16, 0.5) / width(16, 0.0)).all()


@every_space
@pytest.mark.parametrize("vague", [0.0, 1.0])
def test_without_settings_it_is_uniform(name, vague):
    found, size = density_of(name, anywhere(name), count=0, vague=vague), levels(name)
    for part in (found.width, found.volume):
        assert np.isfinite(part).all()
    places = anywhere(name, seed=1)
    places = places[np.asarray(SPACES[name].active(jnp.asarray(places)))[:, features(SPACES[name]).onehot].all(axis=1)]
    expected = 1.0 / size[features(SPACES[name]).onehot].prod()
    np.testing.assert_allclose(density_at(found, places, name), expected, rtol=1e-5)
    unit = sample(name, found)
    for column, kind in enumerate(SPACES[name].dimensions):
        if kind.levels is None and not SPACES[name].conditions[column]:
            assert scipy.stats.kstest(unit[:, column], "uniform").pvalue > 1e-3


@every_space
def test_one_setting_gets_half_of_the_draws_and_nothing_breaks(name):
    found = density_of(name, anywhere(name), count=1)
    assert np.isfinite(logarithm(found, anywhere(name, seed=1), SPACES[name])).all()
    unit, size = sample(name, found), levels(name)
    if np.isinf(size[-1]) and not SPACES[name].conditions[-1]:
        assert (np.abs(unit[:, -1] - anywhere(name)[0, -1]) < 5 * LEAST_WIDTH).mean() == pytest.approx(0.5, abs=0.03)


def bin_at(place):
    low, high = SPACES["whole"].dimensions[2].bin(jnp.float32(place))
    return float(high - low)


def test_constant_columns_do_no_harm():
    unit = anywhere("whole").copy()
    unit[:, 2:] = unit[0, 2:]
    found = density_of("whole", unit)
    np.testing.assert_allclose(found.width[np.array([2, 3])], [0.5 * bin_at(unit[0, 2]), LEAST_WIDTH], rtol=1e-5)
    places = np.concatenate([anywhere("whole", seed=1), unit])
    np.testing.assert_allclose(density_at(found, places, "whole"), reference(found, places, "whole"), rtol=0.2)
    assert (sample("whole", found)[:, 0] == 0.5).all()


@pytest.mark.parametrize("vague", [0.0, 0.5])
@pytest.mark.parametrize("spread", [1.0, 1e-3])
def test_whole_numbers_never_get_widths_below_half_a_level(spread, vague):
    unit = crowd("whole", spread)
    width = np.asarray(density_of("whole", unit, vague=vague).width)
    assert width[1] >= np.float32(0.5) / np.float32(levels("whole")[1])
    assert width[2] >= 0.5 * max(map(bin_at, unit[:, 2])) * 0.999
    assert width[3] >= LEAST_WIDTH


def test_whole_numbers_reach_their_neighbours():
    """However crowded: of kernels on one number, a fair share of draws is next to it."""
    unit = np.full((ROWS, 4), 0.5, np.float32)
    unit = np.asarray(SPACES["whole"].snap(jnp.asarray(unit)))
    values = sample("whole", density_of("whole", unit))[:, 1] * 8
    beside = np.isclose(np.abs(values - unit[0, 1] * 8), 1.0).mean()
    assert 0.2 < beside < 0.5


def test_small_numbers_of_a_log_range_reach_their_neighbours_too():
    space = SPACES["whole"]
    row = space.encode({"k": 7, "m": 4, "n": 1, "x": 0.5})
    unit = sample("whole", density_of("whole", np.tile(np.asarray(row, np.float32), (ROWS, 1))))
    values = space.dimensions[2].value(jnp.asarray(unit[:, 2]))
    assert (np.asarray(values) == 2).mean() > 0.1
