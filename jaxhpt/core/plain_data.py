"""Values, settings and spaces as plain data, which JSON holds, and spaces back from it. Reading it executes nothing.

A value that JSON has not, such as a function, is written by its name, and read back as that name alone.
"""

import dataclasses
import math
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxhpt.core.checks import leaf_name, require
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Bool, Choice, Float, Int
from jaxhpt.core.space_spec import Condition, Slot, constant
from jaxhpt.core.values import Named, written

KINDS: dict[str, type[Dimension]] = {kind.__name__: kind for kind in (Float, Int, Choice, Bool)}
SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def plain_value(value: Any) -> Any:
    """Write a value as JSON has it: numbers, text, None and tuples of them so that they are read back the same."""
    if value is None or (isinstance(value, bool | int | str) and type(value) in (bool, int, str, type(None))):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if type(value) is tuple:
        return {"tuple": [plain_value(part) for part in value]}
    if isinstance(value, np.generic) and value.dtype.kind in "biuf":
        return {"numpy": [value.dtype.name, value.item() if np.isfinite(value) else str(value)]}
    return {"named": written(value)}


def value_of(data: Any, place: int = 0) -> Any:
    """Read what `plain_value` wrote; a value that is no plain data comes back as `Named`, with its `place`."""
    if not isinstance(data, dict):
        return data
    ((kind, content),) = data.items()
    if kind == "float":
        return SPECIAL[content]
    if kind == "tuple":
        return tuple(value_of(part, i) for i, part in enumerate(content))
    if kind == "numpy":
        return np.dtype(content[0]).type(content[1])
    if kind == "named":
        return Named(str(content), place)
    raise ValueError(f"{kind!r}: no kind of value")


def plain_settings(value: Any) -> Any:
    """Write settings, such as those of an algorithm, as JSON has them: to be compared, not to be read back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: plain_settings(getattr(value, f.name)) for f in dataclasses.fields(value) if f.init}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, dict):
        return {str(key): plain_settings(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain_settings(part) for part in value]
    return plain_value(value)


class Parts(NamedTuple):
    """What a space is made of; see `Space`."""

    names: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    conditions: tuple[tuple[Condition, ...], ...]
    slots: tuple[Any, ...]
    treedef: Any


def spec_of(names: Any, dimensions: Any, conditions: Any, slots: Any, treedef: Any) -> dict[str, Any]:
    """Write the parts of a space as plain data, see `Space.to_spec`."""
    told = [
        {"name": name, **_dimension(dimension), "when": [[names[c.parent], list(c.levels)] for c in whens]}
        for name, dimension, whens in zip(names, dimensions, conditions, strict=True)
    ]
    return {"dimensions": told, "tree": _tree(jax.tree.unflatten(treedef, slots))}


def _dimension(dimension: Dimension) -> dict[str, Any]:
    fields: dict[str, Any] = {f.name: getattr(dimension, f.name) for f in dataclasses.fields(dimension) if f.init}  # type: ignore[arg-type]
    kind = type(dimension).__name__
    if isinstance(dimension, Choice):
        fields = {"values": [plain_value(value) for value in dimension.values], "structural": dimension.structural}
        fields |= {"near": plain_value(dimension.near), "trust": dimension.trust}
    return {"kind": kind, **fields}


def _tree(node: Any) -> Any:
    """Write a user's pytree: dicts and tuples as they are, of other nodes the children by name."""
    if isinstance(node, Slot):
        return {"dimension": node.column}
    if hasattr(node, "mark"):
        return {"constant": plain_value(node.value), "name": node.name}
    if type(node) is tuple:
        return {"tuple": [_tree(part) for part in node]}
    if type(node) is dict:
        return {"dict": [[plain_value(key), _tree(part)] for key, part in node.items()]}
    children, _ = jax.tree_util.tree_flatten_with_path(node, is_leaf=lambda x: x is not node)
    return {"dict": [[leaf_name(path), _tree(part)] for path, part in children]}


def parts_of(spec: Any) -> Parts:
    """Read the parts of a space from plain data, see `Space.from_spec`."""
    try:
        return _parts_of(spec)
    except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(f"spec: no space in plain data: {type(error).__name__}: {error}") from error


def _parts_of(spec: Any) -> Parts:
    told = spec["dimensions"]
    names = tuple(str(one["name"]) for one in told)
    dimensions = tuple(_made(dict(one)) for one in told)
    conditions = tuple(
        tuple(Condition(names.index(parent), tuple(map(int, levels))) for parent, levels in one["when"]) for one in told
    )
    slots, treedef = jax.tree.flatten(_node(spec["tree"]), is_leaf=lambda x: x is None)
    columns = sorted(slot.column for slot in slots if isinstance(slot, Slot))
    require(bool(names) and columns == list(range(len(names))), "spec tree", columns, "of each dimension once")
    return Parts(names, dimensions, conditions, tuple(slots), treedef)


def _made(fields: dict[str, Any]) -> Dimension:
    kind, _, _ = KINDS[fields.pop("kind")], fields.pop("name"), fields.pop("when")
    if issubclass(kind, Choice):
        values = [value_of(value, place) for place, value in enumerate(fields.pop("values"))]
        fields["near"] = next((v for v in values if plain_value(v) == fields["near"]), None)
        return Bool(**fields) if kind is Bool else Choice(values, **fields)
    return kind(**fields)


def _node(data: Any) -> Any:
    if "dimension" in data:
        return Slot(int(data["dimension"]))
    if "constant" in data:
        return constant(str(data["name"]), value_of(data["constant"]))
    if "tuple" in data:
        return tuple(_node(part) for part in data["tuple"])
    return {value_of(key): _node(part) for key, part in data["dict"]}
