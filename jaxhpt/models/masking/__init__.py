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

from typing import Any

from jaxhpt.core.typing import Hparams, PyTree
from jaxhpt.models.masking.masked import Masked, MaskedWeights, masked_weights
from jaxhpt.models.masking.masked_flax import masked
from jaxhpt.models.masking.masked_linen import MaskedLinen
from jaxhpt.models.masking.masked_nnx import MaskedNnx
from jaxhpt.models.masking.sizes import active, flatten, unit_mask, where_active

__all__ = ["active", "flatten", "masked", "masked_weights", "shrink", "unit_mask", "where_active"]


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
