"""Objectives: which metric is optimised, which way, what is bounded, and what counts as failed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.core.constraints import SMALLEST, Constraint
from jaxhpt.core.metrics import SCALAR, MetricSpec, Objective, choose
from jaxhpt.core.ranges import LARGEST

INF = float("inf")
NAN = float("nan")
COLUMNS = MetricSpec((Objective("acc", "max"),), ("loss", "size"))
BOUNDS = {"size": ("<=", 50), "acc": (">=", 0.8), "loss": ("<=", 0.0)}
BOUNDED = choose(("acc", "loss", "size"), "acc", "max", constraints=BOUNDS)


def test_the_only_metric_is_the_objective():
    columns = choose(("loss",), None, None)
    assert columns == MetricSpec((Objective("loss", "min"),), ())


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
        ("test_auc", "max"),
        ("r2", "max"),
        ("episode_return", "max"),
        ("loss", "min"),
        ("val_loss", "min"),
        ("rmse", "min"),
    ],
)
def test_a_usual_name_tells_the_direction(name, direction):
    assert choose((name,), None, None).objectives[0].direction == direction


UNSURE = [
    "f1_score",
    "r2_score",
    "roc_auc_score",
    "val_score",
    "neg_log_loss",
    "neg_loss",
    "minus_error",
    "anti_return",
]
UNSURE += ["neg_mean_squared_error", "score", "test-auc", "loss_accuracy", "accuracy_loss", "errors", "val_val_loss"]


@pytest.mark.parametrize("name", UNSURE)
def test_of_other_names_nothing_is_guessed(name):
    with pytest.raises(ValueError, match=f'direction=None.*{name}.*direction="min".*direction="max"'):
        choose((name,), None, None)
    with pytest.raises(ValueError, match="direction=None"):
        choose((name,), None, None, unnamed=name != SCALAR)
    assert choose((name, "other"), name, "max").objectives[0].direction == "max"


def test_a_bare_scalar_is_a_loss_unless_told_otherwise():
    assert choose((SCALAR,), unnamed=True).objectives == (Objective(SCALAR, "min"),)
    assert choose((SCALAR,), direction="max", unnamed=True).objectives == (Objective(SCALAR, "max"),)


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
    scores, ok = choose((SCALAR,), unnamed=True).scores(jnp.float32(2.5))
    assert scores.tolist() == [2.5]
    assert bool(ok)


def test_every_objective_must_be_finite():
    columns = MetricSpec((Objective("a", "min"), Objective("b", "max")))
    assert columns.signs == (1.0, -1.0)
    scores, ok = columns.scores({"a": jnp.float32(1.0), "b": jnp.float32(NAN)})
    assert not bool(ok)
    assert scores.tolist() == [INF, INF]


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint32, jnp.int32, bool])
def test_whole_numbers_and_booleans_are_cast(dtype):
    scores, ok = jax.jit(COLUMNS.scores)({name: jnp.ones((), dtype) for name in COLUMNS.names})
    assert scores.dtype == jnp.float32
    assert (scores.tolist(), bool(ok)) == ([-1.0, 1.0, 1.0], True)


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
    assert np.all((fitness[kinds == 1] > fitness[kinds == 0].max()) & np.isfinite(fitness[kinds == 1]))
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


LADDER = [-LARGEST, -1e30, -1.0, 0.0, 1.0, 7e28, 9e28, 1e30, 1.1e30, 2e30, 1e31, 1e36, 3e38, LARGEST]
STEPS = [0.0, SMALLEST, 1e-30, 1e-3, 1.0, 7e28, 1e30, 2e30, 1e38, LARGEST]


@pytest.mark.parametrize("direction", ["min", "max"])
def test_every_finite_objective_is_ordered_and_feasible_comes_before_infeasible(direction):
    columns = choose(("f", "size"), "f", direction, constraints={"size": ("<=", 0)})
    ladder = LADDER if direction == "min" else LADDER[::-1]
    kept = [(f, 0.0) for f in ladder]
    broken = [(f, size) for size, f in zip(STEPS[1:], reversed(ladder), strict=False)]
    scores = scored(columns, [*kept, *broken, (NAN, 0.0)])
    fitness = np.asarray(jax.jit(columns.fitness)(scores))
    assert np.all(np.diff(fitness) > 0), fitness
    assert np.isfinite(fitness[:-1]).all()
    assert np.isinf(fitness[-1])
    assert columns.feasible(scores).tolist()[:-1] == [True] * len(kept) + [False] * len(broken)
    np.testing.assert_array_equal(np.argsort(columns.standing(np.asarray(scores, np.float64))), np.arange(len(scores)))
    free = choose(("f",), "f", direction)
    np.testing.assert_array_equal(free.fitness(scores[:, :1]), scores[:, 0])


@pytest.mark.parametrize("bound", [-LARGEST, -1.0, -1e-37, 0.0, 1e-37, 1e-3, 1.0, 1e30, LARGEST])
@pytest.mark.parametrize("relation", ["<=", ">="])
def test_a_violation_is_finite_and_tells_broken_bounds_exactly(bound, relation):
    values = np.array([*LADDER, 2e-37, np.nextafter(np.float32(bound), np.float32(0.0)), bound], np.float32)
    values = values[(values == 0) | (np.abs(values) >= SMALLEST)]  # devices take what is smaller for 0
    constraint = Constraint("size", relation, float(np.float32(bound)))
    found = np.asarray(jax.jit(constraint.violation)(jnp.asarray(values)))
    assert np.isfinite(found).all()
    beyond = values > np.float32(bound) if relation == "<=" else values < np.float32(bound)
    np.testing.assert_array_equal(found > 0, beyond)
    columns = MetricSpec((Objective("loss", "min"),), ("size",), (constraint,) * 3)
    scores = jnp.stack([jnp.zeros(values.shape, jnp.float32), jnp.asarray(values)], axis=1)
    assert np.isfinite(columns.violation(scores)).all()
    assert np.isfinite(columns.fitness(scores)).all()
    np.testing.assert_array_equal(columns.broken(np.asarray(scores, np.float64)) > 0, beyond)


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
        ({"size": ("<=", 1e39)}, "constraint 'size'.*bound 1e[+]39.*float32.*scale the metric"),
        ({"size": ("<=", 10**400)}, "constraint 'size'.*float32.*scale the metric"),
        ({"size": ("<=", -1e-60)}, "constraint 'size'.*bound -1e-60.*float32.*scale the metric"),
    ],
)
def test_unclear_constraints_are_refused(constraints, message):
    with pytest.raises(ValueError, match=message):
        choose(("acc", "size"), "acc", constraints=constraints)
