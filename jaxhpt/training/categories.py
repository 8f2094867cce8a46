"""What a function is given for a choice without numbers: an index that can be compared with the choices themselves.

`h["opt"] == "adam"` is a traced bool, and `jax.lax.switch(h["opt"], ...)` works as with any index.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import plain, suggest
from jaxhpt.core.choice import Choice
from jaxhpt.core.typing import Array

REMEDY = (
    "take jax.lax.switch(index, [function, ...]), or jnp.where(index == value, ...); or say Choice([...], "
    "structural=True), which hands on the value itself, such as an optimizer, and compiles each by itself"
)


def categorical(index: Any, choice: Choice) -> Any:
    """Let an index be compared with the values it stands for.

    Args:
      index: i32[], traced or not.
      choice: without numbers.

    Returns:
      The index, which `==` and `!=` take a value for, too.
    """
    if isinstance(index, jax.core.Tracer):
        fresh = jnp.add(index, jnp.int32(0))  # a tracer of our own: the one at hand may be in use elsewhere
        fresh.__class__ = type("Category", (type(fresh),), {"__slots__": (), **_methods(choice)})
        return fresh
    return type("Category", (np.int32,), _methods(choice))(index)


def _methods(choice: Choice) -> dict[str, Any]:
    """Make the methods of an index that knows its values."""
    values = list(choice.values)

    def place(self: Any, other: Any) -> Any:
        """Return the index of a value; what is a number, or an array of them, as it is."""
        other = plain(other)
        if isinstance(other, (int, float, np.ndarray, jax.Array)) and not isinstance(other, bool):
            return other
        found = choice.find(other)
        if found is None:
            names = suggest(other, values) if {type(v) for v in (*values, other)} == {str} else values
            raise ValueError(f"a hyperparameter is compared with {other!r}, which is none of its choices: {names}")
        return found

    def equal(self: Any, other: Any) -> Any:
        return super(type(self), self).__eq__(place(self, other))

    def unequal(self: Any, other: Any) -> Any:
        return super(type(self), self).__ne__(place(self, other))

    def refuse(what: str) -> Callable:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            raise TypeError(f"a choice of {values} reaches a function as a traced index: it {what}; {REMEDY}")

        return method

    return {
        "__eq__": equal,
        "__ne__": unequal,
        "__hash__": refuse("cannot be the key of a dict, or a member of a set"),
        "__call__": refuse("cannot be called"),
        "__getitem__": refuse("has no parts"),
        "__len__": refuse("has no length"),
        "__iter__": refuse("has no parts"),
    }


_guard = threading.RLock()
_guarded = 0
_usual: dict[str, Any] = {}


@contextlib.contextmanager
def texts_refused() -> Iterator[None]:
    """Refuse to compare traced values with texts, which Python would silently call unequal.

    An index that went through a `jit`, `scan` or `vmap` of the user's own has lost its choices.
    """
    global _guarded
    with _guard:
        if _guarded == 0:
            for name in ("__eq__", "__ne__"):
                _usual[name] = getattr(jax.core.Tracer, name)
                setattr(jax.core.Tracer, name, _refusing(_usual[name]))
        _guarded += 1
    try:
        yield
    finally:
        with _guard:
            _guarded -= 1
            if _guarded == 0:
                for name, usual in _usual.items():
                    setattr(jax.core.Tracer, name, usual)


def _refusing(usual: Callable) -> Callable:
    def compared(self: Any, other: Any) -> Array:
        if isinstance(other, str):
            raise TypeError(
                f"a traced value is compared with the text {other!r}: a choice that was handed to a jit, scan or vmap "
                "of your own is a bare index there; compare outside and hand the bool in, or let the inner function "
                "close over the hyperparameters"
            )
        found: Array = usual(self, other)
        return found

    return compared
