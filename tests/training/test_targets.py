"""Targets that mean one thing are converted, all others refused by name before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import jaxhpt
from jaxhpt.training import target_facts
from jaxhpt.training.losses import LOSSES

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
HOT = (X[:, 0] > 0).astype(np.int32)
CLASSES = np.arange(12, dtype=np.int32) % 3
SOFT = np.eye(3, dtype=np.float32)[CLASSES] * 0.7 + 0.1
HPARAMS = {"lr": jnp.float32(0.1)}
KEY = jax.eval_shape(lambda: jax.random.key(0))


def task(targets, outputs, loss, valid=None, **options):
    arrays = {"train_data": (X, targets), "valid_data": (X, targets if valid is None else valid)}
    return jaxhpt.FlaxTask(nn.Dense(outputs), lambda h: optax.sgd(h["lr"]), loss=loss, **{**arrays, **options})


def trace(made):
    """Trace all of a task's functions, as a search does before it compiles."""
    state = jax.eval_shape(made.init, KEY, HPARAMS)
    batch = made.train_data
    if batch is None:
        batch = jax.eval_shape(made.batches, KEY, jax.ShapeDtypeStruct((), jnp.int32))
    jax.eval_shape(made.step, state, batch, HPARAMS, KEY)
    return jax.eval_shape(made.evaluate, state, made.valid_data, HPARAMS)


def fitted(loss, outputs, targets):
    """Return the targets that a loss by name sees."""
    facts = target_facts.together([target_facts.facts_of("train_data", targets)])[0]
    return LOSSES[loss].fit(jnp.zeros((12, *outputs)), jnp.asarray(targets), facts)


LABELS = [
    CLASSES,
    CLASSES.astype(np.uint8),
    CLASSES.astype(np.int64),
    CLASSES[:, None],
    CLASSES.astype(np.float32),
    CLASSES[:, None].astype(np.float64),
    jnp.asarray(CLASSES, jnp.bfloat16),
]


@pytest.mark.parametrize("targets", LABELS, ids=lambda t: f"{t.dtype}{list(t.shape)}")
def test_whole_numbers_of_any_dtype_and_columns_of_them_are_labels(targets):
    found = fitted("cross_entropy", (3,), targets)
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, CLASSES)


def test_booleans_are_labels_0_and_1():
    np.testing.assert_array_equal(fitted("cross_entropy", (2,), HOT.astype(bool)), HOT)
    np.testing.assert_array_equal(fitted("binary_cross_entropy", (1,), HOT.astype(bool)), HOT.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.int32, bool, np.float32])
def test_rows_of_zeros_and_a_one_are_probabilities(dtype):
    hot = np.eye(3)[CLASSES].astype(dtype)
    found = fitted("cross_entropy", (3,), hot)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, hot.astype(np.float32))


def test_labels_of_sequences_keep_their_place():
    tokens = np.arange(24).reshape(12, 2)
    np.testing.assert_array_equal(fitted("cross_entropy", (2, 24), tokens), tokens)


@pytest.mark.parametrize("targets", [2 * HOT - 1, (2.0 * HOT - 1)[:, None], HOT, HOT.astype(np.uint8)])
def test_the_binary_loss_takes_signs_and_bits(targets):
    found = fitted("binary_cross_entropy", (1,), targets)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found.ravel(), HOT.astype(np.float32))


def test_signs_are_known_over_both_sets_where_one_holds_a_single_label():
    ones = np.ones(12, np.int32)
    made = task(ones, 1, "binary_cross_entropy", valid=2 * HOT - 1)
    assert made.trainer.train.both_signs
    assert made.trainer.valid.both_signs
    with pytest.raises(ValueError, match=r"valid_data targets: whole numbers from -1 to 1.*binary_cross_entropy"):
        trace(task(HOT, 1, "binary_cross_entropy", valid=2 * HOT - 1))


@pytest.mark.parametrize("loss", ["mse", "mae"])
@pytest.mark.parametrize("targets", [HOT, HOT.astype(bool), HOT.astype(np.uint8), HOT[:, None]])
def test_numbers_of_a_regression_become_floats(loss, targets):
    found = fitted(loss, (1,), targets)
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found.ravel(), HOT.astype(np.float32))


REFUSED = {
    "1..K": (CLASSES + 1, 3, "cross_entropy", "subtract 1, or give the model 4 outputs"),
    "too many": (CLASSES, 2, "cross_entropy", "from 0 to 1.*give the model 3 outputs"),
    "negative": (CLASSES - 1, 3, "cross_entropy", "number the classes from 0"),
    "float 1..K": (CLASSES + 1.0, 3, "cross_entropy", "whole numbers from 1 to 3, float32"),
    "fractions": (CLASSES + 0.5, 3, "cross_entropy", "for regression say loss='mse'"),
    "one output": (HOT, 1, "cross_entropy", "say loss='binary_cross_entropy'"),
    "sums": (SOFT * 2, 3, "cross_entropy", r"sum to 1 over the last axis \(here 2 to 2\)"),
    "several labels": (np.tile(np.int32([1, 0, 1]), (12, 1)), 3, "cross_entropy", "several labels at once"),
    "negative shares": (SOFT + np.float32([0.5, -0.5, 0]), 3, "cross_entropy", "in 0..1"),
    "logits' width": (SOFT, 4, "cross_entropy", r"a label a row, \(12,\), or probabilities \(12, 4\)"),
    "1 and 2": (HOT + 1, 1, "binary_cross_entropy", "give 0 and 1"),
    "-1, 0, 1": (CLASSES - 1, 1, "binary_cross_entropy", "-1 and 1 alone"),
    "two outputs": (HOT, 2, "binary_cross_entropy", "one output for each yes or no"),
    "outputs of mse": (X[:, 0], 3, "mse", "as many entries"),
    "fewer outputs": (X[:, :3], 2, "mae", "as many entries"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_name(case):
    targets, outputs, loss, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"train_data targets: .*{message}"):
        trace(task(targets, outputs, loss))
    good = {"cross_entropy": np.zeros(12, np.int32), "binary_cross_entropy": HOT}.get(loss)
    good = np.zeros((12, outputs), np.float32) if good is None or case == "two outputs" else good
    if case not in ("one output", "two outputs"):
        with pytest.raises(ValueError, match=f"valid_data targets: .*{message}"):
            trace(task(good, outputs, loss, valid=targets))


def test_probabilities_may_miss_their_sum_by_rounding():
    assert trace(task(SOFT + np.float32(1e-6), 3, "cross_entropy"))["accuracy"].shape == ()
    trace(task(jnp.asarray(SOFT, jnp.bfloat16), 3, "cross_entropy"))
    trace(task(np.float32([0.2, 0.7] * 6), 1, "binary_cross_entropy"))


@pytest.mark.parametrize(
    ("targets", "error", "message"),
    [
        (np.array(["cat", "dog"] * 6), TypeError, "train_data targets: an array of strings.*np.unique"),
        (["cat", "dog"] * 6, TypeError, "train_data targets: strings in nested lists.*np.unique"),
        (np.array(["cat", "dog"] * 6, object), TypeError, "train_data targets: an array of strings.*np.unique"),
        (np.ma.masked_array(CLASSES, CLASSES == 1), TypeError, "train_data targets: a masked array"),
        (jax.random.split(jax.random.key(0), 12), TypeError, "train_data targets: an array of key<fry>"),
        (CLASSES.tolist(), TypeError, "train_data targets: numbers in nested lists.*np.asarray"),
        (list(CLASSES), TypeError, "train_data targets: numbers in nested lists.*np.asarray"),
        (CLASSES.astype(object), TypeError, "train_data targets: an array of objects"),
        (CLASSES * 1j, TypeError, "train_data targets: complex128; must be real"),
        ({"a": CLASSES}, TypeError, "train_data targets: dict of arrays.*give loss="),
        (np.where(CLASSES == 1, np.nan, 1.0), ValueError, "train_data targets: NaN or infinity in row 1"),
        (np.where(CLASSES == 2, np.inf, 1.0), ValueError, "train_data targets: NaN or infinity in row 2"),
        (
            CLASSES.astype(np.int64) + 2**40,
            ValueError,
            "train_data targets: int64 values from .* more than int32 holds",
        ),
        (CLASSES * 1e300, ValueError, "train_data targets: float64 values from .* more than float32 holds"),
        (np.int32(3), TypeError, r"train_data targets: np.int32\(3\)"),
        (np.zeros((0, 1)), ValueError, r"train_data targets: an array of shape \(0, 1\)"),
        (CLASSES[:5], ValueError, r"train_data: inputs of \[12\] rows, targets of \[5\]"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused_when_the_task_is_made(targets, error, message):
    for loss in ("cross_entropy", "mse"):
        with pytest.raises(error, match=message):
            task(targets, 3, loss)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (X.tolist(), "inputs: numbers in nested lists"),
        (X.astype(object), "inputs: an array of objects"),
        ({"a": X, "b": X.astype(str)}, "inputs b: an array of strings"),
        (list(X), "a list counts as several arrays: np.stack it"),
        (None, "inputs=None: must be an array"),
    ],
)
@pytest.mark.parametrize("name", ["train_data", "valid_data"])
def test_inputs_that_are_no_arrays_are_refused(name, inputs, message):
    with pytest.raises((TypeError, ValueError), match=f"{name}:? .*{message}" if "list counts" in message else message):
        task(CLASSES, 3, "cross_entropy", **{name: (inputs, CLASSES)})


def test_data_that_replace_others_are_looked_at_too():
    made = task(CLASSES, 3, "cross_entropy")
    space = {"lr": jaxhpt.Float(0.1, 0.2)}
    for name in ("train_data", "valid_data"):
        with pytest.raises(ValueError, match=f"{name} targets: whole numbers from 5 to 7"):
            jaxhpt.search(made, space, trials=2, progress=False, **{name: (X, CLASSES + 5)})


def test_made_labels_are_checked_for_what_is_known_of_them():
    def options(make):
        return {"train_data": None, "batches": lambda key, tick: (jnp.asarray(X), make)}

    trace(task(CLASSES, 3, "cross_entropy", valid=CLASSES, **options(CLASSES[:, None])))
    with pytest.raises(ValueError, match=r"batches targets: float32.*astype\(jnp.int32\)"):
        trace(task(CLASSES, 3, "cross_entropy", valid=CLASSES, **options(jnp.ones(12))))
    trace(task(HOT, 1, "binary_cross_entropy", valid=2 * HOT - 1, **options(2 * HOT - 1)))
    with pytest.raises(ValueError, match=r"batches targets: .*valid_data has -1 and 1"):
        trace(task(HOT, 1, "binary_cross_entropy", valid=2 * HOT - 1, **options(jnp.ones(12))))


def test_a_function_of_ones_own_sees_the_targets_as_they_are():
    seen = {}

    def metric(outputs, targets):
        seen["metric"] = (targets.dtype, targets.shape)
        return jnp.float32(0)

    def loss(outputs, targets):
        seen["loss"] = targets["a"].shape
        return jnp.sum(outputs, axis=1)

    trace(task(CLASSES[:, None].astype(np.float32), 3, "cross_entropy", metrics={"mine": metric}))
    trace(task({"a": CLASSES}, 3, loss))
    assert seen == {"metric": (jnp.float32, (12, 1)), "loss": (12,)}
