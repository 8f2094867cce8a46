"""What is known of the noise of a metric."""

from typing import NamedTuple


class Spread(NamedTuple):
    """A metric that is a mean over several trainings, which tells how noisy another is.

    Attributes:
      metric: name of the other.
      column: name of the standard deviation over the trainings.
      models: how many trainings there were, at least 2.
    """

    metric: str
    column: str
    models: int
