"""What stands beneath the bar of a search: how its best went, how far each lane is, and how trials ended."""

import itertools
from collections.abc import Sequence

from jaxhpt.engine.snapshot import Snapshot

BLOCKS = "▁▂▃▄▅▆▇█"
IDLE = "·"
KEPT = 512  # values of the best so far; of more, every other one


class Beneath:
    """Lines of text that follow a search.

    Attributes:
      snapshot: the latest.
    """

    def __init__(self) -> None:
        self._best, self._every, self._seen = list[float](), 1, 0
        self.snapshot: Snapshot | None = None

    def see(self, snapshot: Snapshot) -> None:
        """Take a snapshot."""
        self.snapshot = snapshot
        if snapshot.best_value is None:
            return
        if self._seen % self._every == 0:
            self._best.append(snapshot.best_value)
        self._seen += 1
        if len(self._best) > KEPT:
            self._best, self._every = self._best[::2], 2 * self._every

    def lines(self, width: int, ended: bool = False) -> list[tuple[str, str]]:
        """Return names and texts, of at most so many columns; what runs is left out of a search that has ended."""
        s = self.snapshot
        if s is None:
            return []
        last = [] if s.best_value is None else [s.best_value]
        found = [("best", sparkline([*self._best, *last], width))] if len(self._best) > 1 else []
        if s.shares and not ended:
            found.append(("lanes", lanes(s.shares, width)))
        kinds = {"trained": s.done, "stopped": s.stopped, "failed": s.failed}
        told = " · ".join(f"{num:,} {kind}" for kind, num in kinds.items() if num)
        return [*found, *([("ended", told[:width])] if told else [])]


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values as blocks, from the least to the greatest, the latest at the right: at most so many columns."""
    low, high = min(values), max(values)
    span = high - low
    shares = [(value - low) / span if 0 < span < float("inf") else 0.5 for value in values]
    return "".join(_block(part[-1]) for part in _parted(shares, width))


def lanes(shares: Sequence[float], width: int) -> str:
    """Draw how far each lane is, or groups of them where there are more than columns; a dot where none trains."""
    return "".join(_group([share for share in part if share >= 0]) for part in _parted(shares, width))


def _group(shares: Sequence[float]) -> str:
    return _block(sum(shares) / len(shares)) if shares else IDLE


def _block(share: float) -> str:
    return BLOCKS[min(int(share * len(BLOCKS)), len(BLOCKS) - 1)]


def _parted(values: Sequence[float], most: int) -> list[Sequence[float]]:
    """Part values into at most so many runs, about as long as each other."""
    num = max(1, min(most, len(values)))
    ends = [i * len(values) // num for i in range(num + 1)]
    return [values[a:b] for a, b in itertools.pairwise(ends)]
