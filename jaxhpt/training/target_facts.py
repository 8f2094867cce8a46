"""What the values of targets are like: looked at once, on the host, when a task is made."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import leaf_name
from jaxhpt.core.typing import PyTree

SUM_SLACK = 1e-3  # by which their sums may miss 1
SUM_SLACK_16 = 3e-2  # and where they have 16 bits
CLASSES = "numbers; for classes take np.unique(values, return_inverse=True)[1]"


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the values of one set's targets are like.

    Attributes:
      name: of the argument they came in.
      low: the least.
      high: the largest.
      whole: whether all are whole numbers.
      signs: whether only -1 and 1 occur.
      sums: least and largest sum over the last axis; None where there is one axis.
      slack: by which the sums of probabilities may miss 1.
      both_signs: whether -1 and 1 are the labels, seen over all sets together.
    """

    name: str
    low: float
    high: float
    whole: bool
    signs: bool
    sums: tuple[float, float] | None
    slack: float
    both_signs: bool = False

    def __str__(self) -> str:
        kind = "whole numbers" if self.whole else "numbers"
        return f"{kind} from {self.low:g} to {self.high:g}"


@dataclasses.dataclass(frozen=True)
class Unknown:
    """Stands for the facts of targets that are made on the fly, of which only shapes and dtypes are known.

    Attributes:
      name: of the argument that makes them.
      both_signs: as in `Facts`, of the validation data.
    """

    name: str
    both_signs: bool = False


def as_arrays(name: str, data: Any) -> PyTree:
    """Return a pytree whose leaves are numeric arrays [rows, ...]: jax's as they are, others as numpy's.

    Args:
      name: what the data are, for the error.
      data: any pytree of what numpy takes for an array.

    Raises:
      TypeError: numbers in nested lists, or arrays of strings or objects.
      ValueError: a scalar, no rows, or numbers that 32 bits cannot hold.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(data)
    if not leaves:
        raise TypeError(f"{name}={data!r}: must be an array, or a pytree of arrays")
    for path, leaf in leaves:
        _refuse_plain(name, leaf, nested=bool(path))
    return jax.tree.unflatten(treedef, [_array(f"{name} {leaf_name(p)}" if p else name, leaf) for p, leaf in leaves])


def _refuse_plain(name: str, leaf: Any, nested: bool) -> None:
    if isinstance(leaf, (bool, int, float, complex, str, bytes, np.generic)):
        kind = "strings" if isinstance(leaf, (str, bytes)) else "numbers"
        what = f"{kind} in nested lists" if nested else repr(leaf)
        remedy = CLASSES if kind == "strings" else "an array, such as np.asarray(values, np.float32)"
        raise TypeError(f"{name}: {what}; must be {remedy}")


def _array(name: str, leaf: Any) -> Any:
    array: Any = leaf
    if np.ma.is_masked(leaf):
        raise TypeError(f"{name}: a masked array; masks are not looked at: drop or fill the rows first")
    if not isinstance(leaf, jax.Array):
        array = np.asarray(leaf)
        check_kind(name, array)
    if array.ndim == 0 or array.shape[0] == 0:
        raise ValueError(f"{name}: an array of shape {array.shape}; must have a leading axis of rows, at least 1")
    return array


def check_kind(name: str, array: np.ndarray) -> None:
    """Refuse strings and objects, and numbers that JAX would turn into others.

    Raises:
      TypeError: an array of anything but numbers and booleans.
      ValueError: numbers that 32 bits cannot hold.
    """
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
        words = array.dtype.kind in "US" or (array.dtype == object and isinstance(next(array.flat, None), str))
        what = "strings" if words else "objects" if array.dtype == object else f"{array.dtype}"
        remedy = CLASSES if words else "numbers, such as np.asarray(values, np.float32)"
        raise TypeError(f"{name}: an array of {what}; must be {remedy}")
    if array.dtype.kind in "iuf" and array.size and jax.dtypes.canonicalize_dtype(array.dtype) != array.dtype:
        _check_fits(name, array)


def _check_fits(name: str, array: np.ndarray) -> None:
    """Refuse what JAX would turn into another number, or into infinity, without a word."""
    kind: Any = {"i": np.int32, "u": np.uint32, "f": np.float32}[array.dtype.kind]
    limit = np.finfo(kind).max if array.dtype.kind == "f" else np.iinfo(kind).max
    largest = np.max(np.abs(array), where=np.isfinite(array), initial=0) if array.dtype.kind == "f" else None
    low, high = (0, largest) if largest is not None else (int(array.min()), int(array.max()))
    if high > limit or low < -int(limit) - 1:
        raise ValueError(
            f"{name}: {array.dtype} values from {low:g} to {high:g}, more than {kind.__name__} holds; scale them first"
        )


def facts_of(name: str, targets: Any) -> Facts:
    """Look at the values of targets, on the host.

    Args:
      name: of the argument they came in.
      targets: one array [rows, ...].

    Raises:
      TypeError: several arrays, or complex numbers.
      ValueError: NaN or infinity.
    """
    if not hasattr(targets, "dtype"):
        remedy = "one array; for others give loss=... a function (outputs, targets)"
        raise TypeError(f"{name} targets: {type(targets).__name__} of arrays; a loss of that name takes {remedy}")
    if jnp.issubdtype(targets.dtype, jax.dtypes.extended):
        raise TypeError(f"{name} targets: an array of {targets.dtype}; must be numbers")
    values = np.asarray(targets)
    if jnp.issubdtype(values.dtype, jnp.complexfloating):
        raise TypeError(f"{name} targets: {values.dtype}; must be real: give their parts as two columns")
    short = jnp.issubdtype(values.dtype, jnp.floating) and values.dtype.itemsize <= 2
    values = values.astype(np.float32) if short else values.astype(np.uint8) if values.dtype == bool else values
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(np.argwhere(~np.isfinite(values))[0][0])
        raise ValueError(f"{name} targets: NaN or infinity in row {row}; drop or fill such rows first")
    return _facts(name, values, SUM_SLACK_16 if short else SUM_SLACK)


def _facts(name: str, values: np.ndarray, slack: float) -> Facts:
    low, high = float(values.min()), float(values.max())
    whole = values.dtype.kind in "iu" or bool((values == np.round(values)).all())
    signs = whole and {low, high} <= {-1.0, 1.0} and bool((values != 0).all())
    long = values.reshape(values.shape[:1] + without_ones(values.shape[1:]))
    totals = long.sum(-1, dtype=np.float64) if long.ndim > 1 else None
    sums = None if totals is None else (float(totals.min()), float(totals.max()))
    return Facts(name, low, high, whole, signs, sums, slack)


def together(facts: list[Facts]) -> list[Facts]:
    """Let sets of targets know of each other whether -1 and 1 are the labels: one of them may hold 1 alone."""
    both = all(f.signs for f in facts) and any(f.low < 0 for f in facts)
    return [dataclasses.replace(f, both_signs=both) for f in facts]


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its axes of length one."""
    return tuple(n for n in shape if n != 1)
