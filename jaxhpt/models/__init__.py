"""What is done to a model: its sizes as hyperparameters, what it costs, and how settings carry to wider ones.

`masking` makes sizes hyperparameters of one program, `cost` says what a structure takes, and `mup` carries
hyperparameters from narrow models to wide ones.
"""

from jaxhpt.models import cost, masking, mup

__all__ = ["cost", "masking", "mup"]
