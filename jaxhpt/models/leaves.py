"""What is said of the leaves of a model: one value for all its matrices, or values by name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.checks import leaf_name, plain, require, suggest
from jaxhpt.core.typing import PyTree


class Leaf(NamedTuple):
    """A leaf of a pytree of weights.

    Attributes:
      path: of `jax.tree_util`.
      name: such as "hidden.kernel"; the "value" that nnx puts at the end of a path is left out.
      value: array.
    """

    path: tuple
    name: str
    value: Any

    @property
    def is_float(self) -> bool:
        """Whether it holds real numbers."""
        return hasattr(self.value, "dtype") and bool(jnp.issubdtype(self.value.dtype, jnp.floating))

    @property
    def is_matrix(self) -> bool:
        """Whether it is what is compressed unless told otherwise: real numbers of two axes or more."""
        return self.is_float and jnp.ndim(self.value) >= 2


def named(tree: PyTree) -> list[Leaf]:
    """Return the leaves of a pytree in its own order, by name."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return [Leaf(_short(path), leaf_name(_short(path)), value) for path, value in found]


def per_leaf(argument: str, given: Any, tree: PyTree, check: Callable[[str, Any], Any]) -> list[Any]:
    """Return what was said of each leaf, in the order of the tree; None where nothing was.

    Args:
      argument: its name, for errors.
      given: one value for all matrices; or name -> value. A name of a leaf is of that leaf, also of a vector; a name
        of a part, such as "hidden" or "layers.0", is of the matrices in it. The longest name that fits counts.
      tree: of arrays.
      check: (label, value) -> the value as it is used, or an error.

    Raises:
      ValueError: a name of nothing, or of a part without matrices.
      TypeError: a name of a leaf that holds no real numbers.
    """
    leaves = named(tree)
    if not isinstance(given, Mapping):
        value = check(argument, given)
        return [value if leaf.is_matrix else None for leaf in leaves]
    values = {name: check(f"{argument}[{name!r}]", value) for name, value in given.items()}
    for name in values:
        _check_name(argument, name, leaves)
    chosen = [_longest(leaf, values) for leaf in leaves]
    return [None if name is None else values[name] for name in chosen]


def _longest(leaf: Leaf, names: Mapping[str, Any]) -> str | None:
    """Return the longest name that a leaf answers to."""
    fitting = [name for name in names if _fits(leaf, name)]
    return max(fitting, key=len, default=None)


def _fits(leaf: Leaf, name: str) -> bool:
    return leaf.name == name or (leaf.is_matrix and leaf.name.startswith(f"{name}."))


def _check_name(argument: str, name: str, leaves: list[Leaf]) -> None:
    exact = [leaf for leaf in leaves if leaf.name == name]
    if exact and not exact[0].is_float:
        raise TypeError(
            f"{argument}[{name!r}]: is of {getattr(exact[0].value, 'dtype', 'no dtype')}; must be an array of floats"
        )
    if any(_fits(leaf, name) for leaf in leaves):
        return
    if any(leaf.name.startswith(f"{name}.") for leaf in leaves):
        own = sorted(leaf.name for leaf in leaves if leaf.name.startswith(f"{name}."))
        raise ValueError(f"{argument}[{name!r}]: has no matrices; name the arrays that are meant: {own}")
    raise ValueError(f"{argument}[{name!r}]: no such part; {suggest(str(name), {leaf.name for leaf in leaves})}")


def _short(path: tuple) -> tuple:
    """Drop the attribute by which nnx holds the array of a variable."""
    last = path[-1] if path else None
    return path[:-1] if isinstance(last, jax.tree_util.GetAttrKey) and last.name == "value" else path


def number(name: str, value: Any, what: str, remedy: str, fits: Callable[[Any], bool]) -> Any:
    """Return a number, plain or traced; raise for a plain one that is none, or does not fit.

    Raises:
      TypeError: no number; it must be `what`.
      ValueError: it must be as `remedy` says.
    """
    found = plain(value)
    if isinstance(found, jax.Array):
        return found
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise TypeError(f"{name}={value!r}: must be {what}, or names with numbers")
    require(fits(found), name, value, remedy)
    return found
