"""What is done to a model: `masking` makes its sizes hyperparameters of one program.

`prune` makes its weights few, `quantize` narrow, and `compressed` writes what is left as a small file.
"""

from jaxhpt.models import compressed, masking, prune, quantize

__all__ = [
    "compressed",
    "masking",
    "prune",
    "quantize",
]
