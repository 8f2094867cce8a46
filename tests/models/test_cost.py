"""Costs of a structure: the compiler's count against sums by hand, latency once a process, metrics of a search."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jaxhpt
from jaxhpt.models import cost

X = np.zeros((20, 8), np.float32)


class Net(nnx.Module):
    """A net with all that a module keeps beside weights."""

    def __init__(self, h, rngs):
        self.first, self.out = nnx.Linear(8, h["width"], rngs=rngs), nnx.Linear(h["width"], 3, rngs=rngs)
        self.norm, self.drop = nnx.BatchNorm(h["width"], rngs=rngs), jaxhpt.traced.NnxDropout(h["rate"], rngs=rngs)

    def __call__(self, x):
        return self.out(self.drop(nnx.relu(self.norm(self.first(x)))))


class Linen(linen.Module):
    """A linen module that wants to be told whether it trains."""

    width: int

    @linen.compact
    def __call__(self, x, train):
        return linen.Dense(3)(linen.Dropout(0.5, deterministic=not train)(linen.Dense(self.width)(x)))


def rounds(weights, x, length, unroll=1):
    return jax.lax.scan(lambda h, _: (jnp.tanh(h @ weights), None), x, length=length, unroll=unroll)[0]


def test_flops_of_a_product_are_those_by_hand():
    w = jax.ShapeDtypeStruct((8, 4), jnp.float32)
    found = cost.analyse(lambda w, x: x @ w, w, X)
    assert found.flops == 2 * 20 * 8 * 4
    assert found.bytes_moved == 4 * (20 * 8 + 8 * 4 + 20 * 4)
    assert (found.parameters, found.weight_bytes) == (32, 128)


@pytest.mark.parametrize("unroll", [1, 3])
def test_a_loop_counts_as_often_as_it_runs(unroll):
    w, x = jnp.zeros((16, 16), jnp.float32), jnp.zeros((4, 16), jnp.float32)
    found = cost.analyse(lambda w, x: rounds(w, x, 10, unroll), w, x)
    assert found.flops == pytest.approx(10 * 2 * 4 * 16 * 16, rel=0.02)
    nested = cost.analyse(lambda w, x: jax.lax.scan(lambda h, _: (rounds(w, h, 5), None), x, length=6)[0], w, x)
    assert nested.flops == pytest.approx(30 * 2 * 4 * 16 * 16, rel=0.02)


def test_a_while_loop_counts_once_and_says_so():
    def function(w, x):
        return jax.lax.while_loop(lambda h: jnp.sum(h) < 10.0, lambda h: h @ w, x)

    w, x = jnp.zeros((16, 16), jnp.float32), jnp.zeros((4, 16), jnp.float32)
    with pytest.warns(UserWarning, match="while loop"):
        assert cost.analyse(function, w, x).flops >= 2 * 4 * 16 * 16


def test_flax_models_of_both_kinds_are_read_without_drawing_weights():
    h = {"width": 16, "rate": 0.1}
    for make in (lambda h, rngs: Net(h, rngs), lambda h, *, rngs: Net(h, rngs)):
        predict = cost.predictor(make, h, X)
        found = cost.metrics(predict, X, ("parameters", "weight_bytes", "flops"))
        weights = 8 * 16 + 16 + 2 * 16 + 16 * 3 + 3
        assert found["parameters"] == weights + 2 * 16  # with the averages of the batch norm
        assert found["weight_bytes"] == 4 * found["parameters"]
        assert found["flops"] >= 2 * (8 * 16 + 16 * 3)
    for model in (Linen(5), lambda h: Linen(h["width"])):
        predict = cost.predictor(model, {"width": 5}, X)
        assert cost.metrics(predict, X, ("parameters",)) == {"parameters": 8 * 5 + 5 + 5 * 3 + 3}


def test_latency_is_measured_once_and_also_inside_of_a_trace():
    cost.forget()
    weights = jnp.ones((8, 4), jnp.float32)

    def measured(rate):  # a new function each time, and a traced value that it captures
        return cost.metrics(cost.Predictor(lambda w, x: x @ w * rate, weights), X, ("latency_1", "latency_128"))

    first = jax.jit(measured)(jnp.float32(2))
    again = jax.vmap(measured)(jnp.ones(3, jnp.float32))
    for name, value in first.items():
        assert 0 < value < 1000
        np.testing.assert_array_equal(again[name], np.full(3, value))
    text = str(jax.make_jaxpr(measured)(jnp.float32(2)))
    assert str(float(first["latency_1"])) not in text  # an argument of the program, which stays the same
    cost.forget()
    assert jax.jit(lambda r: measured(r))(jnp.float32(2))["latency_1"] > 0


def test_slower_programs_take_longer():
    w = jnp.zeros((64, 64), jnp.float32)
    few, many = (cost.latency(lambda w, x, n=n: rounds(w, x, n), w, np.zeros((8, 64), np.float32)) for n in (10, 3000))
    assert many > 5 * few


def test_a_search_optimises_costs_of_its_structures():
    x = jax.random.normal(jax.random.key(0), (64, 8))
    data = x, x[:, :3].argmax(axis=1)

    def net(h):
        return linen.Sequential([linen.Dense(h["width"]), linen.relu, linen.Dense(3)])

    task = jaxhpt.FlaxTask(net, lambda h: optax.adam(h["lr"]), train_data=data, valid_data=data, batch_size=32, steps=4)

    def evaluate(state, valid, h):
        found = cost.metrics(cost.predictor(net, h, valid[0]), valid[0], ("parameters", "flops", "latency_128"))
        return {**task.evaluate(state, valid, h), **found}

    space = {"width": jaxhpt.Choice([2, 64], structural=True), "lr": jaxhpt.Float(1e-3, 1e-1, log=True)}
    wanted = {"objectives": {"accuracy": "max", "latency_128": "min"}, "constraints": {"parameters": ("<=", 100)}}
    result = jaxhpt.search(
        task, space, evaluate=evaluate, **wanted, trials=8, lanes=4, algorithm="random", progress=False
    )
    by_width = {}
    for trial in result.trials:
        width, m = trial.hparams["width"], trial.metrics
        assert m["parameters"] == 12 * width + 3
        assert m["flops"] >= 22 * width
        assert trial.feasible == (width == 2)
        by_width.setdefault(width, set()).add(m["latency_128"])
    assert [len(found) for found in by_width.values()] == [1, 1]  # one figure a structure
    assert {trial.hparams["width"] for trial in result.pareto_front()} == {2}


def test_keys_flags_and_whole_numbers_are_drawn_too():
    def function(w, x, key):
        return jnp.where(w["on"], w["table"][x], jax.random.normal(key, (2, 3), jnp.float32))

    table = jnp.zeros((5, 3), jnp.bfloat16).astype(jnp.float32)
    weights = {"on": jnp.ones((2, 3), bool), "table": table}
    assert cost.latency(function, weights, jnp.zeros(2, jnp.int32), jax.random.key(0)) > 0


def test_errors_name_what_is_wrong():
    predict = cost.Predictor(lambda w, x: x @ w, np.zeros((8, 4), np.float32))
    for name in ("flop", "latency", "latency_0", "latency_x"):
        with pytest.raises(ValueError, match=f"names='{name}'"):
            cost.metrics(predict, X, (name,))
    with pytest.raises(TypeError, match="must be several names"):
        cost.metrics(predict, X, "flops")
    with pytest.raises(TypeError, match="must be a Predictor"):
        cost.metrics(lambda w, x: x, X)
    with pytest.raises(TypeError, match="must be a function"):
        cost.Predictor(3, {})
    for model in (3, Net, lambda: None, lambda h: 3):
        with pytest.raises(TypeError, match="must be a linen module"):
            cost.predictor(model, {"width": 3, "rate": 0.1}, X)
    with pytest.raises(TypeError, match="returned int"):
        cost.predictor(lambda h, rngs: 3, {}, X)


def test_a_program_without_loops_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cost.analyse(lambda w, x: rounds(w, x, 2), jnp.zeros((8, 8), jnp.float32), X)
