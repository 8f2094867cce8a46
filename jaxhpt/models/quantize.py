"""Quantisation: how many bits a weight has, as a hyperparameter of one compiled program.

Symmetric, of 2 to 8 bits, one scale for each output channel. `fake_quantize` rounds weights on the way into a model and
lets gradients pass, so that training knows of it; `quantized` does so inside a Flax model, for `FlaxTask`. The page of
the documents is `docs/compress.md`.

References:
  Bengio et al., "Estimating or propagating gradients through stochastic neurons for conditional computation",
  https://arxiv.org/abs/1308.3432 (2013): the straight-through estimator.
  Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference",
  https://arxiv.org/abs/1712.05877 (2018): training with rounded weights.
  Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: a whitepaper",
  https://arxiv.org/abs/1806.08342 (2018): symmetric, a scale for each channel.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Any

from flax import linen, nnx

from jaxhpt.core.typing import Hparams, PyTree
from jaxhpt.models.rounding import WHOLE, Quantized, dequantize, fake_quantize, quantize

__all__ = ["WHOLE", "Quantized", "dequantize", "fake_quantize", "quantize", "quantized"]

_KINDS = "a linen module, a function hparams -> linen module, or a function (hparams, rngs) -> nnx module"
Change = Callable[[PyTree, Hparams], PyTree]


def quantized(model: Any, bits: Any, clip: Any = 1.0) -> Any:
    """Quantise a Flax model: its calls see weights as `fake_quantize` rounds them. Give it to `FlaxTask`.

    The weights keep their names and, in the state, their full precision: `compressed.export_compressed` rounds them
    the same way. It goes around `masking.masked`, too.

    Args:
      model: a linen module, a function hparams -> linen module, or a function (hparams, rngs) -> nnx module.
      bits: as in `fake_quantize`, or a function of hparams that returns such.
      clip: as in `fake_quantize`, or a function of hparams that returns such.

    Returns:
      A function of the kind of `model`; for a linen module a function of hparams.

    Raises:
      TypeError: `model` is no such thing.

    Example:
      >>> import jax, jaxhpt, optax
      >>> from flax import linen as nn
      >>> from jaxhpt.models import quantize
      >>> x = jax.random.normal(jax.random.key(0), (256, 4))
      >>> data = x, x.sum(1)
      >>> model = quantize.quantized(nn.Dense(1), lambda h: h["bits"])
      >>> task = jaxhpt.FlaxTask(model, lambda h: optax.adam(0.1), loss="mse", train_data=data, valid_data=data,
      ...                        steps=60)
      >>> best = jaxhpt.search(task, {"bits": jaxhpt.Int(2, 8)}, trials=8, progress=False).best
      >>> best.metrics["r2"] > 0.9
      True
    """

    def small(params: PyTree, hparams: Any) -> PyTree:
        told = [given(hparams) if callable(given) else given for given in (bits, clip)]
        return fake_quantize(params, *told)

    return _with_weights(model, small)


def _with_weights(model: Any, change: Change) -> Callable:
    """Make a model whose calls see changed weights; the state keeps them as they are.

    Args:
      model: a linen module, a function hparams -> linen module, or a function (hparams, rngs) -> nnx module.
      change: (params, hparams) -> params.

    Returns:
      A function hparams -> linen module, or (hparams, rngs) -> nnx module.

    Raises:
      TypeError: `model` is no such thing.
    """
    if isinstance(model, linen.Module):
        return lambda hparams: _linen(model, change, hparams)
    if isinstance(model, type | nnx.Module) or not callable(model):
        raise TypeError(f"model={model!r}: must be {_KINDS}")
    parameters = inspect.signature(model).parameters.values()
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if any(p.name == "rngs" for p in parameters):
        return lambda hparams, rngs: _nnx(model(hparams, rngs=rngs), change, hparams)
    if len(needed) not in (1, 2):
        raise TypeError(f"model={model!r}: takes {inspect.signature(model)}; must be {_KINDS}")
    if len(needed) == 1:
        return lambda hparams: _linen(model(hparams), change, hparams)
    return lambda hparams, rngs: _nnx(model(hparams, rngs), change, hparams)


def _linen(module: Any, change: Change, hparams: Hparams) -> Any:
    """Return a module of the same fields whose `apply` changes the weights."""
    if not isinstance(module, linen.Module):
        raise TypeError(f"model: a function of hparams alone returned {type(module).__name__}; must be a linen module")
    fields = {name: getattr(module, name) for name in module.__dataclass_fields__ if name != "parent"}
    kind: Any = type(module)
    made = _linen_class(kind)(**fields)
    object.__setattr__(made, "_changed", (module, change, hparams))  # out of sight of linen, which would take state
    return made


@functools.cache
def _linen_class(kind: Any) -> Any:
    @linen.nowrap
    def init(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._changed[0].init(*args, **kwargs)

    @linen.nowrap
    def apply(self: Any, variables: Any, *args: Any, **kwargs: Any) -> Any:
        module, change, hparams = self._changed
        changed = {**variables, "params": change(variables["params"], hparams)}
        return module.apply(changed, *args, **kwargs)

    @linen.nowrap
    def init_with_output(self: Any, rngs: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        variables = init(self, rngs, *args, **kwargs)
        return apply(self, variables, *args, rngs=rngs, **kwargs), variables

    namespace = {"init": init, "apply": apply, "init_with_output": init_with_output, "__module__": kind.__module__}
    return type(f"Quantized{kind.__name__}", (kind,), namespace)


def _nnx(module: Any, change: Change, hparams: Hparams) -> Any:
    """Give a module a class whose call changes the weights, and puts them back."""
    if not isinstance(module, nnx.Module):
        raise TypeError(
            f"model: a function of hparams and rngs returned {type(module).__name__}; must be an nnx module"
        )
    module.__class__ = _nnx_class(type(module))
    object.__setattr__(module, "_changed", (change, hparams))
    return module


@functools.cache
def _nnx_class(kind: Any) -> Any:
    @functools.wraps(kind.__call__)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        change, hparams = self._changed
        weights = nnx.state(self, nnx.Param)
        nnx.update(self, change(weights, hparams))
        try:
            return kind.__call__(self, *args, **kwargs)
        finally:
            nnx.update(self, weights)

    return type(f"Quantized{kind.__name__}", (kind,), {"__call__": call, "__module__": kind.__module__})
