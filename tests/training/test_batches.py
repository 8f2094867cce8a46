"""The minibatch stream: whole epochs, a pure function of key and tick, weights, and checks of the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import Batch, Float, Int, Space, batch_mean
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.training.batches import Batches, batches_of, check_data

ROOT = jax.random.key(7)


def stream(batches, ticks, interval=1, root=ROOT):
    """Return the row numbers of batches 0 .. ticks - 1, taken in events of `interval` ticks: i32[ticks, B]."""
    rows = jnp.arange(batches.rows, dtype=jnp.int32)

    @jax.jit
    def event(shuffle, start):
        shuffle = batches.seek(shuffle, root, start)
        at = lambda tick: batches.at(shuffle, root, tick, rows)  # noqa: E731
        return shuffle, jax.vmap(at)(start + jnp.arange(interval, dtype=jnp.int32))

    shuffle, parts = batches.start(interval), []
    for start in range(0, ticks, interval):
        shuffle, part = event(shuffle, jnp.int32(start))
        parts.append(np.asarray(part))
    return np.concatenate(parts)[:ticks]


@pytest.mark.parametrize(("rows", "size"), [(12, 4), (13, 4), (7, 1), (9, 9)])
def test_an_epoch_visits_every_row_and_fills_its_last_batch_from_its_beginning(rows, size):
    batches = Batches(rows=rows, size=size)
    assert batches.per_epoch() == -(-rows // size)
    epochs = stream(batches, 3 * batches.per_epoch()).reshape(3, -1)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch[:rows]), np.arange(rows))
        np.testing.assert_array_equal(epoch[rows:], epoch[: len(epoch) - rows])
    assert np.any(epochs[0] != epochs[1])
    assert np.any(epochs[1] != epochs[2])


def test_every_order_of_the_rows_is_as_likely_as_another():
    firsts = stream(Batches(rows=4, size=4), 2400, interval=2400)
    counts = np.stack([np.bincount(column, minlength=4) for column in firsts.T])
    np.testing.assert_allclose(counts, 600, atol=5 * np.sqrt(2400 * 0.25 * 0.75))


@pytest.mark.parametrize("interval", [3, 7])  # both let events straddle the ends of epochs
def test_batches_are_the_same_whatever_the_events_between_them(interval):
    batches = Batches(rows=13, size=4)
    np.testing.assert_array_equal(stream(batches, 16, interval), stream(batches, 16, 1))


def test_a_batch_can_be_had_again_from_its_key_and_tick_alone():
    batches, rows = Batches(rows=13, size=4), jnp.arange(13)
    expected = stream(batches, 16, 1)

    @jax.jit
    def alone(tick):
        return batches.at(batches.seek(batches.start(1), ROOT, tick), ROOT, tick, rows)

    for tick in (15, 3, 8):
        np.testing.assert_array_equal(alone(jnp.int32(tick)), expected[tick])
    assert np.any(stream(batches, 16, 1, root=jax.random.key(8)) != expected)


def test_every_leaf_gives_the_same_rows():
    data = {"x": jnp.arange(20.0).reshape(10, 2), "y": (jnp.arange(10, dtype=jnp.int8),)}
    batches = Batches(rows=10, size=3)
    shuffle = batches.seek(batches.start(1), ROOT, jnp.int32(0))
    batch = batches.at(shuffle, ROOT, jnp.int32(2), data)
    assert batch["y"][0].dtype == jnp.int8
    np.testing.assert_array_equal(batch["x"][:, 0], 2 * batch["y"][0])


def test_a_generator_is_given_the_key_and_the_number_of_its_tick():
    result = jaxhpt.search(
        lambda state, batch, h, key: {"normal": state["normal"] + h["x"] * 0 + batch[0], "tick": batch[1]},
        {"x": jaxhpt.Float(0, 1)},
        init=lambda key, h: {"normal": jnp.zeros(3), "tick": jnp.int32(0)},
        evaluate=lambda state, data, h: state["normal"].sum(),
        batches=lambda key, tick: (jax.random.normal(key, (3,)), tick),
        steps=6, trials=1, seed=7, interval=4, algorithm="random", progress=False,
    )  # fmt: skip
    seen = [jax.random.normal(key_of(ROOT, Stream.BATCH, tick), (3,)) for tick in range(6)]
    np.testing.assert_allclose(result.best_state["normal"], sum(seen), rtol=1e-5)
    assert int(result.best_state["tick"]) == 5


def test_without_data_there_is_no_batch():
    batches = Batches()
    shuffle = batches.seek(batches.start(4), ROOT, jnp.int32(3))
    assert batches.at(shuffle, ROOT, jnp.int32(3), None) is None


def test_a_trial_uses_the_first_rows_of_a_batch_by_its_own_size():
    batches = Batches(rows=20, size=8, column=1)
    batch = batches.share(jnp.arange(8), (jnp.float32(0.1), jnp.int32(3)))
    assert batch.weights.dtype == jnp.float32
    np.testing.assert_allclose(batch.weights, [1 / 3] * 3 + [0] * 5)
    np.testing.assert_array_equal(batch.data, np.arange(8))
    plain = jnp.arange(8)
    assert Batches(rows=20, size=8).share(plain, (jnp.int32(3),)) is plain


@pytest.mark.parametrize("shape", [(8,), (8, 2, 3)])
def test_a_batch_mean_and_its_gradient_are_those_of_the_first_rows(shape):
    x = np.random.default_rng(0).normal(size=shape)

    @jax.jit
    @jax.value_and_grad
    def total(w, own):
        batch = Batches(rows=8, size=8, column=0).share(jnp.asarray(x, jnp.float32), (own,))
        return jnp.sum(batch_mean(jnp.sin(w * batch.data), batch))

    for own in (1, 3, 8):
        value, slope = total(0.7, jnp.int32(own))
        used = x[:own]
        np.testing.assert_allclose(value, np.mean(np.sin(0.7 * used), axis=0).sum(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(slope, np.mean(used * np.cos(0.7 * used), axis=0).sum(), rtol=1e-5, atol=1e-6)


def test_rows_that_are_not_used_may_hold_anything():
    batch = Batch(jnp.arange(3.0), jnp.array([0.5, 0.5, 0.0]))
    values = jnp.array([1.0, 3.0, jnp.nan])
    assert float(batch_mean(values, batch)) == 2.0
    np.testing.assert_array_equal(jax.grad(batch_mean)(values, batch), [0.5, 0.5, 0.0])


def test_without_weights_a_batch_mean_is_the_mean_over_the_rows():
    x = jax.random.normal(jax.random.key(0), (6, 2))
    np.testing.assert_allclose(batch_mean(x, {"any": "batch"}), x.mean(axis=0), rtol=1e-6)


def test_data_without_faults_gives_its_number_of_rows():
    assert check_data("train_data", None) == 0
    assert check_data("train_data", np.zeros(4)) == 4
    assert check_data("train_data", {"x": np.zeros((4, 2)), "y": (np.zeros(4, np.int32), np.ones(4, bool))}) == 4
    assert check_data("train_data", np.array([0.0, np.inf])) == 2


X = np.zeros((4, 2), np.float32)
HOLED = X + np.where(np.arange(8).reshape(4, 2) == 5, np.float32(np.nan), np.float32(0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, X[:3]), r"valid_data: .*same number of rows.*'0': 4, '1': 3"),
        ({"a": X, "b": {"c": X[:1]}}, r"'a': 4, 'b.c': 1"),
        ({"a": X, "b": {"c": HOLED}}, "valid_data leaf b.c: NaN in row 2"),
        (jnp.asarray(HOLED, jnp.bfloat16), "valid_data leaf the value: NaN in row 2"),
        ((), "valid_data=.*arrays"),
        ({}, "valid_data=.*arrays"),
        (X[:0], "valid_data rows=0"),
        ({"a": 3.0}, "valid_data leaf a=3.0.*leading axis"),
        ((X, np.float32(1)), "valid_data leaf 1=.*leading axis"),
    ],
)
def test_faulty_data_is_refused_and_the_leaf_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        check_data("valid_data", data)


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        (np.array(["a", "b", "c", "d"]), TypeError, "strings; must be numbers; for classes take np.unique"),
        (np.array([1, "b", None, {}], object), TypeError, "objects; must be numbers"),
        (np.arange(4).astype("datetime64[D]"), TypeError, "datetime64.*; must be numbers"),
        (np.array([1, 2, 3, 2**31]), ValueError, "int64 values .*more than int32 holds"),
        (np.array([1, 2, 3, 1e300]), ValueError, "float64 values .*more than float32 holds"),
    ],
)
def test_arrays_that_jax_does_not_hold_are_refused_and_the_leaf_is_named(values, kind, message):
    with pytest.raises(kind, match=f"valid_data leaf 1: .*{message}"):
        check_data("valid_data", (X, values))


def plain_space(**dimensions):
    return Space.of({"lr": Float(0, 1), **dimensions})


@pytest.mark.parametrize(
    ("space", "size", "expected"),
    [
        (plain_space(), 4, Batches(10, 4)),
        (plain_space(), 10, Batches(10, 10)),
        (plain_space(), None, Batches(10, 10)),
        (plain_space(batch_size=[2, 8, 4]), 5, Batches(10, 8, column=0)),
        (plain_space(batch_size=Int(1, 9, log=True)), None, Batches(10, 9, column=0)),
    ],
)
def test_the_size_is_that_of_the_space_else_the_argument_else_a_usual_one(space, size, expected):
    assert batches_of(space, np.zeros(10, np.float32), None, size) == expected


def test_a_usual_size_is_no_larger_than_the_data():
    sizes = [batches_of(plain_space(), np.zeros(rows, np.float32), None, None).size for rows in (3, 100_000)]
    assert sizes[0] == 3
    assert 3 < sizes[1] <= 1024


def test_a_generator_or_nothing_needs_no_size():
    def generate(key, tick):
        return tick

    assert batches_of(plain_space(), None, generate, None) == Batches()
    assert batches_of(plain_space(), None, None, None) == Batches()


@pytest.mark.parametrize(
    ("space", "size", "error", "message"),
    [
        (plain_space(), 0, ValueError, "batch_size=0"),
        (plain_space(), 11, ValueError, "batch_size=11.*at most the 10 rows"),
        (plain_space(), 2.0, TypeError, "batch_size=2.0"),
        (plain_space(), True, TypeError, "batch_size=True"),
        (plain_space(batch_size=[4, 16]), None, ValueError, "batch_size=16.*at most the 10 rows"),
        (plain_space(batch_size=Int(0, 4)), None, ValueError, "batch_size'=0: must be at least 1"),
        (plain_space(batch_size=Float(1, 4)), None, ValueError, "batch_size'.*whole numbers"),
        (plain_space(batch_size=["a", "b"]), None, ValueError, "batch_size'.*whole numbers"),
    ],
)
def test_a_batch_size_must_be_a_whole_number_that_fits_the_rows(space, size, error, message):
    with pytest.raises(error, match=message):
        batches_of(space, np.zeros(10, np.float32), None, size)
