"""Objectives: which metric is optimised, which way, what is bounded, and what counts as failed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.objectives import INFEASIBLE, Columns, Constraint, Objective, choose

INF = float("inf")
NAN = float("nan")
COLUMNS = Columns((Objective("acc", "max"),), ("loss", "size"))
BOUNDS = {"size": ("<=", 50), "acc": (">=", 0.8), "loss": ("<=", 0.0)}
BOUNDED = choose(("acc", "loss", "size"), "acc", "max", constraints=BOUNDS)


def test_the_only_metric_is_the_objective():
    columns = choose(("loss",), None, None)
    assert columns == Columns((Objective("loss", "min"),), ())


def test_the_chosen_metric_comes_first_and_the_others_keep_their_order():
    columns = choose(("acc", "loss", "size"), "loss", None)
    assert columns.names == ("loss", "acc", "size")
    assert columns.objectives == (Objective("loss", "min"),)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("accuracy", "max"),
        ("Accuracy", "max"),
        ("valid_accuracy", "max"),
        ("test-auc", "max"),
        ("r2", "max"),
        ("episode_return", "max"),
        ("loss", "min"),
        ("val_loss", "min"),
        ("rmse", "min"),
        ("score", "min"),
    ],
)
def test_a_usual_name_tells_the_direction(name, direction):
    assert choose((name,), None, None).objectives[0].direction == direction


def test_a_direction_that_is_given_wins():
    assert choose(("loss",), None, "max").objectives[0].direction == "max"


@pytest.mark.parametrize(
    ("names", "objective", "direction", "message"),
    [
        (("acc", "loss"), None, None, r"objective=None.*\['acc', 'loss'\]"),
        (("accuracy", "loss"), "acuracy", None, "objective='acuracy'.*did you mean 'accuracy'"),
        (("fitness",), None, None, "direction=None.*'fitness'"),
        (("loss_per_token",), None, None, "direction=None"),
        (("fitness",), None, "up", "direction='up'"),
    ],
)
def test_an_unclear_choice_is_refused(names, objective, direction, message):
    with pytest.raises(ValueError, match=message):
        choose(names, objective, direction)


@pytest.mark.parametrize(
    ("acc", "loss", "size", "expected", "fine"),
    [
        (0.9, 0.1, 7.0, [-0.9, 0.1, 7.0], True),
        (0.9, NAN, -INF, [-0.9, INF, INF], True),
        (NAN, 0.1, 7.0, [INF, INF, INF], False),
        (INF, 0.1, 7.0, [INF, INF, INF], False),
        (-INF, 0.1, NAN, [INF, INF, INF], False),
    ],
)
def test_scores_are_minimised_and_infinite_where_the_objective_is_not_finite(acc, loss, size, expected, fine):
    scores, ok = COLUMNS.scores({"size": jnp.float32(size), "loss": jnp.float32(loss), "acc": jnp.float32(acc)})
    assert scores.dtype == jnp.float32
    assert bool(ok) is fine
    np.testing.assert_array_equal(scores, np.array(expected, np.float32))


def test_a_bare_scalar_is_a_score():
    scores, ok = choose(("score",), None, None).scores(jnp.float32(2.5))
    assert scores.tolist() == [2.5]
    assert bool(ok)


def test_every_objective_must_be_finite():
    columns = Columns((Objective("a", "min"), Objective("b", "max")))
    assert columns.signs == (1.0, -1.0)
    scores, ok = columns.scores({"a": jnp.float32(1.0), "b": jnp.float32(NAN)})
    assert not bool(ok)
    assert scores.tolist() == [INF, INF]


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_scores_of_many_lanes_are_those_of_each(dtype):
    metrics = {n: jnp.linspace(0.0, 1.0, 5).astype(dtype) for n in COLUMNS.names}
    scores, ok = jax.vmap(COLUMNS.scores)(metrics)
    assert scores.shape == (5, 3)
    assert scores.dtype == jnp.float32
    assert bool(ok.all())
    expected = np.asarray(metrics["acc"], np.float32)[:, None] * np.array([-1, 1, 1], np.float32)
    np.testing.assert_array_equal(scores, expected)


def scored(columns, rows):
    """Score a list of metrics, each in its own sign."""
    return jnp.stack([columns.scores(dict(zip(columns.names, map(jnp.float32, row), strict=True)))[0] for row in rows])


def broken(row):
    """Return by how much of each bound acc >= 0.8, loss <= 0 and size <= 50 are broken, in float64."""
    acc, loss, size = row
    return max(0.8 - acc, 0.0) / 0.8 + max(loss, 0.0) + max(size - 50, 0.0) / 50


@pytest.mark.parametrize(
    ("relation", "bound", "value", "expected"),
    [
        ("<=", 50, 50.0, 0.0),
        ("<=", 50, 75.0, 0.5),
        ("<=", 50, -1e6, 0.0),
        (">=", 50, 50.0, 0.0),
        (">=", 50, 75.0, 0.0),
        (">=", 50, 25.0, 0.5),
        ("<=", -2.0, -1.0, 0.5),
        (">=", -2.0, -3.0, 0.5),
        ("<=", 0, 3.0, 3.0),
        (">=", 0.0, -3.0, 3.0),
    ],
)
def test_a_violation_is_a_share_of_the_bound_where_there_is_one(relation, bound, value, expected):
    found = Constraint("size", relation, bound).violation(jnp.full((2, 3), value))
    np.testing.assert_allclose(found, np.full((2, 3), expected))


def test_violations_add_up_in_the_sign_the_user_sees():
    rng = np.random.default_rng(0)
    rows = np.stack([rng.uniform(0.5, 1.0, 40), rng.uniform(-1, 1, 40), rng.uniform(0, 100, 40)], axis=1)
    found = jax.jit(BOUNDED.violation)(scored(BOUNDED, rows))
    assert found.dtype == jnp.float32
    expected = [broken(row) for row in rows]
    assert 0 < np.mean(np.array(expected) == 0) < 1
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(BOUNDED.violation(scored(BOUNDED, rows).reshape(8, 5, 3)), found.reshape(8, 5))


def test_a_bounded_metric_that_is_not_finite_breaks_its_bound_without_end():
    rows = [(0.9, -1.0, NAN), (0.9, -1.0, -INF), (0.9, NAN, 10.0), (NAN, -1.0, 10.0)]
    assert BOUNDED.violation(scored(BOUNDED, rows)).tolist() == [INF] * 4


def test_without_constraints_nothing_is_violated_and_the_score_is_the_fitness():
    scores = scored(COLUMNS, [(0.9, 1.0, 99.0), (NAN, 1.0, 99.0)])
    assert COLUMNS.violation(scores).tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(COLUMNS.fitness(scores), scores[:, 0])


def test_fitness_puts_feasible_before_infeasible_before_failed():
    rng = np.random.default_rng(1)
    rows = np.stack([rng.uniform(0.5, 1.0, 60), rng.uniform(-1, 0.1, 60), rng.uniform(0, 80, 60)], axis=1)
    rows[::10, 0] = NAN
    fitness = np.asarray(jax.jit(BOUNDED.fitness)(scored(BOUNDED, rows)))

    def place(row):
        return (2, 0.0) if np.isnan(row[0]) else (1, broken(row)) if broken(row) else (0, -row[0])

    kinds = np.array([place(row)[0] for row in rows])
    assert set(kinds) == {0, 1, 2}
    assert np.all(fitness[kinds == 0] == -rows[kinds == 0, 0].astype(np.float32))
    assert np.all((fitness[kinds == 1] >= INFEASIBLE * 0.999999) & np.isfinite(fitness[kinds == 1]))
    assert np.all(np.isposinf(fitness[kinds == 2]))
    expected = sorted(range(60), key=lambda i: place(rows[i]))
    assert np.argsort(fitness, kind="stable").tolist() == expected


def test_violations_of_any_size_are_told_apart():
    columns = choose(("loss", "size"), "loss", constraints={"size": ("<=", 0)})
    sizes = [1e-6, 1e-3, 1.0, 2.0, 1e6, 1.1e6, 3e7, 3.1e7]
    fitness = np.asarray(columns.fitness(scored(columns, [(0.0, size) for size in [*sizes, 1e30, INF]])))
    assert np.all(np.diff(fitness[:8]) > 0)
    assert np.all(fitness[8:] > fitness[7])
    assert np.all(np.isfinite(fitness))


def test_a_bound_is_itself_allowed():
    columns = choose(("acc", "size"), "acc", constraints={"acc": (">=", 0.7), "size": ("<=", 50_000)})
    assert columns.violation(scored(columns, [(0.7, 50_000)])).tolist() == [0.0]


def test_several_objectives_come_first_in_the_order_they_are_named():
    columns = choose(("acc", "loss", "size"), objectives={"size": "min", "acc": "max"}, constraints={"loss": ["<=", 2]})
    assert columns.objectives == (Objective("size", "min"), Objective("acc", "max"))
    assert columns.names == ("size", "acc", "loss")
    assert columns.signs == (1.0, -1.0, 1.0)
    assert columns.constraints == (Constraint("loss", "<=", 2),)
    assert hash(columns) == hash(dataclasses.replace(columns))


@pytest.mark.parametrize(
    ("objectives", "message"),
    [
        ({}, r"objectives=\{\}: must be a dict"),
        (["acc"], r"objectives=\['acc'\]: must be a dict"),
        ({"acc": "max", "sise": "min"}, "objective='sise'.*did you mean 'size'"),
        ({"acc": "up"}, "direction='up'"),
        ({"acc": None}, "direction=None"),
    ],
)
def test_unclear_objectives_are_refused(objectives, message):
    with pytest.raises(ValueError, match=message):
        choose(("acc", "size"), objectives=objectives)


@pytest.mark.parametrize(
    ("constraints", "message"),
    [
        ([("size", "<=", 5)], "constraints=.*must be a dict"),
        ({"size": 5}, "constraints=.*must be a dict"),
        ({"size": "<="}, "constraints=.*must be a dict"),
        ({"size": ("<=", 5, 6)}, "constraints=.*must be a dict"),
        ({"sise": ("<=", 5)}, "constraint='sise'.*did you mean 'size'"),
        ({"size": ("<", 5)}, "constraint 'size'.*'<'.*'<=' or '>='"),
        ({"size": (5, "<=")}, "constraint 'size'.*relation 5"),
        ({"size": ("<=", "5")}, "constraint 'size'.*bound '5'.*finite"),
        ({"size": ("<=", True)}, "constraint 'size'.*bound True.*finite"),
        ({"size": ("<=", NAN)}, "constraint 'size'.*bound nan.*finite"),
        ({"size": (">=", -INF)}, "constraint 'size'.*bound -inf.*finite"),
    ],
)
def test_unclear_constraints_are_refused(constraints, message):
    with pytest.raises(ValueError, match=message):
        choose(("acc", "size"), "acc", constraints=constraints)
