"""What stands for a run directory where a search has none."""

from typing import Any

from jaxhpt.algorithms.base import Algorithm
from jaxhpt.engine.build import Built
from jaxhpt.engine.carrying import Carried
from jaxhpt.engine.execution import UNRECORDED, Record
from jaxhpt.results.result import Result
from jaxhpt.training.layout import Layout


class Unstored:
    """Stands for the run directory of a search that has none.

    Attributes:
      record: that does nothing.
      carried: None: it begins.
    """

    record: Record = UNRECORDED
    carried: Carried | None = None

    def keep(self, result: Result) -> Result:
        """Return it as it is."""
        return result

    def trials(self, called: int) -> int:
        """Return the number as it is."""
        return called

    def laid_out(self, layout: Layout, interval: int | str) -> tuple[Layout, int | str]:
        """Return both as they are."""
        return layout, interval

    def begin(self, built: Built, algorithm: Algorithm, own: Any = None, **about: Any) -> Built:
        """Return it as it is."""
        return built
