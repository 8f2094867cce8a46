"""Choice and Bool: dimensions of a few values."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import plain, switch
from jaxhpt.core.dimension import Dimension, settle_belief, write_fields
from jaxhpt.core.showing import apart, shown
from jaxhpt.core.values import alike, check_values, is_number, lacks, marked


@dataclasses.dataclass(frozen=True)
class Choice(Dimension):
    """One of several values. A plain list in a space means the same.

    Numbers decode to the number (int32, or float32 where one is not whole), booleans to the boolean; values of which
    none is a number decode to the index, for `jax.lax.switch`. Results always show the value itself. Rising or falling
    numbers are ordered: searchers step from one to the next.

    Args:
      values: a list of at least one value; hashable and distinct.
      structural: whether the functions get the value itself, as plain Python: a width for a shape, a text for an `if`,
        a function, a class. Each value is then a program of its own; few are best.
      near: the value that you believe to be best, as of `Float`; a value None cannot be believed in.
      trust: as of `Float`.

    Raises:
      ValueError: no value, a duplicate, numbers that int32 or float32 do not hold or tell apart, or a belief in what is
        no value.
      TypeError: no list, a value that is not hashable, a range or a space as a value, or numbers beside other things
        where the choice is not structural.

    Example:
      >>> Choice(["adam", "lion"]).label(0.9)
      'lion'
    """

    values: tuple
    structural: bool = dataclasses.field(default=False, repr=False)
    marks: tuple = dataclasses.field(init=False, repr=False)  # tells 1, 1.0 and True apart
    near: Any = dataclasses.field(default=None, repr=False)
    trust: str | None = dataclasses.field(default=None, repr=False)

    def __init__(
        self, values: Any, *more: Any, structural: bool = False, near: Any = None, trust: str | None = None
    ) -> None:
        if more:
            raise TypeError(f"Choice values={(values, *more)!r}: must be one list, as in Choice([...])")
        plain_values = switch("Choice structural", structural, "must be True or False")
        given = check_values(values, mixed=plain_values)
        write_fields(self, values=given, structural=plain_values, marks=tuple(marked(v) for v in given))
        settle_belief(self, near, trust)

    def __reduce__(self) -> tuple:
        given = self.structural, self.near, self.trust  # marks hold types that do not pickle
        return _remade, (type(self), self.values, *given)

    def __repr__(self) -> str:
        return f"Choice(values={shown(self.values)}{', structural=True' if self.structural else ''}{self._believed})"

    @property
    def levels(self) -> int | None:
        return len(self.values)

    @property
    def dtype(self) -> Any:
        if all(isinstance(v, bool) for v in self.values):
            return np.bool_
        decimal = self._numbers and any(isinstance(v, float) for v in self.values)
        return np.float32 if decimal else np.int32

    @property
    def numeric(self) -> bool:
        """Whether the values decode to themselves: numbers, or booleans alone."""
        return self.dtype == np.bool_ or self._numbers

    @property
    def _numbers(self) -> bool:
        return all(is_number(v) for v in self.values)

    def with_values(self, change: Callable[[Any, int], Any]) -> Dimension:
        changed = [change(value, place) for place, value in enumerate(self.values)]
        return self if self.numeric else Choice(changed, structural=self.structural)

    @property
    def ordered(self) -> bool:
        if len(self.values) < 2 or not self._numbers:
            return False
        pairs = list(zip(self.values[:-1], self.values[1:], strict=True))
        return all(a < b for a, b in pairs) or all(a > b for a, b in pairs)

    def value(self, unit: Any, xp: Any = jnp) -> Any:
        index = self.level(unit, xp)
        return xp.take(np.asarray(self.values, self.dtype), index, mode="clip") if self.numeric else index

    def find(self, value: Any) -> int | None:
        """Return the place of a value, a number as float32 has it; None where it is no value of the choice.

        A name that was read back stands for the function, or the like, of that name; of several, for that in its place.
        """
        value = plain(value)
        places = [i for i, v in enumerate(self.values) if self._same(v, value)]
        places = places or [i for i, v in enumerate(self.values) if (lacks(v) or lacks(value)) and alike(v, value)]
        wanted = getattr(value, "place", None)
        return wanted if wanted in places else next(iter(places), None)

    def _same(self, a: Any, b: Any) -> bool:
        if isinstance(a, bool) != isinstance(b, bool):
            return False
        if self.dtype == np.float32 and is_number(b):
            return bool(np.float32(a) == np.float32(b))
        return bool(a is b or a == b)

    def encode(self, value: Any) -> float:
        place = self.find(value)
        if place is None:
            raise ValueError(f"value={shown(value)}: must be one of {shown(list(self.values))}")
        return (place + 0.5) / len(self.values)

    def grid(self, points: int) -> np.ndarray:
        """Return the units of all values, however few `points`: they have no order to thin out by."""
        return super().grid(len(self.values))

    def labels(self, unit: np.ndarray) -> list:
        return [self.values[i] for i in self.level(unit, np)]

    @property
    def texts(self) -> tuple[str, ...]:
        """How a table writes the values: functions and classes by their names, numbered where these are the same."""
        return apart(self.values)


def _remade(kind: type[Choice], values: tuple, structural: bool, near: Any, trust: str | None) -> Choice:
    given: dict[str, Any] = {"structural": structural, "near": near, "trust": trust}
    return Bool(**given) if kind is Bool else Choice(list(values), **given)


class Bool(Choice):
    """A switch: False or True, decoded to a bool.

    Args:
      structural: whether the functions get the plain bool, for an `if`: each value is then a program of its own.
      near: as of `Choice`.
      trust: as of `Float`.

    Example:
      >>> Bool().label(0.9)
      True
    """

    def __init__(self, *, structural: bool = False, near: bool | None = None, trust: str | None = None) -> None:
        super().__init__((False, True), structural=structural, near=near, trust=trust)

    def __repr__(self) -> str:
        return f"Bool({', '.join(filter(None, ['structural=True' if self.structural else '', self._believed[2:]]))})"
