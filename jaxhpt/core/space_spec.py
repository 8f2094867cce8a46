"""What a user writes as a space, read into dimensions, the conditions under which they exist, and constants."""

import dataclasses
from typing import Any

import jax

from jaxhpt.core.checks import leaf_name, require, suggest
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Choice, When
from jaxhpt.core.showing import Shown
from jaxhpt.core.values import Part, is_part, marked


@dataclasses.dataclass(frozen=True)
class Condition:
    """A dimension exists only where column `parent` stands at one of `levels`."""

    parent: int
    levels: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Slot:
    """The place of a dimension in a user's pytree."""

    column: int


@dataclasses.dataclass(frozen=True, repr=False)
class Constant(Shown):
    """A value that does not vary, in its place."""

    name: str
    mark: Any = dataclasses.field(repr=False)  # 1, 1.0 and True are equal, but not the same program
    value: Any = dataclasses.field(compare=False)


class Walk:
    """One pass over a user's pytree: collects dimensions, and leaves slots in their places."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.dimensions: list[Dimension] = []
        self.whens: list[tuple[tuple[str, When], ...]] = []  # for each dimension: (path of the When, When)

    def tree(self, spec: Any, prefix: str, whens: tuple) -> Any:
        """Return a pytree of slots and constants, after collecting its dimensions."""
        leaves, treedef = _flattened(spec)
        names = [".".join(filter(None, [prefix, leaf_name(path) if path else ""])) for path, _ in leaves]
        found = [self._leaf(name, value, whens) for name, (_, value) in zip(names, leaves, strict=True)]
        return jax.tree.unflatten(treedef, found)

    def _leaf(self, name: str, value: Any, whens: tuple) -> Any:
        if isinstance(value, When):
            return self.tree(value.space, name, (*whens, (name, value)))
        if isinstance(value, list):
            value = _choice(name, value)
        if is_part(value) and not isinstance(value, Dimension):
            _refuse_part(name, value)
        if not isinstance(value, Dimension):
            return constant(name, value)
        self.names.append(name or "value")
        self.dimensions.append(value)
        self.whens.append(whens)
        return Slot(len(self.names) - 1)

    def resolve(self, column: int, seen: tuple[int, ...] = ()) -> tuple[Condition, ...]:
        """Collect the conditions of a dimension, those of its parents included."""
        if column in seen:
            raise ValueError(f"When: {self.names[column]!r} depends on itself; a parent must not be its own child")
        found: dict[Condition, None] = {}
        for path, when in self.whens[column]:
            parent = self._parent(path, when)
            for condition in (*self.resolve(parent, (*seen, column)), self._condition(parent, when)):
                found[condition] = None
        return tuple(found)

    def _parent(self, path: str, when: When) -> int:
        scope = path.split(".")[:-1]
        for name in (".".join([*scope, when.parent]), when.parent):
            if name in self.names:
                return self.names.index(name)
        raise ValueError(f"When parent={when.parent!r}: no such dimension; {suggest(when.parent, self.names)}")

    def _condition(self, parent: int, when: When) -> Condition:
        dimension = self.dimensions[parent]
        if not isinstance(dimension, Choice):
            raise TypeError(f"When parent={when.parent!r}: must be a Choice, Bool or list, not {dimension!r}")
        wanted = when.value if isinstance(when.value, list) else [when.value]
        remedy = f"one of {list(dimension.values)}, the values of {when.parent!r}, or a list of some"
        require(bool(wanted), "When value", wanted, remedy)
        places = set()
        for value in wanted:
            place = dimension.find(value)
            if place is None:
                raise ValueError(f"When value={value!r}: must be {remedy}")
            places.add(place)
        return Condition(parent, tuple(sorted(places)))


def _flattened(spec: Any) -> tuple[list, Any]:
    """Return [(path, leaf)] and the structure; lists and None are leaves."""
    try:
        stop = lambda x: x is None or isinstance(x, Part | list)  # noqa: E731
        return jax.tree_util.tree_flatten_with_path(spec, is_leaf=stop)
    except (ValueError, TypeError) as error:  # dict keys are sorted
        raise TypeError(f"space={spec!r}: the names of a dict must be of one kind, such as text: {error}") from error


def _choice(name: str, values: list) -> Choice:
    try:
        return Choice(values)
    except (ValueError, TypeError) as error:
        raise type(error)(f"space {name or 'value'!r}: {error}") from error


def _refuse_part(name: str, value: Any) -> None:
    if isinstance(value, type):
        raise TypeError(f"space {name!r}: {value.__name__} is a class; call it, as in {value.__name__}(...)")
    raise TypeError(f"space {name!r}: a Space stands in another; write the dict that it was made of in its place")


def constant(name: str, value: Any) -> Constant:
    """Return a constant; raise where it cannot be part of a program's name."""
    try:
        hash(value)
    except TypeError as error:
        kind = type(value).__name__
        remedy = "pass arrays as train_data or valid_data, and write lists of values as Choice"
        raise TypeError(f"space {name!r}: a constant must be hashable, not {kind}; {remedy}") from error
    return Constant(name, marked(value), value)
