"""Parked trials of several structures: the weights of each by themselves, as they fit into no common array."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxhpt.core.typing import NONE, TrainState
from jaxhpt.training.copying import Copying
from jaxhpt.training.structures import Structure


class Apart(NamedTuple):
    """One trial's weights.

    Attributes:
      structure: theirs.
      weights: without the lane axis.
    """

    structure: Structure
    weights: TrainState


class Slots:
    """Weights that are in no lane.

    Args:
      lanes: of the study; slots are lanes from there on.

    Attributes:
      parked: slot -> the weights there; those of a slot that was given up stay until others take it.
      woken: lane -> the weights that it goes on with in the next event.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self.parked, self.woken = dict[int, Apart](), dict[int, Apart]()

    def exchange(self, source: np.ndarray, target: np.ndarray, taken: Callable[[int], Apart]) -> None:
        """Move weights into slots, i32[N] each, and out of them; `taken` returns those of a lane."""
        for one, to in zip(source.tolist(), target.tolist(), strict=True):
            if to == NONE:
                continue
            if to >= self._lanes:
                self.parked[to - self._lanes] = taken(one)
            else:
                self.woken[to] = self.parked.pop(one - self._lanes)

    def carried(self) -> tuple[list[TrainState], dict[str, Any]]:
        """Return the weights, and where and of which structures they are."""
        both = [sorted(kind.items()) for kind in (self.parked, self.woken)]
        names = [[[place, one.structure.key] for place, one in kind] for kind in both]
        return [one.weights for kind in both for _, one in kind], dict(zip(("parked", "woken"), names, strict=True))

    def like(self, facts: dict[str, Any], named: Callable[[Any], Structure]) -> list[TrainState]:
        """Be as `facts` tell, but for the weights: return these as zeros, in the order of `carried`."""
        for kind, places in ((self.parked, facts["parked"]), (self.woken, facts["woken"])):
            for place, key in places:
                structure = named(key)
                kind[int(place)] = Apart(structure, Copying().nobody(structure.functions.state))
        return self.carried()[0]

    def take(self, weights: list[TrainState]) -> None:
        """Take weights, in the order of `carried`."""
        left = iter(weights)
        for kind in (self.parked, self.woken):
            for place in sorted(kind):
                kind[place] = kind[place]._replace(weights=next(left))
