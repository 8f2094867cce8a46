"""What may be a value of a Choice, and what makes two values the same one."""

import dataclasses
import math
import numbers
import re
from collections.abc import Iterable, Mapping, Set
from typing import Any

import numpy as np

from jaxhpt.core.checks import Settings, plain, require
from jaxhpt.core.decoding import TINY
from jaxhpt.core.showing import shown

MIXED = (
    "all numbers, or none: others reach the function as their index; write a number for them too, such as 0.0 for "
    "None or False, or give the numbers a name of their own: {'on': Bool(), 'rate': When('on', True, [0.1, 0.5])}; or "
    "say Choice([...], structural=True), which hands each value on as it is"
)


ADDRESS = re.compile(" at 0x[0-9a-fA-F]+")  # where a value lies in memory names nothing


@dataclasses.dataclass(frozen=True)
class Named:
    """What stands for a value that is no plain data, such as a function, where it was read or pickled.

    Attributes:
      name: how it was shown.
      place: tells values of one name apart.
    """

    name: str
    place: int = 0

    @property
    def __name__(self) -> str:
        """The name, as the value itself had it."""
        return self.name

    def __repr__(self) -> str:
        return self.name


class Part(Settings):
    """A part of a space: it stands for values, and is none itself."""


def is_part(value: Any) -> bool:
    """Tell whether a value is a dimension, a `When` or a space, or the class of one."""
    return isinstance(value, Part) or (isinstance(value, type) and issubclass(value, Part))


def is_number(value: Any) -> bool:
    """Tell whether a value is an int or a float, and no boolean."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_values(values: Any, mixed: bool = False) -> tuple:
    """Return the values of a choice as plain Python; numbers may stand beside other things where `mixed`.

    Raises:
      TypeError, ValueError: as `Choice`.
    """
    single = not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0 or is_part(values)
    if single or isinstance(values, str | bytes | Mapping | Set):
        why = "; its order would differ from run to run" if isinstance(values, Set) else f", such as [{values!r}]"
        raise TypeError(f"Choice values={values!r}: must be a list of values{why}")
    found = tuple(plain(v) for v in values)
    require(len(found) > 0, "Choice values", list(found), "at least one value")
    for value in found:
        _check_value(value, found)
    numeric = _all_numbers(found, mixed)
    require(len(set(found)) == len(found), "Choice values", list(found), "distinct")
    if numeric:
        _check_held(list(found))
    return found


def written(value: Any) -> str:
    """Write a value that is no plain data, such as a function, as `Named` has it."""
    return value.name if isinstance(value, Named) else ADDRESS.sub("", shown(value))


def lacks(value: Any) -> bool:
    """Tell whether a value is a name that was read back, or holds one."""
    return isinstance(value, Named) or (isinstance(value, tuple) and any(map(lacks, value)))


def alike(own: Any, other: Any) -> bool:
    """Tell whether two values are equal, or one of them is the other's name, as it was read back.

    Example:
      >>> alike(("act", Named("abs")), ("act", abs)), alike(Named("abs"), "abs")
      (True, False)
    """
    if isinstance(own, tuple) and isinstance(other, tuple):
        return len(own) == len(other) and all(map(alike, own, other))
    if not (lacks(own) or lacks(other)):
        return bool(own is other or own == other)
    plain_one = any(value is None or isinstance(value, bool | int | float | str) for value in (own, other))
    return not plain_one and written(own) == written(other)


def marked(value: Any) -> Any:
    """Return what is equal where values are so in type and to the bit: 1, 1.0 and True are not, nor 0.0 and -0.0."""
    kind = type(value)
    if isinstance(value, float):
        return kind, value.hex()
    if isinstance(value, np.generic):
        return kind, value.dtype, value.tobytes()
    if isinstance(value, tuple):
        return kind, tuple(marked(v) for v in value)
    if isinstance(value, frozenset):
        return kind, frozenset(marked(v) for v in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return kind, value, tuple(marked(getattr(value, f.name)) for f in dataclasses.fields(value) if f.compare)
    return kind, value


def _check_value(value: Any, values: tuple) -> None:
    if part := _part_in(value):
        remedy = "a range is no value; give each a name in a dict, or write a tuple for several values"
        raise TypeError(f"Choice values: {part!r} stands in a list, which means a choice between its values; {remedy}")
    try:
        hash(value)
    except TypeError as error:
        remedy = "each must be hashable; write a list as a tuple, a dict as its name"
        raise TypeError(f"Choice values={shown(list(values))}: {remedy}") from error


def _part_in(value: Any) -> Any:
    """Return the part of a space that a value is or holds; None where there is none."""
    if is_part(value):
        return value
    held = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return next((part for v in held if (part := _part_in(v)) is not None), None)


def _all_numbers(values: tuple, mixed: bool) -> bool:
    """Tell whether all values are numbers, or none is."""
    found = [v for v in values if isinstance(v, numbers.Number) and not isinstance(v, bool)]
    if not found or (mixed and not all(is_number(v) for v in values)):
        return False
    if len(found) < len(values):
        raise TypeError(f"Choice values={shown(list(values))}: must be {MIXED}")
    if not all(is_number(v) for v in found):
        raise TypeError(f"Choice values={shown(list(values))}: must be int or float where they are numbers")
    return True


def _check_held(values: list) -> None:
    whole = [v for v in values if isinstance(v, int)]
    require(all(abs(v) < 2**31 for v in whole), "Choice values", whole, "within int32")
    if len(whole) < len(values):
        _check_float32(values)


def _check_float32(values: list) -> None:
    require(all(math.isfinite(v) for v in values), "Choice values", values, "finite; take a large number for infinity")
    with np.errstate(over="ignore"):
        held = np.array(values, np.float64).astype(np.float32)
    near = [v for v, h in zip(values, held, strict=True) if not np.isfinite(h) or (v != 0 and abs(h) < TINY)]
    require(not near, "Choice values", near, "within float32, or 0; choose the exponent, or another unit")
    lost = [v for v, h in zip(values, held, strict=True) if isinstance(v, int) and int(h) != v]
    require(not lost, "Choice values", lost, "at most 2**24 where others are not whole, as float32 has no more digits")
    apart = len(np.unique(held)) == len(held)
    require(apart, "Choice values", values, "numbers that float32 tells apart: 7 digits; search the difference instead")
