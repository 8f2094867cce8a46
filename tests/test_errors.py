"""Bad input gets an error that names the argument and the remedy, before anything is compiled."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import jaxhpt
from jaxhpt import Choice, Float, Int, When
from jaxhpt.core.space import Space

SPACE = {"lr": Float(1e-3, 0.3, log=True)}


def search(task, space=SPACE, **options):
    return jaxhpt.search(task, space, **{"trials": 4, "progress": False, **options})


@pytest.fixture(autouse=True)
def nothing_is_compiled(monkeypatch):
    """Fail where a call gets as far as the loop."""

    def reached(*args):
        pytest.fail("the error came too late: the search had been assembled")

    monkeypatch.setattr(sys.modules["jaxhpt.search"], "drive", reached)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: {}, "space={}: must hold at least one"),
        (lambda: {"lr": 0.1}, "must hold at least one"),
        (lambda: {"x": Float(1, 1)}, "low < high"),
        (lambda: {"x": Int(5, 2)}, "low < high"),
        (lambda: {"x": Float(0, 1, log=True)}, "low=0: must be above 0 where log=True"),
        (lambda: {"x": Int(0, 9, log=True)}, "low=0: must be at least 1 where log=True"),
        (lambda: {"x": Float(0, 1, step=0.3)}, "step=0.3: must be a divisor of high - low = 1"),
        (lambda: {"x": Choice(["a", "b", "a"])}, "must be distinct"),
        (lambda: {"x": [1, 1]}, "must be distinct"),
        (lambda: {"opt": ["a"], "c": When("opz", "a", Float(0, 1))}, "'opz': no such dimension; did you mean 'opt'"),
        (lambda: {"opt": ["a"], "c": When("opt", "z", Float(0, 1))}, "When value='z': must be one of"),
        (lambda: {"x": Float(0, float("nan"))}, "finite"),
    ],
)
def test_a_space_that_makes_no_sense(make, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace("{", r"\{")):
        jaxhpt.minimize(lambda h, key: 0.0, make(), progress=False)


@pytest.mark.parametrize("name", ["trials", "steps", "lanes", "interval", "batch_size", "events_per_dispatch"])
@pytest.mark.parametrize("value", [0, -3])
def test_counts_below_one(linear, name, value):
    with pytest.raises(ValueError, match=f"{name}={value}: must be at least 1"):
        search(linear, **{name: value})


@pytest.mark.parametrize("name", ["trials", "lanes", "interval"])
@pytest.mark.parametrize("value", [2.5, "many", True])
def test_counts_that_are_no_whole_numbers(linear, name, value):
    with pytest.raises(TypeError, match=f"{name}={value!r}: must be an int"):
        search(linear, **{name: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {**s, "new": jnp.zeros(2)}, r"new leaves \['new'\]"),
        (lambda s: {}, r"missing leaves \['w'\]"),
        (lambda s: {"w": s["w"][:2]}, r"leaf 'w' of its state from float32\[4\] to float32\[2\]"),
        (lambda s: {"w": s["w"].astype(jnp.float16)}, r"leaf 'w' of its state from float32\[4\] to float16\[4\]"),
        (lambda s: None, "structure that init made"),
    ],
)
def test_a_train_step_that_changes_its_state(linear, change, message):
    def step(state, batch, hparams, key):
        return change(linear.step(state, batch, hparams, key))

    with pytest.raises(TypeError, match=message):
        search(dataclasses.replace(linear, step=step))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda w: w, r"evaluate: must be a scalar, not of shape \(4,\)"),
        (lambda w: {"loss": w}, r"evaluate metric 'loss': must be a scalar"),
        (lambda w: {"loss": w[0] * 1j}, "evaluate metric 'loss': must be real, not complex64"),
        (lambda w: {"loss": {"a": w[0]}}, "evaluate metric 'loss': must be a scalar, not dict"),
        (lambda w: {3: w[0]}, "evaluate metric 3: names of metrics must be texts"),
        (lambda w: None, "evaluate returned None: .*is `return` missing"),
        (lambda w: {}, "empty dict"),
        (lambda w: {"loss": "low"}, "evaluate"),
    ],
)
def test_an_evaluate_that_returns_no_float_scalars(linear, answer, message):
    def evaluate(state, valid, hparams):
        return answer(state["w"])

    with pytest.raises(TypeError, match=message):
        search(dataclasses.replace(linear, evaluate=evaluate))


def test_an_objective_that_evaluate_does_not_return(linear):
    with pytest.raises(ValueError, match="objective='los': evaluate does not return it; did you mean 'loss'"):
        search(dataclasses.replace(linear, objective="los"))
    with pytest.raises(ValueError, match="several metrics; choose one of"):
        search(dataclasses.replace(linear, objective=None))
    with pytest.raises(ValueError, match="direction=None: the objective's name 'size' does not tell"):
        search(dataclasses.replace(linear, objective="size"))
    with pytest.raises(ValueError, match="direction='up': must be 'min' or 'max'"):
        search(linear, direction="up")


@pytest.mark.parametrize("place", ["init", "train_step", "evaluate"])
def test_a_python_if_on_a_traced_hyperparameter(linear, place):
    def branch(hparams):
        return 1.0 if hparams["lr"] > 0.1 else 2.0

    def spoilt(function, position):
        def call(*args):
            branch(args[position])
            return function(*args)

        return call

    name = "step" if place == "train_step" else place
    position = 1 if place == "init" else 2
    task = dataclasses.replace(linear, **{name: spoilt(getattr(linear, name), position)})
    with pytest.raises(TypeError, match=rf"{place}: a traced value.*jnp.where.*jaxhpt.traced"):
        search(task)


def test_a_numpy_function_or_a_shape_of_a_traced_hyperparameter(linear):
    by_shape = dataclasses.replace(linear, init=lambda key, h: {"w": jnp.zeros(4) + jnp.zeros(h["n"]).sum()})
    with pytest.raises(TypeError, match="init: a traced value"):
        search(by_shape, {**SPACE, "n": [1, 2]})
    by_numpy = dataclasses.replace(linear, init=lambda key, h: {"w": jnp.zeros(4) + float(np.sqrt(h["lr"]))})
    with pytest.raises(TypeError, match="init: a traced value"):
        search(by_numpy)


def test_a_width_in_a_shape_is_told_to_be_structural_or_masked(linear):
    wide = dataclasses.replace(linear, init=lambda key, h: {"w": jnp.zeros(4) + jnp.zeros(h["width"]).sum()})
    with pytest.raises(TypeError, match=r"hyperparameter 'width'.*a shape.*structural=True.*masking"):
        search(wide, {**SPACE, "width": [1, 2]})


def test_a_state_that_is_no_array_is_named(linear):
    model = dataclasses.replace(linear, init=lambda key, h: {"w": jnp.zeros(4), "activation": jax.nn.relu})
    message = r"init: must return arrays.* at \['activation'\]; .*equinox.partition"
    with pytest.raises(TypeError, match=message) as caught:
        search(model)
    assert "jaxprs.py" not in str(caught.value)


def test_a_python_if_in_a_black_box():
    with pytest.raises(TypeError, match="function: a traced value"):
        jaxhpt.minimize(lambda h, key: 1.0 if h["lr"] > 0.1 else h["lr"], SPACE, progress=False)
    with pytest.raises(TypeError, match="function: must be a scalar"):
        jaxhpt.minimize(lambda h, key: jnp.ones(3) * h["lr"], SPACE, progress=False)
    with pytest.raises(TypeError, match="function=3: must be a function"):
        jaxhpt.minimize(3, SPACE, progress=False)


def test_an_optimiser_built_outside_the_trace(digits):
    arrays = {"train_data": digits[0], "valid_data": digits[1]}
    with pytest.raises(TypeError, match=r"optimizer=.*must be a function that makes one inside the trace"):
        jaxhpt.FlaxTask(nn.Dense(10), optax.adam(1e-3), **arrays)
    task = jaxhpt.FlaxTask(nn.Dense(10), lambda h: optax.adam(1e-3), **arrays)
    with pytest.raises(ValueError, match="no function reads 'lr', so tuning it has no effect"):
        search(task)


def test_dropout_with_a_python_if_points_to_the_one_without(digits):
    class Net(nn.Module):
        rate: jax.Array

        @nn.compact
        def __call__(self, x, train):
            return nn.Dense(10)(nn.Dropout(self.rate, deterministic=not train)(x))

    task = jaxhpt.FlaxTask(
        lambda h: Net(h["rate"]), lambda h: optax.sgd(h["lr"]), train_data=digits[0], valid_data=digits[1]
    )
    with pytest.raises(TypeError, match=r"jaxhpt\.traced has dropout"):
        search(task, {**SPACE, "rate": Float(0, 0.5)})


def test_models_of_another_kind(digits):
    arrays = {"train_data": digits[0], "valid_data": digits[1]}
    with pytest.raises(TypeError, match="nnx module must be made inside the trace"):
        jaxhpt.FlaxTask(nnx.Linear(64, 10, rngs=nnx.Rngs(0)), lambda h: optax.sgd(0.1), **arrays)
    with pytest.raises(TypeError, match="model=7: must be a linen module"):
        jaxhpt.FlaxTask(7, lambda h: optax.sgd(0.1), **arrays)
    with pytest.raises(ValueError, match="loss='crossentropy': unknown; did you mean"):
        jaxhpt.FlaxTask(nn.Dense(10), lambda h: optax.sgd(0.1), loss="crossentropy", **arrays)
    with pytest.raises(ValueError, match="valid_data: must be a pair"):
        jaxhpt.FlaxTask(nn.Dense(10), lambda h: optax.sgd(0.1), **(arrays | {"valid_data": digits[1][0]}))
    with pytest.raises(ValueError, match=r"valid_data: must be a pair .*; or say folds="):
        search(jaxhpt.FlaxTask(nn.Dense(10), lambda h: optax.sgd(h["lr"]), train_data=digits[0]), SPACE)


def test_hyperparameters_that_no_function_reads(linear):
    with pytest.raises(ValueError, match="no function reads 'momentum', 'nesterov'"):
        search(linear, {**SPACE, "momentum": Float(0, 1), "nesterov": [True, False]})
    with pytest.raises(ValueError, match="no function reads 'x'"):
        jaxhpt.minimize(lambda h, key: jax.random.normal(key), {"x": Float(0, 1)}, progress=False)


def test_a_batch_size_that_the_step_ignores(linear):
    def step(state, batch, hparams, key):
        data = batch.data
        gradient = jax.grad(lambda w: jnp.mean((data["x"] @ w - data["y"]) ** 2))(state["w"])
        return {"w": state["w"] - hparams["lr"] * gradient}

    with pytest.raises(ValueError, match=r"no function reads 'batch_size'.*jaxhpt.batch_mean"):
        search(dataclasses.replace(linear, step=step), {**SPACE, "batch_size": [4, 8]})


def test_arrays_of_unequal_length_nan_and_too_few_rows(linear):
    data = linear.train_data
    with pytest.raises(ValueError, match=r"train_data: arrays must have the same number of rows, but have.*49"):
        search(linear, train_data={**data, "y": data["y"][:49]})
    spoilt = data["x"].copy()
    spoilt[7, 2] = np.nan
    with pytest.raises(ValueError, match="train_data leaf x: NaN in row 7"):
        search(linear, train_data={**data, "x": spoilt})
    with pytest.raises(ValueError, match="valid_data leaf x: NaN in row 7"):
        search(linear, valid_data={**data, "x": spoilt})
    with pytest.raises(ValueError, match="batch_size=64: must be at most the 50 rows"):
        search(linear, batch_size=64)
    with pytest.raises(ValueError, match="batch_size=64: must be at most the 50 rows"):
        search(linear, {**SPACE, "batch_size": [32, 64]})
    with pytest.raises(ValueError, match="batches and train_data: give one of them"):
        search(linear, batches=lambda key, tick: None)


def test_names_that_do_not_exist(linear):
    with pytest.raises(ValueError, match="algorithm='randon': unknown; did you mean 'random'"):
        search(linear, algorithm="randon")
    with pytest.raises(ValueError, match="scheduler='run': unknown"):
        search(linear, scheduler="run")
    with pytest.raises(TypeError, match=r"call it: Random\(\)"):
        search(linear, algorithm=jaxhpt.Random)
    with pytest.raises(TypeError, match="algorithm=3"):
        search(linear, algorithm=3)
    with pytest.raises(TypeError, match="search has no argument 'trails'"):
        search(linear, trails=3)
    with pytest.raises(ValueError, match="steps='epoch': no such hyperparameter"):
        search(linear, steps="epoch")
    with pytest.raises(ValueError, match="lanes=-1: must be at least 1"):
        search(linear, lanes=-1)


def test_pieces_that_are_missing(linear):
    with pytest.raises(TypeError, match="init is missing"):
        search(linear.step)
    with pytest.raises(TypeError, match="evaluate is missing"):
        search(linear.step, init=linear.init)
    with pytest.raises(TypeError, match="train_step=None"):
        search(None)
    with pytest.raises(TypeError, match="init=3: must be a function"):
        search(linear, init=3)
    with pytest.raises(ValueError, match="timeout=0: must be above 0"):
        search(linear, timeout=0)


def test_batches_made_on_the_fly_need_a_length(linear):
    made = dataclasses.replace(linear, train_data=None, batch_size=None, batches=lambda key, tick: 0, steps=None)
    with pytest.raises(ValueError, match="steps=None: must be a number of steps where `batches` makes the data"):
        search(made)


def test_lengths_that_are_too_short(linear):
    with pytest.raises(ValueError, match="steps=0: must be at least 1 for every setting"):
        search(linear, {**SPACE, "n": Int(0, 5)}, steps="n")
    with pytest.raises(ValueError, match="steps=-1: must be at least 1 for every setting"):
        search(linear, {**SPACE, "n": Int(0, 5)}, steps=lambda h: h["n"] - 1)
    with pytest.raises(ValueError, match="steps_per_epoch"):
        jaxhpt.minimize(lambda h, key: h["epochs"] * 1.0, {"epochs": [1, 2]}, steps="epochs", progress=False)


def test_a_choice_that_is_looked_up_in_a_dict_points_to_structural(digits):
    rules = {"adam": optax.adam, "sgd": optax.sgd}
    task = jaxhpt.FlaxTask(
        nn.Dense(10), lambda h: rules[h["rule"]](h["lr"]), train_data=digits[0], valid_data=digits[1]
    )
    with pytest.raises(TypeError, match=r"cannot be the key of a dict.*Choice\(\[\.\.\.\], structural=True\)"):
        search(task, {**SPACE, "rule": ["adam", "sgd"]})


def test_a_tuple_that_was_meant_as_a_range_is_named(digits):
    task = jaxhpt.FlaxTask(
        nn.Dense(10), lambda h: optax.adamw(h["lr"], weight_decay=h["wd"]), train_data=digits[0], valid_data=digits[1]
    )
    with pytest.raises(TypeError, match=r"'wd': in a space a tuple is a constant; a range is Float\(low, high\)"):
        search(task, {**SPACE, "wd": (1e-6, 1e-2)})


def test_an_error_of_a_model_says_which_function_was_traced(digits):
    def make(h, rngs):
        return nnx.Linear(63, 10, rngs=rngs)

    task = jaxhpt.FlaxTask(make, lambda h: optax.sgd(h["lr"]), train_data=digits[0], valid_data=digits[1])
    with pytest.raises(TypeError, match=r"\(63,\)") as caught:
        search(task)
    assert any(note.startswith("train_step: ") for note in caught.value.__notes__)


@pytest.mark.parametrize("key", ["momentum", "sgd.momentum"])
def test_a_nested_hyperparameter_is_told_where_it_stands(linear, key):
    def step(state, batch, hparams, key_):
        return {"w": state["w"] * hparams["lr"] * hparams[key]}

    space = {**SPACE, "rule": ["sgd", "adam"], "sgd": jaxhpt.When("rule", "sgd", {"momentum": Float(0, 1)})}
    with pytest.raises(ValueError, match=r"'sgd\.momentum' is h\['sgd'\]\['momentum'\]"):
        search(dataclasses.replace(linear, step=step), space)


def test_a_tuple_alone_is_no_space():
    with pytest.raises(ValueError, match=r"a tuple is a constant, a range is Float\(low, high\)"):
        Space.of({"lr": (1e-4, 1e-1)})
