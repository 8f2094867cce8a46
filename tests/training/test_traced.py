"""Schedules against optax's and dropout against Flax's, with plain numbers and with traced ones."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxhpt import traced

COUNTS = jnp.array([0, 1, 2, 3, 5, 9, 10, 11, 20, 50, 99, 100, 101, 1000], jnp.int32)
CASES = [
    ("linear_schedule", {"init_value": 1.0, "end_value": 0.1, "transition_steps": 10}),
    ("linear_schedule", {"init_value": 0.0, "end_value": 2.0, "transition_steps": 7, "transition_begin": 3}),
    ("linear_schedule", {"init_value": 0.5, "end_value": 2.0, "transition_steps": 0}),
    ("linear_schedule", {"init_value": 0.5, "end_value": 2.0, "transition_steps": 4, "transition_begin": -5}),
    ("cosine_decay_schedule", {"init_value": 0.3, "decay_steps": 100}),
    ("cosine_decay_schedule", {"init_value": 0.3, "decay_steps": 10, "alpha": 0.2}),
    ("cosine_decay_schedule", {"init_value": 2.0, "decay_steps": 1, "alpha": 0.1, "exponent": 2.0}),
    ("cosine_decay_schedule", {"init_value": 2.0, "decay_steps": 50, "exponent": 0.5}),
    ("warmup_cosine_decay_schedule", {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 10, "decay_steps": 100}),
    (
        "warmup_cosine_decay_schedule",
        {"init_value": 0.1, "peak_value": 0.8, "warmup_steps": 0, "decay_steps": 20, "end_value": 0.05},
    ),
    (
        "warmup_cosine_decay_schedule",
        {"init_value": 0.1, "peak_value": 0.0, "warmup_steps": 5, "decay_steps": 20, "end_value": 0.05},
    ),
    (
        "warmup_cosine_decay_schedule",
        {"init_value": 0.1, "peak_value": 2.0, "warmup_steps": 9, "decay_steps": 10, "end_value": 0.5, "exponent": 3.0},
    ),
    ("exponential_decay", {"init_value": 1.0, "transition_steps": 10, "decay_rate": 0.5}),
    ("exponential_decay", {"init_value": 1.0, "transition_steps": 5, "decay_rate": 0.9, "transition_begin": 3}),
    ("exponential_decay", {"init_value": 1.0, "transition_steps": 5, "decay_rate": 0.9, "transition_begin": -3}),
    ("exponential_decay", {"init_value": 1.0, "transition_steps": 3, "decay_rate": 0.7, "staircase": True}),
    ("exponential_decay", {"init_value": 1.0, "transition_steps": 10, "decay_rate": 0.5, "end_value": 0.2}),
    ("exponential_decay", {"init_value": 1.0, "transition_steps": 100, "decay_rate": 1.1, "end_value": 2.0}),
]
X = jax.random.normal(jax.random.key(1), (40, 50))


def values(schedule):
    return np.array([schedule(count) for count in COUNTS], np.float64)


@pytest.mark.parametrize(("name", "arguments"), CASES)
def test_a_schedule_is_that_of_optax_at_plain_numbers(name, arguments):
    ours, theirs = (getattr(module, name)(**arguments) for module in (traced, optax.schedules))
    np.testing.assert_allclose(values(ours), values(theirs), rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(ours(5), theirs(5), rtol=2e-6)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_a_schedule_takes_traced_arguments_under_jit_and_vmap(name):
    cases = [arguments for other, arguments in CASES if other == name]
    cases = [c for c in cases if c.keys() == cases[0].keys()] + [{k: v * 2 for k, v in cases[0].items()}]
    stacked = {k: jnp.array([c[k] for c in cases]) for k in cases[0]}

    @jax.jit
    @jax.vmap
    def run(arguments):
        return jax.vmap(getattr(traced, name)(**arguments))(COUNTS)

    expected = [values(getattr(optax.schedules, name)(**case)) for case in cases]
    np.testing.assert_allclose(run(stacked), expected, rtol=5e-6, atol=1e-7)


def test_a_traced_schedule_drives_an_optimizer_as_optax_does():
    def descend(make, steps):
        optimizer = optax.sgd(make(0.4, steps))

        def step(carry, _):
            w, state = carry
            updates, state = optimizer.update(2 * w, state)
            return (optax.apply_updates(w, updates), state), None

        w = jnp.array([1.0, -2.0])
        return jax.lax.scan(step, (w, optimizer.init(w)), length=12)[0][0]

    ours = jax.jit(jax.vmap(functools.partial(descend, traced.cosine_decay_schedule)))(jnp.array([5, 12]))
    theirs = [descend(optax.cosine_decay_schedule, steps) for steps in (5, 12)]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_dropout_keeps_the_mean_and_its_share_of_zeros(rate):
    out = np.asarray(traced.dropout(jax.random.key(0), jnp.ones((200, 200)), rate))
    spread = np.sqrt(rate * (1 - rate) / out.size)
    np.testing.assert_allclose(np.mean(out == 0), rate, atol=5 * spread)
    np.testing.assert_allclose(out[out != 0], 1 / (1 - rate), rtol=1e-6)
    np.testing.assert_allclose(out.mean(), 1.0, atol=5 * spread / (1 - rate))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_rates_0_and_1_are_identity_and_zero_and_have_finite_gradients(dtype):
    x = X.astype(dtype)
    for rate, expected in [(0.0, x), (1.0, jnp.zeros_like(x))]:
        out, back = jax.vjp(lambda x, rate=rate: traced.dropout(jax.random.key(0), x, jnp.float32(rate)), x)
        assert out.dtype == dtype
        assert bool(jnp.all(out == expected))
        np.testing.assert_array_equal(back(jnp.ones_like(x))[0].astype(jnp.float32), 1.0 - rate)


def test_axes_may_share_one_mask():
    out = np.asarray(traced.dropout(jax.random.key(0), jnp.ones((7, 30, 5)), 0.5, broadcast_dims=(0, 2)))
    np.testing.assert_array_equal(out, np.broadcast_to(out[:1, :, :1], out.shape))
    assert set(np.unique(out)) == {0.0, 2.0}


def assert_like_flax(ours, theirs, rate, masks=X.size):
    """Their masks are drawn another way: the same share of zeros, and the same values where both keep."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    both = (ours != 0) & (theirs != 0)
    np.testing.assert_allclose(ours[both], theirs[both], rtol=5e-7)
    for out in (ours, theirs):
        np.testing.assert_allclose(np.mean(out == 0), rate, atol=5 * np.sqrt(rate * (1 - rate) / masks))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.9, 1.0])
def test_dropout_for_linen_is_like_that_of_flax(rate):
    class Key(nn.Module):
        @nn.compact
        def __call__(self):
            return self.make_rng("dropout")

    rngs = {"dropout": jax.random.key(3)}
    ours = traced.LinenDropout(rate, deterministic=False).apply({}, X, rngs=rngs)
    assert_like_flax(ours, nn.Dropout(rate, deterministic=False).apply({}, X, rngs=rngs), rate)
    np.testing.assert_array_equal(ours, traced.dropout(Key().apply({}, rngs=rngs), X, rate))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.9, 1.0])
def test_dropout_for_nnx_is_like_that_of_flax_call_after_call(rate):
    ours, theirs = (kind(rate, rngs=nnx.Rngs(5)) for kind in (traced.NnxDropout, nnx.Dropout))
    keys = nnx.Rngs(5)["dropout"].fork()
    first, second = ours(X), ours(X)
    for out in (first, second):
        assert_like_flax(out, theirs(X), rate)
        np.testing.assert_array_equal(out, traced.dropout(keys(), X, rate))
    assert rate in (0.0, 1.0) or not np.array_equal(first, second)


@pytest.mark.parametrize("axis", [0, 1])
def test_dropout_modules_share_masks_along_axes_as_flax_does(axis):
    settings = {"deterministic": False, "broadcast_dims": (axis,)}
    rngs = {"dropout": jax.random.key(3)}
    pairs = [
        [kind(0.5, **settings).apply({}, X, rngs=rngs) for kind in (traced.LinenDropout, nn.Dropout)],
        [kind(0.5, rngs=nnx.Rngs(5), **settings)(X) for kind in (traced.NnxDropout, nnx.Dropout)],
    ]
    for ours, theirs in pairs:
        assert_like_flax(ours, theirs, 0.5, X.shape[1 - axis])
        for out in (np.asarray(ours), np.asarray(theirs)):
            np.testing.assert_array_equal(out == 0, np.take(out == 0, [0] * X.shape[axis], axis))


@pytest.mark.parametrize("stream", [lambda: nnx.Rngs(2), lambda: nnx.Rngs(2).dropout, lambda: jax.random.key(9)])
def test_dropout_for_nnx_takes_its_randomness_at_the_call_in_every_form(stream):
    source = stream()
    key = source if isinstance(source, jax.Array) else nnx.Rngs(2).dropout()
    np.testing.assert_array_equal(traced.NnxDropout(0.5)(X, rngs=source), traced.dropout(key, X, 0.5))
    assert_like_flax(traced.NnxDropout(0.5)(X, rngs=stream()), nnx.Dropout(0.5)(X, rngs=stream()), 0.5)


def test_deterministic_dropout_does_nothing_and_needs_no_randomness():
    np.testing.assert_array_equal(traced.LinenDropout(0.5).apply({}, X, deterministic=True), X)
    np.testing.assert_array_equal(traced.LinenDropout(0.5, deterministic=True).apply({}, X), X)
    np.testing.assert_array_equal(traced.NnxDropout(0.5)(X, deterministic=True), X)
    module = traced.NnxDropout(0.5, rngs=nnx.Rngs(0))
    module.eval()
    np.testing.assert_array_equal(module(X), X)
    module.train()
    assert np.mean(np.asarray(module(X)) == 0) > 0.3


@pytest.mark.parametrize(
    ("module", "message"),
    [(traced.NnxDropout(0.5), "rngs=None"), (traced.NnxDropout(0.5, deterministic=None), "deterministic=None")],
)
def test_dropout_for_nnx_says_what_is_missing(module, message):
    with pytest.raises(ValueError, match=message):
        module(X)


def test_rates_may_be_traced_one_a_lane():
    rates = jnp.array([0.0, 0.25, 0.5, 1.0])
    key = jax.random.key(3)

    def linen(rate):
        return traced.LinenDropout(rate, deterministic=False).apply({}, X, rngs={"dropout": key})

    def by_nnx(rate):
        return traced.NnxDropout(rate)(X, rngs=key)

    for run in (linen, by_nnx, lambda rate: traced.dropout(key, X, rate)):
        out = np.asarray(jax.jit(jax.vmap(run))(rates))
        for lane, rate in enumerate(rates.tolist()):
            np.testing.assert_array_equal(out[lane] == 0, np.asarray(run(rate)) == 0)
            np.testing.assert_allclose(out[lane], run(rate), rtol=2e-7)


@pytest.mark.parametrize("name", sorted({name for name, _ in CASES}))
def test_schedules_are_float32_under_stricter_settings_for_numbers_of_any_kind(name):
    arguments = next(arguments for other, arguments in CASES if other == name)
    expected = np.array([values(getattr(traced, name)(**arguments))])
    kinds = [
        lambda key, value: jnp.int32(value) if isinstance(value, int) else jnp.float32(value),
        lambda key, value: jnp.bfloat16(value) if value in (0.0, 1.0, 0.5) else jnp.float32(value),
        lambda key, value: value,
    ]
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for kind in kinds:
            schedule = getattr(traced, name)(**{key: kind(key, value) for key, value in arguments.items()})
            found = [jax.jit(schedule)(count) for count in (jnp.asarray(COUNTS), jnp.asarray(COUNTS, jnp.int64))]
            assert {leaf.dtype for leaf in found} == {jnp.dtype(jnp.float32)}
            assert schedule(5).dtype == jnp.float32
            np.testing.assert_allclose(found[0], expected[0], rtol=2e-6, atol=1e-7)
            np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_dropout_runs_under_stricter_settings_and_keeps_the_dtype(dtype):
    plain = traced.dropout(jax.random.key(3), X.astype(dtype), 0.25)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        for rate in (0.25, jnp.float32(0.25), jnp.bfloat16(0.25), jnp.float64(0.25)):
            out = traced.dropout(jax.random.key(3), X.astype(dtype), rate)
            assert out.dtype == dtype
            np.testing.assert_array_equal(np.asarray(out, np.float32), np.asarray(plain, np.float32))
        zeros = traced.dropout(jax.random.key(3), X.astype(dtype), 1)
        assert not np.asarray(zeros, np.float32).any()
