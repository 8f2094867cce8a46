"""The training step and the evaluation that `FlaxTask` writes: one module, one optimiser, one loss."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxhpt.core.typing import Array, Hparams, Key, PyTree
from jaxhpt.training.batches import Batch, batch_mean
from jaxhpt.training.flax_models import FlaxModel
from jaxhpt.training.losses import floats
from jaxhpt.training.target_facts import Facts, Unknown
from jaxhpt.training.targets import Fit

VALID_CHUNK = 512  # rows evaluated at once: all lanes' activations of a large set would not fit in memory


def key_and_tick(key: Key, tick: Array) -> tuple[Key, Array]:
    """Stand in for `batches` where each trial makes its own from the key that all share."""
    return key, tick


@dataclasses.dataclass(frozen=True)
class Measure:
    """A loss or a metric.

    Attributes:
      name: what errors call it.
      function: (outputs, targets, hparams) -> values.
      ours: whether it is one of ours, which sees the targets as they were made to fit.
      weighted: (outputs, targets, hparams, weights) -> a scalar, for a metric that asks for the weights of rows where
        they have some; None for one that returns a value a row.
    """

    name: str
    function: Callable
    ours: bool
    weighted: Callable | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Trainer:
    """What a Flax module needs to be a `Task`.

    The state is {"params", "extra", "opt"}: weights, whatever else the module keeps (BatchNorm statistics, dropout
    streams), and the optimiser's state. The optimiser is built inside the trace, so a new value compiles nothing.

    Attributes:
      model: the module.
      optimizer: hparams -> optax optimiser.
      loss: one value a row, to be averaged.
      metrics: names and measures of the validation data.
      fit: makes targets fit to the outputs, for measures of ours; None where there are none.
      train: what is known of the training targets.
      valid: what is known of the validation targets.
      generate: (key, tick, hparams) -> (inputs, targets), made by each trial; None where batches come from elsewhere.
    """

    model: FlaxModel
    optimizer: Callable[[Hparams], optax.GradientTransformation]
    loss: Measure
    metrics: tuple[tuple[str, Measure], ...]
    fit: Fit | None
    train: Facts | Unknown
    valid: Facts | Unknown
    generate: Callable | None = None

    def init(self, key: Key, hparams: Hparams) -> dict[str, PyTree]:
        """Start a trial; see `Task`."""
        params, extra = self.model.build(key, hparams)
        optimizer = self._optimizer(hparams)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes inside
            return {"params": params, "extra": extra, "opt": optimizer.init(params)}

    def step(self, state: dict[str, PyTree], batch: PyTree, hparams: Hparams, key: Key) -> dict[str, PyTree]:
        """Take one step of the optimiser; see `Task`. The state's dtypes stay as `init` made them."""
        x, y, weights = self._batch(batch, hparams)

        def objective(params: PyTree) -> tuple[Array, PyTree]:
            outputs, extra = self.model.run(params, state["extra"], x, hparams, key, weights)
            values = self._losses(outputs, y, hparams, _num_rows(x))
            return jnp.mean(batch_mean(_row_means(values), batch if weights is not None else None)), extra

        (value, extra), grads = jax.value_and_grad(objective, has_aux=True)(state["params"])
        optimizer = optax.with_extra_args_support(self._optimizer(hparams))
        with jax.numpy_dtype_promotion("standard"):  # optax mixes dtypes inside
            updates, opt = optimizer.update(grads, state["opt"], state["params"], value=value, grad=grads)
            params = optax.apply_updates(state["params"], updates)
        return {
            name: _as_made(state[name], new) for name, new in {"params": params, "extra": extra, "opt": opt}.items()
        }

    def evaluate(self, state: dict[str, PyTree], valid_data: PyTree, hparams: Hparams) -> dict[str, Array]:
        """Measure the module on the validation data, or on rows of weights in a `Batch`: f32[] each; see `Task`."""
        if valid_data is None:
            raise ValueError(
                "valid_data: must be a pair (inputs, targets), not NoneType; or say folds=jaxhpt.KFold(5) to search, "
                "to be scored on parts of train_data"
            )
        folded = valid_data if isinstance(valid_data, Batch) else None
        x, y = valid_data if folded is None else folded.data
        of_train = folded is not None and isinstance(self.valid, Unknown)  # with folds there is no valid_data
        facts = self.train if of_train else self.valid
        outputs = self._predict_all(state, x, hparams)
        found = {}
        for name, measure in self.metrics:
            if folded is not None and measure.weighted is not None:
                measure = _with_weights(measure, folded.weights)
            values = self._measured(measure, outputs, y, facts, hparams)
            if folded is not None and measure.weighted is None:
                values = batch_mean(_row_means(self._a_row(measure, values, _num_rows(x))), folded)
            found[name] = jnp.mean(floats(values)).astype(jnp.float32)
        return found

    def _a_row(self, measure: Measure, values: Array, rows: int) -> Array:
        """Require values for each row, which can be weighted."""
        if values.shape[:1] != (rows,):
            raise ValueError(
                f"{measure.name}: returned an array of shape {values.shape} for {rows} rows; with folds, or data "
                f"sets of several lengths, it must return one value a row, [{rows}] or [{rows}, ...], or take the "
                "weights of rows by an argument weights=None"
            )
        return values

    def export(self, state: dict[str, PyTree], hparams: Hparams) -> Any:
        """Return what a user goes on with; see `Task`."""
        return self.model.export(state["params"], state["extra"], hparams)

    def weights(self, state: dict[str, PyTree]) -> PyTree:
        """Return the part of the state that must stay finite."""
        return state["params"]

    def _optimizer(self, hparams: Hparams) -> optax.GradientTransformation:
        made = self.optimizer(hparams)
        if not isinstance(made, optax.GradientTransformation):
            remedy = 'an optax optimiser, such as optax.adam(h["lr"])'
            raise TypeError(f"optimizer: returned {type(made).__name__}; must return {remedy}")
        return made

    def _batch(self, batch: PyTree, hparams: Hparams) -> tuple[PyTree, PyTree, Array | None]:
        if isinstance(batch, Batch):
            return (*batch.data, batch.weights)
        made = batch if self.generate is None else self.generate(*batch, hparams)
        if not isinstance(made, (tuple, list)) or len(made) != 2:
            raise TypeError(f"batches: returned {type(made).__name__}; must return a pair (inputs, targets)")
        return (*made, None)

    def _losses(self, outputs: PyTree, y: PyTree, hparams: Hparams, rows: int) -> Array:
        values = self._measured(self.loss, outputs, y, self.train, hparams)
        if values.shape[:1] != (rows,):
            hint = "drop the mean" if values.ndim == 0 else "keep the rows apart"
            raise ValueError(
                f"loss: returned an array of shape {values.shape} for {rows} rows; must return one value a row, "
                f"[{rows}] or [{rows}, ...]: {hint}"
            )
        if not jnp.issubdtype(values.dtype, jnp.floating):
            raise TypeError(f"loss: returned {values.dtype}; must return floats, which have a gradient")
        return values

    def _measured(self, measure: Measure, outputs: PyTree, y: PyTree, facts: Facts | Unknown, h: Hparams) -> Array:
        if measure.ours and self.fit is not None:
            _check_outputs(outputs)
            y = self.fit(outputs, y, facts)
        values = measure.function(outputs, y, h)
        if not isinstance(values, (jax.Array, bool, int, float)) and not hasattr(values, "dtype"):
            raise TypeError(f"{measure.name}: returned {type(values).__name__}; must return an array")
        values = jnp.asarray(values)
        _check_pairs(measure.name, values, outputs, y)
        if jnp.issubdtype(values.dtype, jnp.complexfloating):
            raise TypeError(f"{measure.name}: returned {values.dtype}; must return real numbers, such as jnp.abs(...)")
        return values

    def _predict_all(self, state: dict[str, PyTree], x: PyTree, hparams: Hparams) -> PyTree:
        if _num_rows(x) <= VALID_CHUNK:
            return self.model.predict(state["params"], state["extra"], x, hparams)

        def one(row: PyTree) -> PyTree:
            single = jax.tree.map(lambda a: a[None], row)
            outputs = self.model.predict(state["params"], state["extra"], single, hparams)
            return jax.tree.map(lambda a: a[0], outputs)

        return jax.lax.map(one, x, batch_size=VALID_CHUNK)


def _with_weights(measure: Measure, weights: Array) -> Measure:
    """Give a metric the weights of rows."""
    function: Any = measure.weighted
    return dataclasses.replace(measure, function=lambda outputs, y, h: function(outputs, y, h, weights))


def _num_rows(x: PyTree) -> int:
    return int(jax.tree.leaves(x)[0].shape[0])


def _check_outputs(outputs: PyTree) -> None:
    """Refuse what our losses cannot read."""
    remedy = (
        "one array of floats; for others give loss=... a function (outputs, targets), and metrics={...} of your own"
    )
    if not hasattr(outputs, "dtype"):
        keys = f" of {list(outputs)}" if isinstance(outputs, dict) else ""
        raise TypeError(f"model: returned a {type(outputs).__name__}{keys}; a loss by name takes {remedy}")
    if not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise TypeError(f"model: returned {outputs.dtype}; a loss by name takes {remedy}")


def _row_means(values: Array) -> Array:
    """Average all but the first axis: [B, ...] -> [B]."""
    return jnp.mean(floats(values).reshape(values.shape[0], -1), axis=1)


def _as_made(before: PyTree, after: PyTree) -> PyTree:
    """Give floats the dtypes that `init` gave them: a traced float32 rate would else widen a state of bfloat16."""
    structure: Any = jax.tree.structure(before)
    if structure != jax.tree.structure(after):
        return after  # another structure is refused later, with its leaves named

    def narrow(old: Any, new: Any) -> Any:
        dtype, other = jnp.result_type(old), jnp.result_type(new)
        both = jnp.issubdtype(dtype, jnp.floating) and jnp.issubdtype(other, jnp.floating)
        return jax.lax.convert_element_type(new, dtype) if both and dtype != other else new

    return jax.tree.map(narrow, before, after)


def _check_pairs(name: str, values: Array, outputs: PyTree, targets: PyTree) -> None:
    """Refuse values of all pairs of rows: what [B, 1] and [B] come to when one is subtracted from the other."""
    both = [leaf for leaf in jax.tree.leaves((outputs, targets)) if hasattr(leaf, "shape")]
    rows = values.shape[0] if values.ndim > 1 else 0
    if rows > 1 and values.shape[1] == rows and not any(leaf.shape[1:2] == (rows,) for leaf in both):
        shapes = ", ".join(str(leaf.shape) for leaf in both)
        raise ValueError(
            f"{name}: returned {values.shape} for outputs and targets of {shapes}: each row meets each other row; "
            "take outputs[:, 0], or targets[:, None]"
        )
