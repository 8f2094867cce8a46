"""Data sets of many searches, side by side: stacked, and filled up to the longest where they have several lengths."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import leaf_name
from jaxhpt.core.typing import PyTree
from jaxhpt.training.batches import Batch, check_data
from jaxhpt.training.ragged import Ragged
from jaxhpt.training.replica import Replicas, marked, replicated
from jaxhpt.training.splits import Folds
from jaxhpt.training.task import Task

REMEDY = "stack data sets by jax.tree.map(lambda *a: np.stack(a), *sets), or give a list with one for each search"


@dataclasses.dataclass(frozen=True, eq=False)
class DataSets:
    """R data sets of up to N rows.

    Attributes:
      name: of the argument they came in.
      arrays: leaves [R, N, ...]; a data set of fewer rows has them again behind its end, so that nothing strange is
        computed of what does not count.
      rows: i32[R] rows of each.
    """

    name: str
    arrays: PyTree
    rows: np.ndarray

    @property
    def num(self) -> int:
        """Data sets, R."""
        return len(self.rows)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Rows of all data sets, each number once; empty where all have as many."""
        found = tuple(int(rows) for rows in np.unique(self.rows))
        return found if len(found) > 1 else ()

    def for_training(self) -> PyTree:
        """Return what searches draw batches from, leaves [R, ...]."""
        return Ragged(self.arrays, self.rows) if self.lengths else self.arrays  # type: ignore[arg-type]

    def for_scoring(self) -> PyTree:
        """Return what `evaluate` is given, leaves [R, ...]."""
        if not self.lengths:
            return self.arrays
        weights = self._own / self.rows[:, None].astype(np.float32)
        return Batch(self.arrays, weights.astype(np.float32))  # type: ignore[arg-type]

    def rows_of_all(self) -> PyTree:
        """Return the rows of all data sets, one set after the other, on the host: leaves [n, ...]."""
        if self.lengths:
            return jax.tree.map(lambda a: np.asarray(a)[self._own], self.arrays)
        return jax.tree.map(lambda a: np.asarray(a).reshape(-1, *a.shape[2:]), self.arrays)

    def folded(self, folds: Folds, labels: Any = None) -> tuple[PyTree, PyTree]:
        """Split each data set by itself: what to train on and what to be scored on, leaves [R, ...].

        Args:
          folds: how.
          labels: of `rows_of_all`; None where they are not known.

        Raises:
          ValueError: folds that do not fit to a data set, which is named.
        """
        ends = np.cumsum(self.rows)
        train, valid = (np.zeros((*self._own.shape, folds.num), bool) for _ in range(2))
        for i, (end, rows) in enumerate(zip(ends, self.rows, strict=True)):
            mine = None if labels is None else np.asarray(labels)[end - rows : end]
            try:
                train[i, :rows], valid[i, :rows] = folds.split(int(rows), mine)
            except ValueError as error:
                raise ValueError(f"{self.name} of search {i}: {error}") from error
        return train, valid

    @property
    def _own(self) -> np.ndarray:
        """bool[R, N] which rows are those of a data set."""
        longest = jax.tree.leaves(self.arrays)[0].shape[1]
        own: np.ndarray = np.arange(longest) < self.rows[:, None]
        return own


class Sets(NamedTuple):
    """The data sets of all searches; None where the task has its own, which all share.

    Attributes:
      train: to train on.
      valid: to be scored on.
    """

    train: DataSets | None
    valid: DataSets | None

    @property
    def lengths(self) -> tuple[int, ...]:
        """Rows of the training data, each number once; empty where there is one."""
        return () if self.train is None else self.train.lengths

    def of_all(self) -> dict[str, PyTree]:
        """Return fields of a task that sees the values of all data sets, by name."""
        return {sets.name: sets.rows_of_all() for sets in self if sets is not None}

    def assembled(self, one: Task, replicas: Replicas) -> tuple[Task, dict[str, PyTree]]:
        """Return the task of a trial, and what each search has for itself: "train" and "valid", leaves [R, ...].

        Args:
          one: the task of one model, with the fields of `of_all`.
          replicas: of a trial.

        Raises:
          ValueError: data of which one part is shared and the other is not, or folds that do not fit.
        """
        for mine, name in ((self.valid, "valid_data"), (self.train, "train_data")):
            if mine is None and any(each is not None for each in self) and getattr(one, name) is not None:
                raise ValueError(f"{name}: must be given to search_many, too, one for each search as the other data")
        if self.train is None or replicas.folds is None:
            own = {} if self.train is None else {"train": self.train.for_training()}
            own |= {} if self.valid is None else {"valid": self.valid.for_scoring()}
            return replicated(one, replicas), jax.tree.map(jnp.asarray, own)
        arrays = jax.tree.map(jnp.asarray, self.train.arrays)  # once for both uses
        train, valid = marked(arrays, *self.train.folded(replicas.folds, getattr(one, "labels", None)))
        job = replicated(one, replicas, split=jax.tree.map(lambda a: a[0], (train, valid)))
        train = Ragged(train, self.train.rows) if self.lengths else train  # type: ignore[arg-type]
        return job, jax.tree.map(jnp.asarray, {"train": train, "valid": valid})


def data_sets(name: str, given: Any) -> DataSets | None:
    """Read the data of many searches.

    Args:
      name: of the argument.
      given: arrays [R, rows, ...] in any pytree but a list; or a list of R pytrees of arrays [rows, ...], which may
        have several lengths; None for none.

    Raises:
      TypeError, ValueError: data that do not agree, or as `check_data` refuses them; the data set is named.
    """
    if given is None:
        return None
    if isinstance(given, list):
        return _listed(name, given)
    arrays = jax.tree.map(_array, given)
    sizes = {f"{name}{jax.tree_util.keystr(path)}": np.shape(leaf)[:1]
             for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)}  # fmt: skip
    if len(set(sizes.values())) != 1 or () in sizes.values() or (0,) in sizes.values():
        raise ValueError(f"{name}: leading axes {sizes}; must agree: one entry for each search; {REMEDY}")
    host = jax.tree.map(np.asarray, arrays)
    num = next(iter(sizes.values()))[0]
    rows = [check_data(f"{name} of search {i}", jax.tree.map(lambda a, i=i: a[i], host)) for i in range(num)]
    return DataSets(name, arrays, np.asarray(rows, np.int32))


def _listed(name: str, given: list) -> DataSets:
    if not given:
        raise ValueError(f"{name}=[]: must have a data set for each search")
    sets = [jax.tree.map(np.asarray, one) for one in given]
    rows = np.asarray([check_data(f"{name} of search {i}", one) for i, one in enumerate(sets)], np.int32)
    for i, one in enumerate(sets):
        if _kind(one) != _kind(sets[0]):
            raise ValueError(
                f"{name} of search {i}: {_spoken(one)}, but that of search 0: {_spoken(sets[0])}; they must agree but "
                "for the number of rows; a list has a data set for each search: what is stacked, write as a tuple"
            )
    places = [np.arange(rows.max()) % own for own in rows]
    filled: Callable = lambda *leaves: np.stack([a[p] for a, p in zip(leaves, places, strict=True)])  # noqa: E731
    return DataSets(name, jax.tree.map(filled, *sets), rows)


def _array(value: Any) -> Any:
    return value if isinstance(value, jax.Array) else np.asarray(value)


def _kind(data: PyTree) -> Any:
    """Return what data sets must have in common."""
    leaves, tree = jax.tree.flatten(data)
    return tree, [(leaf.shape[1:], leaf.dtype) for leaf in leaves]


def _spoken(data: PyTree) -> str:
    leaves = jax.tree_util.tree_leaves_with_path(data)
    return ", ".join(f"{leaf_name(path)} {leaf.dtype}{list(leaf.shape[1:])} a row" for path, leaf in leaves)
