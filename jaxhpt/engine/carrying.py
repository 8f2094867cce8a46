"""What a search needs to go on later, bit for bit, in another process: its arrays on the host, and facts in words."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.keys import bare, is_key
from jaxhpt.core.typing import PyTree


class Carried(NamedTuple):
    """A search between two dispatches.

    Attributes:
      arrays: leaves, copies on the host; keys as their data, and of dtypes that numpy has not as bytes.
      facts: what is not in arrays, as JSON has it.
      moved: where settings lie in a space that was widened since, f32[n, D] -> f32[n, D]; None where it was not.
    """

    arrays: list[np.ndarray]
    facts: dict[str, Any]
    moved: Callable[[np.ndarray], np.ndarray] | None = None


class DoesNotFitError(ValueError):
    """Arrays are not those of this search."""


def is_native(dtype: Any) -> bool:
    """Tell whether numpy itself has a dtype of numbers, as others read and write it: bfloat16 and keys are not so."""
    return isinstance(dtype, np.dtype) and dtype.kind in "biufc" and dtype.type.__module__ == "numpy"


def on_host(tree: PyTree) -> list[np.ndarray]:
    """Copy the leaves of a tree to the host: what they are copied from may be given away."""
    leaves = jax.device_get([bare(leaf) for leaf in jax.tree.leaves(tree)])
    return [np.array(_native(np.asarray(leaf))) for leaf in leaves]


def onto(like: PyTree, arrays: list[np.ndarray]) -> PyTree:
    """Put arrays back into a tree, each where a leaf of `like` lies.

    Args:
      like: arrays or their shapes.
      arrays: as `on_host` made them of such a tree.

    Raises:
      DoesNotFitError: other arrays.
    """
    leaves, structure = jax.tree.flatten(like)
    if len(leaves) != len(arrays):
        raise DoesNotFitError(f"{len(arrays)} arrays for {len(leaves)} leaves")
    return jax.tree.unflatten(structure, [_put(*pair) for pair in zip(leaves, arrays, strict=True)])


def _native(array: np.ndarray) -> np.ndarray:
    """Return an array of a dtype that numpy itself has: of others, such as bfloat16, the bytes, along the last axis."""
    if is_native(array.dtype):
        return array
    return np.ascontiguousarray(array).reshape(*array.shape, 1).view(np.uint8)


def _put(like: Any, array: np.ndarray) -> jax.Array:
    shapes = jax.eval_shape(jax.random.key_data, like) if is_key(like) else like
    dtype = np.dtype(shapes.dtype)
    native = is_native(dtype)
    wanted = (dtype, shapes.shape) if native else (np.dtype(np.uint8), (*shapes.shape, dtype.itemsize))
    if (array.dtype, array.shape) != wanted:
        raise DoesNotFitError(f"{array.dtype}{list(array.shape)} in the place of {wanted[0]}{list(wanted[1])}")
    found: Any = array if native else array.view(dtype).reshape(shapes.shape)
    if not native and jnp.issubdtype(dtype, jnp.integer):
        return _packed(jnp.array(found.astype(np.int8)), dtype)
    found = jnp.array(found, dtype)  # a copy: what is on the host may be given away, too
    if is_key(like):
        found = jax.random.wrap_key_data(found, impl=jax.random.key_impl(jnp.zeros((), like.dtype)))
    place = getattr(like, "sharding", None)
    placed: jax.Array = found if place is None else jax.device_put(found, place)
    return placed


def _packed(array: jax.Array, dtype: Any) -> jax.Array:
    """Make whole numbers of four bits or two, which lie as programs want them only where a program has made them."""
    found: jax.Array = jax.jit(lambda a: a.astype(dtype)).lower(array).compile()(array)
    return found
