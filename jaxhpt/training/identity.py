"""Functions compared by value, so that a task built twice is one compiled program.

`jax.jit` looks a program up by its static arguments. A closure rebuilt by the same line of code is a new object
each time, and would compile again; here it equals its twin when code, defaults, closure and the globals it reads
are equal. A changed global is a changed function.
"""

import functools
import types
from collections.abc import Callable
from typing import Any


class Pinned:
    """A function, hashable by what it does rather than by where it lies in memory."""

    __slots__ = ("__weakref__", "_hash", "_token", "function")

    def __init__(self, function: Callable) -> None:
        self.function = function
        self._token = _token(function, _home(function), {})
        self._hash = hash(self._token)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        return self.function(*args, **kwargs)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pinned) and self._token == other._token

    def __repr__(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))


class _Same:
    """An object that equals itself alone, and is kept alive while it stands for something."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def _home(function: Any) -> dict | None:
    """Find the globals that are followed: those of the user's own function, under `partial` and decorators."""
    while isinstance(function, functools.partial) or hasattr(function, "__wrapped__"):
        function = function.func if isinstance(function, functools.partial) else function.__wrapped__
    return getattr(function, "__globals__", None)


def _token(value: Any, home: dict | None, seen: dict[int, int]) -> Any:
    if isinstance(value, (types.FunctionType, dict, list)):  # what may be shared, or refer to itself
        if id(value) in seen:
            return ("seen", seen[id(value)])
        seen[id(value)] = len(seen)
    inner = functools.partial(_token, home=home, seen=seen)
    if isinstance(value, types.FunctionType):
        return _function_token(value, home, inner)
    if isinstance(value, types.MethodType):
        return ("method", inner(value.__func__), inner(value.__self__))
    if isinstance(value, functools.partial):
        return ("partial", inner(value.func), inner(value.args), inner(value.keywords))
    if isinstance(value, dict):
        return ("dict", tuple((k, inner(v)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return (type(value), tuple(inner(v) for v in value))
    return _plain_token(value)


def _plain_token(value: Any) -> Any:
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return (type(value), value)  # 1, 1.0 and True are equal, but not the same program


def _function_token(function: types.FunctionType, home: dict | None, inner: Callable) -> Any:
    if function.__globals__ is not home:  # another module's function: one object for the whole process
        return _Same(function) if function.__closure__ is None else _closure_token(function, inner)
    names = sorted(_names(function.__code__) & function.__globals__.keys())
    read = tuple((name, inner(function.__globals__[name])) for name in names)
    return (_closure_token(function, inner), read)


def _closure_token(function: types.FunctionType, inner: Callable) -> Any:
    cells = tuple(inner(_contents(cell)) for cell in function.__closure__ or ())
    return (function.__code__, inner(function.__defaults__), inner(function.__kwdefaults__), cells)


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return None


def _names(code: types.CodeType) -> set[str]:
    nested = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*(_names(c) for c in nested))
