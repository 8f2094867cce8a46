"""A size of the widest model that knows how much of it is in use: what the user's code sees instead of an int."""

import contextlib
import contextvars
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array, PyTree

_VALUES: contextvars.ContextVar[Mapping[str, Any] | None] = contextvars.ContextVar("values of sizes", default=None)


class Size(int):
    """An int, the most there is of something, that tells how much of it is active; products and sums do so, too.

    Attributes:
      law: values by name -> how much is active, by the same arithmetic.
    """

    law: Callable[[Mapping[str, Any]], Any]

    def __new__(cls, most: int, law: Callable[[Mapping[str, Any]], Any]) -> "Size":
        """Make a size of `most` units."""
        made = super().__new__(cls, most)
        made.law = law
        return made

    def __getnewargs__(self) -> Any:
        """Return what `__new__` takes, for copies."""
        return int(self), self.law

    def __deepcopy__(self, memo: Any) -> "Size":
        """Return itself: it never changes."""
        return self


def _arithmetic(name: str) -> Callable:
    function = getattr(operator, name)

    def method(self: Size, other: Any) -> Any:
        plain = getattr(int, f"__{name}__")(self, other)
        return Size(plain, lambda values: function(self.law(values), _of(other, values))) if _whole(plain) else plain

    def reflected(self: Size, other: Any) -> Any:
        plain = getattr(int, f"__r{name}__")(self, other)
        return Size(plain, lambda values: function(_of(other, values), self.law(values))) if _whole(plain) else plain

    setattr(Size, f"__{name}__", method)
    setattr(Size, f"__r{name}__", reflected)
    return method


for _name in ("add", "sub", "mul", "floordiv"):
    _arithmetic(_name)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and value is not NotImplemented


def _of(value: Any, values: Mapping[str, Any]) -> Any:
    return value.law(values) if isinstance(value, Size) else value


def named(name: str, most: int) -> Size:
    """Make the size that is a hyperparameter of this name."""
    return Size(most, lambda values: values[name])


@contextlib.contextmanager
def at(values: Mapping[str, Any]) -> Iterator[None]:
    """Let sizes be asked for what is active, at these values: i32[] by name, traced or not."""
    token = _VALUES.set(values)
    try:
        yield
    finally:
        _VALUES.reset(token)


def active(size: Any) -> Any:
    """Return how many units of a size are in use: i32[], traced, in the masked model; in the small one the int itself.

    Ask for it wherever a model computes with its own sizes: a mean over units, a temperature, a scale by depth.

    Args:
      size: what the model was given for a size, or came to from it by +, -, * and //.

    Raises:
      RuntimeError: outside of the construction and the call of a masked model.

    Example:
      >>> active(8)  # as in the small model
      8
    """
    if not isinstance(size, Size):
        return size
    values = _VALUES.get()
    if values is None:
        raise RuntimeError(f"size={int(size)!r}: how much of it is active is known in the call of a masked model only")
    return jnp.asarray(size.law(values)).astype(jnp.int32)


def unit_mask(size: Any, most: int | None = None) -> Array:
    """Mark the units in use, the first ones: bool[most].

    Args:
      size: what the model was given for a size; or, with `most`, any number of units i32[], traced or not.
      most: units there are; None where `size` tells.

    Example:
      >>> unit_mask(2, 4).tolist()
      [True, True, False, False]
    """
    if most is None and isinstance(size, jax.Array):
        raise TypeError(f"size={size!r}: is a traced number, or an array; give most=..., the units of the widest")
    return jnp.arange(int(size) if most is None else most, dtype=jnp.int32) < active(size)


def where_active(index: int, size: Any, new: PyTree, old: PyTree) -> PyTree:
    """Take `new` where layer `index` is one of the first `size`, else `old`: what a layer that is masked out leaves.

    Only layers without a residual connection need it: a masked residual branch adds 0.

    Args:
      index: of the layer, from 0.
      size: the number of layers, as the model was given it; or i32[], traced.
      new: what the layer returned.
      old: what it was given, of the same shapes.

    Example:
      >>> where_active(2, 4, "new", "old")
      'new'
    """
    count = active(size)
    if isinstance(count, int):
        return new if index < count else old
    return jax.tree.map(lambda a, b: jnp.where(index < count, a, b), new, old)


def flatten(x: Array, axes: int = 3) -> Array:
    """Join the last axes, the last of them slowest, so that the units of the first channels come first.

    A plain reshape of [B, H, W, C] would scatter the channels in use over the whole row.

    Args:
      x: [..., H, W, C], or with other numbers of axes.
      axes: how many to join.

    Returns:
      [..., C * H * W].

    Example:
      >>> flatten(jnp.zeros((2, 5, 5, 3), jnp.float32)).shape
      (2, 75)
    """
    x = jnp.moveaxis(x, -1, -axes)
    return x.reshape(*x.shape[:-axes], -1)
