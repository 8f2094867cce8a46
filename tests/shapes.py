"""Shapes and dtypes that docstrings name, held by jaxtyping against what functions are given and return.

`hold` is called before the package is imported: whatever the tests run is checked on the way. A line of a docstring
such as `unit: f32[C, D] snapped settings` is a promise; a letter means one size within a call.
"""

import functools
import importlib.abc
import importlib.machinery
import inspect
import re
import sys
import types
from typing import Any, NamedTuple

import jaxtyping
import numpy as np

KINDS = {
    "f32": jaxtyping.Float32, "f64": jaxtyping.Float64, "i32": jaxtyping.Int32, "i8": jaxtyping.Int8,
    "u32": jaxtyping.UInt32, "bool": jaxtyping.Bool,
}  # fmt: skip
ON_THE_HOST = {"f32": jaxtyping.Float, "i32": jaxtyping.Integer, "i8": jaxtyping.Integer, "u32": jaxtyping.Integer}
SHAPE = rf"({'|'.join(KINDS)})\[((?:[\w+*. ]+, *)*[\w+*. ]*)\]"
ARGUMENT = re.compile(rf"^\s+(\w+): {SHAPE}", re.M)
ANSWER = re.compile(rf"^\s+Returns:\n\s+()?{SHAPE}", re.M)
RETURN = "return"


class Kind(NamedTuple):
    """A type of arrays: on a device, and on the host, where NumPy's own widths may stand."""

    device: Any
    host: Any


def hold(*rooms: str) -> None:
    """Check what the functions of these packages promise, from their import on."""
    sys.meta_path.insert(0, _Finder(rooms))


def promised(function: Any) -> dict[str, Kind]:
    """Return the types that a docstring names: of arguments, and of the answer as "return"."""
    text = function.__doc__ or ""
    found = [
        (name or RETURN, dtype, _sizes(axes)) for name, dtype, axes in ARGUMENT.findall(text) + ANSWER.findall(text)
    ]
    named = {size for _, _, sizes in found for size in sizes}
    return {name: _kind(dtype, sizes, named) for name, dtype, sizes in sorted(found, key=_sums_last)}


def _sizes(axes: str) -> list[str]:
    return [size.strip() for size in axes.split(",") if size.strip()]


def _sums_last(found: tuple[str, str, list[str]]) -> bool:
    return any("+" in size for size in found[2])


def _kind(dtype: str, sizes: list[str], named: set[str]) -> Kind:
    """Return a type; a sum of what is named nowhere else, and one size of several, may be any."""
    known = [set(re.findall(r"[A-Za-z]\w*", size)) <= named and " or " not in size for size in sizes]
    parts = [size.replace(" ", "") if k else "_" for size, k in zip(sizes, known, strict=True)]
    return Kind(*(kinds[Any, " ".join(parts)] for kinds in (KINDS[dtype], ON_THE_HOST.get(dtype, KINDS[dtype]))))


def checked(function: Any) -> Any:
    """Return a function that checks what it promises; itself if it promises nothing."""
    kinds = promised(function)
    if not kinds:
        return function
    signature, name = inspect.signature(function), f"{function.__module__}.{function.__qualname__}"

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with jaxtyping.jaxtyped("context"):
            given = signature.bind(*args, **kwargs).arguments
            for argument in (name for name in kinds if name in given):
                _hold(name, argument, given[argument], kinds[argument])
            answer = function(*args, **kwargs)
            if RETURN in kinds:
                _hold(name, RETURN, answer, kinds[RETURN])
        return answer

    return call


def _hold(function: str, name: str, value: Any, kinds: Kind) -> None:
    kind = kinds.host if isinstance(value, np.ndarray) else kinds.device
    if hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, kind):
        text = f"{value.dtype}{value.shape} is not the {kind.__name__} of its docstring"
        raise AssertionError(f"{function}: {name}: {text}")


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, rooms: tuple[str, ...]) -> None:
        self.rooms = rooms

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if not name.startswith(self.rooms):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def executed(module: types.ModuleType) -> None:
                load(module)
                check(module)

            spec.loader.exec_module = executed  # type: ignore[method-assign]
        return spec


def check(module: Any) -> None:
    """Check the functions and methods of a module from now on."""
    for holder in [module, *(v for v in vars(module).values() if isinstance(v, type))]:
        for name, value in list(vars(holder).items()):
            if isinstance(value, types.FunctionType) and value.__module__ == module.__name__:
                setattr(holder, name, checked(value))
