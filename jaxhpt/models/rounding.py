"""Rounding of weights: whole numbers of few bits with a scale for each channel, and gradients that pass."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array, PyTree
from jaxhpt.models.leaves import number, per_leaf

WHOLE = 32
"""Bits that mean: as it is."""
MOST = 8  # bits of the widest whole numbers
Number = Array | float | int


class Quantized(NamedTuple):
    """Weights as whole numbers.

    Attributes:
      values: i8, in the shape of the weights, from -(2^(bits-1) - 1) to 2^(bits-1) - 1.
      scale: f32, [1, ..., channels] or [] for a vector: `values * scale` is near the weights. Its last 16 bits are 0.
    """

    values: Array
    scale: Array


def quantize(weights: Array, bits: Number, clip: Number = 1.0) -> Quantized:
    """Symmetric quantisation of one array: round to the nearest of 2^bits - 1 levels around 0.

    The scale of a channel, the last axis, puts its largest magnitude on the last level. It is rounded up to a float of
    8 bits of precision, which is what a file holds. A vector has one scale.

    Args:
      weights: floats [..., channels], [n] or [].
      bits: 2 to 8; may be traced; held to that range, and rounded.
      clip: share of the largest magnitude that is the last level, in (0, 1]; larger weights are held to it. Below 1 the
        steps are finer, which pays with few bits. May be traced.

    Example:
      >>> import jax.numpy as jnp
      >>> quantize(jnp.asarray([[0.5, -7.0], [1.5, 2.0]]), 4).values.tolist()
      [[2, -7], [7, 2]]
    """
    full = weights.astype(jnp.float32)
    last = _levels(bits)
    axes = tuple(range(full.ndim - 1)) if full.ndim > 1 else None
    most = jnp.max(jnp.abs(full), axis=axes, keepdims=full.ndim > 1, initial=0.0)
    scale = _short(most * jnp.asarray(clip).astype(jnp.float32) / last)
    scale = jnp.where(scale >= jnp.finfo(jnp.float32).tiny, scale, jnp.float32(0))
    steps = jnp.round(full / jnp.where(scale > 0, scale, jnp.float32(jnp.inf)))
    return Quantized(jnp.clip(steps, -last, last).astype(jnp.int8), scale)


def dequantize(weights: Quantized) -> Array:
    """Return the weights that whole numbers stand for: f32, in their shape."""
    return weights.values.astype(jnp.float32) * jnp.broadcast_to(weights.scale, weights.values.shape)


def fake_quantize(params: PyTree, bits: Any, clip: Any = 1.0) -> PyTree:
    """Quantisation-aware training: weights rounded as a file would hold them, gradients as if they were not.

    Args:
      params: weights: any pytree of arrays, such as linen's params or `nnx.state(model, nnx.Param)`.
      bits: 2 to 8, or 32 to leave weights as they are; may be traced. One number for all matrices, or name -> number:
        "hidden" for the matrices of a part, "hidden.bias" for one array, which may be a vector.
      clip: as in `quantize`; one number, or names as in `bits`, 1 for those it has not.

    Returns:
      A tree of the same shapes and dtypes. Weights that are not finite stay so.

    Raises:
      ValueError: bits or a clip out of range, a name of nothing.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> loss = lambda w: (fake_quantize(w, 2) * jnp.asarray([[1.0], [2.0]])).sum()
      >>> w = jnp.asarray([[0.2], [1.0]])
      >>> float(loss(w)), jax.grad(loss)(w).tolist()
      (2.0, [[1.0], [2.0]])
    """
    widths, clips = per_leaf("bits", bits, params, check_bits), clips_of(clip, params)
    leaves, structure = jax.tree.flatten(params)
    new = [
        leaf if width is None else _straight_through(leaf, width, share)
        for leaf, width, share in zip(leaves, widths, clips, strict=True)
    ]
    return jax.tree.unflatten(structure, new)


def check_bits(name: str, value: Any) -> Any:
    """Return a number of bits, plain or traced; raise for a plain one that means nothing."""

    def fits(found: Any) -> bool:
        return found == WHOLE or (2 <= found <= MOST and found == int(found))

    return number(name, value, "a number of bits", "2 to 8, or 32 for none", fits)


def clips_of(clip: Any, params: PyTree) -> list[Any]:
    """Return the clip of each leaf, 1 where none is said."""
    return [1.0 if c is None else c for c in per_leaf("clip", clip, params, _check_clip)]


def is_whole(bits: Number) -> Array:
    """Tell, bool[], whether a number of bits leaves weights as they are."""
    return jnp.asarray(bits).astype(jnp.float32) > MOST


def short_bits(bits: Number) -> Array:
    """Return a number of bits as one that whole numbers can have: i32[] in [2, 8]."""
    return jnp.clip(jnp.round(jnp.asarray(bits).astype(jnp.float32)), 2, MOST).astype(jnp.int32)


def _levels(bits: Number) -> Array:
    """Return the last level: f32[]."""
    return (jnp.left_shift(jnp.int32(1), short_bits(bits) - 1) - 1).astype(jnp.float32)


def _straight_through(weights: Array, bits: Number, clip: Number) -> Array:
    """Round, exactly, with a gradient of 1: what is added is 0."""
    fixed = jax.lax.stop_gradient(weights)
    near = dequantize(quantize(fixed, bits, clip)).astype(weights.dtype)
    near = jnp.where(is_whole(bits) | ~jnp.isfinite(fixed), fixed, near)
    return near + jnp.where(jnp.isfinite(fixed), weights - fixed, jnp.zeros_like(weights))


def _short(scale: Array) -> Array:
    """Round floats of at least 0 up to those whose last 16 bits are 0."""
    words = jax.lax.bitcast_convert_type(scale, jnp.uint32)
    return jax.lax.bitcast_convert_type((words + jnp.uint32(0xFFFF)) & jnp.uint32(0xFFFF0000), jnp.float32)


def _check_clip(name: str, value: Any) -> Any:
    return number(name, value, "a number in (0, 1]", "above 0 and at most 1", lambda found: 0 < found <= 1)
