"""What folds are made of: marks on the rows of one data set, and how rows come into folds, in order or by chance."""

import dataclasses
import heapq
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import Settings
from jaxhpt.core.typing import Array, Key


class Split(NamedTuple):
    """Which of n rows belong to which of F folds.

    Attributes:
      train: bool[n, F] rows that a fold trains on.
      valid: bool[n, F] rows that it is scored on.
    """

    train: np.ndarray
    valid: np.ndarray


class Deal(NamedTuple):
    """How n rows come into folds by chance: m cards, rows or groups of rows, are dealt to places in random order.

    Attributes:
      strata: i32[m] of each card; the cards of one stratum have places of its own.
      place: i32[m] the folds of the places, stratum after stratum.
      member: i32[n] the card of each row.
    """

    strata: np.ndarray
    place: np.ndarray
    member: np.ndarray

    def folds(self, order: np.ndarray) -> np.ndarray:
        """Return the fold of each row, i32[n], for an order of the cards, i32[m], that keeps the strata together."""
        cards = np.zeros(len(self.place), np.int32)
        cards[order] = self.place
        return cards[self.member]

    def shuffled(self, seed: tuple[int, ...]) -> np.ndarray:
        """Return the fold of each row, i32[n], on the host."""
        noise = np.random.default_rng(seed).random(len(self.place))
        return self.folds(np.lexsort((noise, self.strata)))

    def drawn(self, key: Key) -> Array:
        """Return the fold of each row in a trace, i8[n], or i32[n] of very many folds; consumes the key."""
        strata, index = jnp.asarray(self.strata, jnp.int32), jnp.arange(len(self.place), dtype=jnp.int32)
        noise = jax.random.bits(key, index.shape, jnp.uint32)
        order = jax.lax.sort((strata, noise, index), num_keys=2)[2]
        kind = jnp.int8 if int(self.place.max()) < 127 else jnp.int32
        cards = jnp.zeros(len(self.place), kind).at[order].set(jnp.asarray(self.place, kind))
        return cards[jnp.asarray(self.member, jnp.int32)]


@dataclasses.dataclass(frozen=True)
class Folds(Settings):
    """What all kinds of folds have in common; choose one of them."""

    @property
    def num(self) -> int:
        """Folds of a split, F: models that a trial trains for each seed."""
        raise NotImplementedError

    def split(self, rows: int, labels: Any = None, again: int = 0) -> Split:
        """Split rows.

        Args:
          rows: of the data, n.
          labels: [n] of the data where they are known; None where not.
          again: another number gives another split, where there is chance in it.

        Raises:
          ValueError: too many folds for the rows.
        """
        return self._marks(self._folds(rows, labels, again))

    def deal(self, rows: int, labels: Any = None) -> Deal:
        """Say how rows come into folds by chance; arguments as those of `split`.

        Raises:
          ValueError: there is no chance in these folds, or too many of them.
        """
        raise ValueError(f"reshuffle=True: {self} is fixed by the order of the rows; leave one of them out")

    def _folds(self, rows: int, labels: Any, again: int) -> np.ndarray:
        raise NotImplementedError

    def _marks(self, folds: np.ndarray) -> Split:
        valid = folds[:, None] == np.arange(self.num)
        return Split(~valid, valid)


def cut(num: int, k: int) -> np.ndarray:
    """Return the fold of each of `num` places, in order, the first folds one longer where k does not divide them."""
    sizes = np.full(k, num // k)
    sizes[: num % k] += 1
    return np.repeat(np.arange(k), sizes).astype(np.int32)


def one_a_row(name: str, values: Any, rows: int) -> np.ndarray:
    """Return values as an array of one a row."""
    array = np.asarray(values)
    array = array.reshape(len(array)) if array.ndim == 2 and array.shape[1] == 1 else array
    if array.ndim != 1 or len(array) != rows:
        raise ValueError(f"folds {name}: of shape {array.shape}; must be one a row, ({rows},), as train_data has rows")
    return array


def classes(labels: Any, rows: int, k: int) -> np.ndarray:
    """Number the classes in the order in which they appear: i[n]."""
    values = one_a_row("labels", labels, rows)
    if np.issubdtype(values.dtype, np.inexact) and (values != np.round(values)).any():
        raise ValueError("folds labels: must be classes, not real numbers; take KFold for regression")
    names, first, member, counts = np.unique(values, return_index=True, return_inverse=True, return_counts=True)
    if counts.min() < k:
        rare = names[counts.argmin()].item()
        raise ValueError(
            f"folds: class {rare!r} has {counts.min()} rows, fewer than {k} folds; take fewer folds, or KFold"
        )
    return np.argsort(np.argsort(first))[member.reshape(-1)]


def balanced(sizes: np.ndarray, k: int) -> np.ndarray:
    """Deal groups of so many rows, the largest first, each to the fold of the fewest rows: i32[groups]."""
    folds, heap = np.zeros(len(sizes), np.int32), [(0, fold) for fold in range(k)]
    for group in np.argsort(sizes, kind="stable")[::-1]:
        rows, folds[group] = heap[0]
        heapq.heapreplace(heap, (rows + int(sizes[group]), int(folds[group])))
    return folds
