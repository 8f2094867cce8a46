"""Algorithms without feedback: random, quasi-random and grid search."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Choice, Float, Grid, Int, QuasiRandom, Random, Space, When
from jaxhpt.core import history
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule

SPACES = {
    "one": Space.of({"x": Float(0, 1)}),
    "mixed": Space.of(
        {"x": Float(1e-3, 1.0, log=True), "n": Int(1, 4), "c": ["a", "b"], "w": When("c", "a", Choice([1, 2, 3]))}
    ),
}
KEY = jax.random.key(0)
every_space = pytest.mark.parametrize("space", SPACES)


@functools.cache
def problem(space):
    return Problem(SPACES[space], choose(("loss",), None, None), trials=50, lanes=8, schedule=Schedule(1, 1))


def start(algorithm, space, key=KEY):
    return algorithm.init(key, problem(space))


def ask(algorithm, space, state, num, count, key=KEY):
    empty = history.empty_history(problem(space), algorithm.note(problem(space)))
    return algorithm.ask(key, state, empty, problem(space), num, jnp.int32(count))


@pytest.mark.parametrize("algorithm", [QuasiRandom(), Grid(points=4)], ids=repr)
@every_space
@pytest.mark.parametrize("counts", [(3, 5), (0, 1, 7)])
def test_a_sequence_goes_on_where_the_last_rows_in_use_ended(algorithm, space, counts):
    whole, _ = ask(algorithm, space, start(algorithm, space), 8, 8)
    state, parts, valid = start(algorithm, space), [], []
    for count in counts:
        found, state = ask(algorithm, space, state, 8, count, key=jax.random.key(count))
        parts.append(found.unit[:count])
        valid.append(found.valid[:count])
    np.testing.assert_array_equal(np.concatenate(parts), whole.unit)
    np.testing.assert_array_equal(np.concatenate(valid), whole.valid)


@pytest.mark.parametrize("algorithm", [Random(), QuasiRandom()], ids=repr)
def test_another_key_gives_other_proposals(algorithm):
    def first(seed):
        key = jax.random.key(seed)
        return ask(algorithm, "mixed", start(algorithm, "mixed", key), 8, 8, key)[0].unit

    assert not np.any(np.asarray(first(0)) == np.asarray(first(1)))


def test_random_rows_are_independent_and_uniform():
    found, _ = ask(Random(), "mixed", start(Random(), "mixed"), 4096, 4096)
    unit = np.asarray(found.unit, np.float64)
    spread = 5 / np.sqrt(12 * 4096)
    np.testing.assert_allclose(unit.mean(axis=0), 0.5, atol=spread)
    np.testing.assert_allclose(unit.var(axis=0), 1 / 12, atol=spread / 2)
    np.testing.assert_allclose(np.corrcoef(unit.T), np.eye(4), atol=5 / np.sqrt(4096))
    assert bool(found.valid.all())


def test_quasi_random_rows_of_all_events_fill_every_axis_evenly():
    state, parts = start(QuasiRandom(), "mixed"), []
    for count in (5, 8, 3):
        found, state = ask(QuasiRandom(), "mixed", state, 8, count)
        parts.append(np.asarray(found.unit[:count]))
    slices = np.sort(np.floor(np.concatenate(parts) * 16), axis=0)
    np.testing.assert_array_equal(slices, np.arange(16)[:, None] * np.ones(4))


@pytest.mark.parametrize("num", [4, 5])
def test_a_grid_is_asked_to_its_end_and_holds_each_setting_once(num):
    algorithm, space = Grid(points=3), SPACES["mixed"]
    total = algorithm.num_points(space)
    assert total == 3 * 3 * (3 + 1)
    state, rows = start(algorithm, "mixed"), []
    for _ in range(-(-total // num) + 2):
        found, state = ask(algorithm, "mixed", state, num, num)
        rows.append(np.asarray(found.unit)[np.asarray(found.valid)])
        ordered = np.asarray(found.valid)
        assert not np.any(~ordered[:-1] & ordered[1:])
    assert not np.any(found.valid)
    labels = [tuple(row) for row in space.label_rows(np.concatenate(rows))]
    assert len(labels) == total
    assert len(set(labels)) == total


def test_the_order_of_a_grid_changes_with_the_key_of_the_search():
    algorithm, made = Grid(points=3), problem("mixed")
    one, same, other = (np.asarray(algorithm.init(jax.random.key(i), made).points) for i in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.any(one != other)
    np.testing.assert_array_equal(np.unique(one, axis=0), np.unique(other, axis=0))


def test_a_grid_takes_a_choice_whole_and_begins_with_the_ends():
    space = Space.of({"c": list(range(9)), "x": Float(0, 1)})
    assert Grid(points=2).num_points(space) == 18
    made = Problem(space, choose(("loss",), None, None), trials=4, lanes=4, schedule=Schedule(1, 1))
    found, _ = Grid(points=5).ask(
        KEY, Grid(points=5).init(KEY, made), history.empty_history(made), made, 4, jnp.int32(4)
    )
    assert {tuple(row) for row in space.label_rows(found.unit)} == {(0, 0.0), (0, 1.0), (8, 0.0), (8, 1.0)}


def test_only_a_grid_has_an_end():
    assert Random().num_points(SPACES["one"]) is None
    assert QuasiRandom().num_points(SPACES["one"]) is None
    assert Grid(points=7).num_points(SPACES["one"]) == 7


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Grid(points=0), ValueError, "points=0"),
        (lambda: Grid(points=2.5), TypeError, r"points=2\.5"),
        (
            lambda: Grid(points=10).num_points(Space.of({f"x{i}": Float(0, 1) for i in range(7)})),
            ValueError,
            "grid size",
        ),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
