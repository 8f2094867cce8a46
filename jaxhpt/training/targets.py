"""Whether targets fit the loss and the model's outputs: nothing trains on labels that mean something else.

Shapes are looked at when the loss is traced, which is before anything is compiled. What can only mean one thing is
converted, everything else is refused by name.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp

from jaxhpt.core.typing import Array
from jaxhpt.training.target_facts import Facts, Unknown, without_ones

SLACK = 1e-5  # by which probabilities may leave 0..1 through rounding


Fit = Callable[[Array, Array, Facts | Unknown], Array]


def like(outputs: Array, targets: Array) -> Array:
    """Give outputs the shape of the targets, so that [B, 1] against [B] does not broadcast to [B, B].

    Raises:
      ValueError: another number of entries, or the same number in another order.

    Example:
      >>> like(jnp.ones((4, 1)), jnp.ones(4)).shape
      (4,)
    """
    if not _alike(outputs.shape, targets.shape):
        raise ValueError(
            f"the model's outputs {outputs.shape} and the targets {targets.shape} must have as many entries, "
            "in the same order"
        )
    return outputs.reshape(targets.shape)


def _alike(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Tell whether shapes agree but for axes of length one, or for all axes behind the rows being made one."""
    if math.prod(a) != math.prod(b) or a[:1] != b[:1]:
        return a == b
    left, right = without_ones(a[1:]), without_ones(b[1:])
    return left == right or len(left) <= 1 or len(right) <= 1


def _refuse(facts: Facts | Unknown, outputs: Array, targets: Array, loss: str, remedy: str) -> ValueError:
    what = f"{facts}, " if isinstance(facts, Facts) else ""
    shapes = f"of shape {tuple(targets.shape)} for the model's outputs {tuple(outputs.shape)}"
    return ValueError(f"{facts.name} targets: {what}{targets.dtype} {shapes}, do not fit {loss}; {remedy}")


def fit_numbers(outputs: Array, targets: Array, facts: Facts | Unknown) -> Array:
    """Make targets of a regression floats, of as many entries as the outputs: f32[B, ...].

    Raises:
      ValueError: another number of entries.
    """
    if not _alike(outputs.shape, targets.shape):
        remedy = "they must have as many entries: give the model one output for each number of a row's target"
        raise _refuse(facts, outputs, targets, "the loss", remedy)
    return targets if jnp.issubdtype(targets.dtype, jnp.floating) else targets.astype(jnp.float32)


def fit_binary(outputs: Array, targets: Array, facts: Facts | Unknown) -> Array:
    """Make targets of yes or no floats in 0..1: f32[B, ...]. Labels -1 and 1 become 0 and 1.

    Raises:
      ValueError: another number of entries, or values outside 0..1.
    """
    loss = "binary_cross_entropy"
    if not _alike(outputs.shape, targets.shape):
        remedy = "give the model one output for each yes or no, or say loss='cross_entropy' for one class of several"
        raise _refuse(facts, outputs, targets, loss, remedy)
    floating = jnp.issubdtype(targets.dtype, jnp.floating)
    if facts.both_signs and isinstance(facts, Unknown) and floating:
        remedy = "valid_data has -1 and 1, and floats may also be probabilities: make labels whole numbers, or 0 and 1"
        raise _refuse(facts, outputs, targets, loss, remedy)
    if facts.both_signs:
        return (targets > 0).astype(jnp.float32)
    if isinstance(facts, Facts) and not (facts.low >= -SLACK and facts.high <= 1 + SLACK):
        remedy = "give 0 and 1, -1 and 1 alone, booleans, or probabilities"
        raise _refuse(facts, outputs, targets, loss, remedy)
    return targets if floating else targets.astype(jnp.float32)


def fit_classes(outputs: Array, targets: Array, facts: Facts | Unknown) -> Array:
    """Make targets of one class of several labels i32[...], or probabilities f32[..., V].

    Whole numbers of any dtype, booleans and columns [B, 1] become labels, where the shape leaves no doubt.

    Raises:
      ValueError: labels outside 0..V-1, probabilities that are none, or other shapes.
    """
    num = outputs.shape[-1] if outputs.ndim > 1 else 1
    if num < 2:
        remedy = "with one output it is always 0: say loss='binary_cross_entropy', or give the model an output a class"
        raise _refuse(facts, outputs, targets, "cross_entropy", remedy)
    same_rows = outputs.shape[:1] == targets.shape[:1]
    if same_rows and without_ones(targets.shape[1:]) == without_ones(outputs.shape[1:]):
        return _probabilities(outputs, targets, facts)
    if same_rows and without_ones(targets.shape[1:]) == without_ones(outputs.shape[1:-1]):
        return _labels(outputs, targets, facts, num)
    remedy = f"give a label a row, {outputs.shape[:-1]}, or probabilities {outputs.shape}"
    raise _refuse(facts, outputs, targets, "cross_entropy", remedy)


def _labels(outputs: Array, targets: Array, facts: Facts | Unknown, num: int) -> Array:
    floating = jnp.issubdtype(targets.dtype, jnp.floating)
    if isinstance(facts, Unknown) and floating:
        raise _refuse(facts, outputs, targets, "cross_entropy", "make labels whole numbers: .astype(jnp.int32)")
    if isinstance(facts, Facts) and not (facts.whole and facts.low >= 0 and facts.high < num):
        raise _refuse(facts, outputs, targets, "cross_entropy", _labels_remedy(facts, num))
    return targets.astype(jnp.int32).reshape(outputs.shape[:-1])


def _labels_remedy(facts: Facts, num: int) -> str:
    wanted = f"labels must be whole numbers from 0 to {num - 1}, the outputs' last axis"
    if not facts.whole:
        return f"{wanted}; for regression say loss='mse'"
    if facts.low < 0:
        return f"{wanted}; number the classes from 0, and leave entries out by a loss function of your own"
    if facts.low >= 1 and facts.high - facts.low < num:
        return f"{wanted}; subtract {facts.low:g}, or give the model {facts.high + 1:g} outputs"
    return f"{wanted}; give the model {facts.high + 1:g} outputs, or number the classes from 0"


def _probabilities(outputs: Array, targets: Array, facts: Facts | Unknown) -> Array:
    if isinstance(facts, Facts):
        inside = facts.low >= -SLACK and facts.high <= 1 + SLACK
        low, high = facts.sums or (1.0, 1.0)
        if not inside or low < 1 - facts.slack or high > 1 + facts.slack:
            remedy = (
                f"probabilities must be in 0..1 and sum to 1 over the last axis (here {low:g} to {high:g}); "
                "for several labels at once say loss='binary_cross_entropy'"
            )
            raise _refuse(facts, outputs, targets, "cross_entropy", remedy)
    floating = jnp.issubdtype(targets.dtype, jnp.floating)
    return (targets if floating else targets.astype(jnp.float32)).reshape(outputs.shape)
