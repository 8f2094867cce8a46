"""The coordinate check: whether activations change as much in wide models as in narrow ones."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from jaxhpt.core.checks import leaf_name, require_count
from jaxhpt.core.typing import PyTree


@dataclasses.dataclass(frozen=True, eq=False)
class Coordinates:
    """How much activations change in a few steps of training, at each width. Print it as a table.

    Attributes:
      widths: W of them.
      changes: f64[W] by name of an activation: the mean absolute change of its entries.
    """

    widths: tuple[int, ...]
    changes: dict[str, np.ndarray]

    @property
    def slopes(self) -> dict[str, float]:
        """The power of the width by which each change grows: 0 is flat, .5 its root, 1 in proportion."""
        logs = np.log(np.asarray(self.widths, np.float64))
        return {name: float(np.polyfit(logs, np.log(change), 1)[0]) for name, change in self.changes.items()}

    def __str__(self) -> str:
        """Return a table: an activation a row, its change at each width, and its slope."""
        rows = [("activation", *map(str, self.widths), "slope")]
        rows += [(n, *(f"{v:.3g}" for v in c), f"{self.slopes[n]:+.2f}") for n, c in self.changes.items()]
        sizes = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(c.ljust(n) for c, n in zip(row, sizes, strict=True)).rstrip() for row in rows)


def coordinate_check(
    run: Callable[[int, int], tuple[PyTree, PyTree]], widths: Sequence[int], seeds: int = 1
) -> Coordinates:
    """Check a parametrisation: train a few steps at several widths, and see by how much activations change.

    Under maximal update parametrisation each change is about the same at each width. One that grows, or dies away, is
    a layer whose scale or learning rate is wrong. Take a learning rate that is rather too large.

    Args:
      run: (width, seed) -> (before, after): the activations of the same inputs before and after a few steps, two
        pytrees of one structure, leaves of any shape.
      widths: at least two, such as 64, 128, 256, 512, 1024.
      seeds: how many runs at each width are averaged, with the seeds 0, 1, ...

    Returns:
      The changes, and the power of the width by which each grows.

    Raises:
      TypeError: a width or a number that is no whole number.
      ValueError: less than two widths, activations of other names at another width, or none.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxhpt.models import mup
      >>> run = lambda width, seed: ({"h": jnp.zeros(3)}, {"h": jnp.ones(3) * width})
      >>> print(mup.coordinate_check(run, [1, 4, 16]))
      activation  1  4  16  slope
      h           1  4  16  +1.00
    """
    sizes = tuple(require_count("widths", width) for width in widths)
    if len(set(sizes)) < 2:
        raise ValueError(f"widths={widths!r}: must be two at least, such as [64, 256, 1024]")
    found = [_changes(run, size, require_count("seeds", seeds)) for size in sizes]
    if not found[0] or any(one.keys() != found[0].keys() for one in found):
        raise ValueError(f"run: returned activations {[sorted(one) for one in found]}; must be the same at each width")
    return Coordinates(sizes, {name: np.asarray([one[name] for one in found]) for name in found[0]})


def _changes(run: Callable[[int, int], tuple[PyTree, PyTree]], size: int, seeds: int) -> dict[str, Any]:
    """Return the mean absolute change of each activation at a width."""
    rounds = [run(size, seed) for seed in range(seeds)]
    before, after = ([jax.tree_util.tree_flatten_with_path(pair[i])[0] for pair in rounds] for i in (0, 1))
    return {
        leaf_name(path): float(np.mean([_apart(a[i][1], b[i][1]) for a, b in zip(before, after, strict=True)]))
        for i, (path, _) in enumerate(before[0])
    }


def _apart(before: Any, after: Any) -> float:
    return float(np.mean(np.abs(np.asarray(after, np.float64) - np.asarray(before, np.float64))))
