"""What is done to a model: `masking` makes its sizes hyperparameters of one program.

`cost` says what a structure takes: FLOPs, bytes, parameters and measured latency.
"""

from jaxhpt.models import cost, masking

__all__ = [
    "cost",
    "masking",
]
