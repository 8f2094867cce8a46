"""The carry of a search, in two pieces, and what is static about it.

The *study* is small and decides: history, algorithm, scheduler, who trains where. A *pool* is large and trains: the
weights of its lanes. A study's programs know nothing of the user's model, a pool's nothing of the search.
"""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes, Onset
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key
from jaxhpt.schedulers.base import Scheduler, num_parked
from jaxhpt.training.devices import Devices
from jaxhpt.training.pool import Pool

MOST_GRAINS = int(np.iinfo(np.int32).max)


@dataclasses.dataclass(frozen=True)
class Study:
    """What decides. Static: its value names the compiled programs of the study.

    Attributes:
      problem: the search.
      algorithm: where to look.
      scheduler: how long to train.
    """

    problem: Problem
    algorithm: Algorithm
    scheduler: Scheduler


@dataclasses.dataclass(frozen=True)
class Program:
    """All that is static about a search.

    Attributes:
      study: what decides; it does not know the ends of the ranges.
      problem: the same search, of a space with its ends, and of so many trials.
      pool: what trains; all pools are alike.
      pools: how many there are, side by side.
      fused: whether many events run as one program, rather than each part of an event as its own.
      adapts: whether the lanes may be fewer where memory does not suffice, as nobody has asked for so many.
      devices: on which it runs; None for one, the default.
    """

    study: Study
    problem: Problem
    pool: Pool
    pools: int
    fused: bool
    adapts: bool = False
    devices: Devices | None = None

    @property
    def ranges(self) -> Problem:
        """The search as far as it knows the ends of the ranges."""
        return dataclasses.replace(self.study.problem, space=self.problem.space)

    @property
    def num_devices(self) -> int:
        """Devices that share its lanes."""
        return self.devices.num if self.devices else 1

    @property
    def slots(self) -> int:
        """Trials that are parked at once, at most."""
        return num_parked(self.study.scheduler, self.problem.lanes)

    @property
    def grains(self) -> int:
        """Grains of training that an event is cut into, after which the host may look up."""
        return 1 if self.fused else self.pool.grains

    def grains_of(self, events: int) -> int:
        """Return how many grains of training so many events are."""
        return min(events * self.grains, MOST_GRAINS)


class Best(NamedTuple):
    """The winner so far; its weights are kept beside it.

    Attributes:
      row: i32[]; NONE for none.
      done: bool[] whether it trained for its whole budget.
      steps: i32[] steps trained.
      score: f32[] its fitness, minimised.
    """

    row: Array
    done: Array
    steps: Array
    score: Array


class Parked(NamedTuple):
    """Trials that a scheduler stopped, and whose weights are kept: P slots, each of which holds one or none.

    Attributes:
      lanes: which they are, and how far they came.
      notes: what the scheduler keeps of each, leaves [P, ...].
    """

    lanes: Lanes
    notes: Any


class StudyState(NamedTuple):
    """What is known, and who trains where: one a search.

    Attributes:
      history: what is known.
      algorithm: state of the algorithm.
      scheduler: state of the scheduler.
      lane_notes: what the scheduler keeps of each lane, leaves [L, ...].
      lanes: who trains where.
      queue: proposals [L] that wait for a free lane.
      best: the winner so far.
      clock: i32[] events so far.
      busy: i32[] lanes that trained in the latest event.
      copied: i32[] rows opened by copies.
      spared: bool[L] lanes whose trials were to be stopped, and go on because that costs nothing.
      finished: bool[] nothing trains and nothing is left to start.
      key: the root key.
      parked: trials that may go on later; None where the scheduler parks none.
    """

    history: History
    algorithm: Any
    scheduler: Any
    lane_notes: Any
    lanes: Lanes
    queue: Proposals
    best: Best
    clock: Array
    busy: Array
    copied: Array
    spared: Array
    finished: Array
    key: Key
    parked: Parked | None = None


class Places(NamedTuple):
    """What a study says of its lanes before they train.

    Attributes:
      fresh: bool[L] lanes whose trial begins.
      unit: f32[L, D] settings of all lanes' trials.
      lanes: who trains where; those that are fresh have no budget yet.
      notes: what the scheduler keeps of each lane.
      tick: i32[] of the batch stream, at which the event begins.
      onset: lanes that are fresh and begin from weights; None where none ever does.
    """

    fresh: Array
    unit: Array
    lanes: Lanes
    notes: Any
    tick: Array
    onset: Onset | None = None


class Moves(NamedTuple):
    """What is to be done with weights after an event.

    Attributes:
      keep: i32[] lane whose weights are the best so far; NONE for none.
      source: i32[N] lanes that are copied from; NONE for none. Slots of parked trials are lanes from L on.
      target: i32[N] lanes that take the copies, each once; NONE for none.
    """

    keep: Array
    source: Array
    target: Array


class Summary(NamedTuple):
    """What the host is told after a dispatch.

    Attributes:
      opened: i32[] trials opened by this search.
      live: i32[] lanes whose trials go on.
      busy: i32[] lanes that trained in the latest event.
      done: i32[] trials that trained to their ends.
      stopped: i32[] those that a scheduler ended.
      failed: i32[] those that failed.
      events: i32[] events so far.
      score: f32[] of the first objective of the best, minimised; +inf while none is feasible.
      row: i32[] of the best.
      finished: bool[] whether the search has ended.
      history: a copy, which stays when the study is lost in a crash.
      trained: i32[] steps that trials trained that have not ended.
      shares: f32[L] what each lane has trained of its trial's budget, in [0, 1]; -1 where it holds none.
      steps: i32[] that each lane had time for, in the events so far and in the part of one that is done.
    """

    opened: Array
    live: Array
    busy: Array
    done: Array
    stopped: Array
    failed: Array
    events: Array
    score: Array
    row: Array
    finished: Array
    history: History
    trained: Array
    shares: Array
    steps: Array


def trials_left(study: Study, state: StudyState) -> Array:
    """Return how many trials are left to start: i32[]. Copies count as none."""
    opened = state.history.num_rows - state.copied - study.problem.prior
    return state.history.num_trials - opened
