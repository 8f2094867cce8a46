"""Grey systems: forecasts from a handful of numbers, and how near sequences come to a reference.

Models: `GM11`, `DGM11` and `Verhulst` fit a curve to a few numbers, `tail` rolls them, `class_ratios_hold` tells
whether they suit, `gain_to_come` forecasts where a learning curve ends. Relations: `relational_grade`, `absolute_grade`
and `relative_grade` compare sequences with a reference, after an image such as `larger_is_better`; `compromise` picks
one of a Pareto front.

All are pure functions of float32 arrays that compile, batch and differentiate. The page of the documents is
`docs/grey.md`; the theory is told in Liu and Lin, "Grey systems: theory and applications",
https://doi.org/10.1007/978-3-642-16158-2 (2010).
"""

from jaxhpt.grey.forecast import gain_to_come
from jaxhpt.grey.images import initial_image, larger_is_better, mean_image, nominal_is_best, smaller_is_better
from jaxhpt.grey.models import DGM11, GM11, Verhulst
from jaxhpt.grey.relational import (
    absolute_grade,
    compromise,
    relational_coefficients,
    relational_grade,
    relative_grade,
    undirected,
)
from jaxhpt.grey.sequences import accumulate, class_ratios_hold, restore, tail

__all__ = [
    "DGM11",
    "GM11",
    "Verhulst",
    "absolute_grade",
    "accumulate",
    "class_ratios_hold",
    "compromise",
    "gain_to_come",
    "initial_image",
    "larger_is_better",
    "mean_image",
    "nominal_is_best",
    "relational_coefficients",
    "relational_grade",
    "relative_grade",
    "restore",
    "smaller_is_better",
    "tail",
    "undirected",
]
