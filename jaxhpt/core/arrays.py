"""Small pure maths and pytree helpers that several rooms share."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.typing import Array, PyTree

P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Let the matrix products of a function be whole float32 on every device.

    Left alone, GPUs and TPUs round their factors to 10 or 7 bits: fine for training, but in a model of trials small
    differences of large numbers decide.

    Args:
      function: of arrays, traced or run.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with jax.default_matmul_precision("highest"):
            return function(*args, **kwargs)

    return run


def select(mask: Array, new: PyTree, old: PyTree) -> PyTree:
    """Take `new` where `mask`, else `old`, along the leading axis of every leaf.

    A `where`, never a gather: on a sharded lane axis it needs no collective.

    Args:
      mask: bool[L].
      new: leaves [L, ...].
      old: leaves [L, ...], as `new`.
    """

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, new, old)


def beside(values: Array | np.ndarray, rows: Array) -> Array:
    """Give values the leading axes that they lack beside rows: f32[D], rows f32[..., D] -> f32[1, ..., D].

    Arrays of unequal rank meet only so under `jax_numpy_rank_promotion="raise"`.
    """
    shape = (1,) * (rows.ndim - values.ndim) + values.shape
    return cast(Array, values.reshape(shape))  # what is numpy stays so


def least_places(values: Array) -> Array:
    """Return the first place of the least value of each row, as `argmin` does, by minima, at which CPUs are faster.

    Args:
      values: f32[N, P].

    Returns:
      i32[N]; the last place where there is a NaN.
    """
    last = values.shape[1] - 1
    least = values == jnp.min(values, axis=1, keepdims=True)
    return jnp.min(jnp.where(least, jnp.arange(last + 1, dtype=jnp.int32), last), axis=1)


def zeros(shapes: PyTree, lanes: int | None = None) -> PyTree:
    """Make zeros for a pytree of `ShapeDtypeStruct`, typed PRNG keys included.

    Args:
      shapes: what `jax.eval_shape` returned.
      lanes: length of a leading axis to add; None adds none.
    """
    lead = () if lanes is None else (lanes,)
    return jax.tree.map(lambda leaf: jnp.zeros(lead + tuple(leaf.shape), leaf.dtype), shapes)


def exclusive_count(mask: Array) -> Array:
    """Number the true entries 0, 1, 2 ... in order.

    Args:
      mask: bool[L].

    Returns:
      i32[L]; the number of true entries before each place.
    """
    return jnp.cumsum(mask, dtype=jnp.int32) - mask.astype(jnp.int32)


def compact(mask: Array) -> Array:
    """Order places so that the true ones come first, each kind in its own order.

    As a stable argsort of the negation, in a tenth of its time on a CPU.

    Args:
      mask: bool[L].

    Returns:
      i32[L] a permutation.
    """
    places = jnp.where(mask, exclusive_count(mask), jnp.sum(mask, dtype=jnp.int32) + exclusive_count(~mask))
    index = jnp.arange(mask.shape[0], dtype=jnp.int32)
    return jnp.zeros_like(index).at[places].set(index, unique_indices=True)


def reflect(x: Array) -> Array:
    """Fold what left [0, 1] back at the end it crossed; what is further out than the range is long ends at the other.

    What is inside keeps its bits.
    """
    return jnp.clip(jnp.where(x > 1.0, 2.0 - x, jnp.abs(x)), 0.0, 1.0)


def leave_bin(moved: Array, x: Array, low: Array, high: Array) -> Array:
    """Lengthen a step of an ordered gene that would stay in its bin to the next bin, inwards at the ends.

    Without it a range of few whole numbers is never left by small steps.

    Args:
      moved: f32[...] where the step leads, in [0, 1].
      x: f32[...] where it began, in [0, 1].
      low: f32[...] lower end of the bin around `x`.
      high: f32[...] its upper end; as `low` where the range is continuous.

    Returns:
      f32[...].
    """
    beyond = 0.4 * (high - low)  # clear of rounding, and still in the next bin, which is 0.46 as wide at worst
    down, up = low - beyond, high + beyond
    falls = jnp.where(moved < x, down >= 0.0, up > 1.0)
    return jnp.where((moved > down) & (moved < up), jnp.where(falls, down, up), moved)
