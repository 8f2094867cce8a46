"""Losses and metrics against scikit-learn and numpy in float64."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn import metrics as sk

from jaxhpt.training import losses

B, V = 60, 5
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(B, V)).astype(np.float32) * 3
LABELS = rng.integers(0, V, B).astype(np.int32)
SOFT = softmax(rng.normal(size=(B, V)), axis=1).astype(np.float32)
SCALAR = rng.normal(size=B).astype(np.float32) * 3
BINARY = rng.integers(0, 2, B).astype(np.int32)
REAL = (SCALAR + rng.normal(size=B)).astype(np.float32)


def test_cross_entropy_of_labels_is_the_log_loss():
    found = losses.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(LABELS))
    assert found.shape == (B,)
    expected = sk.log_loss(LABELS, softmax(LOGITS.astype(np.float64), axis=1), labels=range(V))
    np.testing.assert_allclose(found.mean(), expected, rtol=1e-5)


def test_cross_entropy_of_probabilities_is_its_formula():
    found = losses.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(SOFT))
    expected = -np.sum(SOFT * np.log(softmax(LOGITS.astype(np.float64), axis=1)), axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("targets", [BINARY, BINARY.astype(bool), BINARY.astype(np.float32)])
def test_binary_cross_entropy_is_the_log_loss_in_any_dtype_of_the_labels(targets):
    found = losses.binary_cross_entropy(jnp.asarray(SCALAR[:, None]), jnp.asarray(targets))
    assert found.shape == (B,)
    np.testing.assert_allclose(found.mean(), sk.log_loss(BINARY, expit(SCALAR.astype(np.float64))), rtol=1e-5)


def test_cross_entropies_stay_finite_for_huge_logits():
    huge = jnp.array([1e4, -1e4], jnp.float32)
    np.testing.assert_allclose(losses.binary_cross_entropy(huge, jnp.array([0, 1])), [1e4, 1e4])
    np.testing.assert_allclose(losses.cross_entropy(huge[None], jnp.array([1])), [2e4])


def test_squared_and_absolute_errors_are_those_of_scikit_learn():
    squared = losses.squared_error(jnp.asarray(SCALAR), jnp.asarray(REAL))
    absolute = losses.absolute_error(jnp.asarray(SCALAR), jnp.asarray(REAL))
    np.testing.assert_allclose(squared.mean(), sk.mean_squared_error(REAL, SCALAR), rtol=1e-5)
    np.testing.assert_allclose(absolute.mean(), sk.mean_absolute_error(REAL, SCALAR), rtol=1e-5)


@pytest.mark.parametrize("targets", [LABELS, np.eye(V, dtype=np.float32)[LABELS]])
def test_accuracy_is_that_of_scikit_learn_for_labels_and_for_one_hot(targets):
    found = losses.accuracy(jnp.asarray(LOGITS), jnp.asarray(targets))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found.mean(), sk.accuracy_score(LABELS, LOGITS.argmax(axis=1)), rtol=1e-6)


@pytest.mark.parametrize("targets", [BINARY, BINARY.astype(bool), BINARY.astype(np.float32)])
def test_binary_accuracy_is_that_of_scikit_learn(targets):
    found = losses.binary_accuracy(jnp.asarray(SCALAR[:, None]), jnp.asarray(targets))
    assert found.shape == (B,)
    np.testing.assert_allclose(found.mean(), sk.accuracy_score(BINARY, SCALAR > 0), rtol=1e-6)


def test_r2_is_that_of_scikit_learn():
    found = losses.r2(jnp.asarray(SCALAR[:, None]), jnp.asarray(REAL))
    assert found.shape == ()
    np.testing.assert_allclose(found, sk.r2_score(REAL, SCALAR), rtol=1e-5)


def test_r2_of_several_outputs_weighs_them_by_their_variance():
    targets = np.stack([REAL, 5 * REAL + 1], axis=1)
    outputs = np.stack([SCALAR, 4 * SCALAR], axis=1)
    expected = sk.r2_score(targets, outputs, multioutput="variance_weighted")
    np.testing.assert_allclose(losses.r2(jnp.asarray(outputs), jnp.asarray(targets)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    "function", [losses.squared_error, losses.absolute_error, losses.binary_cross_entropy, losses.binary_accuracy]
)
def test_a_column_of_outputs_does_not_broadcast_against_a_row_of_targets(function):
    column, row = jnp.asarray(SCALAR[:, None]), jnp.asarray(BINARY)
    np.testing.assert_array_equal(function(column, row), function(column[:, 0], row))
    with pytest.raises(ValueError, match=r"outputs \(60, 5\) and the targets \(60,\)"):
        function(jnp.asarray(LOGITS), row)


@pytest.mark.parametrize(("outputs", "targets"), [((4, 6), (4, 2, 3)), ((4, 2, 3, 1), (4, 6)), ((4, 1, 3), (4, 3, 1))])
def test_outputs_take_the_shape_of_targets_where_the_order_is_clear(outputs, targets):
    values = jnp.arange(24 if 6 in (*outputs, *targets) else 12, dtype=jnp.float32)
    np.testing.assert_array_equal(losses.like(values.reshape(outputs), jnp.ones(targets)), values.reshape(targets))


@pytest.mark.parametrize(("outputs", "targets"), [((4, 2, 3), (4, 3, 2)), ((2, 3), (3, 2)), ((6,), (2, 3))])
def test_outputs_of_another_order_are_refused_though_their_number_is_right(outputs, targets):
    with pytest.raises(ValueError, match="in the same order"):
        losses.squared_error(jnp.ones(outputs), jnp.ones(targets))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_losses_of_outputs_of_16_bits_are_computed_in_float32(dtype):
    logits, scalar = jnp.asarray(LOGITS, dtype), jnp.asarray(SCALAR, dtype)
    for function, outputs, targets in [
        (losses.cross_entropy, logits, LABELS),
        (losses.cross_entropy, logits, SOFT),
        (losses.accuracy, logits, LABELS.astype(np.uint8)),
        (losses.binary_cross_entropy, scalar, BINARY),
        (losses.squared_error, scalar, REAL),
        (losses.absolute_error, scalar, BINARY.astype(np.uint8)),
        (losses.r2, scalar, REAL),
    ]:
        found = function(outputs, jnp.asarray(targets))
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, function(outputs.astype(jnp.float32), jnp.asarray(targets)), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(losses.LOSSES))
def test_a_named_loss_has_its_objective_among_its_metrics(name):
    loss, measures, objective, fit = losses.named_loss(name)
    assert fit is not None
    assert objective in measures
    outputs, targets = (LOGITS, LABELS) if name == "cross_entropy" else (SCALAR, BINARY.astype(np.float32))
    assert loss(jnp.asarray(outputs), jnp.asarray(targets)).shape == (B,)


def test_a_function_is_a_loss_and_an_unknown_name_is_not():
    function = losses.squared_error
    assert losses.named_loss(function) == (function, {"loss": function}, "loss", None)
    with pytest.raises(ValueError, match=r"loss='msee'.*did you mean 'mse'"):
        losses.named_loss("msee")
