"""FlaxTask: a Flax module, an optax optimiser and arrays as a `Task`; linen and nnx.

The state is {"params", "extra", "opt"}: weights, whatever else the module keeps (BatchNorm statistics, dropout
streams), and the optimiser's state. The optimiser is built inside the trace, so a new value compiles nothing.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen, nnx

from jaxhpt.training.batches import Batch, batch_mean
from jaxhpt.training.losses import LossFn, named_loss
from jaxhpt.training.task import Task
from jaxhpt.typing import Array, Hparams, Key, PyTree

VALID_CHUNK = 512  # rows evaluated at once: all lanes' activations of a large set would not fit in memory


def FlaxTask(
    model: Any,
    optimizer: Callable[[Hparams], optax.GradientTransformation],
    *,
    train_data: PyTree = None,
    valid_data: PyTree = None,
    loss: str | LossFn = "cross_entropy",
    metrics: dict[str, LossFn] | None = None,
    batches: Callable | None = None,
    **defaults: Any,
) -> Task:
    """Make a task of a Flax module. Choose it unless the training step is unusual.

    Args:
      model: a linen module; or a function hparams -> linen module; or a function (hparams, rngs) -> nnx module.
        Its call takes the inputs, and `train` or `deterministic` if it wants to be told. For dropout as a
        hyperparameter see `jaxhpt.traced`.
      optimizer: hparams -> optax optimiser, built anew in every trace.
      train_data: (inputs, targets), arrays [rows, ...].
      valid_data: (inputs, targets), arrays [rows, ...].
      loss: "cross_entropy", "binary_cross_entropy", "mse", "mae", or a function (outputs, targets) -> [B, ...].
      metrics: name -> function (outputs, targets) -> [rows, ...] to average, or a scalar; beside the loss's own
        ("accuracy" and "loss", or "mse", "mae" and "r2", or "loss").
      batches: (key, tick) -> (inputs, targets), instead of `train_data`.
      **defaults: fields of `Task`: batch_size, steps, steps_per_epoch, objective, direction.

    Returns:
      A `Task`. `Result.best_state` is linen's variables for `model.apply`, or the nnx module itself.

    Raises:
      TypeError: an optimiser instead of a function that makes one, or a model of another kind.
      ValueError: data that is not a pair, no validation data, an unknown loss.

    Example:
      >>> import jax, jaxhpt, optax
      >>> from flax import linen as nn
      >>> x = jax.random.normal(jax.random.key(0), (256, 4))
      >>> task = jaxhpt.FlaxTask(nn.Dense(1), lambda h: optax.sgd(h["lr"]), loss="mse",
      ...                        train_data=(x, x.sum(1)), valid_data=(x, x.sum(1)), steps=30)
      >>> result = jaxhpt.search(task, {"lr": jaxhpt.Float(1e-3, 0.5, log=True)}, trials=16, progress=False)
      >>> result.best.metrics["r2"] > 0.99
      True
    """
    if isinstance(optimizer, tuple) or not callable(optimizer):
        remedy = 'a function that makes one inside the trace, such as lambda h: optax.adam(h["lr"])'
        raise TypeError(f"optimizer={optimizer!r}: must be {remedy}")
    if batches is None or train_data is not None:
        _check_pair("train_data", train_data)
    _check_pair("valid_data", valid_data)
    chosen, measures, objective = named_loss(loss)
    trainer = _trainer(model)(
        model,
        optimizer,
        chosen,
        tuple((name, measure) for name, measure in {**measures, **(metrics or {})}.items()),
        _one_row(valid_data[0]),
    )
    filled = {"objective": objective, **defaults}
    arrays = {"train_data": train_data, "valid_data": valid_data, "batches": batches}
    return Task(trainer.init, trainer.step, trainer.evaluate, export=trainer.export, **arrays, **filled)


@dataclasses.dataclass(frozen=True)
class _Trainer:
    """What linen and nnx share. Subclasses build, run and export the module."""

    model: Any
    optimizer: Callable
    loss: Callable
    metrics: tuple[tuple[str, Callable], ...]
    inputs: tuple[Any, tuple]

    def build(self, key: Key, hparams: Hparams) -> tuple[PyTree, PyTree]:
        """Return fresh weights and what else the module keeps."""
        raise NotImplementedError

    def run(
        self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams, key: Key, weights: Array | None
    ) -> tuple[Array, PyTree]:
        """Run the module in training; return its outputs, and what it keeps."""
        raise NotImplementedError

    def predict(self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams) -> Array:
        """Run the module in evaluation."""
        raise NotImplementedError

    def export(self, state: PyTree, hparams: Hparams) -> Any:
        """Return what a user goes on with."""
        raise NotImplementedError

    def init(self, key: Key, hparams: Hparams) -> dict[str, PyTree]:
        """Start a trial; see `Task`."""
        params, extra = self.build(key, hparams)
        return {"params": params, "extra": extra, "opt": self.optimizer(hparams).init(params)}

    def step(self, state: dict[str, PyTree], batch: PyTree, hparams: Hparams, key: Key) -> dict[str, PyTree]:
        """Take one step of the optimiser; see `Task`."""
        x, y = batch.data if isinstance(batch, Batch) else batch
        weights = batch.weights if isinstance(batch, Batch) else None

        def objective(params: PyTree) -> tuple[Array, PyTree]:
            outputs, extra = self.run(params, state["extra"], x, hparams, key, weights)
            return jnp.mean(batch_mean(_rows(self.loss(outputs, y)), batch)), extra

        (value, extra), grads = jax.value_and_grad(objective, has_aux=True)(state["params"])
        optimizer = optax.with_extra_args_support(self.optimizer(hparams))
        updates, opt = optimizer.update(grads, state["opt"], state["params"], value=value, grad=grads)
        return {"params": optax.apply_updates(state["params"], updates), "extra": extra, "opt": opt}

    def evaluate(self, state: dict[str, PyTree], valid_data: PyTree, hparams: Hparams) -> dict[str, Array]:
        """Measure the module on the validation data; see `Task`."""
        x, y = valid_data
        outputs = self._predict_all(state, x, hparams)
        return {name: jnp.mean(measure(outputs, y)).astype(jnp.float32) for name, measure in self.metrics}

    def _predict_all(self, state: dict[str, PyTree], x: PyTree, hparams: Hparams) -> Array:
        if jax.tree.leaves(x)[0].shape[0] <= VALID_CHUNK:
            return self.predict(state["params"], state["extra"], x, hparams)

        def one(row: PyTree) -> Array:
            single = jax.tree.map(lambda a: a[None], row)
            return self.predict(state["params"], state["extra"], single, hparams)[0]

        return jax.lax.map(one, x, batch_size=VALID_CHUNK)

    def _zeros(self) -> PyTree:
        treedef, leaves = self.inputs
        return jax.tree.unflatten(treedef, [jnp.zeros(leaf.shape, leaf.dtype) for leaf in leaves])


@dataclasses.dataclass(frozen=True)
class _Linen(_Trainer):
    def _module(self, hparams: Hparams) -> linen.Module:
        return self.model(hparams) if not isinstance(self.model, linen.Module) else self.model

    def build(self, key: Key, hparams: Hparams) -> tuple[PyTree, PyTree]:
        module = self._module(hparams)
        variables = dict(module.init(_streams(key), self._zeros(), **_mode(type(module).__call__, train=False)))
        return variables.pop("params"), variables

    def run(
        self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams, key: Key, weights: Array | None
    ) -> tuple[Array, PyTree]:
        module = self._module(hparams)
        mode = _mode(type(module).__call__, train=True)
        with _linen_mask(weights):
            outputs, kept = module.apply(
                {"params": params, **extra}, x, mutable=list(extra), rngs=_streams(key), **mode
            )
        return outputs, {**extra, **kept}

    def predict(self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams) -> Array:
        module = self._module(hparams)
        outputs: Any = module.apply({"params": params, **extra}, x, **_mode(type(module).__call__, train=False))
        return outputs

    def export(self, state: PyTree, hparams: Hparams) -> Any:
        return {"params": state["params"], **state["extra"]}


@dataclasses.dataclass(frozen=True)
class _Nnx(_Trainer):
    def _restore(self, params: PyTree, extra: PyTree, hparams: Hparams) -> nnx.Module:
        """Build the module anew with these hyperparameters, and put its weights in.

        The fresh weights are never read, so the compiler drops them.
        """
        module = self.model(hparams, nnx.Rngs(0))
        nnx.update(module, params, extra)
        return module

    def build(self, key: Key, hparams: Hparams) -> tuple[PyTree, PyTree]:
        module = self.model(hparams, nnx.Rngs(key))
        return nnx.state(module, nnx.Param), nnx.state(module, nnx.Not(nnx.Param))

    def run(
        self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams, key: Key, weights: Array | None
    ) -> tuple[Array, PyTree]:
        module = self._restore(params, extra, hparams)
        module.train()
        with _nnx_mask(module, weights):
            outputs = module(x, **_mode(type(module).__call__, train=True))
        return outputs, nnx.state(module, nnx.Not(nnx.Param))

    def predict(self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams) -> Array:
        module = self.export({"params": params, "extra": extra}, hparams)
        return module(x, **_mode(type(module).__call__, train=False))

    def export(self, state: PyTree, hparams: Hparams) -> Any:
        module = self._restore(state["params"], state["extra"], hparams)
        module.eval()
        return module


def _check_pair(name: str, data: Any) -> None:
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        raise ValueError(f"{name}: must be a pair (inputs, targets), not {type(data).__name__}")


def _one_row(inputs: PyTree) -> tuple[Any, tuple]:
    """Describe one row of the inputs, hashable: what the module is initialised with."""
    rows = jax.tree.map(lambda a: jnp.asarray(a[:1]), inputs)
    leaves, treedef = jax.tree.flatten(rows)
    return treedef, tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)


def _trainer(model: Any) -> type[_Trainer]:
    if isinstance(model, linen.Module):
        return _Linen
    if isinstance(model, nnx.Module):
        raise TypeError("model: an nnx module must be made inside the trace: give a function (hparams, rngs) -> module")
    arguments = _arguments(model) if callable(model) else 0
    if arguments not in (1, 2):
        kinds = "a linen module, a function hparams -> linen module, or a function (hparams, rngs) -> nnx module"
        raise TypeError(f"model={model!r}: must be {kinds}")
    return _Linen if arguments == 1 else _Nnx


def _arguments(function: Callable) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in kinds for p in inspect.signature(function).parameters.values())


def _mode(call: Callable, train: bool) -> dict[str, Any]:
    """Tell a module that it is in training, by whichever of the usual arguments it has."""
    known = {"train": train, "training": train, "is_training": train, "deterministic": not train}
    return {name: known[name] for name in inspect.signature(call).parameters if name in known}


def _streams(key: Key) -> dict[str, Key]:
    return {"params": jax.random.fold_in(key, 0), "dropout": jax.random.fold_in(key, 1)}


def _rows(values: Array) -> Array:
    """Average all but the first axis: [B, ...] -> [B]."""
    return values.reshape(values.shape[0], -1).mean(axis=1)


def _mask_like(weights: Array, x: Array) -> Array:
    return (weights > 0).reshape(weights.shape + (1,) * (x.ndim - 1))


@contextlib.contextmanager
def _linen_mask(weights: Array | None) -> Iterator[None]:
    """Let BatchNorm see only the rows in use, where the batch has others."""
    if weights is None:
        yield
        return

    def intercept(call: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        if isinstance(context.module, linen.BatchNorm) and context.method_name == "__call__":
            kwargs = {"mask": _mask_like(weights, args[0]), **kwargs}
        return call(*args, **kwargs)

    with linen.intercept_methods(intercept):
        yield


@contextlib.contextmanager
def _nnx_mask(module: nnx.Module, weights: Array | None) -> Iterator[None]:
    """As `_linen_mask`. nnx has no interceptors, so the layers of this private copy change class for the call."""
    if weights is None:
        yield
        return
    used = weights

    class Masked(nnx.BatchNorm):
        def __call__(self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None) -> Array:
            return super().__call__(x, use_running_average, mask=_mask_like(used, x) if mask is None else mask)

    layers = [layer for _, layer in nnx.iter_modules(module) if type(layer) is nnx.BatchNorm]
    for layer in layers:
        layer.__class__ = Masked
    try:
        yield
    finally:
        for layer in layers:
            layer.__class__ = nnx.BatchNorm
