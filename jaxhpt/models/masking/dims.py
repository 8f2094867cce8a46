"""The hyperparameters that are sizes: their values, and a trial's among them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.choice import Choice
from jaxhpt.core.dimensions import Int
from jaxhpt.core.typing import Array, Hparams
from jaxhpt.models.masking.sizes import named

_KINDS = 'an Int, or a list of whole numbers, as in the space: {"width": jaxhpt.Int(8, 64)}'


class Sizes(dict[str, tuple[int, ...]]):
    """The values that each size may have, in rising order, by name."""

    @property
    def most(self) -> dict[str, int]:
        """The largest of each."""
        return {name: values[-1] for name, values in self.items()}

    @property
    def least(self) -> dict[str, int]:
        """The smallest of each."""
        return {name: values[0] for name, values in self.items()}

    @property
    def middle(self) -> dict[str, int]:
        """One that is neither, where there is one."""
        return {name: values[(len(values) - 1) // 2] for name, values in self.items()}

    @property
    def middle_values(self) -> dict[str, Any]:
        """The same as `of` returns them."""
        return {name: np.int32(value) for name, value in self.middle.items()}

    def of(self, hparams: Hparams) -> dict[str, Any]:
        """Return the sizes of a trial: i32[] each, traced or not.

        Raises:
          TypeError: hyperparameters that are no dict.
          KeyError: a size that is not among them.
          ValueError: a plain number that is none of the values.
        """
        if not isinstance(hparams, Mapping):
            raise TypeError(f"hparams={hparams!r}: must be a dict that has the sizes {sorted(self)}")
        missing = sorted(self.keys() - hparams.keys())
        if missing:
            raise KeyError(f"hparams have no {missing[0]!r}: put it into the space, too, as in space={{**sizes, ...}}")
        return {name: self._value(name, hparams[name]) for name in self}

    def _value(self, name: str, value: Any) -> Any:
        if isinstance(value, jax.core.Tracer):
            return value.astype(jnp.int32)
        plain = np.asarray(value).item()
        require(plain in self[name], name, plain, f"one of {list(self[name])}")
        return np.int32(plain)

    def has(self, values: Mapping[str, Any]) -> Array:
        """Tell whether each size has one of its values: bool[]."""
        found = jnp.bool_(True)
        for name, known in self.items():
            found = found & (jnp.asarray(known, jnp.int32) == jnp.asarray(values[name], jnp.int32)).any()
        return found

    def widest(self, hparams: Hparams) -> dict[str, Any]:
        """Return hyperparameters with the sizes of the widest model, which know what is active."""
        return {**hparams, **{name: named(name, most) for name, most in self.most.items()}}


def read(sizes: Any) -> Sizes:
    """Read the sizes that a user gave.

    Args:
      sizes: name -> `Int`, `Choice` or list of whole numbers.

    Raises:
      TypeError: no dict, or a dimension of another kind.
      ValueError: none, one below 0, or one that is structural.
    """
    if not isinstance(sizes, Mapping):
        raise TypeError(f"sizes={sizes!r}: must be a dict, name -> {_KINDS}")
    require(len(sizes) > 0, "sizes", dict(sizes), "at least one size")
    return Sizes({name: _values(name, dimension) for name, dimension in sizes.items()})


def _values(name: str, dimension: Any) -> tuple[int, ...]:
    if isinstance(dimension, list):
        dimension = Choice(dimension)
    if getattr(dimension, "structural", False):
        raise ValueError(
            f"sizes[{name!r}]={dimension!r}: is structural, a program for each value; leave structural=True out, or "
            "leave it out of sizes"
        )
    if isinstance(dimension, Int):
        values: tuple = tuple(range(dimension.low, dimension.high + 1, dimension.step))
    elif isinstance(dimension, Choice) and dimension.numeric and dimension.dtype == np.int32:
        values = tuple(sorted(dimension.values))
    else:
        raise TypeError(f"sizes[{name!r}]={dimension!r}: must be {_KINDS}")
    require(values[0] >= 0, f"sizes[{name!r}]", dimension, "at least 0 everywhere")
    return values
