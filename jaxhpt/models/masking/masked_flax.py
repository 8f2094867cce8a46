"""The way in for Flax."""

import inspect
from collections.abc import Callable
from typing import Any

from flax import linen, nnx

from jaxhpt.models.masking.masked_linen import MaskedLinen
from jaxhpt.models.masking.masked_nnx import MaskedNnx

_KINDS = "a function hparams -> linen module, or a function (hparams, rngs) -> nnx module"


def masked(make: Callable, sizes: Any, check: bool = True) -> MaskedLinen | MaskedNnx:
    """Mask a Flax model: make its sizes hyperparameters of one program. Give it to `FlaxTask` for the model.

    The first call of what is built compares it with the really small model, on weights and inputs drawn at random, so
    that what masks do not reach, such as a mean over units, is an error.

    Args:
      make: hparams -> linen module, or (hparams, rngs) -> nnx module. It sees sizes as ints.
      sizes: name -> `Int` or list of whole numbers, as at the top of the space: widths, channels, heads, layers, input
        features, or whatever else a shape or a number of layers depends on.
      check: whether to compare; False for a call that draws random numbers also in evaluation.

    Returns:
      A function of the kind of `make`. Its modules are of the user's own classes, and as wide as can be. A trial whose
      size is none of the values fails.

    Raises:
      TypeError: `make` is no such function, a size is no such dimension.
      ValueError: once it is built, weights that are no part of the widest model's, or are not drawn one by one; once
        it is called, outputs that are not those of the small model.

    Example:
      >>> import jax, jaxhpt, optax
      >>> from flax import linen as nn
      >>> from jaxhpt.models import masking
      >>> sizes = {"width": jaxhpt.Int(2, 16)}
      >>> model = masking.masked(lambda h: nn.Sequential([nn.Dense(h["width"]), nn.relu, nn.Dense(1)]), sizes)
      >>> x = jax.random.normal(jax.random.key(0), (256, 4))
      >>> data = x, abs(x).sum(1)
      >>> task = jaxhpt.FlaxTask(model, lambda h: optax.adam(h["lr"]), loss="mse", train_data=data, valid_data=data,
      ...                        steps=100)
      >>> space = {**sizes, "lr": jaxhpt.Float(1e-3, 0.1, log=True)}
      >>> best = jaxhpt.search(task, space, trials=16, progress=False)
      >>> small = masking.shrink(model, best.best_state, best.best.hparams)
      >>> small["params"]["layers_0"]["kernel"].shape == (4, best.best.hparams["width"])
      True
    """
    if isinstance(make, type | linen.Module | nnx.Module) or not callable(make):
        raise TypeError(f"make={make!r}: must be {_KINDS}")
    signature = inspect.signature(make)
    parameters = signature.parameters.values()
    if any(p.name == "rngs" for p in parameters):
        return MaskedNnx(make, sizes, check, by_name=True)
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(needed) not in (1, 2):
        raise TypeError(f"make={make!r}: takes {signature}; must be {_KINDS}")
    return MaskedLinen(make, sizes, check) if len(needed) == 1 else MaskedNnx(make, sizes, check, by_name=False)
