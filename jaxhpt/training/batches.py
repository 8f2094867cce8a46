"""The minibatch stream: made on device, shared by all lanes, a pure function of the root key and the tick.

All lanes see the same rows at the same tick. That makes trials comparable (common random numbers), lets the
first layer of all lanes be one matrix product, and leaves nothing to store: any batch can be had again.
"""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import leaf_name, require, require_count
from jaxhpt.core.control import when
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key, PyTree
from jaxhpt.training.ragged import Ragged, permutation
from jaxhpt.training.target_facts import check_kind

BATCH_SIZE = "batch_size"  # the dimension that a trial's own batch size is read from
DEFAULT_SIZE = 128


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Rows of which not all are in use: the first `batch_size`, where that is a hyperparameter, and those of a fold.

    With folds, `evaluate` is given all rows of `train_data` in one, where those of its fold are in use. Where many
    searches have data sets of several lengths, it is given `valid_data` in one, and those of its own are in use.

    Attributes:
      data: the rows, leaves [B, ...].
      weights: f32[B] 1 / n for the n rows in use, 0 for the rest; their sum is 1, or 0 where none is.
    """

    data: PyTree
    weights: Array

    def __iter__(self) -> Iterator:
        self._refuse("x, y = batch")

    def __getitem__(self, key: Any) -> Any:
        self._refuse(f"batch[{key!r}]")

    def _refuse(self, attempt: str) -> NoReturn:
        remedy = "take its rows from batch.data, and average over them with jaxhpt.batch_mean(values, batch)"
        raise TypeError(
            f"{attempt}: batch is a jaxhpt.Batch, as batch_size is a hyperparameter, the search has folds, or its data "
            f"sets have several lengths; {remedy}"
        )


def batch_mean(values: Array, batch: PyTree) -> Array:
    """Average over the rows of a batch that belong to the trial.

    Write losses with it and they are right with and without `batch_size` in the space, with folds, and with data sets
    of several lengths.

    Args:
      values: [B, ...] one entry a row.
      batch: what `train_step` was given, or `evaluate` with folds or with data sets of several lengths.

    Returns:
      [...] the mean over the rows in use.

    Example:
      >>> batch = Batch(data=jnp.arange(4.0), weights=jnp.array([0.5, 0.5, 0.0, 0.0]))
      >>> float(batch_mean(batch.data, batch))
      0.5
    """
    if not isinstance(batch, Batch):
        return jnp.mean(values, axis=0)
    used = batch.weights.reshape(batch.weights.shape + (1,) * (values.ndim - 1))
    return jnp.sum(jnp.where(used > 0, values * used, 0.0), axis=0)


class Shuffle(NamedTuple):
    """The orders of the epochs at hand: epoch, i32[] the first of them; orders, i32[E, rows]."""

    epoch: Array
    orders: Array


@dataclasses.dataclass(frozen=True)
class Batches:
    """How minibatches come about. Static and hashable.

    Attributes:
      rows: rows of the training data, of the longest data set; 0 where there is none.
      size: rows of a batch, B, or all of a shorter data set; with `column`, the largest a trial may use.
      column: the dimension that holds each trial's own batch size; None where all have `size`.
      fewest: rows of the shortest data set, where each is `Ragged`; None where there is one length.
    """

    rows: int = 0
    size: int = 0
    column: int | None = None
    fewest: int | None = None

    @property
    def partial(self) -> bool:
        """Whether a batch may be more than a data set has, so that not all of its rows are in use."""
        return self.fewest is not None and self.size > self.fewest

    def per_epoch(self, data: PyTree = None) -> Array | int:
        """Return the batches of one pass over the data: at least one; i32[] of `Ragged` data."""
        return -(-self._rows(data) // self._size(data))

    def start(self, interval: int) -> Shuffle:
        """Return a shuffle that holds no epoch yet, for events of `interval` ticks."""
        least = self.rows if self.fewest is None else self.fewest
        per_epoch = -(-least // max(1, min(self.size, least)))
        epochs = (per_epoch + interval - 2) // per_epoch + 1 if self.rows else 0
        return Shuffle(jnp.full((), -1, jnp.int32), jnp.zeros((epochs, self.rows), jnp.int32))

    def seek(self, shuffle: Shuffle, root: Key, tick: Array, data: PyTree = None) -> Shuffle:
        """Shuffle the epochs that the event starting at `tick` will read, unless they are at hand.

        Args:
          shuffle: at hand.
          root: the search's key.
          tick: i32[] of the stream.
          data: that batches are cut from; it matters where it is `Ragged`.
        """
        if self.rows == 0:
            return shuffle
        epoch = tick // self.per_epoch(data)
        return when(shuffle.epoch != epoch, lambda: self._shuffle(shuffle, root, epoch, data), lambda: shuffle)

    def _shuffle(self, shuffle: Shuffle, root: Key, epoch: Array, data: PyTree) -> Shuffle:
        def order(e: Array) -> Array:
            key = key_of(root, Stream.EPOCH, e)
            if isinstance(data, Ragged):
                return permutation(key, data.rows, self.rows)
            return jax.random.permutation(key, jnp.arange(self.rows, dtype=jnp.int32))

        epochs = epoch + jnp.arange(shuffle.orders.shape[0], dtype=jnp.int32)
        return Shuffle(epoch, jax.vmap(order)(epochs))

    def at(self, shuffle: Shuffle, root: Key, tick: Array, data: PyTree) -> PyTree:
        """Return the batch of a tick: leaves [B, ...], or None where there is no data; a `Batch` where not all count.

        An epoch is as many whole batches as hold all rows; the last one is filled up from the epoch's beginning.
        """
        if self.rows == 0:
            return None
        per_epoch, row = self.per_epoch(data), jnp.arange(self.size, dtype=jnp.int32)
        place = ((tick % per_epoch) * self._size(data) + row) % self._rows(data)
        index = shuffle.orders[tick // per_epoch - shuffle.epoch, place]
        if not isinstance(data, Ragged):
            return jax.tree.map(lambda a: a[index], data)
        batch = jax.tree.map(lambda a: a[index], data.data)
        return Batch(batch, _equal(row, self._size(data))) if self.partial else batch

    def share(self, batch: PyTree, values: tuple[Array, ...]) -> PyTree:
        """Give a trial its part of the batch, where it has a batch size of its own."""
        if self.column is None:
            return batch
        own, row = values[self.column], jnp.arange(self.size, dtype=jnp.int32)
        if not isinstance(batch, Batch):
            return Batch(batch, _equal(row, own))
        return Batch(batch.data, _equal(row, jnp.minimum(own, jnp.sum(batch.weights > 0, dtype=jnp.int32))))

    def _rows(self, data: PyTree) -> Array | int:
        return data.rows if isinstance(data, Ragged) else self.rows

    def _size(self, data: PyTree) -> Array | int:
        """Return the rows of a batch that are in use."""
        return jnp.minimum(data.rows, self.size) if isinstance(data, Ragged) and self.partial else self.size


def _equal(row: Array, num: Array | int) -> Array:
    """Return the weights of i32[B] rows of which the first `num` are in use: f32[B]."""
    return jnp.where(row < num, 1.0 / jnp.asarray(num).astype(jnp.float32), 0.0)


def check_data(name: str, data: PyTree) -> int:
    """Check arrays that share a leading axis, and return its length; 0 for None.

    Raises:
      TypeError: an array of strings or objects; the leaf is named.
      ValueError: no array, a scalar, unequal lengths, NaN, or numbers that 32 bits cannot hold; the leaf is named.
    """
    if data is None:
        return 0
    leaves = jax.tree_util.tree_leaves_with_path(data)
    require(bool(leaves), name, data, "arrays, or None")
    lengths = {}
    for path, leaf in leaves:
        require(np.ndim(leaf) > 0, f"{name} leaf {leaf_name(path)}", leaf, "an array with a leading axis of rows")
        lengths[leaf_name(path)] = len(leaf)
        if not isinstance(leaf, jax.Array):
            check_kind(f"{name} leaf {leaf_name(path)}", np.asarray(leaf))
        _refuse_nan(name, path, leaf)
    rows = next(iter(lengths.values()))
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{name}: arrays must have the same number of rows, but have {lengths}")
    require(rows > 0, f"{name} rows", rows, "at least 1")
    return rows


def _refuse_nan(name: str, path: Any, leaf: Any) -> None:
    values = np.asarray(leaf)
    if jnp.issubdtype(values.dtype, jnp.floating) and np.isnan(values).any():
        row = int(np.argwhere(np.isnan(values))[0][0])
        remedy = "drop or fill such rows first; one NaN makes every model's weights NaN"
        raise ValueError(f"{name} leaf {leaf_name(path)}: NaN in row {row}; {remedy}")


def batches_of(
    space: Space, train_data: PyTree, generate: Callable | None, batch_size: int | None, fewest: int | None = None
) -> Batches:
    """Decide how minibatches come about, and check it.

    A dimension called "batch_size" gives each trial its own, up to the largest; it comes before the argument. A
    constant of that name takes its place.

    Args:
      space: of the search.
      train_data: arrays [rows, ...], those of the longest of several data sets; None for none.
      generate: makes batches on the fly; None where they are cut.
      batch_size: rows of a batch; None for a good default.
      fewest: rows of the shortest data set, where they have several lengths.

    Raises:
      TypeError, ValueError: data as `check_data` refuses it.
      ValueError: a batch size below 1 or above the rows, two that differ, or one where no batches are cut.
    """
    rows = check_data("train_data", train_data)
    if generate is not None or rows == 0:
        _refuse_uncut(space, generate, batch_size)
        return Batches()
    told = space.constants.get(BATCH_SIZE, batch_size)
    if batch_size not in (None, told):
        raise ValueError(f"batch_size={batch_size!r}: but the space tells batch_size={told!r}; leave one of them out")
    column = space.names.index(BATCH_SIZE) if BATCH_SIZE in space.names else None
    size = min(DEFAULT_SIZE, rows) if told is None else told
    size = require_count("batch_size", size if column is None else _largest(space, column, rows))
    require(size <= rows, "batch_size", size, f"at most the {rows} rows of train_data")
    return Batches(rows, size, column, fewest)


def _refuse_uncut(space: Space, generate: Callable | None, batch_size: int | None) -> None:
    """Refuse a batch size that would not be used: nothing is cut from data that are made on the fly, or not there."""
    if batch_size is not None:
        raise ValueError(f"batch_size={batch_size!r}: there is no train_data to cut batches from; leave it out")
    if generate is not None and BATCH_SIZE in space.constants:
        told = space.constants[BATCH_SIZE]
        raise ValueError(f"space 'batch_size'={told!r}: batches=... makes the batches; leave it out, or rename it")


def _largest(space: Space, column: int, rows: int) -> int:
    dimension = space.dimensions[column]
    require(dimension.dtype == np.int32, "space 'batch_size'", dimension, "a choice of whole numbers")
    ends = [dimension.label(unit) for unit in dimension.grid(rows + 1)]
    require(all(isinstance(end, int) for end in ends), "space 'batch_size'", dimension, "a choice of whole numbers")
    require(min(ends) >= 1, "space 'batch_size'", min(ends), "at least 1")
    return max(ends)
