"""FlaxTask: linen and nnx, BatchNorm and dropout, and gradients that are exact for every batch size."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import jaxhpt
from jaxhpt.training import flax_models, flax_trainer
from jaxhpt.training.batches import Batch

SPACE = {"lr": jaxhpt.Float(1e-2, 0.3, log=True), "dropout": jaxhpt.Float(0.0, 0.5)}


class LinenNet(nn.Module):
    rate: jax.Array

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(16)(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = jaxhpt.traced.LinenDropout(self.rate)(x, deterministic=not train)
        return nn.Dense(10)(x)


class NnxNet(nnx.Module):
    def __init__(self, rate, rngs):
        self.inner = nnx.Linear(64, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
        self.dropout = jaxhpt.traced.NnxDropout(rate, rngs=rngs)
        self.outer = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.dropout(nnx.relu(self.norm(self.inner(x)))))


MODELS = {
    "linen": lambda h: LinenNet(h["dropout"]),
    "nnx": lambda h, rngs: NnxNet(h["dropout"], rngs),
}


@pytest.fixture(scope="module", params=MODELS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def task(kind, digits):
    return jaxhpt.FlaxTask(
        MODELS[kind],
        lambda h: optax.sgd(h["lr"], momentum=0.9),
        train_data=digits[0],
        valid_data=digits[1],
        batch_size=32,
        steps=60,
    )


@pytest.fixture(scope="module")
def result(task):
    return jaxhpt.search(task, SPACE, trials=8, lanes=4, progress=False)


def outputs(kind, state, x):
    """Run the exported winner as a user would."""
    if kind == "nnx":
        return state(x)
    return LinenNet(jnp.float32(0)).apply(state, x, train=False)


def test_the_winner_is_ready_to_use_and_scores_what_was_reported(kind, result, digits):
    x, y = digits[1]
    accuracy = float((outputs(kind, result.best_state, x).argmax(-1) == y).mean())
    assert result.best.value == pytest.approx(accuracy, abs=1e-6)
    assert accuracy > 0.8


def test_a_replay_gives_the_trials_numbers_and_weights(kind, result, digits):
    trial = result.trials[5]
    state, metrics = result.replay(trial)
    assert metrics["loss"] == pytest.approx(trial.metrics["loss"], rel=2e-2)
    loss = optax.softmax_cross_entropy_with_integer_labels(outputs(kind, state, digits[1][0]), digits[1][1]).mean()
    assert metrics["loss"] == pytest.approx(float(loss), rel=1e-4)
    assert result.replay(5)[1] == metrics


def test_statistics_of_batchnorm_are_learned(kind, result):
    state = result.best_state
    mean = state.norm.mean[...] if kind == "nnx" else state["batch_stats"]["BatchNorm_0"]["mean"]
    assert float(jnp.abs(mean).max()) > 0.05  # they begin at 0


def test_one_training_step_is_what_a_person_would_write(digits):
    module = nn.Dense(10)
    task = jaxhpt.FlaxTask(module, lambda h: optax.adam(h["lr"]), train_data=digits[0], valid_data=digits[1])
    hparams, batch = {"lr": jnp.float32(0.01)}, jax.tree.map(lambda a: a[:40], digits[0])
    state = task.init(jax.random.key(0), hparams)

    def loss(params):
        logits = module.apply({"params": params}, batch[0])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch[1]).mean()

    adam = optax.adam(0.01)
    updates, _ = adam.update(jax.grad(loss)(state["params"]), adam.init(state["params"]))
    expected = optax.apply_updates(state["params"], updates)
    trained = jax.jit(task.step)(state, batch, hparams, jax.random.key(1))["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), trained, expected)


@pytest.mark.parametrize("own", [5, 16])
def test_a_trials_own_batch_size_is_exact_batchnorm_included(task, digits, own):
    hparams, key = {"lr": jnp.float32(0.1), "dropout": jnp.float32(0.0)}, jax.random.key(1)
    full = jax.tree.map(lambda a: jnp.asarray(a[:16]), digits[0])
    weights = jnp.where(jnp.arange(16) < own, 1.0 / own, 0.0)
    state = task.init(jax.random.key(0), hparams)
    step = jax.jit(task.step)
    weighted = step(state, Batch(full, weights), hparams, key)
    plain = step(state, jax.tree.map(lambda a: a[:own], full), hparams, key)
    for name in ("params", "extra"):
        for a, b in zip(jax.tree.leaves(weighted[name]), jax.tree.leaves(plain[name]), strict=True):
            if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_search_over_batch_sizes_and_epochs_runs(task):
    space = {**SPACE, "batch_size": [16, 32], "epochs": [1, 2]}
    result = jaxhpt.search(task, space, trials=8, lanes=4, steps=None, progress=False)
    for trial in result.trials:
        assert trial.steps == trial.hparams["epochs"] * -(-1437 // trial.hparams["batch_size"])
    assert result.best.value > 0.5


def test_dropout_differs_from_trial_to_trial_and_is_off_in_evaluation(task):
    hparams = {"lr": jnp.float32(0.0), "dropout": jnp.float32(0.5)}
    state = task.init(jax.random.key(0), hparams)
    x, y = jnp.ones((8, 64)), jnp.zeros(8, jnp.int32)
    step = jax.jit(task.step)
    grown = [step(state, (x, y), {**hparams, "lr": jnp.float32(1.0)}, jax.random.key(k)) for k in (0, 1)]
    again = step(grown[0], (x, y), {**hparams, "lr": jnp.float32(1.0)}, jax.random.key(0))
    assert not np.allclose(*(jax.tree.leaves(g["params"])[0] for g in (grown[0], again)))
    scores = [task.evaluate(state, (x, y), hparams)["loss"] for _ in range(2)]
    assert float(scores[0]) == float(scores[1])


def test_the_flags_that_modules_ask_for_are_given():
    for name, in_training in (("train", True), ("training", True), ("is_training", True), ("deterministic", False)):
        namespace: dict = {}
        exec(f"def call(self, x, {name}): pass", namespace)
        assert flax_models.mode(namespace["call"], train=True) == {name: in_training}
        assert flax_models.mode(namespace["call"], train=False) == {name: not in_training}
    assert flax_models.mode(nn.Dense.__call__, train=True) == {}


def test_regression_with_a_column_of_outputs_does_not_broadcast():
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    y = x @ np.array([1.0, -2.0, 0.5], np.float32)
    arrays = {"train_data": (x, y), "valid_data": (x, y)}
    task = jaxhpt.FlaxTask(nn.Dense(1), lambda h: optax.sgd(h["lr"]), loss="mse", steps=80, **arrays)
    result = jaxhpt.search(task, {"lr": jaxhpt.Float(0.01, 0.3)}, trials=4, progress=False)
    assert set(result.best.metrics) == {"mse", "mae", "r2"}
    assert result.best.metrics["r2"] > 0.999
    assert result.best.metrics["mse"] < 1e-3
    assert repr(result).splitlines()[2].split()[:2] == ["trial", "mse"]


def test_a_loss_and_a_metric_of_ones_own():
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    y = x.sum(1)
    task = jaxhpt.FlaxTask(
        nn.Dense(1),
        lambda h: optax.sgd(h["lr"]),
        loss=lambda out, target: jnp.abs(out[:, 0] - target) ** 1.5,
        metrics={"worst": lambda out, target: jnp.max(jnp.abs(out[:, 0] - target))},
        train_data=(x, y),
        valid_data=(x, y),
        steps=50,
    )
    best = jaxhpt.search(task, {"lr": jaxhpt.Float(0.01, 0.3)}, trials=4, progress=False).best
    assert set(best.metrics) == {"loss", "worst"}
    assert best.value == best.metrics["loss"]
    assert best.metrics["worst"] ** 1.5 >= best.metrics["loss"]


def test_a_large_validation_set_is_evaluated_in_parts_to_the_same_numbers(task, digits, monkeypatch):
    hparams = {"lr": jnp.float32(0.1), "dropout": jnp.float32(0.3)}
    state = task.init(jax.random.key(0), hparams)
    whole = task.evaluate(state, digits[1], hparams)
    monkeypatch.setattr(flax_trainer, "VALID_CHUNK", 100)
    parts = task.evaluate(state, digits[1], hparams)
    assert float(parts["loss"]) == pytest.approx(float(whole["loss"]), rel=1e-5)
    assert float(parts["accuracy"]) == pytest.approx(float(whole["accuracy"]))


def test_generated_batches_train(kind, digits):
    def batches(key, tick):
        y = jax.random.randint(key, (32,), 0, 10)
        return jax.nn.one_hot(y, 64) * 3.0, y

    valid = (np.eye(10, 64, dtype=np.float32) * 3.0, np.arange(10))
    optimizer = lambda h: optax.sgd(h["lr"])  # noqa: E731
    task = jaxhpt.FlaxTask(MODELS[kind], optimizer, batches=batches, valid_data=valid, steps=60)
    assert jaxhpt.search(task, SPACE, trials=4, lanes=4, progress=False).best.value == 1.0


def test_an_optimiser_that_wants_the_loss_gets_it(digits):
    task = jaxhpt.FlaxTask(
        nn.Dense(10),
        lambda h: optax.chain(optax.sgd(h["lr"]), optax.contrib.reduce_on_plateau(factor=0.5, patience=2)),
        train_data=digits[0],
        valid_data=digits[1],
        steps=20,
    )
    assert jaxhpt.search(task, {"lr": jaxhpt.Float(0.1, 1.0)}, trials=2, progress=False).best.value > 0.6


def test_a_given_task_is_changed_by_keywords_and_still_is_one(task):
    assert dataclasses.replace(task, steps=7).steps == 7
    result = jaxhpt.search(task, SPACE, steps=5, trials=2, progress=False)
    assert result.best.steps == 5


def test_a_class_of_modules_is_a_model(digits):
    class Net(nnx.Module):
        def __init__(self, h, rngs):
            self.out = nnx.Linear(64, 10, rngs=rngs)

        def __call__(self, x):
            return self.out(x)

    task = jaxhpt.FlaxTask(
        Net, lambda h: optax.sgd(h["lr"]), train_data=digits[0], valid_data=digits[1], batch_size=128, steps=2
    )
    assert type(jaxhpt.search(task, {"lr": jaxhpt.Float(0.01, 0.1)}, trials=2, progress=False).best_state) is Net
