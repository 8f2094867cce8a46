"""How the weights of a model depend on its sizes: found out by building it, abstractly, at a few of them.

Each axis of each weight, and one over its initial variance, are products and sums of sizes: between the ends they are
interpolated in each size by a line, which is exact. What is no such law is an error, never a guess.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.typing import Array
from jaxhpt.models.masking.dims import Sizes
from jaxhpt.models.masking.draws import factor, full

MOST_DEPTHS = 64  # values of a size that adds and drops layers: the model is built at each
_STRUCTURAL = "or search this size with structural=True"
Builder = Callable[[Mapping[str, int]], dict[str, Any]]


class Law(NamedTuple):
    """How one weight depends on the sizes.

    Attributes:
      shape: in the widest model, N axes.
      names: the K sizes that its shape or its initial scale depends on.
      corners: f64[2, ..., 2, N + 1], K axes of the least and the most of a size: its shape, and 1 / scale ** 2, as a
        multiple of the widest's.
      since: the least value of each size that adds the weight.
      scales: by the sizes that add layers: their values, and the initial scale there, as a multiple of the widest's.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    corners: np.ndarray
    since: dict[str, int]
    scales: dict[str, tuple[np.ndarray, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """The laws of all weights, by name.

    Attributes:
      sizes: with their values.
      laws: of the weights that depend on a size.
    """

    sizes: Sizes
    laws: dict[str, Law]

    def shape(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        """Return the sizes of the axes of a weight: i32[] each, traced as the values are."""
        law = self.laws[name]
        found = [self._between(law, values, axis) for axis in range(len(law.shape))]
        return [jnp.round(size).astype(jnp.int32) for size in found]

    def present(self, name: str, values: Mapping[str, Any]) -> Any:
        """Tell whether a weight is there at all: bool[]."""
        there: Any = jnp.bool_(True)
        for size, least in self.laws[name].since.items():
            there = there & (values[size] >= least)
        return there

    def scale(self, name: str, values: Mapping[str, Any]) -> Array:
        """Return the initial scale of a weight as a multiple of that in the widest model: f32[]."""
        law = self.laws[name]
        found = 1.0 / jnp.sqrt(self._between(law, values, len(law.shape)))
        for size, (known, scales) in law.scales.items():
            place = jnp.searchsorted(jnp.asarray(known, jnp.int32), jnp.asarray(values[size], jnp.int32))
            found = found * jnp.asarray(scales, jnp.float32)[place]
        return found

    def axis_mask(self, name: str, axis: int, values: Mapping[str, Any]) -> Array:
        """Mark the units of an axis that are in use: bool[shape[axis]]."""
        return jnp.arange(self.laws[name].shape[axis], dtype=jnp.int32) < self.shape(name, values)[axis]

    def mask(self, name: str, values: Mapping[str, Any]) -> Array:
        """Mark the entries of a weight that are in use: bool[...], broadcastable to it and of its rank."""
        shape = self.laws[name].shape
        found = self.present(name, values)
        for axis in range(len(shape)):
            if self._varies(name, axis):
                kept = self.axis_mask(name, axis, values)
                found = found & kept.reshape([-1 if axis == other else 1 for other in range(len(shape))])
        return found.reshape(found.shape or (1,) * len(shape))

    def _varies(self, name: str, axis: int) -> bool:
        law = self.laws[name]
        return bool((law.corners[..., axis] != law.shape[axis]).any())

    def _between(self, law: Law, values: Mapping[str, Any], column: int) -> Array:
        """Interpolate between the corners: f32[]."""
        found: Any = jnp.asarray(law.corners[..., column], jnp.float32)
        for name in law.names:
            least, most = self.sizes[name][0], self.sizes[name][-1]
            at = (jnp.asarray(values[name], jnp.float32) - least) / (most - least)
            found = found[0] * (1.0 - at) + found[1] * at
        return found


def measure(sizes: Sizes, build: Builder) -> Plan:
    """Find the laws of a model.

    Args:
      sizes: that it depends on.
      build: sizes -> the leaves of its state, by name, as `draws.drawn` returns them.

    Raises:
      ValueError: a size that no weight depends on, a weight that follows no law.
    """
    return Plan(sizes, _Measurement(sizes, build).laws())


def _grain(leaf: Any) -> float:
    """Return how far apart the numbers of a leaf's dtype are, about 1."""
    dtype = jnp.result_type(full(leaf))
    return float(jnp.finfo(dtype).eps) if jnp.issubdtype(dtype, jnp.floating) else 0.0


class _Measurement:
    """The model as it is at the settings that were asked for."""

    def __init__(self, sizes: Sizes, build: Builder) -> None:
        self.sizes, self.build = sizes, build
        self.known: dict[tuple, dict[str, Any]] = {}
        self.widest: dict[str, Any] = build(sizes.most)

    def at(self, **values: int) -> dict[str, Any]:
        """Return the leaves where all other sizes are at their most."""
        setting = {**self.sizes.most, **values}
        key = tuple(setting.values())
        if key not in self.known:
            self.known[key] = self.build(setting)
            more = sorted(self.known[key].keys() - self.widest.keys())
            if more:
                raise ValueError(f"{more[0]}: is there at {setting} and not in the widest model; {_STRUCTURAL}")
        return self.known[key]

    def laws(self) -> dict[str, Law]:
        """Return the laws of all leaves that depend on a size."""
        free = [name for name, values in self.sizes.items() if len(values) > 1]
        least = {name: self.at(**{name: self.sizes[name][0]}) for name in free}
        adding = [name for name in free if least[name].keys() != self.widest.keys()]
        found = {}
        for leaf in self.widest:
            names = tuple(n for n in free if n not in adding and self._differs(leaf, least[n][leaf]))
            since = {n: first for n in adding if (first := self._first(leaf, n)) > self.sizes[n][0]}
            scales = {n: known for n in adding if (known := self._scales(leaf, n)) is not None}
            if names or since or scales:
                found[leaf] = Law(self.widest[leaf].shape, names, self._corners(leaf, names), since, scales)
        for name in free:
            used = any(name in law.names or name in law.since for law in found.values())
            if not used:
                raise ValueError(f"sizes[{name!r}]: no weight of the model depends on it; use it, or leave it out")
        self._check(Plan(self.sizes, found), free)
        return found

    def _differs(self, leaf: str, other: Any) -> bool:
        return bool(other.shape != self.widest[leaf].shape or self._scale(leaf, other) != 1.0)

    def _scale(self, leaf: str, other: Any) -> float:
        wide = self.widest[leaf]
        fits = len(other.shape) == len(wide.shape) and all(a <= b for a, b in zip(other.shape, wide.shape, strict=True))
        if not fits or 0 in other.shape:
            raise ValueError(
                f"{leaf}: has shape {other.shape} in a smaller model and {wide.shape} in the widest: must be a part of "
                f"it; let one axis stand for one size, such as heads of a fixed size, {_STRUCTURAL}"
            )
        found = factor(other, wide)
        if found is None:
            raise ValueError(
                f"{leaf}: its initial values in a smaller model are no multiple of those in the widest; draw its "
                f"entries one by one, as jax.nn.initializers.lecun_normal() does, {_STRUCTURAL}"
            )
        return found

    def _corners(self, leaf: str, names: tuple[str, ...]) -> np.ndarray:
        rank = len(self.widest[leaf].shape)
        corners = np.ones((2,) * len(names) + (rank + 1,))
        for ends in itertools.product((0, 1), repeat=len(names)):
            values = {name: self.sizes[name][-end] for name, end in zip(names, ends, strict=True)}
            here = self.at(**values)[leaf]
            corners[ends] = [*here.shape, self._scale(leaf, here) ** -2]
        return corners

    def _first(self, leaf: str, name: str) -> int:
        """Return the least value of a size that adds layers at which a leaf is there."""
        values = self.sizes[name]
        if len(values) > MOST_DEPTHS:
            raise ValueError(
                f"sizes[{name!r}]: has {len(values)} values and adds or drops weights, such as {leaf}; must have at "
                f"most {MOST_DEPTHS}: give a list of them"
            )
        there = [leaf in self.at(**{name: value}) for value in values]
        first = there.index(True)
        if not all(there[first:]):
            raise ValueError(f"{leaf}: is there at {name}={values[first]} and not at a larger one; {_STRUCTURAL}")
        return values[first]

    def _scales(self, leaf: str, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the initial scales at the values of a size that adds layers; None where they are the same."""
        values = np.asarray(self.sizes[name])
        here = [self.at(**{name: int(value)}).get(leaf) for value in values]
        scales = np.asarray([1.0 if one is None else self._scale(leaf, one) for one in here])
        changed = [one.shape for one in here if one is not None and one.shape != self.widest[leaf].shape]
        if changed:
            raise ValueError(
                f"{leaf}: {name} adds layers and changes the shape of this one, to {changed[0]}: take two sizes; in "
                'linen layers are numbered in order, so give those after a loop a name, such as nn.Dense(3, name="out")'
            )
        return None if (scales == 1.0).all() else (values, scales)

    def _check(self, plan: Plan, free: list[str]) -> None:
        """Compare the laws with models that they were not made of."""
        middle, least = self.sizes.middle, self.sizes.least
        for values in (*({name: middle[name]} for name in free), middle, least):
            setting, here = {**self.sizes.most, **values}, self.at(**values)
            for leaf in self.widest:
                if leaf in plan.laws:
                    with jax.ensure_compile_time_eval():
                        self._compare(plan, leaf, setting, here.get(leaf))
                elif leaf not in here or self._differs(leaf, here[leaf]):
                    raise ValueError(f"{leaf}: changes at {values} only; {_STRUCTURAL}")

    def _compare(self, plan: Plan, leaf: str, setting: dict[str, int], here: Any) -> None:
        if bool(plan.present(leaf, setting)) != (here is not None):
            raise ValueError(f"{leaf}: is there for no one size alone, at {setting}; {_STRUCTURAL}")
        if here is None:
            return
        expected = tuple(int(size) for size in plan.shape(leaf, setting))
        if expected != here.shape:
            raise ValueError(
                f"{leaf}: has shape {here.shape} at {setting}, where {expected} would be in line with the ends: its "
                f"axes must be sums and products of sizes; make the size itself a hyperparameter, {_STRUCTURAL}"
            )
        if not np.isclose(float(plan.scale(leaf, setting)), self._scale(leaf, here), rtol=max(1e-3, 4 * _grain(here))):
            raise ValueError(
                f"{leaf}: its initial scale at {setting} is not in line with the ends: one over its variance must be a "
                f"sum of products of sizes, as of jax.nn.initializers.variance_scaling; {_STRUCTURAL}"
            )
