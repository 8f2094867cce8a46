"""Linen and nnx behind one face: build a module, run it in training and in evaluation, hand it out."""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
from flax import linen, nnx

from jaxhpt.core.typing import Array, Hparams, Key, PyTree
from jaxhpt.training.signatures import parameters_of, required

_KINDS = "a linen module, a function hparams -> linen module, or a function (hparams, rngs) -> nnx module"


@dataclasses.dataclass(frozen=True, eq=False)
class FlaxModel:
    """A module of one of Flax's two kinds, made anew in every trace.

    Attributes:
      make: (hparams, rngs) -> module; linen leaves the second out.
      inputs: one row of the inputs, leaves `ShapeDtypeStruct` [1, ...].
    """

    make: Callable
    inputs: PyTree = None

    def with_inputs(self, inputs: PyTree) -> Self:
        """Return the model that is initialised with a row of these arrays [rows, ...]."""

        def row(array: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((1, *array.shape[1:]), jax.dtypes.canonicalize_dtype(array.dtype))

        return dataclasses.replace(self, inputs=jax.tree.map(row, inputs))

    def build(self, key: Key, hparams: Hparams) -> tuple[PyTree, PyTree]:
        """Return fresh weights and what else the module keeps."""
        raise NotImplementedError

    def run(
        self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams, key: Key, weights: Array | None
    ) -> tuple[PyTree, PyTree]:
        """Run the module in training on [B, ...]; return its outputs, and what it keeps.

        Args:
          params: weights.
          extra: what else the module keeps.
          x: inputs, leaves [B, ...].
          hparams: of the trial.
          key: of the step.
          weights: f32[B] above 0 for the rows in use; None for all.
        """
        raise NotImplementedError

    def predict(self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams) -> PyTree:
        """Run the module in evaluation on [N, ...]."""
        raise NotImplementedError

    def export(self, params: PyTree, extra: PyTree, hparams: Hparams) -> Any:
        """Return what a user goes on with."""
        raise NotImplementedError


class LinenModel(FlaxModel):
    """A linen module. Its variables but "params" are what it keeps."""

    def _module(self, hparams: Hparams) -> linen.Module:
        module = self.make(hparams)
        if not isinstance(module, linen.Module):
            raise TypeError(f"model: a function of hparams alone returned {_kind(module)}; must be {_KINDS}")
        return module

    def build(self, key: Key, hparams: Hparams) -> tuple[PyTree, PyTree]:
        """See `FlaxModel`."""
        module = self._module(hparams)
        zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), self.inputs)
        variables = dict(module.init(streams(key), zeros, **mode(type(module).__call__, train=False)))
        return variables.pop("params", {}), variables

    def run(
        self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams, key: Key, weights: Array | None
    ) -> tuple[PyTree, PyTree]:
        """See `FlaxModel`."""
        module = self._module(hparams)
        told = mode(type(module).__call__, train=True)
        with _linen_mask(weights):
            outputs, kept = module.apply({"params": params, **extra}, x, mutable=list(extra), rngs=streams(key), **told)
        return outputs, {**extra, **kept}

    def predict(self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams) -> PyTree:
        """See `FlaxModel`."""
        module = self._module(hparams)
        return module.apply({"params": params, **extra}, x, **mode(type(module).__call__, train=False))

    def export(self, params: PyTree, extra: PyTree, hparams: Hparams) -> Any:
        """Return the variables for `module.apply`."""
        return {"params": params, **extra}


class NnxModel(FlaxModel):
    """An nnx module. Its state but the `Param`s is what it keeps."""

    def _module(self, hparams: Hparams, rngs: nnx.Rngs) -> nnx.Module:
        module = self.make(hparams, rngs)
        if not isinstance(module, nnx.Module):
            raise TypeError(f"model: a function of hparams and rngs returned {_kind(module)}; must be {_KINDS}")
        return module

    def _restore(self, params: PyTree, extra: PyTree, hparams: Hparams) -> Any:
        """Build the module anew with these hyperparameters, and put its weights in.

        The fresh weights are never read, so the compiler drops them.
        """
        module = self._module(hparams, nnx.Rngs(0))
        nnx.update(module, params, extra)
        return module

    def build(self, key: Key, hparams: Hparams) -> tuple[PyTree, PyTree]:
        """See `FlaxModel`."""
        module = self._module(hparams, nnx.Rngs(key))
        return nnx.state(module, nnx.Param), nnx.state(module, nnx.Not(nnx.Param))

    def run(
        self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams, key: Key, weights: Array | None
    ) -> tuple[PyTree, PyTree]:
        """See `FlaxModel`."""
        module = self._restore(params, extra, hparams)
        module.train()
        with _nnx_mask(module, weights):
            outputs = module(x, **mode(type(module).__call__, train=True))
        return outputs, nnx.state(module, nnx.Not(nnx.Param))

    def predict(self, params: PyTree, extra: PyTree, x: PyTree, hparams: Hparams) -> PyTree:
        """See `FlaxModel`."""
        module = self._restore(params, extra, hparams)
        module.eval()
        return module(x, **mode(type(module).__call__, train=False))

    def export(self, params: PyTree, extra: PyTree, hparams: Hparams) -> Any:
        """Return the module itself."""
        module = self._abstract(hparams)
        if module is None:
            module = self._restore(params, extra, hparams)
        else:
            nnx.update(module, params, extra)
        module.eval()
        return module

    def _abstract(self, hparams: Hparams) -> nnx.Module | None:
        """Build the module without its fresh weights, each of which would be compiled; None where it has more.

        What a module holds beside its state, such as an array in a plain attribute, would be missing.
        """
        module = nnx.eval_shape(lambda: self._module(hparams, nnx.Rngs(0)))
        inside = (value for _, part in nnx.iter_modules(module) for value in vars(part).values())
        values = [value for value in inside if not isinstance(value, (nnx.Variable, nnx.Module))]
        missing = any(isinstance(leaf, (jax.ShapeDtypeStruct, jax.core.Tracer)) for leaf in jax.tree.leaves(values))
        return None if missing else module


def flax_model(model: Any) -> FlaxModel:
    """Tell linen from nnx.

    Args:
      model: what the user gave.

    Raises:
      TypeError: neither a linen module nor a function that makes a module.
    """
    if isinstance(model, linen.Module):
        return LinenModel(lambda hparams: model)
    if isinstance(model, nnx.Module):
        raise TypeError("model: an nnx module must be made inside the trace: give a function (hparams, rngs) -> module")
    parameters = parameters_of(model) if callable(model) else None
    if parameters is None or (isinstance(model, type) and issubclass(model, linen.Module)):
        raise TypeError(f"model={model!r}: must be {_KINDS}")
    return _from_function(model, parameters)


def _from_function(model: Callable, parameters: list[inspect.Parameter]) -> FlaxModel:
    needed = required(parameters)
    keywords = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty} - {"rngs"}
    by_name = any(p.name == "rngs" for p in parameters)
    first = next((p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)), "rngs")
    others = [name for name in needed if name not in (first, "rngs")]
    if first == "rngs" or keywords or len(others) > (0 if by_name else 1):
        takes = ", ".join(str(p) for p in parameters)
        raise TypeError(f"model={model!r}: takes ({takes}); must be {_KINDS}")
    if by_name:
        return NnxModel(lambda hparams, rngs: model(hparams, rngs=rngs))
    return NnxModel(model) if others else LinenModel(model)


def _kind(module: Any) -> str:
    if isinstance(module, nnx.Module):
        return "an nnx module"
    if isinstance(module, linen.Module):
        return "a linen module"
    return f"the class {module.__name__}, not an instance" if isinstance(module, type) else type(module).__name__


def mode(call: Callable, train: bool) -> dict[str, Any]:
    """Tell a module that it is in training, by whichever of the usual arguments it has."""
    known = {"train": train, "training": train, "is_training": train, "deterministic": not train}
    return {name: known[name] for name in inspect.signature(call).parameters if name in known}


def streams(key: Key) -> dict[str, Key]:
    """Give a linen module its random streams."""
    return {"params": jax.random.fold_in(key, 0), "dropout": jax.random.fold_in(key, 1)}


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
