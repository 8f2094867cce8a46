"""Parked trials: who goes on later, from which weights, against lists in plain Python."""

import collections
import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import ASHA, Float, Hyperband
from jaxhpt.core.history import first_rows


@dataclasses.dataclass
class Life:
    """A row of the history."""

    trial: int
    parent: int | None
    start: int
    first: int
    steps: int
    status: str = "running"


class Halving:
    """The rule as the paper tells it, on lists, with room for so many parked trials."""

    def __init__(self, curves, lengths, lanes, levels, eta, slots, brackets=1, interval=1):
        self.curves, self.lengths, self.levels, self.eta, self.slots = curves, lengths, levels, eta, slots
        self.brackets, self.interval, self.lanes = brackets, interval, [None] * lanes
        self.rows, self.came = [], collections.defaultdict(list)
        self.parked = {}  # row -> bracket
        self.waiting, self.spared, self.evicted = collections.deque(range(len(curves))), set(), 0

    def run(self):
        event = 0
        while True:
            for lane, row in enumerate(self.lanes):
                if row is None and self.waiting:
                    self.lanes[lane] = self.opened(self.waiting.popleft(), None, event)
            if all(row is None for row in self.lanes):
                return self.rows
            event += 1
            self.settle(event)

    def opened(self, trial, parent, event):
        first = 0 if parent is None else self.rows[parent].steps
        self.rows.append(Life(trial, parent, event * self.interval, first, first))
        return len(self.rows) - 1

    def settle(self, event):
        live = [lane for lane, row in enumerate(self.lanes) if row is not None]
        for lane in live:
            life = self.rows[self.lanes[lane]]
            life.steps = min(life.steps + self.interval, self.lengths[life.trial])
        spent = {lane for lane in live if self.left(self.lanes[lane]) == 0}
        judged = {lane for lane in set(live) - spent if self.rung(self.lanes[lane], lane % self.brackets)}
        for lane in judged:
            row = self.lanes[lane]
            self.came[self.rung(row, lane % self.brackets)].append((self.score(row), event, row))
        failed = {lane for lane in spent | judged if not math.isfinite(self.score(self.lanes[lane]))}
        bad = {lane for lane in judged - failed if not self.is_among_the_best(self.lanes[lane], lane % self.brackets)}
        stop = self.without_spared(set(live) - spent - failed, bad, judged)
        for lane in failed | spent | stop:
            life = self.rows[self.lanes[lane]]
            life.status = "failed" if lane in failed else "done" if lane in spent else "stopped"
        new = {self.lanes[lane]: lane % self.brackets for lane in sorted(stop & bad)}
        for lane in failed | spent | stop:
            self.lanes[lane] = None
        self.exchange(new, event)

    def without_spared(self, going, bad, judged):
        stop = bad | {lane for lane in going - judged if lane in self.spared}
        empty = not self.waiting and not self.ready(self.parked, self.parked)
        longest = max((self.left(self.lanes[lane]) for lane in going - stop), default=0)
        self.spared = {lane for lane in stop if empty and self.left(self.lanes[lane]) <= longest}
        return stop - self.spared

    def exchange(self, new, event):
        both = self.parked | new
        ready, out = self.ready(self.parked, both), 0
        for lane, row in enumerate(self.lanes):
            mine = [parent for parent in ready if self.parked[parent] == lane % self.brackets]
            if row is None and mine:
                self.lanes[lane] = self.opened(self.rows[mine[0]].trial, mine[0], event)
                ready.remove(mine[0])
                both.pop(mine[0])
                out += 1
        first = sorted(both, key=lambda row: (self.standing(row, both[row], self.parked | new), row))
        kept = first[: self.slots - out]
        self.evicted += len(first) - len(kept)
        self.parked = {row: both[row] for row in kept}

    def ready(self, slots, both):
        """Return the parked trials that go on, in order."""
        standing = {row: self.standing(row, bracket, both) for row, bracket in slots.items()}
        order = sorted((-self.rows[row].steps, value, row) for row, value in standing.items() if value < 1)
        return [row for _, _, row in order]

    def standing(self, row, bracket, both):
        rung = self.rung(row, bracket)
        came = self.came[rung]
        same = [r for r, b in both.items() if self.rung(r, b) == rung and self.score(r) == self.score(row) and r >= row]
        place = sum(score <= self.score(row) for score, _, _ in came) - len(same)
        return np.float32(place) / np.float32(max(1, len(came) // self.eta))

    def is_among_the_best(self, row, bracket):
        came = sorted(self.came[self.rung(row, bracket)])
        return row in [r for _, _, r in came[: max(1, len(came) // self.eta)]]

    def rung(self, row, bracket):
        steps = self.rows[row].steps
        return (bracket, steps) if steps in self.levels[bracket:] else None

    def score(self, row):
        return self.curves[self.rows[row].trial](self.rows[row].steps)

    def left(self, row):
        return self.lengths[self.rows[row].trial] - self.rows[row].steps


def lives(result):
    """Return what became of the rows of a result: parent, start, steps at both ends, status."""
    return [(t.parent, t.start, result.lineage(t)[-1].first, t.steps, t.status) for t in result.trials]


def repeated(result, score_of, levels, eta, slots, brackets=1):
    """Repeat a search on lists; one that is stopped between rungs has the steps of its latest report."""
    begun = [t.hparams for t in result.trials if t.parent is None]
    curves = [lambda steps, h=h: score_of(h, steps) for h in begun]
    lengths = [3 * h["epochs"] if "epochs" in h else 12 for h in begun]
    lists = Halving(curves, lengths, result.stats.lanes, levels, eta, slots, brackets, result.stats.interval)
    told = [
        (
            r.parent,
            r.start,
            r.first,
            max([s for s in levels if s <= r.steps] if r.status == "stopped" else [r.steps]),
            r.status,
        )
        for r in lists.run()
    ]
    return told, lists


UNEQUAL = {"steps": "epochs", "steps_per_epoch": 3, "trials": 60, "seed": 4}
SEARCHES = {
    "asha": (ASHA(min_steps=1, promote=True), {"trials": 80}, ((1, 3, 9), 3, 10)),
    "one lane": (ASHA(eta=2, min_steps=1, promote=True, parked=60), {"lanes": 1}, ((1, 2, 4, 8), 2, 60)),
    "longer events": (ASHA(eta=2, min_steps=3, promote=True), {**UNEQUAL, "interval": 4}, ((4, 8, 16), 2, 10)),
    "little room": (ASHA(eta=2, min_steps=1, promote=True, parked=2), {"trials": 90}, ((1, 2, 4, 8), 2, 2)),
    "brackets": (Hyperband(eta=2, min_steps=1, promote=True), {"lanes": 7, "trials": 150}, ((1, 2, 4, 8), 2, 14, 5)),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_whole_search_is_that_of_lists(known, score_of, name):
    scheduler, options, rule = SEARCHES[name]
    result = known(scheduler, **options)
    rows, lists = repeated(result, score_of, *rule)
    assert lives(result) == rows
    assert result.stats.copies == sum(parent is not None for parent, *_ in rows) > 0
    assert (lists.evicted > 0) == (name != "one lane")
