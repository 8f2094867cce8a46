"""What is done to a model: its sizes as hyperparameters, what it costs, how it gets small, how settings carry to wide.

`masking` makes sizes hyperparameters of one program, `prune` makes weights few, `quantize` narrow, and `compressed`
writes what is left as a small file. `cost` says what a structure takes, and `mup` carries hyperparameters from narrow
models to wide ones.
"""

from jaxhpt.models import compressed, cost, masking, mup, prune, quantize

__all__ = ["compressed", "cost", "masking", "mup", "prune", "quantize"]
