"""Losses and metrics by name, one value a row, for `FlaxTask`. They compute in float32 at least."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxhpt.core.checks import suggest
from jaxhpt.core.typing import Array
from jaxhpt.training.targets import Fit, fit_binary, fit_classes, fit_numbers, like

LossFn = Callable[..., Array]


def floats(values: Array) -> Array:
    """Return numbers as float32, or as they are where they have more bits: sums of 16 bits lose too much."""
    wide = jnp.issubdtype(values.dtype, jnp.inexact) and jnp.dtype(values.dtype).itemsize >= 4
    return values if wide else values.astype(jnp.float32)


def weighted(values: Array, weights: Array) -> Array:
    """Return values [B, ...] times the weights of their rows, f32[B]; 0 where a weight is, whatever the value."""
    used = weights.astype(values.dtype).reshape(weights.shape + (1,) * (values.ndim - 1))
    return jnp.where(used > 0, values * used, jnp.zeros((), values.dtype))


def _pair(outputs: Array, targets: Array) -> tuple[Array, Array]:
    """Bring both to one dtype by name, as nothing may depend on JAX's rules of promotion."""
    outputs, targets = floats(outputs), floats(targets)
    double = jnp.float64 in (outputs.dtype, targets.dtype)
    return (outputs.astype(jnp.float64), targets.astype(jnp.float64)) if double else (outputs, targets)


def _is_labels(targets: Array) -> bool:
    return jnp.issubdtype(targets.dtype, jnp.integer)


def cross_entropy(outputs: Array, targets: Array) -> Array:
    """Return the cross-entropy of logits [..., V] against labels i32[...] or probabilities [..., V]: f32[...].

    Example:
      >>> round(float(cross_entropy(jnp.zeros((1, 2)), jnp.array([1], jnp.int32))[0]), 4)
      0.6931
    """
    if _is_labels(targets):
        return optax.softmax_cross_entropy_with_integer_labels(floats(outputs), targets)
    return optax.softmax_cross_entropy(*_pair(outputs, targets))


def binary_cross_entropy(outputs: Array, targets: Array) -> Array:
    """Return the cross-entropy of logits [...] against labels in {0, 1} or probabilities [...]: f32[...].

    Example:
      >>> round(float(binary_cross_entropy(jnp.zeros((1, 1)), jnp.array([True]))[0]), 4)
      0.6931
    """
    return optax.sigmoid_binary_cross_entropy(*_pair(like(outputs, targets), targets))


def squared_error(outputs: Array, targets: Array) -> Array:
    """Return the squared error of outputs [...] against targets [...]: f32[...]."""
    outputs, targets = _pair(like(outputs, targets), targets)
    return (outputs - targets) ** 2


def absolute_error(outputs: Array, targets: Array) -> Array:
    """Return the absolute error of outputs [...] against targets [...]: f32[...]."""
    outputs, targets = _pair(like(outputs, targets), targets)
    return jnp.abs(outputs - targets)


def accuracy(outputs: Array, targets: Array) -> Array:
    """Return whether the largest of logits [..., V] is the label i32[...], or that of probabilities: f32[...]."""
    labels = targets.astype(jnp.int32) if _is_labels(targets) else _largest(targets)
    return (_largest(outputs) == labels).astype(jnp.float32)


def _largest(values: Array) -> Array:
    return jax.lax.argmax(values, values.ndim - 1, jnp.int32)


def binary_accuracy(outputs: Array, targets: Array) -> Array:
    """Return whether the sign of logits [...] agrees with the label, 1 or 0: f32[...]."""
    return ((like(outputs, targets) > 0) == (floats(targets) > 0.5)).astype(jnp.float32)


def r2(outputs: Array, targets: Array, weights: Array | None = None) -> Array:
    """Return the coefficient of determination over all rows, or over rows of weights f32[B], of sum 1: f32[]."""
    errors, targets = squared_error(outputs, targets), floats(targets)
    if weights is None:
        residual, mean = jnp.sum(errors), jnp.mean(targets, axis=0, keepdims=True)
        spread = jnp.sum((targets - mean) ** 2)
    else:
        residual, mean = jnp.sum(weighted(errors, weights)), jnp.sum(weighted(targets, weights), axis=0, keepdims=True)
        spread = jnp.sum(weighted((targets - mean) ** 2, weights))
    return (1.0 - residual.astype(jnp.float32) / spread.astype(jnp.float32)).astype(jnp.float32)


class Loss(NamedTuple):
    """A loss with what belongs to it.

    Attributes:
      function: (outputs, targets) -> [B, ...].
      metrics: name -> function (outputs, targets).
      objective: the metric that is optimised.
      fit: makes targets fit to the outputs, or refuses them; None where the user's function knows what they are.
    """

    function: LossFn
    metrics: dict[str, LossFn]
    objective: str
    fit: Fit | None


_ERRORS: dict[str, LossFn] = {"mse": squared_error, "mae": absolute_error, "r2": r2}
LOSSES = {
    "cross_entropy": Loss(cross_entropy, {"accuracy": accuracy, "loss": cross_entropy}, "accuracy", fit_classes),
    "binary_cross_entropy": Loss(
        binary_cross_entropy, {"accuracy": binary_accuracy, "loss": binary_cross_entropy}, "accuracy", fit_binary
    ),
    "mse": Loss(squared_error, _ERRORS, "mse", fit_numbers),
    "mae": Loss(absolute_error, _ERRORS, "mae", fit_numbers),
}


def named_loss(loss: Any) -> Loss:
    """Look a loss up.

    Args:
      loss: a name, or a function.

    Raises:
      ValueError: an unknown name.
      TypeError: neither.
    """
    if callable(loss):
        return Loss(loss, {"loss": loss}, "loss", None)
    remedy = "or give a function (outputs, targets) -> [B], or (outputs, targets, hparams) -> [B]"
    if not isinstance(loss, str):
        raise TypeError(f"loss={loss!r}: must be a name; {suggest('', LOSSES)}, {remedy}")
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r}: unknown; {suggest(loss, LOSSES)}, {remedy}")
    return LOSSES[loss]
