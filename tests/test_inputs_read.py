"""Which inputs are read: through every kind of call, loop and branch."""

import jax
import jax.numpy as jnp
import pytest

from jaxhpt.core.jaxprs import inputs_needed, trace


def inputs_read(function, *args):
    """Tell, for each leaf of the inputs, whether any output or effect depends on it."""
    return inputs_needed(trace(function, *args)[0])


A, B, C = (jax.ShapeDtypeStruct((), jnp.float32) for _ in range(3))


@jax.custom_jvp
def double(a, b):
    return 2 * a


@double.defjvp
def _double_jvp(primals, tangents):
    return 2 * primals[0], 2 * tangents[0]


@jax.custom_vjp
def triple(a, b):
    return 3 * a


triple.defvjp(lambda a, b: (3 * a, None), lambda _, g: (3 * g, jnp.zeros(())))


@jax.jit
def first(a, b):
    return jnp.sin(a)


def scan(a, b):
    return jax.lax.scan(lambda carry, _: (carry * a, None), 1.0, length=3)[0]


def scan_over(a, b):
    return jax.lax.scan(lambda carry, x: (carry + x, None), jnp.float32(0), jnp.stack([a, a]))[0]


def while_loop(a, b):
    return jax.lax.while_loop(lambda x: x < a, lambda x: x + 1, 0.0)


def fori_loop(a, b):
    return jax.lax.fori_loop(0, 3, lambda i, x: x * a, 1.0)


def cond(a, b):
    return jax.lax.cond(a > 0, lambda a, b: a, lambda a, b: 2 * a, a, b)


def switch(a, b):
    return jax.lax.switch(1, [lambda a, b: a, lambda a, b: -a], a, b)


READ_THE_FIRST = {
    "plain": lambda a, b: a * 2,
    "the output itself": lambda a, b: a,
    "jit": first,
    "jit in jit": jax.jit(lambda a, b: first(a, b) + 1),
    "relu": lambda a, b: jax.nn.relu(first(a, b)),
    "custom jvp": double,
    "custom vjp": triple,
    "grad": lambda a, b: jax.grad(lambda a: first(a, b) ** 2)(a),
    "grad of custom jvp": lambda a, b: jax.grad(lambda a: jax.nn.relu(a) * double(a, b))(a),
    "grad of custom vjp": lambda a, b: jax.grad(lambda a: triple(a, b) ** 2)(a),
    "vmap": lambda a, b: jax.vmap(first, in_axes=(0, None))(jnp.stack([a, a]), b),
    "scan": scan,
    "scanned over": scan_over,
    "while": while_loop,
    "fori": fori_loop,
    "cond": cond,
    "switch": switch,
    "remat": jax.checkpoint(lambda a, b: jnp.sin(jnp.sin(a))),
    "grad of remat": lambda a, b: jax.grad(jax.checkpoint(lambda a: jnp.sin(jnp.sin(a)) * 2))(a),
    "a part of a scan's carry": lambda a, b: jax.lax.scan(lambda c, _: ((c[0] * a, c[1] * b), None), (a, b), length=2)[
        0
    ][0],
    "a part of what a branch returns": lambda a, b: jax.lax.cond(a > 0, lambda: (a, b), lambda: (-a, b + 1))[0],
    "computed and dropped": lambda a, b: (a * 2, jnp.sin(b) + 1)[0],
    "an unused result of jit": lambda a, b: jax.jit(lambda a, b: (a * 2, b * 3))(a, b)[0],
    "a dropped scan": lambda a, b: (a, jax.lax.scan(lambda c, _: (c * b, None), 1.0, length=2))[0],
}


@pytest.mark.parametrize("name", READ_THE_FIRST)
def test_an_input_that_is_read_is_told_from_one_that_is_not(name):
    function = READ_THE_FIRST[name]
    assert inputs_read(function, A, B) == [True, False]
    assert inputs_read(lambda a, b: function(b, a), A, B) == [False, True]


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: jax.lax.cond(a > 0, lambda: b, lambda: jnp.float32(0)),
        lambda a, b: jax.lax.cond(a > 0, lambda: jnp.float32(0), lambda: b),
        lambda a, b: jax.lax.while_loop(lambda x: x < a, lambda x: x + b, 0.0),
        lambda a, b: jax.lax.scan(lambda c, x: (c * a, x), 1.0, jnp.stack([b, b])),
        lambda a, b: {"loss": a, "other": (jnp.zeros(2), b)},
        lambda a, b: jnp.zeros(3).at[0].set(a) + b,
    ],
)
def test_what_any_branch_any_step_or_any_output_reads_counts(function):
    assert inputs_read(function, A, B) == [True, True]


def test_a_comparison_alone_is_a_reading():
    assert inputs_read(lambda a, b: jnp.where(a > 1, 0.0, 1.0), A, B) == [True, False]


def test_nothing_is_read_by_a_constant():
    assert inputs_read(lambda a, b: jnp.float32(3), A, B) == [False, False]


def test_leaves_are_told_one_by_one_in_their_order():
    read = inputs_read(lambda tree, c: tree["y"][1] * c, {"x": A, "y": (B, C)}, A)
    assert read == [False, False, True, True]


def test_an_input_that_is_only_printed_counts_as_read():
    def show(a, b):
        jax.debug.print("{}", b)
        return a

    assert inputs_read(show, A, B) == [True, True]
