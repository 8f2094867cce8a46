"""A bound on a metric, and by how much it is broken: on device in float32, and on the host in float64."""

import dataclasses
import math
import numbers

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.ranges import LARGEST
from jaxhpt.core.typing import Array

SMALLEST = float(np.finfo(np.float32).tiny)  # devices take what is smaller for 0


@dataclasses.dataclass(frozen=True)
class Constraint:
    """A bound on one metric.

    Attributes:
      name: the metric's name.
      relation: "<=" or ">=".
      bound: the limit, itself allowed; in the metric's own sign.
    """

    name: str
    relation: str
    bound: float

    def __post_init__(self) -> None:
        if self.relation not in ("<=", ">="):
            raise ValueError(f"constraint {self.name!r}: the relation {self.relation!r} must be '<=' or '>='")
        number = isinstance(self.bound, numbers.Real) and not isinstance(self.bound, (bool, np.bool_))
        if not (number and (isinstance(self.bound, int) or math.isfinite(self.bound))):
            raise ValueError(f"constraint {self.name!r}: the bound {self.bound!r} must be a finite number")
        size = abs(self.bound)
        if size > LARGEST or 0 < size < SMALLEST:
            remedy = f"0, or from {SMALLEST:.2g} to {LARGEST:.2g} in size: float32 holds no other; scale the metric"
            raise ValueError(f"constraint {self.name!r}: the bound {self.bound!r} must be {remedy}")

    def excess(self, value: Array) -> Array:
        """Measure how far values are beyond the bound, as a share of it where it is not 0; below 0 inside it.

        Args:
          value: f32[...].

        Returns:
          f32[...], finite where the value is, and above 0 wherever the bound is broken.
        """
        bound, size = jnp.float32(self.bound), jnp.float32(abs(self.bound) or 1.0)
        over, limit = (value, bound) if self.relation == "<=" else (bound, value)
        share = jnp.clip(jnp.clip(over - limit, -LARGEST, LARGEST) / size, -LARGEST, LARGEST)
        share = jnp.where(over > limit, jnp.maximum(share, SMALLEST), share)
        return jnp.where(jnp.isfinite(value), share, over - limit)

    def violation(self, value: Array) -> Array:
        """Measure by how much values f32[...] break the bound: `excess`, or 0."""
        return jnp.maximum(self.excess(value), jnp.float32(0.0))

    def broken(self, value: np.ndarray) -> np.ndarray:
        """Measure what `violation` does, on the host: f64[...] -> f64[...]."""
        over, limit = (value, self.bound) if self.relation == "<=" else (self.bound, value)
        with np.errstate(over="ignore"):
            share = (np.asarray(over, np.float64) - limit) / (abs(self.bound) or 1.0)
        return np.where(over > limit, np.clip(share, np.finfo(np.float64).tiny, np.finfo(np.float64).max), 0.0)
