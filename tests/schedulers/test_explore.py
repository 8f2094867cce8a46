"""New settings for copies: near in every dimension's own type, within its range, and anew by chance."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Bool, Choice, Float, Int, Space, When
from jaxhpt.schedulers.explore import perturbed

NUM = 4000
SPACE = Space.of(
    {
        "rate": Float(1e-5, 1e-1, log=True),
        "share": Float(-2, 2),
        "width": Int(1, 40),
        "size": Choice([8, 16, 32, 64, 128]),
        "pair": Choice([32, 64]),
        "rule": ["sgd", "adam", "lion"],
        "mixed": Choice([3, 1, 2]),
        "on": Bool(),
        "extra": When("rule", "adam", {"beta": Float(0, 1), "kind": ["x", "y"]}),
    }
)
LOGARITHMIC = Space.of({"n": Int(1, 40, log=True)})


@functools.cache
def mover(space, step, resample):
    return jax.jit(lambda key, unit: perturbed(key, unit, space, step, resample))


@functools.cache
def moved(step=0.1, resample=0.0, space=SPACE):
    """Return settings before and after, f32[NUM, D] as dicts of columns."""
    before = space.snap(jax.random.uniform(jax.random.key(0), (NUM, space.num_dimensions)))
    after = mover(space, step, resample)(jax.random.key(1), before)
    np.testing.assert_array_equal(after, space.snap(after))
    return tuple(dict(zip(space.names, np.asarray(unit).T, strict=True)) for unit in (before, after))


def levels(name, column):
    return np.asarray(SPACE.dimensions[SPACE.names.index(name)].level(column, np))


@pytest.mark.parametrize("step", [0.1, 0.5])
@pytest.mark.parametrize("name", ["rate", "share"])
def test_numbers_move_by_half_to_one_and_a_half_steps_and_turn_back_at_the_ends(name, step):
    before, after = (columns[name] for columns in moved(step))
    down, up, past_low, past_high = before - after, after - before, before + after, 2 - before - after
    sizes = np.stack([down, up, past_low, past_high])
    assert np.all(np.any((sizes > 0.5 * step - 1e-6) & (sizes < 1.5 * step + 1e-6), axis=0))


def test_numbers_move_as_often_up_as_down_and_by_all_sizes():
    before, after = (columns["share"] for columns in moved())
    away = (after - before)[np.abs(before - 0.5) < 0.35]
    assert np.mean(away > 0) == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(np.quantile(np.abs(away), [0, 0.25, 0.5, 0.75, 1]), np.arange(2, 7) / 40, atol=3e-3)


def test_a_logarithmic_range_moves_by_factors():
    before, after = (np.asarray(SPACE.dimensions[SPACE.names.index("rate")].value(c["rate"], np)) for c in moved())
    inner = (before > 1e-4) & (before < 1e-2)
    factors = np.exp(np.abs(np.log(after[inner] / before[inner])))
    assert factors.min() == pytest.approx(10**0.2, rel=0.01)  # four decades: half a step of 0.1 is 0.2 decades
    assert factors.max() == pytest.approx(10**0.6, rel=0.01)


def test_ordered_choices_move_to_a_neighbour():
    before, after = (levels("size", columns["size"]) for columns in moved())
    inner = (before > 0) & (before < 4)
    assert set((after - before)[inner]) == {-1, 1}
    assert set(after[before == 0]) <= {0, 1}
    assert set(levels("pair", moved()[1]["pair"])) == {0, 1}


def test_a_step_moves_each_of_many_whole_numbers_by_its_share_of_the_range():
    before, after = (levels("width", columns["width"]) for columns in moved())
    away = np.abs(after - before)[(before >= 8) & (before <= 31)]
    assert set(away) == {2, 3, 4, 5, 6}  # 0.05 to 0.15 of 40


@pytest.mark.parametrize("name", ["size", "pair"])
def test_ordered_choices_at_the_ends_move_too(name):
    before, after = (levels(name, columns[name]) for columns in moved())
    assert np.all(after != before)


def test_whole_numbers_on_a_logarithmic_range_move_by_one_at_least():
    before, after = (LOGARITHMIC.dimensions[0].value(columns["n"], np) for columns in moved(0.1, 0.0, LOGARITHMIC))
    assert np.all(after != before)


@pytest.mark.parametrize("name", ["rule", "mixed", "on", "extra.kind"])
def test_what_has_no_order_stays(name):
    before, after = moved()
    np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.parametrize("name", ["rule", "mixed", "on"])
def test_what_has_no_order_is_drawn_anew_by_chance(name):
    before, after = (levels(name, columns[name]) for columns in moved(0.1, 0.3))
    many = SPACE.dimensions[SPACE.names.index(name)].levels
    assert np.mean(after != before) == pytest.approx(0.3 * (1 - 1 / many), abs=0.03)
    for level in range(many):
        assert np.mean(after[after != before] == level) == pytest.approx(1 / many, abs=0.06)


def test_what_is_not_drawn_anew_moves_as_ever():
    before, after = (columns["share"] for columns in moved(0.1, 0.3))
    away = np.abs(after - before)[np.abs(before - 0.5) < 0.35]
    shares = [np.mean((away > low) & (away < low + 0.025)) for low in (0.05, 0.075, 0.1, 0.125)]
    np.testing.assert_allclose(shares, 0.7 / 4 + 0.3 * 0.05, atol=0.03)


def test_what_does_not_exist_rests_in_the_middle():
    before, after = moved()
    exists = levels("rule", after["rule"]) == 1
    assert 0.2 < exists.mean() < 0.5
    assert np.all(after["extra.beta"][~exists] == 0.5)
    assert np.all(after["extra.beta"][exists] != before["extra.beta"][exists])
    away = np.abs(after["extra.beta"] - before["extra.beta"])[exists]
    assert away.max() <= 0.15 + 1e-6


def test_all_is_drawn_anew_where_it_is_said_so():
    before, after = moved(0.1, 1.0)
    for name in ("rate", "share", "width", "size", "pair", "rule", "mixed", "on"):
        assert abs(np.corrcoef(before[name], after[name])[0, 1]) < 0.06, name
        assert np.mean(after[name]) == pytest.approx(0.5, abs=0.03), name
    assert np.quantile(after["rate"], [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.03)


def test_settings_at_the_very_ends_stay_within():
    ends = SPACE.snap(jnp.repeat(jnp.array([[0.0], [1.0]]), SPACE.num_dimensions, axis=1))
    after = mover(SPACE, 0.5, 0.0)(jax.random.key(2), jnp.tile(ends, (NUM // 2, 1)))
    assert np.all((after >= 0) & (after <= 1))
    np.testing.assert_array_equal(after, SPACE.snap(after))
    assert len(np.unique(after[:, SPACE.names.index("rate")])) > NUM // 2
