"""What is done to a model: `masking` makes its sizes hyperparameters of one program."""

from jaxhpt.models import masking

__all__ = ["masking"]
