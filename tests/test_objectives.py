"""Objectives: which metric is optimised, which way, and what counts as failed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.objectives import Columns, Objective, choose

INF = float("inf")
NAN = float("nan")
COLUMNS = Columns((Objective("acc", "max"),), ("loss", "size"))


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
