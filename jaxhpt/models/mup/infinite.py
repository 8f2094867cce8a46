"""Infinite dimensions: which axes of each weight grow with the width, by comparing a model with its base.

An axis whose size differs between the two grows. Of the axes of a weight that grow, those that are summed over are its
fan-in, the others its fan-out: in Flax the first and the last, but for biases, scales and embeddings, which have no
fan-in. Where that does not tell, the initial scale does; where it does not either, it is an error, never a guess.
"""

import dataclasses
import fnmatch
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxhpt.core.checks import require_count
from jaxhpt.models.masking.draws import Uniform, drawn
from jaxhpt.models.mup.weights import PARAMS, named_weights, weight_name, weights_of

_NO_FAN_IN = ("bias", "scale", "embedding")  # of Flax's layers
_NEAR = 1e-3  # relative, of a ratio of initial scales: single precision has far less


class Weight(NamedTuple):
    """How one weight grows with the width.

    Attributes:
      base: its shape in the base model.
      shape: its shape in this model.
      fan_in: the axes that grow and are summed over.
      fan_out: the other axes that grow.
      spread: its initial scale as a multiple of that in the base model, as the model itself draws it.
    """

    base: tuple[int, ...]
    shape: tuple[int, ...]
    fan_in: tuple[int, ...]
    fan_out: tuple[int, ...]
    spread: float

    @property
    def kind(self) -> str:
        """Return "hidden", "output", "input" (of vectors, too) or "fixed"."""
        return {(1, 1): "hidden", (1, 0): "output", (0, 1): "input"}.get(
            (bool(self.fan_in), bool(self.fan_out)), "fixed"
        )

    def growth(self, axes: Sequence[int]) -> float:
        """Return how many times as large axes are as in the base model, their product."""
        return math.prod(self.shape[axis] / self.base[axis] for axis in axes)

    @property
    def initial(self) -> float:
        """Return the factor to what the model draws: the entries' scale goes by table 8 then, multipliers included."""
        if self.kind == "fixed":
            return 1.0
        power = 0.5 if self.kind == "hidden" else 1.0
        return self.growth(self.fan_in) ** -power / self.spread

    @property
    def multiplier(self) -> float:
        """Return what multiplies an output weight in table 8: 1 / width; 1 for all others."""
        return 1.0 / self.growth(self.fan_in) if self.kind == "output" else 1.0

    def rate(self, rule: str) -> float:
        """Return the learning rate of the weight itself, its multiplier included, as a multiple of the optimiser's.

        Args:
          rule: "adam" or "sgd".
        """
        ratio = 1.0 / self.growth(self.fan_in)
        return ratio * self.growth(self.fan_out) if rule == "sgd" else ratio

    def step(self, rule: str) -> float:
        """Return what multiplies an update that was made of gradients times `multiplier`."""
        return self.rate(rule) / self.multiplier if rule == "sgd" else self.rate(rule)


@dataclasses.dataclass(frozen=True, eq=False)
class Widths:
    """What grows with the width, weight by weight. Print it to see what was found.

    Attributes:
      weights: by name, such as "blocks.0.up.kernel".
    """

    weights: dict[str, Weight]

    def __str__(self) -> str:
        """Return a table: each weight, its shapes, its kind and its multiples."""
        heads = ("weight", "base", "shape", "kind", "initial", "rate: adam", "sgd")
        rows = [
            (name, str(w.base), str(w.shape), w.kind, *(f"{x:.4g}" for x in (w.initial, w.rate("adam"), w.rate("sgd"))))
            for name, w in self.weights.items()
        ]
        sizes = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
        return "\n".join(
            "  ".join(c.ljust(n) for c, n in zip(row, sizes, strict=True)).rstrip() for row in (heads, *rows)
        )


def widths(
    make: Callable[[int], Any], base: int, width: int, *, fan_in: Mapping[str, Sequence[int]] | None = None
) -> Widths:
    """Find the infinite dimensions of a model: what grows from a base width to this one.

    Nothing is trained, and as a rule no weights are made: the two models are traced.

    Args:
      make: width -> nnx module, variables of linen's `init`, or any pytree of weights; else the same at each width.
        Let all that is to grow follow the width: heads or their size, and the hidden layers of blocks.
      base: the width at which nothing changes: that of the small model that is tuned, or below.
      width: of this model.
      fan_in: name of a weight, or pattern such as "*.mix" -> the axes that are summed over, where that is not Flax's
        order, (..., in, out).

    Returns:
      A record for `initialised` and `scaled`.

    Raises:
      TypeError: `make` is no function, a width is no whole number.
      ValueError: models that differ in more than sizes, a weight whose fan-in cannot be told, a name that no weight
        has.

    Example:
      >>> import jax
      >>> from jaxhpt.models import mup
      >>> def init(width):
      ...     sizes = {"first": (4, width), "middle": (width, width), "last": (width, 2)}
      ...     return {name: jax.random.normal(jax.random.key(0), n) / n[0] ** 0.5 for name, n in sizes.items()}
      >>> print(mup.widths(init, base=8, width=32))
      weight  base    shape     kind    initial  rate: adam  sgd
      first   (4, 8)  (4, 32)   input   1        1           4
      last    (8, 2)  (32, 2)   output  0.5      0.25        0.25
      middle  (8, 8)  (32, 32)  hidden  1        0.25        1
    """
    if not callable(make):
        raise TypeError(f"make={make!r}: must be a function, width -> model, such as lambda width: Net(width, rngs)")
    sizes = require_count("base", base), require_count("width", width)
    models = [_Model(make, size) for size in sizes]
    small, wide = (model.leaves for model in models)
    _check_same(small, wide, sizes)
    given = _given(fan_in or {}, wide)
    return Widths({name: _weight(name, models, given.get(name)) for name in wide})


def known(found: Widths, path: tuple, leaf: Any) -> Weight:
    """Return what is known of the weight at a place of a pytree.

    Raises:
      ValueError: nothing is, or its shape is another.
    """
    parts = path[1:] if path and path[0] == jax.tree_util.DictKey(PARAMS) else path
    name = weight_name(parts)
    if name not in found.weights:
        raise ValueError(f"{name}: mup.widths has not met this weight; call it with the model that is trained")
    weight = found.weights[name]
    if tuple(leaf.shape) != weight.shape:
        raise ValueError(
            f"{name}: has shape {tuple(leaf.shape)}; mup.widths met it as {weight.shape}: call it for this width"
        )
    return weight


class _Model:
    """The weights of a model at one width, by name, as `drawn` returns them."""

    def __init__(self, make: Callable[[int], Any], size: int) -> None:
        self.make, self.size = make, size
        self.leaves = drawn(lambda: named_weights(weights_of(make(size))))
        self._real: dict[str, Any] | None = None

    def spread(self, name: str) -> float:
        """Return the root mean square of a weight that is really drawn."""
        if self._real is None:
            with jax.ensure_compile_time_eval():
                self._real = named_weights(weights_of(self.make(self.size)))
        return float(np.sqrt(np.mean(np.square(np.abs(np.asarray(self._real[name], np.float64))))))


def _check_same(small: Mapping[str, Any], wide: Mapping[str, Any], sizes: tuple[int, int]) -> None:
    remedy = "the models must differ in sizes alone: keep the number of layers, and their kinds"
    for name in sorted(small.keys() ^ wide.keys()):
        raise ValueError(f"{name}: is there at width {sizes[name in wide]} only; {remedy}")
    for name, leaf in wide.items():
        if len(leaf.shape) != len(small[name].shape):
            raise ValueError(f"{name}: has shape {small[name].shape} at the base and {leaf.shape} here; {remedy}")
    if not wide:
        raise ValueError(f"make: returned no weights at width {sizes[1]}; must return a module, or weights")
    if sizes[0] != sizes[1] and all(leaf.shape == small[name].shape for name, leaf in wide.items()):
        raise ValueError(f"base={sizes[0]}, width={sizes[1]}: no weight differs between them; let make use its width")


def _given(fan_in: Mapping[str, Sequence[int]], wide: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the axes that the user names, by weight."""
    found = {}
    for pattern, axes in fan_in.items():
        names = fnmatch.filter(wide, pattern)
        if not names:
            raise ValueError(f"fan_in[{pattern!r}]: no weight has this name; there are {sorted(wide)}")
        for name in names:
            rank = len(wide[name].shape)
            if not all(-rank <= axis < rank for axis in axes):
                raise ValueError(f"fan_in[{pattern!r}]={axes!r}: {name} has {rank} axes; must be among them")
            found[name] = tuple(axis % rank for axis in axes)
    return found


def _weight(name: str, models: Sequence[_Model], given: tuple[int, ...] | None) -> Weight:
    small, wide = (model.leaves[name] for model in models)
    grows = tuple(i for i, (a, b) in enumerate(zip(small.shape, wide.shape, strict=True)) if a != b)
    if not grows:
        return Weight(small.shape, wide.shape, (), (), 1.0)
    spread = _spread(name, models)
    if given is None:
        growth = [wide.shape[axis] / small.shape[axis] for axis in grows]
        count = _split(name, (small.shape, wide.shape), grows, growth, spread)
        given = grows[:count]
    return Weight(
        small.shape,
        wide.shape,
        tuple(i for i in grows if i in given),
        tuple(i for i in grows if i not in given),
        spread,
    )


def _spread(name: str, models: Sequence[_Model]) -> float:
    """Return the initial scale of a weight as a multiple of that in the base model."""
    leaves = [model.leaves[name] for model in models]
    if all(isinstance(leaf, Uniform) for leaf in leaves):
        sizes = [abs(float(leaf.value)) for leaf in leaves]
    else:  # not drawn entry by entry, as orthogonal matrices are
        sizes = [model.spread(name) for model in models]
    if sizes[0] == sizes[1]:
        return 1.0
    if 0.0 in sizes:
        raise ValueError(f"{name}: begins at 0 at one of the widths {[m.size for m in models]} only; must at both")
    return sizes[1] / sizes[0]


def _split(name: str, shapes: Any, grows: tuple[int, ...], growth: Sequence[float], spread: float) -> int:
    """Return how many of the axes that grow are fan-in: the first so many.

    Args:
      name: of the weight.
      shapes: in the base model, and here.
      grows: axes.
      growth: how many times as large each is here.
      spread: the initial scale, as a multiple of the base model's.
    """
    rank, last = len(shapes[1]), grows[-1] == len(shapes[1]) - 1
    if name.split(".")[-1] in _NO_FAN_IN or rank == 1:
        return 0
    if len(grows) == 1 and (last or (grows[0] == 0 and rank == 2)):
        return 0 if last else 1
    if len(grows) == 2 and last:
        return 1
    counts = range(1, len(grows) + 1)  # none of them would look as a scale that is the same at each width
    found = [n for n in counts if math.isclose(math.prod(growth[:n]) ** -0.5, spread, rel_tol=_NEAR)]
    if len(found) != 1:
        raise ValueError(
            f"{name}: has shape {shapes[0]} at the base and {shapes[1]} here, and its initial scale does not tell "
            f"which of the axes {list(grows)} are summed over; say fan_in={{{name!r}: axes}}"
        )
    return found[0]
