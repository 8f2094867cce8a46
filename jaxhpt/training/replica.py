"""Replicas: a task transformer that trains each trial several times, by seeds and by folds, as one trial.

The state of a trial is a stack of R models. `init`, `step` and `evaluate` are batched over them, with keys of their
own, and each metric is reduced to one number, with its spread beside it: all else in the house sees one trial. Replica
r has the key of the trial folded with r, and is of fold r % F and seed r // F.
"""

import dataclasses
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxhpt.core.arrays import select
from jaxhpt.core.checks import Settings, require, require_count
from jaxhpt.core.typing import Array, Hparams, Key, PyTree
from jaxhpt.training.batches import Batch, check_data
from jaxhpt.training.layout import one_by_one
from jaxhpt.training.reduction import REDUCE, Reduction
from jaxhpt.training.returned import Reduced, made_state, named_metrics, stepped_state
from jaxhpt.training.signatures import require_arguments
from jaxhpt.training.splits import Deal, Folds
from jaxhpt.training.task import Task

_UNUSED = {"batches": "cannot be split into folds", "valid_data": "is not used with folds, which split train_data"}


@dataclasses.dataclass(frozen=True)
class Replicas(Settings):
    """How often each trial is trained, and what its scores are.

    Args:
      seeds: models of different keys, for each fold; at least 1.
      folds: how `train_data` is split into rows to train on and rows to be scored on; None for `valid_data` as it is.
      reshuffle: whether each trial has a new split, the same for all that begin at one event.
      reduce: "mean", "worst", or "bound": the mean worsened by its standard error.

    Raises:
      TypeError, ValueError: a setting of another kind, or without effect.

    References:
      Nagler et al., "Reshuffling resampling splits can improve generalization of hyperparameter optimization",
      https://arxiv.org/abs/2405.15393 (2024), for new splits.
    """

    seeds: int = 1
    folds: Folds | None = None
    reshuffle: bool = False
    reduce: str = "mean"

    def __post_init__(self) -> None:
        object.__setattr__(self, "seeds", require_count("seeds", self.seeds))
        if self.folds is not None and not isinstance(self.folds, Folds):
            raise TypeError(f"folds={self.folds!r}: must be folds such as jaxhpt.KFold(5)")
        if not isinstance(self.reshuffle, bool):
            raise TypeError(f"reshuffle={self.reshuffle!r}: must be True or False")
        if self.reshuffle and self.folds is None:
            raise ValueError(
                "reshuffle=True: there is no split to draw anew; say folds=jaxhpt.KFold(5), or leave it out"
            )
        require(self.reduce in REDUCE, "reduce", self.reduce, f"one of {', '.join(map(repr, REDUCE))}")
        if self.num == 1 and self.reduce != "mean":
            raise ValueError(f"reduce={self.reduce!r}: there is one model a trial; say seeds=3, or leave it out")

    @property
    def num(self) -> int:
        """Models of a trial, R."""
        return self.seeds * self.num_folds

    @property
    def num_folds(self) -> int:
        """Folds, F; 1 where there are none."""
        return 1 if self.folds is None else self.folds.num

    @property
    def plain(self) -> bool:
        """Whether a trial is what it is without replicas."""
        return self.seeds == 1 and self.folds is None


@dataclasses.dataclass(frozen=True, eq=False)
class ReplicaTask(Task):
    """A task that trains R models a trial.

    Attributes:
      one: the task of one model; None for none.
      replicas: how many, and how they are scored.
    """

    one: Task | None = None
    replicas: Replicas = Replicas()


def replicated(task: Task, replicas: Replicas, again: int = 0, split: tuple[PyTree, PyTree] | None = None) -> Task:
    """Make a task whose trials train several models; the task itself where there is one model and no folds.

    Args:
      task: of one model.
      replicas: how many, and how they are scored.
      again: another number gives other folds, where there is chance in them.
      split: data to train on and to be scored on as `marked` makes them, where the task's own are not what is split.

    Raises:
      TypeError, ValueError: folds that do not fit to the task and its data, or functions of other arguments.
    """
    if replicas.plain:
        return task
    fields = {field.name: getattr(task, field.name) for field in dataclasses.fields(Task)}
    deal = None
    if replicas.folds is not None:
        _check_folds(task)
        train, valid, deal = _marked(task, replicas, again) if split is None else (*split, None)
        fields |= {"train_data": train, "valid_data": valid}
    stack = _Stack(task, replicas, deal)
    weights = None if task.weights is None else stack.weights
    written: dict[str, Any] = {"init": stack.init, "step": stack.step, "evaluate": stack.evaluate, "weights": weights}
    written["partition"] = None if task.partition is None else stack.partition
    return ReplicaTask(**{**fields, **written}, one=task, replicas=replicas)


def unstacked(state: PyTree, num: int) -> list[PyTree]:
    """Return the states of the R models of a trial, replica 0 first."""
    return [jax.tree.map(operator.itemgetter(r), state["models"]) for r in range(num)]


def _marked(task: Task, replicas: Replicas, again: int) -> tuple[PyTree, PyTree, Deal | None]:
    """Return the data to train on and to be scored on, the same arrays with marks on rows; and how to deal anew."""
    folds: Any = replicas.folds
    rows = check_data("train_data", task.train_data)
    data, labels = jax.tree.map(_once, task.train_data), getattr(task, "labels", None)
    if replicas.reshuffle:
        row = jnp.arange(rows, dtype=jnp.int32)
        both = {"data": data, "marks": row}
        return both, both, folds.deal(rows, labels)
    return *marked(data, *map(jnp.asarray, folds.split(rows, labels, again))), None


def marked(data: PyTree, train: Any, valid: Any) -> tuple[PyTree, PyTree]:
    """Return the data to train on and to be scored on: the same arrays, with bool[n, F] marks on the rows of folds."""
    return {"data": data, "marks": train}, {"data": data, "marks": valid}


def _check_folds(task: Task) -> None:
    """Refuse what has no meaning with folds, or no rows to split."""
    for name, why in _UNUSED.items():
        if getattr(task, name) is not None:
            raise ValueError(f"folds and {name}: what {name} gives {why}; leave one of them out")
    if task.train_data is None:
        raise ValueError("folds: there is no train_data to split; give it, or leave folds out")


def _once(array: Any) -> jax.Array:
    """Put an array on the device, once for both uses; copied, as its owner may change it in place."""
    return array if isinstance(array, jax.Array) else jnp.array(array)


class _Stack:
    """The functions of R models, written by those of one."""

    def __init__(self, task: Task, replicas: Replicas, deal: Deal | None) -> None:
        self.task, self.replicas, self.deal = task, replicas, deal
        self.init_takes = require_arguments("init", task.init, 2, ("key", "hparams", "wave"))
        require_arguments("train_step", task.step, 4, ("state", "batch", "hparams", "key"))
        words = ("state", "valid_data", "hparams", "key")
        self.evaluate_takes = require_arguments("evaluate", task.evaluate, 3, words)
        wanted = (task.objective, task.direction, task.objectives, task.constraints)
        self.reduction = Reduction(replicas.reduce, wanted, replicas.folds is None or replicas.reshuffle)

    def init(self, key: Key, hparams: Hparams, wave: Key) -> dict[str, PyTree]:
        """Start R models; see `Task`."""

        def one(key: Key) -> PyTree:
            return made_state(self.task.init(*(key, hparams, wave)[: self.init_takes]))

        state = {"models": self._each(one, self._keys(key))}
        return state if self.deal is None else {**state, "folds": self.deal.drawn(wave)}

    def partition(self, path: str, shape: tuple[int, ...]) -> PartitionSpec:
        """Say how an array of the stack is cut, by how that of one model is; see `Task`."""
        rule: Any = self.task.partition
        part, _, of_model = path.partition("/")
        return PartitionSpec(None, *rule(of_model, shape[1:])) if part == "models" else PartitionSpec()

    def step(self, state: dict[str, PyTree], batch: PyTree, hparams: Hparams, key: Key) -> dict[str, PyTree]:
        """Train R models by one step on one batch; see `Task`."""
        given = (state["models"], self._keys(key))
        if self.replicas.folds is None:

            def one(model: PyTree, key: Key) -> PyTree:
                return stepped_state(model, self.task.step(model, batch, hparams, key))

            return {**state, "models": self._each(one, *given)}
        data, marks, used = _parts(batch)

        def fold(model: PyTree, key: Key, weights: Array) -> PyTree:
            return stepped_state(model, self.task.step(model, Batch(data, weights), hparams, key))

        trained = self._marks(state, marks, False)
        weights = self._weights(trained if used is None else trained & used[:, None])
        some = jnp.any(weights > 0, axis=1)  # without a row to train on there is no step
        return {**state, "models": select(some, self._each(fold, *given, weights), state["models"])}

    def evaluate(self, state: dict[str, PyTree], valid_data: PyTree, hparams: Hparams, key: Key) -> Reduced:
        """Measure R models, each on the rows of its fold, and reduce the metrics; see `Task`."""
        unnamed: list[bool] = []

        def one(model: PyTree, key: Key, data: PyTree) -> dict[str, Array]:
            metrics = self.task.evaluate(*(model, data, hparams, key)[: self.evaluate_takes])
            unnamed.append(not isinstance(metrics, Mapping))
            return named_metrics(metrics, "evaluate")

        given = (state["models"], self._keys(key))
        if self.replicas.folds is None:
            found = self._each(lambda model, key: one(model, key, valid_data), *given)
        else:
            data, weights = valid_data["data"], self._weights(self._marks(state, valid_data["marks"], True))
            found = self._each(lambda model, key, own: one(model, key, Batch(data, own)), *given, weights)
        return self.reduction(found, unnamed[0])

    def weights(self, state: dict[str, PyTree]) -> PyTree:
        """Return the parts of all models that must stay finite."""
        part: Any = self.task.weights
        return jax.vmap(part)(state["models"])

    def _keys(self, key: Key) -> Array:
        return jax.vmap(lambda r: jax.random.fold_in(key, r))(jnp.arange(self.replicas.num, dtype=jnp.int32))

    def _marks(self, state: dict[str, PyTree], marks: Array, valid: bool) -> Array:
        """Return which of n rows are of each fold: bool[n, F]."""
        if self.deal is None:
            return marks
        fold = jnp.arange(self.replicas.num_folds, dtype=state["folds"].dtype)
        mine = state["folds"][marks][:, None] == fold[None]
        return mine if valid else ~mine

    def _weights(self, marks: Array) -> Array:
        """Return the weights of rows, f32[R, n], of sum 1 for each model; 0 where it has no row: bool[n, F]."""
        used = marks.T.astype(jnp.float32)
        weights = used / jnp.maximum(jnp.sum(used, axis=1, keepdims=True), 1.0)
        return jnp.tile(weights, (self.replicas.seeds, 1))

    def _each(self, function: Callable, *models: PyTree) -> PyTree:
        """Apply a function of one model to R of them, by whichever way is faster: leaves [R, ...]."""
        first = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), models)
        cpu = self.replicas.num > 1 and jax.default_backend() == "cpu"
        if cpu and one_by_one(jax.make_jaxpr(function)(*first).jaxpr):
            return jax.lax.map(lambda each: function(*each), models)
        return jax.vmap(function)(*models)


def _parts(batch: PyTree) -> tuple[PyTree, Array, Array | None]:
    """Return the data of a batch, its marks, and bool[B] which of its rows the trial uses; None for all."""
    if isinstance(batch, Batch):
        return batch.data["data"], batch.data["marks"], batch.weights > 0
    return batch["data"], batch["marks"], None
