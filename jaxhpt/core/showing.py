"""How values are written for a person: functions and classes by their names, not by where they lie in memory."""

import dataclasses
import functools
import reprlib
from collections import Counter
from collections.abc import Sequence
from typing import Any


def name_of(value: Any) -> str | None:
    """Return the name of a function, a class, or a call with some arguments filled in; None for any other value.

    Example:
      >>> name_of(len), name_of(functools.partial(round, ndigits=2)), name_of("len")
      ('len', 'round(ndigits=2)', None)
    """
    if isinstance(value, functools.partial):
        filled = [*map(shown, value.args), *(f"{name}={shown(v)}" for name, v in value.keywords.items())]
        return f"{shown(value.func)}({', '.join(filled)})"
    name = getattr(value, "__name__", None)
    return name if isinstance(name, str) else None


def shown(value: Any) -> str:
    """Write a value, and what a dict, a list or a tuple holds.

    Example:
      >>> shown({"activation": len, "rates": (0.1, None)})
      "{'activation': len, 'rates': (0.1, None)}"
    """
    if type(value) is dict:
        return f"{{{', '.join(f'{shown(key)}: {shown(v)}' for key, v in value.items())}}}"
    if type(value) is list:
        return f"[{', '.join(map(shown, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(shown, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        fields = zip(value._fields, value, strict=True)
        return f"{type(value).__name__}({', '.join(f'{name}={shown(v)}' for name, v in fields)})"
    return name_of(value) or repr(value)


def apart(values: Sequence[Any]) -> tuple[str, ...]:
    """Write values so that all are told apart: those that are written alike are numbered.

    Example:
      >>> apart([len, lambda x: x, lambda x: -x])
      ('len', '<lambda> 1', '<lambda> 2')
    """
    texts = [value if isinstance(value, str) else shown(value) for value in values]
    alike, seen = Counter(texts), Counter[str]()
    for place, text in enumerate(texts):
        if alike[text] > 1:
            seen[text] += 1
            texts[place] = f"{text} {seen[text]}"
    return tuple(texts)


class Shown:
    """A dataclass whose fields are written so; give it `repr=False`."""

    def __repr__(self) -> str:
        fields: Any = dataclasses.fields(self)  # type: ignore[arg-type]
        written = (f"{field.name}={shown(getattr(self, field.name))}" for field in fields if field.repr)
        return f"{type(self).__qualname__}({', '.join(written)})"


class _Short(reprlib.Repr):
    def repr1(self, x: Any, level: int) -> str:
        return name_of(x) or super().repr1(x, level)


short = _Short().repr  # as `reprlib.repr`, which leaves out what is too long
