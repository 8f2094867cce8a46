"""Maximal update parametrisation: hyperparameters that are the best at a small width are so at a large one.

`widths` compares the model with its base, a narrow one, and finds what grows; `initialised` gives the fresh model its
initial scales, and `scaled` the optimiser its learning rates. `attention_scale` and `output_multiplier` stand in the
model, where heads grow or the output shares its weights. At the base width all is as it was. `coordinate_check` tells
whether it is right. The page of the documents is `docs/large_models.md`.

References:
  Yang et al., "Tensor Programs V: tuning large neural networks via zero-shot hyperparameter transfer",
  https://arxiv.org/abs/2203.03466 (2022).
"""

from jaxhpt.models.mup.attention import attention_scale, output_multiplier
from jaxhpt.models.mup.coordinates import Coordinates, coordinate_check
from jaxhpt.models.mup.infinite import Weight, Widths, widths
from jaxhpt.models.mup.initial import initialised
from jaxhpt.models.mup.scaling import scaled

__all__ = [
    "Coordinates",
    "Weight",
    "Widths",
    "attention_scale",
    "coordinate_check",
    "initialised",
    "output_multiplier",
    "scaled",
    "widths",
]
