"""Each hazard is found where it is, and sound tasks have none."""

import dataclasses
import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxhpt
from jaxhpt import KFold

RATE = {"lr": jaxhpt.Float(1e-3, 0.3, log=True)}
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(96, 8)).astype(np.float32)
LABELS = (X.sum(1) > 0).astype(np.int32)
TRAIN, VALID = (X[:64], LABELS[:64]), (X[64:], LABELS[64:])
ANOTHER = jax.random.key(0)
LARGE = np.ones((1 << 20, 3), np.float32)


class Net(nn.Module):
    """A small classifier."""

    classes: int = 2

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes)(nn.relu(nn.Dense(8)(x)))


def step(w, batch, h, key):
    x, y = batch
    return w - h["lr"] * jax.grad(lambda w: jnp.mean((x @ w - y) ** 2))(w)


def evaluate(w, valid, h):
    return {"loss": jnp.mean((valid[0] @ w - valid[1]) ** 2)}


PLAIN = jaxhpt.Task(
    lambda key, h: jax.random.normal(key, (8,), jnp.float32),
    step,
    evaluate,
    train_data=TRAIN,
    valid_data=VALID,
    batch_size=16,
    steps=40,
)
FLAX = jaxhpt.FlaxTask(
    Net(), lambda h: optax.adam(h["lr"]), train_data=TRAIN, valid_data=VALID, batch_size=16, steps=40
)


def plain(**fields):
    return dataclasses.replace(PLAIN, **fields)


def host(w):
    return jax.pure_callback(np.float32, jax.ShapeDtypeStruct((), jnp.float32), w[0], vmap_method="sequential")


def noisy(key):
    return 1e-3 * jax.random.normal(key, (8,), jnp.float32)


def noisy_loop(w, key):
    return jax.lax.scan(lambda w, i: (w + noisy(jax.random.fold_in(key, i)), None), w, jnp.arange(3))[0]


def zeros(key, h):
    return jnp.zeros(8, jnp.float32)


def in_layers(state, batch, h, key):
    return step(state, batch, {"lr": h["lr"] * len(h["widths"])}, key)


def measured(w, valid, h, key):
    return evaluate(w + noisy(key), valid, h)


BROKEN = {  # kind -> task, space, options
    "unread state": (plain(evaluate=lambda w, valid, h: {"loss": h["lr"] + 0 * valid[0].sum()}), RATE, {}),
    "unchanged state": (plain(step=lambda w, batch, h, key: w, init=lambda key, h: PLAIN.init(key, h) * h["lr"]),
                        RATE, {}),
    "unread batch": (plain(step=lambda w, batch, h, key: step(w, TRAIN, h, key)), RATE, {}),
    "constant chance in train_step": (plain(step=lambda w, b, h, key: step(w, b, h, key) + noisy(ANOTHER)), RATE, {}),
    "constant chance": (plain(step=lambda w, b, h, key: noisy_loop(step(w, b, h, key), jax.random.key(0))), RATE, {}),
    "constant chance in evaluate": (plain(evaluate=lambda w, v, h: evaluate(w + noisy(jax.random.key(3)), v, h)),
                                    RATE, {}),
    "equal seeds": (plain(init=zeros), RATE, {"seeds": 3}),
    "unread valid_data": (plain(evaluate=lambda w, valid, h: evaluate(w, VALID, h)), RATE, {}),
    "host callback": (plain(step=lambda w, b, h, key: step(w, b, h, key) + host(w)), RATE, {}),
    "free loop": (plain(step=lambda w, b, h, key: jax.lax.while_loop(
        lambda w: jnp.sum(w) > 1e3, lambda w: w * 0.5, step(w, b, h, key))), RATE, {}),
    "unread rows": (plain(steps=3), RATE, {}),
    "doubled rows": (plain(batch_size=40, train_data=(X[:50], LABELS[:50])), RATE, {}),
    "short events": (plain(steps=40), RATE, {"interval": 1, "trials": 2000, "lanes": 64}),
    "structural float": (plain(), RATE | {"scale": jaxhpt.Choice([0.0, 0.5], structural=True)}, {}),
    "unread structure": (plain(), RATE | {"width": jaxhpt.Int(1, 4, structural=True)}, {}),
    "large constant": (plain(evaluate=lambda w, v, h: {
        "loss": evaluate(w, v, h)["loss"] * jnp.mean(jnp.asarray(LARGE))}), RATE, {}),
    "same data": (plain(valid_data=TRAIN), RATE, {}),
    "same rows": (plain(valid_data=(X[10:30], LABELS[10:30])), RATE, {}),
    "unscaled inputs": (dataclasses.replace(FLAX, train_data=(X[:64] + 400, LABELS[:64])), RATE, {}),
    "constant targets": (dataclasses.replace(FLAX, valid_data=(X[64:], np.ones(32, np.int32))), RATE, {}),
    "unknown labels": (jaxhpt.FlaxTask(
        Net(4), lambda h: optax.sgd(h["lr"]), train_data=(X[:64], np.arange(64) % 2),
        valid_data=(X[64:], np.arange(32) % 4), batch_size=16, steps=40), RATE, {}),
}  # fmt: skip
GRAVE = {
    "unread state",
    "unchanged state",
    "unread batch",
    "constant chance",
    "constant chance in train_step",
    "equal seeds",
}
SOUND = {
    "plain": (PLAIN, RATE, {}),
    "flax": (FLAX, RATE, {}),
    "folds": (dataclasses.replace(FLAX, valid_data=None), RATE, {"folds": KFold(3), "seeds": 2}),
    "seeds": (PLAIN, RATE, {"seeds": 3}),
    "sizes": (FLAX, RATE | {"batch_size": [8, 16]}, {}),
    "noise in steps": (plain(step=lambda w, b, h, key: noisy_loop(step(w, b, h, key), key), init=zeros), RATE,
                       {"seeds": 2}),
    "noise in evaluation": (plain(evaluate=measured), RATE, {}),
    "key in the state": (jaxhpt.Task(
        lambda key, h: (PLAIN.init(key, h), key),
        lambda s, b, h, key: (step(s[0], b, h, key) + noisy(s[1]), jax.random.split(s[1])[0]),
        lambda s, v, h: evaluate(s[0], v, h),
        train_data=TRAIN, valid_data=VALID, batch_size=16, steps=40), RATE, {}),
    "made on the fly": (plain(train_data=None, batch_size=None, batches=lambda key, tick: (
        jax.random.normal(key, (4, 8), jnp.float32), jnp.ones(4, jnp.float32))), RATE, {}),
    "layers": (plain(step=in_layers), RATE | {"widths": jaxhpt.Choice([(1,), (1, 2)], structural=True)}, {}),
    "captured": (plain(evaluate=lambda w, v, h: {"loss": evaluate(w, v, h)["loss"] * jnp.asarray(X).mean()}), RATE, {}),
    "no data": (jaxhpt.Task(
        lambda key, h: jnp.float32(4.0), lambda w, b, h, key: w - h["lr"] * w, lambda w, v, h: w**2, steps=20),
        RATE, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_hazard_is_found(name):
    task, space, options = BROKEN[name]
    report = jaxhpt.check(task, space, compile=False, **{"trials": 32, **options})
    kind = name.split(" in ")[0]
    found = [hazard for hazard in report.hazards if hazard.kind == kind]
    assert len(found) == 1, report
    assert str(found[0]) in str(report)


@pytest.mark.parametrize("name", SOUND)
def test_a_sound_task_has_none(name):
    task, space, options = SOUND[name]
    assert jaxhpt.check(task, space, compile=False, trials=32, **options).hazards == ()


@pytest.mark.parametrize("name", BROKEN)
def test_only_what_makes_results_mean_nothing_is_grave(name):
    task, space, options = BROKEN[name]
    found = jaxhpt.check(task, space, compile=False, **{"trials": 32, **options}).hazards
    grave = [hazard.kind for hazard in found if hazard.grave]
    assert grave == ([name.split(" in train")[0]] if name in GRAVE else [])


def test_a_search_warns_of_grave_hazards_each_time():
    for _ in range(2):
        with pytest.warns(UserWarning, match="train_step: does not read its batch"):
            jaxhpt.search(*BROKEN["unread batch"][:2], trials=4, lanes=4, algorithm="random", progress=False)


def test_a_search_says_nothing_of_the_others():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jaxhpt.search(*BROKEN["same data"][:2], trials=4, lanes=4, algorithm="random", progress=False)


def test_a_function_that_is_called_once_may_be_whatever_it_is():
    report = jaxhpt.check(lambda w, b, h, key: w, {"x": jaxhpt.Float(0, 1)}, init=lambda key, h: h["x"],
                          evaluate=lambda w, v, h: {"loss": w}, steps=1, compile=False)  # fmt: skip
    assert report.hazards == ()


def test_wider_arithmetic_than_was_given_is_found():
    def wide(w, batch, h, key):
        return step(w, batch, h, key) + np.zeros(8, np.float64) * jnp.ones(8, jnp.float64).mean()

    with jax.enable_x64(True):
        task = plain(step=lambda *given: wide(*given).astype(jnp.float32))
        assert [hazard.kind for hazard in jaxhpt.check(task, RATE, compile=False).hazards] == ["double precision"]
        assert jaxhpt.check(PLAIN, RATE, compile=False).hazards == ()


@pytest.mark.parametrize("targets", [np.ones(32, bool), np.zeros((32, 1), np.float32), np.ones((32, 2), np.float32)])
def test_targets_of_any_kind_are_looked_at(targets):
    task = jaxhpt.FlaxTask(
        Net(targets.shape[1] if targets.ndim > 1 else 1), lambda h: optax.adam(h["lr"]),
        train_data=(X[:32], 1.0 * RANDOM.normal(size=targets.shape)), valid_data=(X[64:], targets), loss="mse",
        batch_size=16, steps=40,
    )  # fmt: skip
    assert [hazard.kind for hazard in jaxhpt.check(task, RATE, compile=False).hazards] == ["constant targets"]


@pytest.mark.parametrize("strange", [np.inf, 1e30, 1e-6])
def test_inputs_of_any_size_are_looked_at(strange):
    inputs = np.where(X[:64] == X[0, 0], np.inf, X[:64]) if strange == np.inf else X[:64] * np.float32(strange)
    task = dataclasses.replace(FLAX, train_data=(inputs, LABELS[:64]))
    assert [hazard.kind for hazard in jaxhpt.check(task, RATE, compile=False).hazards] == ["unscaled inputs"]
