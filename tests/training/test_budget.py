"""How long trials train and how often events come."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Bool, Choice, Float, Int, Space, When
from jaxhpt.core.schedule import Schedule
from jaxhpt.training.budget import budget_of, plan


def length(spec, steps, steps_per_epoch=None, rows=0, batch_size=1, batch_column=None):
    return budget_of(Space.of({"lr": Float(0, 1), **spec}), steps, steps_per_epoch, rows, batch_size, batch_column)


def steps_of(budget, **hparams):
    """Return the steps of one setting, traced as the loop does it."""
    space = budget.space
    unit = jnp.asarray(space.encode({"lr": 0.5, **hparams}))
    found = jax.jit(lambda u: budget(space.values(u)))(unit)
    assert found.dtype == jnp.int32
    return int(found)


def test_a_number_is_the_length_of_every_trial():
    fixed = length({}, 120)
    assert steps_of(fixed) == 120
    assert plan(fixed, "auto") == Schedule(120, 60, exact=True)


def test_none_is_ten_passes_over_the_data_or_the_dimension_called_epochs():
    assert steps_of(length({}, None, rows=101, batch_size=10)) == 110
    assert steps_of(length({}, None)) == 1
    assert steps_of(length({"epochs": [2, 4]}, None, rows=101, batch_size=10), epochs=4) == 44


def test_a_name_counts_steps_and_epochs_count_passes():
    assert steps_of(length({"n": Int(1, 9)}, "n"), n=7) == 7
    assert steps_of(length({"n": Int(1, 9)}, "n", rows=100, batch_size=10), n=7) == 7
    assert steps_of(length({"n": Int(1, 9)}, "n", steps_per_epoch=5), n=7) == 35
    assert steps_of(length({"epochs": Int(1, 9)}, "epochs", steps_per_epoch=5), epochs=3) == 15
    assert steps_of(length({"epochs": Int(1, 9)}, "epochs", rows=101, batch_size=10), epochs=3) == 33
    nested = length({"run": {"epochs": Int(1, 9)}}, "run.epochs", rows=20, batch_size=10)
    assert steps_of(nested, run={"epochs": 3}) == 6


@pytest.mark.parametrize(("batch", "passes"), [(16, 7), (32, 4), (100, 1)])
def test_an_epoch_has_as_many_steps_as_the_trials_own_batch_size_makes(batch, passes):
    own = length({"batch_size": [16, 32, 100], "epochs": Int(1, 4)}, "epochs", rows=100, batch_size=100, batch_column=0)
    assert steps_of(own, batch_size=batch, epochs=3) == 3 * passes
    assert plan(own, "auto").steps == 28


def test_a_function_of_the_hyperparameters_is_rounded():
    made = length({"n": Int(1, 8), "long": Bool()}, lambda h: jnp.where(h["long"], 2.6, 1.0) * h["n"])
    assert steps_of(made, n=4, long=True) == 10
    assert steps_of(made, n=4, long=False) == 4


def test_lengths_of_many_settings_are_those_of_each():
    own = length({"batch_size": [16, 32, 100], "epochs": Int(1, 4)}, "epochs", rows=100, batch_size=100, batch_column=0)
    unit = own.space.snap(jnp.asarray(np.random.default_rng(0).uniform(size=(12, 3)), jnp.float32))
    found = jax.vmap(own)(own.space.values(unit))
    expected = [h["epochs"] * -(-100 // h["batch_size"]) for h in own.space.labels(unit)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([20, 30, 50], Schedule(50, 10, exact=True)),
        ([64, 256], Schedule(256, 64, exact=True)),
        ([256, 512], Schedule(512, 64, exact=True)),
        ([3, 7], Schedule(7, 1, exact=True)),
        ([300, 900], Schedule(900, 60, exact=True)),
        ([1000, 2000], Schedule(2000, 50, exact=True)),
        ([509], Schedule(509, 64, exact=False)),
        ([100, 101, 400], Schedule(400, 5, exact=False)),
        ([99_999, 100_000], Schedule(100_000, 64, exact=False)),
    ],
)
def test_auto_takes_a_common_divisor_that_is_neither_too_small_nor_too_long(values, expected):
    assert plan(length({"n": values}, "n"), "auto") == expected


def test_all_settings_that_decide_are_looked_at_in_their_combinations():
    both = length({"n": [10, 15], "k": [1, 4], "idle": Int(1, 1000)}, lambda h: h["n"] * h["k"])
    assert plan(both, "auto") == Schedule(60, 5, exact=True)


def test_a_length_inside_a_condition_is_looked_at_in_full():
    spec = {"rule": ["a", "b"], "epochs": When("rule", "a", Int(1, 10))}
    assert plan(length(spec, "epochs", steps_per_epoch=7), "auto") == Schedule(70, 7, exact=True)


def test_every_value_of_a_logarithmic_range_is_looked_at():
    odd = length({"n": Int(2, 10, log=True)}, lambda h: jnp.where(h["n"] == 6, 7, 14))
    assert plan(odd, "auto") == Schedule(14, 7, exact=True)


def test_lengths_that_cannot_be_enumerated_are_estimated_and_not_exact():
    free = plan(length({"x": Float(0, 1)}, lambda h: 100 + 900 * h["x"]), "auto")
    assert free.steps == pytest.approx(1000, abs=2)
    assert free.interval == pytest.approx(550 / 20, abs=1)
    assert not free.exact
    many = plan(length({"n": Int(1, 100_000)}, "n"), "auto")
    assert many.steps == pytest.approx(100_000, rel=0.01)
    assert (many.interval, many.exact) == (64, False)


@pytest.mark.parametrize(("interval", "exact"), [(1, True), (5, True), (10, True), (3, False), (1000, False)])
def test_an_interval_that_is_given_is_taken_and_is_exact_where_it_divides(interval, exact):
    assert plan(length({"n": [20, 30]}, "n"), interval) == Schedule(30, interval, exact=exact)


@pytest.mark.parametrize(
    ("spec", "arguments", "error", "message"),
    [
        ({}, {"steps": 0}, ValueError, "steps=0"),
        ({}, {"steps": 1.5}, TypeError, r"steps=1\.5"),
        ({}, {"steps": True}, TypeError, "steps=True"),
        ({"epochs": [1, 2]}, {"steps": "epoch"}, ValueError, "steps='epoch'.*did you mean 'epochs'"),
        ({}, {"steps": "lr"}, TypeError, "steps='lr'.*whole numbers"),
        ({"epochs": [1, 2]}, {"steps": "epochs"}, ValueError, "steps_per_epoch=None.*train_data"),
        ({"epochs": [1, 2]}, {"steps": "epochs", "steps_per_epoch": 0}, ValueError, "steps_per_epoch=0"),
        ({"epochs": [1, 2]}, {"steps": "epochs", "steps_per_epoch": 2.0}, TypeError, r"steps_per_epoch=2\.0"),
    ],
)
def test_a_length_that_makes_no_sense_is_refused(spec, arguments, error, message):
    with pytest.raises(error, match=message):
        length(spec, **arguments)


def test_a_choice_of_words_is_no_length():
    with pytest.raises(TypeError, match=r"steps='n'.*whole numbers"):
        length({"n": Choice(["short", "long"])}, "n")


@pytest.mark.parametrize(
    ("made", "interval", "error", "message"),
    [
        (length({"n": Int(0, 5)}, "n"), "auto", ValueError, "steps=0: must be at least 1 for every setting"),
        (length({"n": Int(1, 5)}, lambda h: 0.3 * h["n"]), "auto", ValueError, "steps=0"),
        (length({}, 10), 0, ValueError, "interval=0"),
        (length({}, 10), "often", TypeError, "interval='often'"),
        (length({}, 10), 2.0, TypeError, r"interval=2\.0"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(made, interval, error, message):
    with pytest.raises(error, match=message):
        plan(made, interval)
