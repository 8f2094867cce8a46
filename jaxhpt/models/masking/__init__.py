"""Masked dimensions: width, heads, depth and input features as hyperparameters of one compiled program.

The model is written as for any size, a function of plain ints. `masked` builds the widest and masks what the small one
does not have: its weights are 0, get no gradient and no decay and count in no norm, the others begin at the scale they
have in the small model, and layer norms average over the units in use. So it is the small model, exactly, as far as
optimisers treat weights one by one, or by norms. `shrink` cuts the really small model out.

`active`, `unit_mask`, `where_active` and `flatten` are for models that compute with their sizes. The page of the
documents is `docs/shapes.md`.

References:
  Widths of one network, by masks of its first channels: Yu et al., "Slimmable neural networks",
  https://arxiv.org/abs/1812.08928 (2019). There and in Cai et al., "Once-for-all",
  https://arxiv.org/abs/1908.09791 (2020), the small networks share weights; here each trial has weights of its own.
"""

from collections.abc import Callable
from typing import Any

from jaxhpt.core.typing import Hparams, PyTree
from jaxhpt.models.masking.masked import Masked, MaskedWeights
from jaxhpt.models.masking.masked_flax import MaskedLinen, MaskedNnx, flax_model
from jaxhpt.models.masking.sizes import active, flatten, unit_mask, where_active

__all__ = ["active", "flatten", "masked", "masked_weights", "shrink", "unit_mask", "where_active"]


def masked(make: Callable, sizes: Any) -> MaskedLinen | MaskedNnx:
    """Mask a Flax model: make its sizes hyperparameters of one program. Give it to `FlaxTask` for the model.

    The first call of what is built compares it with the really small model, on weights and inputs drawn at random, so
    that what masks do not reach, such as a mean over units, is an error.

    Args:
      make: hparams -> linen module, or (hparams, rngs) -> nnx module. It sees sizes as ints: 1 to the most.
      sizes: name -> `Int` or list of whole numbers, as in the space, at the top of it; 2 or more of them share a
        program just so. A size may be a width, channels, heads, units, layers, input features.

    Returns:
      A function of the kind of `make`. Its modules are of the user's own classes, and as wide as can be.

    Raises:
      TypeError: `make` is no such function, a size is no such dimension.
      ValueError: once it is built, weights that are no part of the widest model's, or are not drawn one by one; once
        it is called, outputs that are not those of the small model.

    Example:
      >>> import jax, jaxhpt, optax
      >>> from flax import linen as nn
      >>> sizes = {"width": jaxhpt.Int(2, 16)}
      >>> model = masked(lambda h: nn.Sequential([nn.Dense(h["width"]), nn.relu, nn.Dense(1)]), sizes)
      >>> x = jax.random.normal(jax.random.key(0), (256, 4))
      >>> data = x, abs(x).sum(1)
      >>> task = jaxhpt.FlaxTask(model, lambda h: optax.adam(h["lr"]), loss="mse", train_data=data, valid_data=data,
      ...                        steps=100)
      >>> space = {**sizes, "lr": jaxhpt.Float(1e-3, 0.1, log=True)}
      >>> best = jaxhpt.search(task, space, trials=16, progress=False)
      >>> small = shrink(model, best.best_state, best.best.hparams)
      >>> small["params"]["layers_0"]["kernel"].shape == (4, best.best.hparams["width"])
      True
    """
    return flax_model(make, sizes)


def masked_weights(init: Callable, sizes: Any) -> MaskedWeights:
    """Mask a model in plain JAX, whose weights are a pytree.

    `.init(key, hparams)` draws the weights of the widest model, `.mask(weights, hparams)`, in the loss and the
    evaluation, sets to 0 what the small one does not have, and with it the gradients. What averages over units asks
    `unit_mask(hparams["width"], most)`; `.check(forward, weights, hparams, x)` tells whether anything was forgotten.

    Args:
      init: (key, hparams) -> pytree of arrays. It sees sizes as ints.
      sizes: name -> `Int` or list of whole numbers, as in the space, at the top of it.

    Raises:
      TypeError: no function, a size that is no such dimension.
      ValueError: once it is called, weights that are no part of the widest model's, or are not drawn one by one.

    Example:
      >>> import jax, jaxhpt
      >>> net = masked_weights(lambda key, h: {"w": jax.random.normal(key, (3, h["width"]))}, {"width": [2, 4]})
      >>> weights = net.init(jax.random.key(0), {"width": 2})
      >>> (weights["w"] != 0).sum(axis=0).tolist()
      [3, 3, 0, 0]
      >>> shrink(net, weights, {"width": 2})["w"].shape
      (3, 2)
    """
    return MaskedWeights(init, sizes)


def shrink(model: MaskedLinen | MaskedNnx | MaskedWeights, state: Any, hparams: Hparams) -> PyTree:
    """Cut the really small model out of a masked one: equal in its outputs, but for the order of sums.

    Args:
      model: what `masked` or `masked_weights` returned.
      state: of the masked model: an nnx module, linen's variables, or weights; such as `result.best_state`.
      hparams: plain values, such as `result.best.hparams`.

    Returns:
      The nnx module that `make(hparams, rngs)` builds, with its weights, in evaluation; the variables for
      `make(hparams).apply`; or weights as `init(key, hparams)` makes them.

    Raises:
      TypeError: `model` is not masked, or the state is of another kind.
      KeyError: a size that is not among `hparams`.
      ValueError: a size of none of its values, a state of other shapes than the model's.
    """
    if not isinstance(model, Masked):
        raise TypeError(f"model={model!r}: must be what masked or masked_weights returned")
    return model.shrink(state, hparams)
