"""Losses and metrics by name, one value a row, for `FlaxTask`."""

from collections.abc import Callable

import jax.numpy as jnp
import optax

from jaxhpt.checks import suggest
from jaxhpt.typing import Array

LossFn = Callable[[Array, Array], Array]


def cross_entropy(outputs: Array, targets: Array) -> Array:
    """Return the cross-entropy of logits [..., V] against labels i32[...] or probabilities [..., V]: [...]."""
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return optax.softmax_cross_entropy_with_integer_labels(outputs, targets)
    return optax.softmax_cross_entropy(outputs, targets)


def binary_cross_entropy(outputs: Array, targets: Array) -> Array:
    """Return the cross-entropy of logits [...] against labels in {0, 1} or probabilities [...]: [...]."""
    return optax.sigmoid_binary_cross_entropy(like(outputs, targets), targets.astype(outputs.dtype))


def squared_error(outputs: Array, targets: Array) -> Array:
    """Return the squared error: [...]."""
    return (like(outputs, targets) - targets) ** 2


def absolute_error(outputs: Array, targets: Array) -> Array:
    """Return the absolute error: [...]."""
    return jnp.abs(like(outputs, targets) - targets)


def accuracy(outputs: Array, targets: Array) -> Array:
    """Return whether the largest of logits [..., V] is the label: f32[...]."""
    labels = targets if jnp.issubdtype(targets.dtype, jnp.integer) else jnp.argmax(targets, axis=-1)
    return (jnp.argmax(outputs, axis=-1) == labels).astype(jnp.float32)


def binary_accuracy(outputs: Array, targets: Array) -> Array:
    """Return whether the sign of logits [...] agrees with the label: f32[...]."""
    return ((like(outputs, targets) > 0) == (targets > 0.5)).astype(jnp.float32)


def r2(outputs: Array, targets: Array) -> Array:
    """Return the coefficient of determination over all rows: f32[]."""
    residual = jnp.sum(squared_error(outputs, targets))
    return 1.0 - residual / jnp.sum((targets - jnp.mean(targets, axis=0, keepdims=True)) ** 2)


def like(outputs: Array, targets: Array) -> Array:
    """Give outputs the shape of the targets, so that [B, 1] against [B] does not broadcast to [B, B].

    Raises:
      ValueError: another number of entries.
    """
    if outputs.size != targets.size:
        raise ValueError(
            f"the model's outputs {outputs.shape} and the targets {targets.shape} must have as many entries"
        )
    return outputs.reshape(targets.shape)


# name -> (loss, metrics, objective)
LOSSES: dict[str, tuple[LossFn, dict[str, LossFn], str]] = {
    "cross_entropy": (cross_entropy, {"accuracy": accuracy, "loss": cross_entropy}, "accuracy"),
    "binary_cross_entropy": (
        binary_cross_entropy,
        {"accuracy": binary_accuracy, "loss": binary_cross_entropy},
        "accuracy",
    ),
    "mse": (squared_error, {"mse": squared_error, "mae": absolute_error, "r2": r2}, "mse"),
    "mae": (absolute_error, {"mse": squared_error, "mae": absolute_error, "r2": r2}, "mae"),
}


def named_loss(loss: str | LossFn) -> tuple[LossFn, dict[str, LossFn], str]:
    """Look a loss up: the loss, its metrics, and the name of its objective."""
    if callable(loss):
        return loss, {"loss": loss}, "loss"
    if loss not in LOSSES:
        raise ValueError(
            f"loss={loss!r}: unknown; {suggest(loss, LOSSES)}, or give a function (outputs, targets) -> [B]"
        )
    return LOSSES[loss]
