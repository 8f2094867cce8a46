"""Early, clear errors: each names the argument, its value and the remedy."""

import difflib
import operator
import reprlib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np


def require(condition: bool, name: str, value: Any, remedy: str) -> None:
    """Raise a ValueError that names the argument, its value and what it must be."""
    if not condition:
        raise ValueError(f"{name}={reprlib.repr(value)}: must be {remedy}")


def require_count(name: str, value: Any) -> int:
    """Raise unless `value` is a whole number of at least one, of Python, numpy or JAX; return it as an int."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if isinstance(value, (bool, np.bool_)) or (count == 0 and not hasattr(value, "__index__")):
        raise TypeError(f"{name}={value!r}: must be an int, at least 1")
    require(count >= 1, name, value, "at least 1")
    return count


def suggest(word: str, options: Iterable[str]) -> str:
    """List the options, after the one nearest to a misspelt word."""
    options = sorted(options)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose one of {options}"


def named(kind: str, wanted: Any, known: dict[str, type], protocol: type) -> Any:
    """Return an instance, made from its name where it came as one.

    Raises:
      ValueError: an unknown name.
      TypeError: neither a name nor an instance that follows the protocol.
    """
    if isinstance(wanted, str):
        if wanted not in known:
            raise ValueError(f"{kind}={wanted!r}: unknown; {suggest(wanted, known)}")
        return known[wanted]()
    if isinstance(wanted, type) or not isinstance(wanted, protocol):
        remedy = (
            f"call it: {wanted.__name__}()" if isinstance(wanted, type) else f"a name of {sorted(known)} or an instance"
        )
        raise TypeError(f"{kind}={wanted!r}: must be {remedy}")
    return wanted


def leaf_name(path: tuple) -> str:
    """Name a leaf of a pytree as a person would: `opt.lr`, `0`, or `the value` at the root."""
    return jax.tree_util.keystr(path, simple=True, separator=".") or "the value"
