"""How many structures may begin: no more is compiled than what trains is worth.

Compiling a structure takes as long as a certain number of operations of training. So many begin at once, and then one
more each time enough was trained since. Both are counted, never timed, so that bits do not depend on the clock.
"""

from typing import Any

import jax
import numpy as np

from jaxhpt.algorithms.opened import Opened
from jaxhpt.core.space import Space
from jaxhpt.training.structures import Key, Structure

FIRST = 8  # structures that begin whatever they take
PRICES = {"cpu": 2e11}  # operations of training that take as long as compiling a structure: two to three seconds
PRICE = 3e13  # the same on an accelerator
ROOM = 256  # structures that proposals may be moved to


class Opening:
    """The structures of a search that have begun, and the work that was done since.

    Args:
      space: of the search.
      share: of the work that may go into compiling, above 0; 1 for no limit.

    Attributes:
      price: operations of training that take as long as compiling a structure.
    """

    def __init__(self, space: Space, share: float) -> None:
        self._columns, self._share = list(space.structural), share
        self.price = PRICES.get(jax.default_backend(), PRICE)
        self._used: dict[Key, None] = {}  # the latest last
        self._begun, self._trained = set[Key](), 0.0

    def train(self, structure: Structure, lane_steps: int) -> None:
        """Count so many steps of single trials of a structure."""
        self._used.pop(structure.key, None)
        self._used[structure.key] = None
        self._begun.add(structure.key)
        self._trained += lane_steps * structure.operations

    @property
    def more(self) -> int:
        """How many other structures may begin."""
        if self._share >= 1:
            return ROOM
        earned = self._trained * self._share / ((1 - self._share) * self.price)
        return max(0, FIRST + int(earned) - len(self._begun))

    def opened(self) -> Opened:
        """Return what proposals are to heed."""
        units = np.zeros((ROOM, len(self._columns)), np.float32)
        latest = list(reversed(self._used))[:ROOM]
        for place, key in enumerate(latest):
            units[place] = key
        made: Any = Opened(*jax.device_put((units, np.int32(len(latest)), np.int32(min(self.more, ROOM)))))
        return made

    def facts(self) -> dict[str, Any]:
        """Return all of it, as JSON has it."""
        return {
            "used": [list(key) for key in self._used],
            "begun": sorted(map(list, self._begun)),
            "trained": self._trained,
        }

    def go_on(self, facts: dict[str, Any]) -> None:
        """Stand where another one stood."""
        self._used = dict.fromkeys(tuple(key) for key in facts["used"])
        self._begun, self._trained = {tuple(key) for key in facts["begun"]}, facts["trained"]
