"""Cost of a structure: FLOPs, bytes moved and parameters, known before training, and measured latency.

All of it follows from the compiled program of a prediction, not from the weights: it is a constant of the structure. In
a function that a search traces, such as `evaluate`, it is worked out when the structure is traced, once. The page of
the documents is `docs/accelerate.md`.
"""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from jaxhpt.core.checks import require, suggest
from jaxhpt.core.typing import Array, Hparams, PyTree
from jaxhpt.models.compiled import Cost, analyse, forget, latency, shapes_of, sizes

__all__ = ["NAMES", "Cost", "Predictor", "analyse", "forget", "latency", "metrics", "predictor"]

NAMES = ("parameters", "weight_bytes", "flops", "bytes_moved")
"""What `metrics` counts without running a model."""
LATENCY = "latency_"  # of a batch of so many rows, in milliseconds
_KINDS = "a linen module, a function hparams -> linen module, or a function (hparams, rngs) -> nnx module"
_EVALUATION = {"train": False, "training": False, "is_training": False, "deterministic": True}


@dataclasses.dataclass(frozen=True, eq=False)
class Predictor:
    """A prediction and the shapes of its weights. Build it yourself for plain JAX, or of Flax by `predictor`.

    Attributes:
      function: (weights, inputs) -> outputs, traceable; it may capture arrays and traced hyperparameters.
      weights: pytree of arrays, traced ones or `ShapeDtypeStruct`: shapes and dtypes alone count.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxhpt.models import cost
      >>> dense = cost.Predictor(lambda weights, x: x @ weights, jnp.zeros((4, 3)))
      >>> found = cost.metrics(dense, jnp.zeros((10, 4)), ("parameters", "flops"))
      >>> int(found["parameters"]), int(found["flops"])
      (12, 24)
    """

    function: Callable[[PyTree, PyTree], Any]
    weights: PyTree

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"function={self.function!r}: must be a function (weights, inputs) -> outputs")


def predictor(model: Any, hparams: Hparams, x: PyTree) -> Predictor:
    """Return how a Flax model predicts, in evaluation, without initialising it.

    Args:
      model: what `FlaxTask` takes: a linen module, a function hparams -> linen module, or a function (hparams, rngs)
        -> nnx module.
      hparams: of the structure: plain values for what shapes depend on, plain or traced ones for the rest.
      x: inputs, leaves [rows, ...], arrays or shapes.

    Raises:
      TypeError: a model of another kind.

    Example:
      >>> import jax.numpy as jnp
      >>> from flax import linen as nn
      >>> from jaxhpt.models import cost
      >>> predict = cost.predictor(lambda h: nn.Dense(h["width"]), {"width": 3}, jnp.zeros((1, 4)))
      >>> predict.weights["params"]["kernel"].shape
      (4, 3)
    """
    if isinstance(model, linen.Module):
        return _linen(model, x)
    if isinstance(model, type | nnx.Module) or not callable(model):
        raise TypeError(f"model={model!r}: must be {_KINDS}")
    parameters = list(inspect.signature(model).parameters.values())
    positional = [
        p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    by_name = any(p.name == "rngs" for p in parameters)
    if not by_name and len(positional) not in (1, 2):
        raise TypeError(f"model={model!r}: takes {inspect.signature(model)}; must be {_KINDS}")
    if by_name or len(positional) == 2:
        return _nnx((lambda rngs: model(hparams, rngs=rngs)) if by_name else lambda rngs: model(hparams, rngs))
    made = model(hparams)
    if not isinstance(made, linen.Module):
        raise TypeError(f"model: a function of hparams alone returned {type(made).__name__}; must be {_KINDS}")
    return _linen(made, x)


def _linen(module: linen.Module, x: PyTree) -> Predictor:
    told: Any = _in_evaluation(module)

    def begin(inputs: PyTree) -> PyTree:
        key = jax.random.key(0)
        return module.init({"params": key, "dropout": key}, inputs, **told)

    return Predictor(lambda weights, x: module.apply(weights, x, **told), jax.eval_shape(begin, _rows(x, 1)))


def _nnx(make: Callable[[nnx.Rngs], Any]) -> Predictor:
    def build() -> Any:
        module = make(nnx.Rngs(0))
        if not isinstance(module, nnx.Module):
            raise TypeError(f"model: a function of hparams and rngs returned {type(module).__name__}; must be {_KINDS}")
        return module

    def predict(weights: PyTree, x: PyTree) -> Any:
        module = build()  # its fresh weights are never read, so the compiler drops them
        nnx.update(module, weights)
        module.eval()
        return module(x, **_in_evaluation(module))

    weights = jax.eval_shape(lambda: nnx.state(build(), nnx.Not(nnx.RngState)))
    return Predictor(predict, weights)


def _in_evaluation(module: Any) -> dict[str, bool]:
    """Tell a module that it is not in training, by whichever of the usual arguments it has."""
    names = inspect.signature(type(module).__call__).parameters
    return {name: value for name, value in _EVALUATION.items() if name in names}


def metrics(
    predict: Predictor, x: PyTree, names: Sequence[str] = ("parameters", "flops", "latency_1")
) -> dict[str, Array]:
    """Return costs as metrics, for `evaluate` of a search: constants of what is traced.

    What depends on the structure alone is worked out when the structure is traced, and latency is measured there, while
    nothing trains; every trial of a structure has the same figures. They are arguments of the search's program, so that
    it stays the same program, in the cache too, when another run measures something else.

    Args:
      predict: of the structure.
      x: inputs, leaves [rows, ...], of which the shapes of a row count.
      names: "parameters", "weight_bytes"; "flops" and "bytes_moved" of one row; "latency_1", "latency_128" or any
        other batch: milliseconds of a prediction of so many rows, on the device that is JAX's default.

    Returns:
      Name -> f32[].

    Raises:
      ValueError: an unknown name.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxhpt.models import cost
      >>> dense = cost.Predictor(lambda weights, x: x @ weights, jnp.zeros((4, 3)))
      >>> found = cost.metrics(dense, jnp.zeros((10, 4)), ("weight_bytes", "latency_8"))
      >>> float(found["weight_bytes"]), float(found["latency_8"]) > 0
      (48.0, True)
    """
    if not isinstance(predict, Predictor):
        raise TypeError(f"predict={predict!r}: must be a Predictor, such as cost.predictor(model, hparams, x) makes")
    if isinstance(names, str):
        raise TypeError(f"names={names!r}: must be several names, such as ({names!r},)")
    batches = {name: _batch_of(name) for name in names}
    found: dict[str, float] = dict(sizes(predict.weights))
    if {"flops", "bytes_moved"} & set(names):
        found |= analyse(predict.function, predict.weights, _rows(x, 1))._asdict()
    for name, batch in batches.items():
        if batch is not None:
            found[name] = latency(predict.function, predict.weights, _rows(x, batch))
    return {name: jnp.asarray(np.array([found[name]], np.float32))[0] for name in names}  # of [1] it is an argument


def _batch_of(name: str) -> int | None:
    """Return the batch of a latency's name; None for other costs."""
    if name in NAMES:
        return None
    batch = str(name).removeprefix(LATENCY)
    known = str(name).startswith(LATENCY) and batch.isdigit() and int(batch) > 0
    require(known, "names", name, f"known; {suggest(str(name), (*NAMES, 'latency_1', 'latency_128'))}")
    return int(batch)


def _rows(x: PyTree, batch: int) -> PyTree:
    """Return the shapes of so many rows of [rows, ...]."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((batch, *leaf.shape[1:]), leaf.dtype), shapes_of(x))
