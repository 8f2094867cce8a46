"""The whole search lowers for GPU and TPU on any machine, with no float64 and no call back to the host."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import nnx
from jax import export

import jaxhpt
from jaxhpt.engine.loop import begin, dispatch


class Net(nnx.Module):
    def __init__(self, rate, rngs):
        self.inner = nnx.Linear(64, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = jaxhpt.traced.NnxDropout(rate, rngs=rngs)
        self.outer = nnx.Linear(16, 10, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.dropout(nnx.relu(self.norm(self.inner(x)))))


@pytest.fixture(scope="module")
def finished(digits):
    task = jaxhpt.FlaxTask(
        lambda h, rngs: Net(h["dropout"], rngs),
        lambda h: optax.adamw(jaxhpt.traced.warmup_cosine_decay_schedule(0.0, h["lr"], h["warmup"], 12)),
        train_data=digits[0],
        valid_data=digits[1],
        steps=12,
    )
    space = {
        "lr": jaxhpt.Float(1e-4, 1e-1, log=True),
        "warmup": jaxhpt.Int(1, 5),
        "dropout": jaxhpt.Float(0, 0.5),
        "batch_size": [32, 64],
    }
    return jaxhpt.search(task, space, trials=6, lanes=3, progress=False)


def assert_lowers(program, data, platforms):
    shapes = jax.eval_shape(lambda: begin.call(program, jax.random.key(0)))
    lowered = export.export(jax.jit(dispatch.call, static_argnums=0), platforms=platforms)(
        program, shapes, jax.eval_shape(lambda: data), jax.ShapeDtypeStruct((), jnp.int32)
    )
    text = lowered.mlir_module()
    assert "f64" not in text
    assert "callback" not in text
    assert "stablehlo.while" in text


def test_the_search_lowers(finished):
    assert_lowers(finished._run.program, finished._run.data, ["tpu", "cuda", "cpu"])


BREEDER = jaxhpt.Genetic(population=8)
ALGORITHMS = [
    *(kind() for name, kind in jaxhpt.ALGORITHMS.items() if name != "auto"),  # one of the others
    jaxhpt.Chain(jaxhpt.Grid(points=2), BREEDER),
    jaxhpt.Portfolio(BREEDER, jaxhpt.TPE()),
    jaxhpt.Screen(BREEDER),
    jaxhpt.Refine(BREEDER),
    jaxhpt.GreyGuided(BREEDER),
]


@pytest.fixture(scope="module")
def cheap():
    space = {"x": jaxhpt.Float(0, 1), "n": jaxhpt.Int(1, 9, log=True), "c": [1, 2]}
    return jaxhpt.minimize(lambda h, key: h["x"] * h["n"] + h["c"], space, trials=4, lanes=2, progress=False)._run


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: type(a).__name__)
def test_every_algorithm_lowers(cheap, algorithm):
    study = dataclasses.replace(cheap.program.study, algorithm=algorithm)
    assert_lowers(dataclasses.replace(cheap.program, study=study), cheap.data, ["tpu", "cuda"])
