"""Functions known by what they trace to: what makes two of them one program, what does not, and what they compute."""

import argparse
import dataclasses
import functools
import gc
import subprocess
import sys
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxhpt.core.jaxprs import trace

X = jax.ShapeDtypeStruct((3,), jnp.float32)
INPUT = jnp.array([0.5, -1.0, 2.0], jnp.float32)
CONFIG = argparse.Namespace(scale=1.0)
TABLE = [1.0, 2.0]


@jax.jit
def jitted(x):
    return x * CONFIG.scale


def scanned(x):
    return lax.scan(lambda carry, _: (carry * CONFIG.scale, None), x, length=3)[0]


def body(carry, _):
    return carry * CONFIG.scale, None


def module_level_body(x):
    return lax.scan(body, x, length=3)[0]


def step_down(state):
    return state[0] - 1, state[1] * CONFIG.scale


READS_CONFIG = {
    "plain": lambda x: x * CONFIG.scale,
    "jit": jitted,
    "jit in jit": jax.jit(lambda x: jitted(x) + 1),
    "scan": scanned,
    "scan of a function of the module": module_level_body,
    "jit in scan": lambda x: lax.scan(lambda c, _: (jitted(c), None), x, length=2)[0],
    "while": lambda x: lax.while_loop(lambda s: s[0] > 0, step_down, (jnp.int32(3), x))[1],
    "cond": lambda x: lax.cond(x.sum() > 0, jitted, jitted, x),
    "checkpoint": jax.checkpoint(jitted),
    "grad": jax.grad(lambda x: jitted(x).sum()),
    "grad of checkpoint": jax.grad(lambda x: jnp.sin(jax.checkpoint(jitted)(x)).sum()),
    "vmap": jax.vmap(jitted),
    "partial": functools.partial(lambda scale, x: x * scale.scale, CONFIG),
}


def key(function):
    return trace(function, X)[0]


def value(function, x=INPUT):
    traced, constants = trace(function, x)
    return traced(constants, x)


@pytest.mark.parametrize("name", READS_CONFIG)
def test_a_changed_configuration_is_a_changed_function(name, monkeypatch):
    """JAX caches traces by the identity of functions: each of these once gave the old one."""
    function = READS_CONFIG[name]
    before = key(function)
    assert key(function) == before
    monkeypatch.setattr(CONFIG, "scale", 3.0)
    assert key(function) != before
    np.testing.assert_allclose(value(function), jax.jit(lambda x: function(x))(INPUT), rtol=1e-6)
    monkeypatch.setattr(CONFIG, "scale", 1.0)
    assert key(function) == before
    assert hash(key(function)) == hash(before)


@dataclasses.dataclass
class Model:
    scale: float = 1.0

    def run(self, x):
        return x * self.scale

    def __call__(self, x):
        return x * self.scale


def test_an_attribute_a_list_and_a_helpers_global_are_read_anew():
    model, before = Model(), (key(Model().run), key(Model()), key(lambda x: x * TABLE[0]))
    assert (key(model.run), key(model), key(lambda x: x * TABLE[0])) == before
    model.scale = 2.0
    TABLE[0] = 5.0
    try:
        assert key(model.run) != before[0]
        assert key(model) != before[1]
        assert key(lambda x: x * TABLE[0]) != before[2]
    finally:
        TABLE[0] = 1.0


def on_the_host(function):
    return lambda x: jax.pure_callback(function, X, x, vmap_method="sequential")


def holds(where, array):
    return {
        "closure": lambda x: x * array,
        "jit": lambda x: jax.jit(lambda y: y * array)(x),
        "jit in scan": lambda x: lax.scan(lambda c, _: (jax.jit(lambda y: y * array)(c), None), x, length=2)[0],
        "jit in while": lambda x: lax.fori_loop(0, jnp.int32(2), lambda i, c: jax.jit(lambda y: y * array)(c), x),
        "jit in cond": lambda x: lax.cond(x.sum() > 0, jax.jit(lambda y: y * array), lambda y: y, x),
        "jit in checkpoint": jax.grad(lambda x: jnp.sin(jax.checkpoint(jax.jit(lambda y: y * array))(x)).sum()),
        "custom jvp": lambda x: jax.nn.relu(x * array),
        "key": lambda x: x + jax.random.normal(array, (3,)) if array.shape == () else x * array,
    }[where]


@pytest.mark.parametrize("where", ["closure", "jit", "jit in scan", "jit in while", "jit in cond", "jit in checkpoint"])
def test_captured_arrays_are_arguments_wherever_they_stand(where):
    ones, twos = np.ones(3, np.float32), np.full(3, 2, np.float32)
    first, from_ones = trace(holds(where, ones), X)
    second, from_twos = trace(holds(where, twos), X)
    assert first == second
    assert len(from_ones) == 1
    np.testing.assert_allclose(first(from_twos, INPUT), holds(where, twos)(INPUT), rtol=1e-6)
    np.testing.assert_allclose(first(from_ones, INPUT), holds(where, ones)(INPUT), rtol=1e-6)
    longer, _ = trace(lambda x: holds(where, np.ones((1, 3), np.float32))(x[None])[0], X)
    assert longer != first


def test_a_captured_key_is_an_argument_and_one_made_inside_is_a_number():
    first, constants = trace(holds("key", jax.random.key(1)), X)
    assert first == key(holds("key", jax.random.key(2)))
    assert len(constants) == 1
    made = lambda seed: lambda x: x + jax.random.normal(jax.random.key(seed), (3,))  # noqa: E731
    assert key(made(1)) == key(made(1))
    assert key(made(1)) != key(made(2))


@pytest.mark.parametrize(
    "functions",
    [
        (lambda x: {"a": x}, lambda x: {"b": x}),
        (lambda x: (x, x), lambda x: [x, x]),
        (lambda x: jnp.float32(1), lambda x: 1.0),
        (lambda x: x * 0.1, lambda x: x * 0.10000001),
        (lambda x: x.astype(jnp.float16), lambda x: x),
        (on_the_host(lambda y: y * 2), on_the_host(lambda y: y * 3)),
    ],
    ids=["names", "structures", "weak types", "numbers", "dtypes", "host callbacks"],
)
def test_what_the_text_does_not_hold_tells_programs_apart(functions):
    first, second = map(key, functions)
    assert first != second
    assert first == key(functions[0])


class Factor:
    def __init__(self, value):
        self.value = value


def times(factor, y):
    return y * factor.value


def test_what_a_partial_on_the_host_holds_tells_programs_apart():
    one, two = Factor(1.0), Factor(2.0)
    first, second = (key(on_the_host(functools.partial(times, factor))) for factor in (one, two))
    assert first != second
    assert first == key(on_the_host(functools.partial(times, one)))


def test_names_of_inputs_count():
    first, _ = trace(lambda state: state["a"], {"a": X})
    second, _ = trace(lambda state: state["b"], {"b": X})
    assert first != second


FUNCTIONS = {
    "platform": lambda x: lax.platform_dependent(x, cpu=jnp.sin, default=jnp.cos),
    "custom vjp": lambda x: jax.grad(lambda y: jax.scipy.special.logsumexp(y))(x),
    "callback": on_the_host(lambda y: np.asarray(y) + 1),
    "associative scan": lambda x: lax.associative_scan(jnp.add, x),
    "solve": lambda x: jnp.linalg.solve(jnp.eye(3) * 2, x),
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: c * i + x, x),
    "empty scan": lambda x: lax.scan(lambda c, _: (c, None), x, length=0)[0],
    "reverse": lambda x: lax.scan(lambda c, y: (c + y, c), 0.0, x, reverse=True)[1],
    "sort": jnp.sort,
    "random": lambda x: jax.random.permutation(jax.random.key(0), x),
    "map": lambda x: lax.map(jnp.sin, x, batch_size=2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_traced_function_computes_what_the_function_does(name):
    function = FUNCTIONS[name]
    traced, constants = trace(function, X)
    expected = jax.jit(function)(INPUT)
    np.testing.assert_allclose(jax.jit(traced)(constants, INPUT), expected, rtol=1e-6)
    rows = jnp.stack([INPUT, 2 * INPUT])
    many = jax.jit(jax.vmap(traced, in_axes=(None, 0)))(constants, rows)
    np.testing.assert_allclose(many, np.stack([function(row) for row in rows]), rtol=1e-5)


def test_nothing_that_was_captured_stays_alive():
    class Holder:
        array = np.ones(3, np.float32)

    def build(held):
        return lambda x: jax.nn.relu(x * held.array) + jax.jit(lambda y: y * held.array[0])(x)

    holder = Holder()
    alive = weakref.ref(holder)
    traced, constants = trace(build(holder), X)
    del holder, constants
    gc.collect()
    assert alive() is None
    assert traced.jaxpr is not None


PROGRAM = """
import jax, jax.numpy as jnp, numpy as np
from jaxhpt.core.jaxprs import trace
table = np.arange(3, dtype=np.float32)
def f(state):
    noise = jax.random.normal(jax.random.key(0), (3,))
    total = jax.lax.scan(lambda c, x: (jax.nn.relu(c + x * table), None), state["w"] + noise, jnp.ones((2, 3)))[0]
    return {"w": jax.grad(lambda w: jax.checkpoint(jnp.sin)(w).sum())(total)}
digest = trace(f, {"w": jax.ShapeDtypeStruct((3,), jnp.float32)})[0].digest
"""


def test_the_digest_is_the_same_in_another_process():
    here = {}
    exec(PROGRAM, here)
    run = subprocess.run([sys.executable, "-c", PROGRAM + "print(digest)"], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == here["digest"] != ""
