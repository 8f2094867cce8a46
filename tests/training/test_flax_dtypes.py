"""FlaxTask keeps the dtypes that init made, whatever the rates', and runs under JAX's stricter settings."""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import jaxhpt

X = np.random.default_rng(0).normal(size=(32, 4)).astype(np.float32)
Y = (X.sum(1) > 0).astype(np.int32)
TARGETS = {"cross_entropy": Y, "binary_cross_entropy": 2 * Y - 1, "mse": X.sum(1), "mae": Y}
HPARAMS = {name: jnp.float32(value) for name, value in {"lr": 0.05, "m": 0.5, "decay": 1e-3}.items()}
OPTIMIZERS = {
    "sgd": lambda h: optax.sgd(h["lr"], momentum=h["m"]),
    "adam": lambda h: optax.adam(h["lr"], b1=h["m"]),
    "adamw": lambda h: optax.adamw(h["lr"], weight_decay=h["decay"], b2=1 - h["decay"]),
    "lion": lambda h: optax.lion(h["lr"] / 5, b1=h["m"]),
    "schedule": lambda h: optax.sgd(jaxhpt.traced.cosine_decay_schedule(h["lr"] * 4, 40)),
}


class Normed(nn.Module):
    dtype: jnp.dtype
    outputs: int = 2

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(8, use_bias=False, param_dtype=self.dtype, dtype=self.dtype)(x)
        x = nn.BatchNorm(not train, momentum=0.9, param_dtype=self.dtype, dtype=self.dtype)(x)
        return nn.Dense(self.outputs, param_dtype=self.dtype, dtype=self.dtype)(nn.relu(x))


class NnxNormed(nnx.Module):
    def __init__(self, dtype, outputs, rngs):
        self.inner = nnx.Linear(4, 8, use_bias=False, param_dtype=dtype, dtype=dtype, rngs=rngs)
        self.norm = nnx.BatchNorm(8, param_dtype=dtype, dtype=dtype, rngs=rngs)
        self.outer = nnx.Linear(8, outputs, param_dtype=dtype, dtype=dtype, rngs=rngs)

    def __call__(self, x):
        return self.outer(nnx.relu(self.norm(self.inner(x))))


def make(kind, optimizer, dtype, loss="cross_entropy", **options):
    outputs = 2 if loss == "cross_entropy" else 1
    models = {"linen": Normed(dtype, outputs), "nnx": lambda h, rngs: NnxNormed(dtype, outputs, rngs)}
    data = (X, TARGETS[loss])
    return jaxhpt.FlaxTask(models[kind], optimizer, loss=loss, train_data=data, valid_data=data, **options)


def dtypes(tree):
    return [(leaf.dtype, leaf.shape) for leaf in jax.tree.leaves(tree)]


def trained(task, num=30):
    """Return a state before and after so many steps, and the loss of both."""

    @jax.jit
    def run(hparams, data):
        state = task.init(jax.random.key(0), hparams)
        after = jax.lax.fori_loop(
            0, num, lambda i, s: task.step(s, data, hparams, jax.random.fold_in(jax.random.key(1), i)), state
        )
        return state, after, [task.evaluate(s, data, hparams) for s in (state, after)]

    return run(HPARAMS, jax.tree.map(jnp.asarray, task.train_data))


@pytest.mark.parametrize("kind", ["linen", "nnx"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_bfloat16_weights_train_at_traced_rates_and_keep_their_dtypes(kind, name):
    before, after, metrics = trained(make(kind, OPTIMIZERS[name], jnp.bfloat16))
    assert {leaf.dtype for leaf in jax.tree.leaves(before["params"])} == {jnp.dtype(jnp.bfloat16)}
    assert dtypes(after) == dtypes(before)
    assert float(metrics[1]["loss"]) < 0.75 * float(metrics[0]["loss"])


def test_float16_weights_train_in_a_search():
    task = make("linen", lambda h: optax.sgd(0.1, momentum=h["m"]), jnp.float16, batch_size=16, steps=8)
    result = jaxhpt.search(task, {"m": jaxhpt.Float(0, 0.9)}, trials=2, progress=False)
    assert jax.tree.leaves(result.best_state["params"])[0].dtype == jnp.float16
    assert result.stats.failed == 0


def test_a_float32_state_is_stepped_as_optax_would():
    task = make("linen", OPTIMIZERS["adam"], jnp.float32, "mse")
    state = jax.jit(task.init)(jax.random.key(0), HPARAMS)
    stepped = jax.jit(task.step)(state, (jnp.asarray(X), jnp.asarray(X.sum(1))), HPARAMS, jax.random.key(1))

    @jax.jit
    def loss(params):
        module = Normed(jnp.float32, 1)
        out, _ = module.apply({"params": params, **state["extra"]}, X, train=True, mutable=["batch_stats"])
        return jnp.mean((out[:, 0] - X.sum(1)) ** 2)

    adam = OPTIMIZERS["adam"](HPARAMS)
    updates, _ = adam.update(jax.grad(loss)(state["params"]), adam.init(state["params"]))
    expected = optax.apply_updates(state["params"], updates)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), stepped["params"], expected)


SETTINGS = {
    "x64": lambda: jax.enable_x64(True),
    "strict": lambda: jax.numpy_dtype_promotion("strict"),
    "ranks": lambda: jax.numpy_rank_promotion("raise"),
}


@contextlib.contextmanager
def settings(names):
    with contextlib.ExitStack() as stack:
        for name in names:
            stack.enter_context(SETTINGS[name]())
        yield


@pytest.mark.parametrize("names", [["x64"], ["strict", "ranks"], ["x64", "strict", "ranks"]], ids="+".join)
@pytest.mark.parametrize("loss", TARGETS)
def test_all_losses_run_under_stricter_settings_and_give_the_same(loss, names):
    kind = "nnx" if loss in ("mse", "binary_cross_entropy") else "linen"
    task = make(kind, OPTIMIZERS["adamw"], jnp.float32, loss)
    _, plain, expected = trained(task, 3)
    with settings(names):
        _, strict, found = trained(task, 3)
    assert dtypes(strict["params"]) == dtypes(plain["params"])
    assert dtypes(strict["opt"]) == dtypes(plain["opt"])
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float32)}
    for name, value in expected[1].items():
        assert float(found[1][name]) == pytest.approx(float(value), rel=1e-4, abs=1e-5)


def test_bfloat16_runs_under_stricter_settings():
    model = nn.Dense(2, param_dtype=jnp.bfloat16, dtype=jnp.bfloat16)  # Flax's own BatchNorm mixes dtypes
    task = jaxhpt.FlaxTask(model, OPTIMIZERS["adamw"], train_data=(X, Y), valid_data=(X, Y))
    with settings(SETTINGS):
        before, after, metrics = trained(task)
    assert dtypes(after) == dtypes(before)
    assert float(metrics[1]["loss"]) < float(metrics[0]["loss"])
