"""Which weights are pruned: masks by magnitude, with an exact count under a traced sparsity, and the cubic schedule.

References:
  Han et al., "Learning both weights and connections for efficient neural networks",
  https://arxiv.org/abs/1506.02626 (2015).
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array, PyTree
from jaxhpt.models.leaves import number, per_leaf

Number = Array | float | int


def masks(params: PyTree, sparsity: Any, before: PyTree | None = None) -> PyTree:
    """Magnitude masks: True for the largest weights of each leaf, an exact number of them.

    Of n weights round(sparsity n) are pruned, halves to even, and of equal ones the last. A weight that is NaN counts
    as large, so that a failed training is not hidden.

    Args:
      params: weights: any pytree of arrays, such as linen's params or `nnx.state(model, nnx.Param)`.
      sparsity: share of weights that are pruned, in [0, 1]; may be traced. One number for all matrices, or name ->
        number: "hidden" for the matrices of a part, "hidden.bias" for one array, which may be a vector.
      before: earlier masks of the same tree; what they pruned stays so. None for none.

    Returns:
      A tree of bool arrays; bool[] True for leaves that nothing is said of.

    Raises:
      ValueError: a sparsity that is not in [0, 1], a name of nothing.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> weights = {"kernel": jnp.asarray([[0.1, -3.0], [2.0, 0.2]]), "bias": jnp.zeros(2)}
      >>> jax.jit(masks)(weights, 0.5)["kernel"].tolist()
      [[False, True], [True, False]]
    """
    shares = per_leaf("sparsity", sparsity, params, share)
    leaves, structure = jax.tree.flatten(params)
    old = everything(params) if before is None else before
    kept = [
        mask if wanted is None else largest(leaf, wanted, mask)
        for leaf, wanted, mask in zip(leaves, shares, jax.tree.leaves(old), strict=True)
    ]
    return jax.tree.unflatten(structure, kept)


def largest(weights: Array, sparsity: Number, before: Array | bool = True) -> Array:
    """Mask the largest weights of one array; see `masks`.

    Args:
      weights: [...] any shape.
      sparsity: f32[] in [0, 1].
      before: bool[...] or bool[], what may be kept.

    Returns:
      bool[...].
    """
    size = jnp.abs(weights)
    size = jnp.where(jnp.isnan(size), jnp.asarray(jnp.inf, size.dtype), size)
    word = jnp.dtype(f"uint{8 * size.dtype.itemsize}")
    ranks = jax.lax.bitcast_convert_type(size, word) + jnp.asarray(
        1, word
    )  # floats from 0 on are ordered as their bits
    size = jnp.where(jnp.asarray(before, bool), ranks, jnp.zeros_like(ranks)).reshape(-1)
    wanted = jnp.asarray(sparsity).astype(jnp.float32)
    pruned = jnp.clip(jnp.round(wanted * size.size), 0, size.size).astype(jnp.int32)
    keep = jnp.where(wanted < 1, size.size - pruned, 0)
    bound = _of_rank(size, keep)
    above, equal = size > bound, size == bound
    room = keep - above.sum(dtype=jnp.int32)
    first = jnp.cumsum(equal, dtype=jnp.int32) <= room
    return ((above | (equal & first)) & (size > 0) & (keep > 0)).reshape(weights.shape)


def _of_rank(numbers: Array, rank: Array) -> Array:
    """Return the largest number that so many are not below: unsigned[n], i32[] -> unsigned[].

    It is found bit by bit: a sort of many short arrays takes tens of times as long on a CPU.
    """
    width = 8 * numbers.dtype.itemsize

    def set_bit(i: Array, found: Array) -> Array:
        more = found | jnp.left_shift(jnp.asarray(1, found.dtype), (width - 1 - i).astype(found.dtype))
        return jnp.where((numbers >= more).sum(dtype=jnp.int32) >= rank, more, found)

    return jax.lax.fori_loop(jnp.int32(0), jnp.int32(width), set_bit, jnp.zeros((), numbers.dtype))


def apply(params: PyTree, masks: PyTree) -> PyTree:
    """Set pruned weights to 0.

    Args:
      params: any pytree of arrays.
      masks: of `masks`, of the same tree.
    """
    return jax.tree.map(lambda leaf, mask: jnp.where(mask, leaf, jnp.zeros_like(leaf)), params, masks)


def cubic_sparsity(step: Number, final: Number, begin: Number, end: Number, initial: Number = 0.0) -> Array:
    """Cubic schedule of the sparsity: f32[], fast at first, slow when little is left.

    Args:
      step: of training; may be traced, as all of these.
      final: sparsity from `end` on.
      begin: step at which it begins to rise.
      end: step at which it has risen.
      initial: sparsity up to `begin`.

    References:
      Zhu and Gupta, "To prune, or not to prune: exploring the efficacy of pruning for model compression",
      https://arxiv.org/abs/1710.01878 (2017), equation 1.

    Example:
      >>> [round(float(cubic_sparsity(t, 0.8, 0, 100)), 3) for t in (0, 50, 100)]
      [0.0, 0.7, 0.8]
    """
    now, first, last = (jnp.asarray(t).astype(jnp.float32) for t in (step, begin, end))
    rising = jnp.clip((now - first) / jnp.maximum(last - first, 1.0), 0, 1)
    done = jnp.where(last > first, rising, (now >= last).astype(jnp.float32))
    top, low = (jnp.asarray(s).astype(jnp.float32) for s in (final, initial))
    return top + (low - top) * (1 - done) ** 3


def share(name: str, value: Any) -> Any:
    """Return a share, plain or traced; raise for a plain one that is not in [0, 1]."""
    return number(name, value, "a number in [0, 1]", "a share in [0, 1]", lambda found: 0 <= found <= 1)


def everything(params: PyTree) -> PyTree:
    """Return masks that keep all: bool[] each."""
    return jax.tree.map(lambda leaf: jnp.bool_(True), params)
