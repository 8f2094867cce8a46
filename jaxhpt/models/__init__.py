"""What is done to a model: `masking` makes its sizes hyperparameters, `mup` carries these from narrow to wide."""

from jaxhpt.models import (
    masking,
    mup,
)

__all__ = [
    "masking",
    "mup",
]
