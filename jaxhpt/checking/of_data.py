"""Hazards of the data: rows that are scored and trained on, inputs of a strange size, labels that tell nothing."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.checking.hazard import Hazard
from jaxhpt.core.checks import leaf_name
from jaxhpt.core.typing import PyTree
from jaxhpt.training.task import Task

FAR = 20.0  # mean or deviation of inputs, from where on usual learning rates and initial weights do not fit
NEAR = 1e-3  # deviation below which the same is so
WIDE = 8  # numbers of a row, from where on two rows are not alike by chance
MOST_BYTES = 1 << 28  # of rows that are compared one by one


def of_data(task: Task) -> Iterator[Hazard]:
    """Look at the data of a task, on the host; of a `FlaxTask`, whose data are inputs and targets, more closely."""
    yield from _of_overlap(task.train_data, task.valid_data)
    if getattr(task, "trainer", None) is None:
        return
    if task.train_data is not None:
        yield from _of_inputs(task.train_data[0])
    sets = {"train_data": task.train_data, "valid_data": task.valid_data}
    targets = {name: np.asarray(data[1]) for name, data in sets.items() if data is not None and _single(data[1])}
    yield from _of_targets(targets)


def _single(targets: Any) -> bool:
    return hasattr(targets, "dtype") and not jax.dtypes.issubdtype(targets.dtype, jax.dtypes.extended)


def _of_overlap(train: PyTree, valid: PyTree) -> Iterator[Hazard]:
    trees: Any = [jax.tree.structure(data) for data in (train, valid)]
    if train is None or valid is None or trees[0] != trees[1]:
        return
    remedy = "hold rows back, such as by folds=jaxhpt.Holdout(0.2) instead of valid_data"
    if _equal(train, valid):
        yield Hazard("same data", "valid_data", "is train_data, so overfitting is not seen", remedy)
    elif _contained(train, valid):
        yield Hazard(
            "same rows", "valid_data", "all of its rows are in train_data, too, so overfitting is not seen", remedy
        )


def _equal(train: PyTree, valid: PyTree) -> bool:
    pairs = zip(jax.tree.leaves(train), jax.tree.leaves(valid), strict=True)
    return all(a is b or (np.shape(a) == np.shape(b) and bool(np.array_equal(a, b))) for a, b in pairs)


def _contained(train: PyTree, valid: PyTree) -> bool:
    """Tell whether all rows of one are rows of the other: of floats, and so many that it is no accident."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((train, valid))]
    mine, other = leaves[: len(leaves) // 2], leaves[len(leaves) // 2 :]
    alike = all(a.dtype == b.dtype and a.shape[1:] == b.shape[1:] for a, b in zip(mine, other, strict=True))
    floats = sum(int(np.prod(a.shape[1:])) for a in mine if jnp.issubdtype(a.dtype, jnp.floating))
    if not alike or floats < WIDE or sum(leaf.nbytes for leaf in leaves) > MOST_BYTES:
        return False
    return _rows(other) <= _rows(mine)


def _rows(leaves: list[np.ndarray]) -> set[bytes]:
    flat = [np.ascontiguousarray(leaf).reshape(len(leaf), -1) for leaf in leaves]
    return {b"".join(leaf[row].tobytes() for leaf in flat) for row in range(len(flat[0]))}


def _of_inputs(inputs: PyTree) -> Iterator[Hazard]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(inputs):
        if not jnp.issubdtype(leaf.dtype, jnp.floating) or not leaf.size:
            continue  # numbers of things, or bytes of pictures, which a model scales itself
        values = np.asarray(leaf, np.float32).reshape(len(leaf), -1)
        with np.errstate(all="ignore"):  # infinite ones are far, too
            mean, spread = np.abs(values.mean(0, dtype=np.float64)), values.std(0, dtype=np.float64)
        name = "inputs" if not path else f"inputs {leaf_name(path)}"
        if max(mean.max(), spread.max()) > FAR or 0 < spread.max() < NEAR:
            yield Hazard(
                "unscaled inputs",
                f"train_data {name}",
                f"a column has mean {mean.max():.3g} (absolute) and deviation {spread.max():.3g}",
                "subtract the mean and divide by the deviation of each column, unless the model does",
            )


def _of_targets(targets: dict[str, np.ndarray]) -> Iterator[Hazard]:
    for name, values in targets.items():
        if len(values) > 1 and bool((values == values[:1]).all()):
            what = f"all are {float(values.ravel()[0]):g}" if values.ndim == 1 else "all rows are the same"
            remedy = "shuffle the rows before they are split, or give others"
            yield Hazard("constant targets", f"{name} targets", what, remedy)
    if len(targets) == 2 and all(values.dtype.kind in "iu" and values.ndim == 1 for values in targets.values()):
        missing = np.setdiff1d(targets["valid_data"], targets["train_data"])
        if missing.size:
            yield Hazard(
                "unknown labels",
                "valid_data targets",
                f"{missing.size} labels, such as {missing[0]}, are in no row of train_data",
                "shuffle the rows before they are split",
            )
