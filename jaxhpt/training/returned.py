"""What the user's functions return: metrics that are real scalars, and a state that stays as `init` made it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import leaf_name
from jaxhpt.core.metrics import SCALAR
from jaxhpt.core.spread import Spread
from jaxhpt.core.typing import Array, PyTree
from jaxhpt.training.calling import no_array

NUMBERS = (bool, int, float, complex, np.generic, np.ndarray, jax.Array)


class Reduced(NamedTuple):
    """What an evaluation returns that stands for several.

    Attributes:
      metrics: name to f32[], each reduced to one number.
      derived: name to f32[], what is told beside these, such as their spreads.
      unnamed: whether the only metric came without a name.
      models: how many it stands for.
      spreads: those of the derived that tell how noisy a metric is.
    """

    metrics: dict[str, Array]
    derived: dict[str, Array]
    unnamed: bool
    models: int
    spreads: tuple[Spread, ...] = ()


def named_metrics(metrics: Any, function: str) -> dict[str, Array]:
    """Check metrics, a number or a dict of them, and return them by name, sorted: f32[] each.

    Args:
      metrics: what the function returned.
      function: its name, for the error.

    Raises:
      TypeError: nothing, an empty dict, a name that is no text, or what is no real scalar.
    """
    if metrics is None:
        raise TypeError(f"{function} returned None: must return a scalar, or a dict of them; is `return` missing?")
    named = metrics if isinstance(metrics, Mapping) else {SCALAR: metrics}
    if not named:
        raise TypeError(f"{function} returned an empty dict: must return a scalar, or a dict of them")
    for name in named:
        if not isinstance(name, str):
            raise TypeError(f"{function} metric {name!r}: names of metrics must be texts")
    whats = {name: f"{function} metric {name!r}" if isinstance(metrics, Mapping) else function for name in named}
    return {name: _scalar(whats[name], named[name]) for name in sorted(named)}


def _scalar(what: str, leaf: Any) -> Array:
    if not isinstance(leaf, NUMBERS):
        raise TypeError(f"{what}: must be a scalar, not {type(leaf).__name__}; a dict of metrics must be flat")
    if np.shape(leaf) != ():
        raise TypeError(f"{what}: must be a scalar, not of shape {np.shape(leaf)}; take a mean over the rows")
    array = jnp.asarray(leaf)
    if not jnp.issubdtype(array.dtype, np.number) and array.dtype != bool:
        raise TypeError(f"{what}: must be a number, not {array.dtype}")
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise TypeError(f"{what}: must be real, not {array.dtype}; take jnp.abs or .real")
    return array.astype(jnp.float32)


def same_structure(a: PyTree, b: PyTree) -> bool:
    """Tell whether two pytrees have one structure."""
    left: Any = jax.tree.structure(a)
    return bool(left == jax.tree.structure(b))


def strong(tree: PyTree) -> PyTree:
    """Drop weak types: a Python number in a state would otherwise change the type of the loop's carry."""
    return jax.tree.map(lambda a: jax.lax.convert_element_type(a, jnp.asarray(a).dtype) if _is_weak(a) else a, tree)


def _is_weak(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float, complex)) or bool(getattr(leaf, "weak_type", False))


def made_state(state: PyTree) -> PyTree:
    """Check that what `init` returned is arrays, and return it with strong types.

    Raises:
      TypeError: a leaf that is no array; its place is given.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if not isinstance(leaf, NUMBERS):
            raise no_array("init", f"{type(leaf)} at {jax.tree_util.keystr(path)}")
    return strong(state)


def stepped_state(state: PyTree, out: Any) -> PyTree:
    """Check what a step returned, a state or (state, anything), and return the state with strong types.

    Raises:
      TypeError: another structure, shape or dtype than the state had.
    """
    if not same_structure(out, state) and isinstance(out, tuple) and len(out) == 2:
        out = out[0]
    check_state(state, out)
    return strong(out)


def check_state(state: PyTree, out: PyTree) -> None:
    """Raise a TypeError unless a step returned a state of the structure, shapes and dtypes that it was given."""
    if not same_structure(out, state):
        raise TypeError(f"train_step must return a state of the structure that init made; {_difference(state, out)}")
    pairs = zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(out), strict=True)
    for (path, before), after in pairs:
        shape, dtype = np.shape(after), jnp.asarray(after).dtype
        if before.shape != shape or before.dtype != dtype:
            change = f"from {before.dtype}{list(before.shape)} to {dtype}{list(shape)}"
            raise TypeError(
                f"train_step changes the leaf {leaf_name(path)!r} of its state {change}; keep it as init made it"
            )


def _difference(state: PyTree, out: PyTree) -> str:
    if out is None:
        return "it returned None: is `return` missing?"
    before = {leaf_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(state)}
    after = {leaf_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(out)}
    missing, new = sorted(before - after), sorted(after - before)
    if missing or new:
        return f"missing leaves {missing}, new leaves {new}"
    return f"init made {jax.tree.structure(state)}, train_step returned {jax.tree.structure(out)}"
