"""What is shown is what was given: decoded values have the same bits on the host, on device and in every program."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jaxhpt
from jaxhpt import Bool, Choice, Float, Int, Space
from jaxhpt.core import decoding

repeatable = settings(max_examples=25, deadline=None, derandomize=True, database=None)
sizes = st.builds(lambda m, e: m * 10.0**e, st.floats(1, 9.99), st.integers(-30, 30))
ends = st.tuples(st.one_of(st.just(0.0), sizes, sizes.map(lambda x: -x)), sizes)


def linear(pair):
    low, width = pair
    return Float(low, low + max(width, 1e-3 * abs(low)))


def stepped(low, step, count):
    return Float(low, low + step * count, step=step)


tenths = st.sampled_from([0.1, 0.05, 0.25, 0.3, 1 / 3, 1.0, 1e-3])
floats = st.one_of(
    ends.map(linear),
    st.builds(lambda low, ratio: Float(low, low * (1 + ratio), log=True), sizes, st.floats(1e-3, 1e7)),
    st.builds(stepped, st.integers(-9, 9), tenths, st.integers(1, 2000)),
    st.builds(stepped, st.integers(-99, 99), tenths, st.integers(2048, 200_000)),
)
whole = st.one_of(
    st.builds(lambda low, n, k: Int(low, low + n * k, step=k), st.integers(-9, 9), st.integers(1, 999), st.just(3)),
    st.builds(lambda low, n: Int(low, low + n, log=True), st.integers(1, 999), st.integers(1, 60_000)),
)  # fmt: skip
numbers = st.lists(
    st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False), min_size=1, max_size=9, unique=True
)
KINDS = {
    "linear": Float(-0.1, 0.7),
    "narrow": Float(0.9, 0.9999),
    "log": Float(1e-5, 1e-1, log=True),
    "wide": Float(1e-37, 3e38, log=True),
    "steps": Float(-0.3, 0.3, step=0.1),
    "many": Float(0, 100_000, step=0.1),
    "int": Int(-7, 1000),
    "logint": Int(1, 65_536, log=True),
    "mixed": Choice([0.1, 1, 1e-7]),
    "fall": [0.5, 0.3],
    "flag": Bool(),
}


def units(seed=0, num=400):
    rng = np.random.default_rng(seed)
    hard = [0, 1, -1, 2, 2.0**-24, 1 - 2.0**-24, 2.0**-70, 1e-38]
    return np.concatenate([rng.random(num), 10.0 ** rng.uniform(-12, 0, num), hard]).astype(np.float32)


def assert_same_bits(a, b):
    np.testing.assert_array_equal(np.asarray(a, np.float32).view(np.uint32), np.asarray(b, np.float32).view(np.uint32))


@repeatable
@given(st.one_of(floats, whole, numbers.map(Choice)), st.integers(0, 99))
def test_the_label_is_the_value_to_the_bit(dimension, seed):
    unit = units(seed)
    shown = [np.float32(label) for label in dimension.labels(unit)]
    assert_same_bits(jax.jit(jax.vmap(dimension.value))(unit), shown)
    assert_same_bits(dimension.value(jnp.asarray(unit)), shown)
    assert dimension.value(unit, np).dtype == dimension.value(jnp.asarray(unit)).dtype == dimension.dtype


@repeatable
@given(floats, st.integers(0, 99))
def test_a_label_leads_back_to_where_it_came_from(dimension, seed):
    snapped = np.asarray(dimension.snap(jnp.asarray(units(seed, 20))))
    for unit, label in zip(snapped, dimension.labels(snapped), strict=True):
        again = np.asarray(dimension.snap(jnp.float32(dimension.encode(label))))
        if dimension.levels is None:
            span = np.spacing(np.float32(max(abs(dimension.low), abs(dimension.high)))) / (
                dimension.high - dimension.low
            )
            np.testing.assert_allclose(again, unit, atol=1e-6 + 4 * (0 if dimension.log else span))
        else:
            assert_same_bits(again, unit)


@pytest.mark.parametrize(("low", "high"), [(-3, 7.1), (0, 1), (-1e38, 1e38), (1e6, 1e6 + 20), (1e-37, 1e-30)])
def test_a_linear_range_is_within_two_roundings(low, high):
    unit = units()
    exact = low + (high - low) * np.clip(unit.astype(np.float64), 0, 1)
    rounding = np.spacing(np.float32(max(-low, high)))
    np.testing.assert_allclose(decoding.linear(unit, low, high, np), exact, rtol=0, atol=2 * rounding)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 0.1), (1, 1.001), (3, 4), (0.5, 65536.5), (1.2e-38, 3.4e38)])
def test_a_logarithmic_range_is_near_the_power_that_it_stands_for(low, high):
    unit = np.clip(units(), 0, 1)
    octaves = np.log2(high) - np.log2(low)
    found = decoding.exponential(unit, low, high, np)
    exact = 2.0 ** (np.log2(low) + octaves * unit.astype(np.float64))
    np.testing.assert_allclose(found, exact, rtol=3e-7 + 2.0**-24 * octaves)
    rising = found[np.argsort(unit, kind="stable")]
    assert np.all(np.diff(rising) >= -np.spacing(rising[1:]))


@pytest.mark.parametrize(
    ("low", "high", "levels"), [(0, 1, 11), (-0.3, 0.3, 7), (0, 100_000, 1_000_001), (-100, 100, 200_001)]
)
def test_levels_are_what_a_person_would_write(low, high, levels):
    index = np.unique(np.linspace(0, levels - 1, 20_000).astype(np.int32))
    written = [np.float32(round(low + (high - low) * i / (levels - 1), 6)) for i in index.tolist()]
    assert_same_bits(decoding.stepped(index, low, high, levels, np), written)


def searched():
    """Search a space of every kind: [(shown, given)] of each trial and dimension."""
    space = Space.of(KINDS)
    result = jaxhpt.minimize(
        lambda h, key: {name: h[name] * jnp.float32(1) for name in KINDS}, space,
        algorithm="random", objective="linear", direction="min", trials=64, lanes=16, progress=False,
    )  # fmt: skip
    return [(float(t.hparams[name]), t.metrics[name]) for t in result.trials for name in KINDS]


def test_a_search_shows_the_values_that_the_function_was_given():
    pairs = searched()
    assert len(pairs) == 64 * len(KINDS)
    assert_same_bits(*zip(*pairs, strict=True))


def test_programs_that_fuse_give_the_same_values_and_so_does_x64():
    """As users run it: the other tests leave the compiler's optimisation out."""
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_ENABLE_X64": "1", "JAX_PLATFORMS": "cpu"}
    environment |= {f"JAX_NUMPY_{kind}_PROMOTION": rule for kind, rule in (("DTYPE", "strict"), ("RANK", "raise"))}
    environment["PYTHONPATH"] = os.pathsep.join(["tests/core", "."])
    code = "import json, test_decoding as t; print(json.dumps(t.fused()))"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    assert_same_bits(found, fused())


def fused():
    """Decode each kind in one program, then again with sums and products around it: a list of numbers."""
    space, unit = Space.of(KINDS), units()
    rows = np.repeat(unit[:, None], space.num_dimensions, axis=1)

    def decode(rows):
        return jnp.stack([v.astype(jnp.float32) for v in space.values(space.snap(rows))], axis=-1)

    alone = np.asarray(jax.jit(decode)(rows))
    around = np.asarray(jax.jit(lambda rows: decode(rows * jnp.float32(1) + jnp.float32(0)) * jnp.float32(1))(rows))
    np.testing.assert_array_equal(alone, around)
    shown = np.array(
        [[np.float32(v) for v in row] for row in space.label_rows(np.asarray(space.snap(jnp.asarray(rows))))]
    )
    np.testing.assert_array_equal(alone, shown)
    return alone.ravel().tolist()
