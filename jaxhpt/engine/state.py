"""The carry of a search, and what is static about it."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key, TrainState
from jaxhpt.schedulers.base import Scheduler
from jaxhpt.training.batches import Shuffle
from jaxhpt.training.pool import Pool

MOST_GRAINS = int(np.iinfo(np.int32).max)


@dataclasses.dataclass(frozen=True)
class Program:
    """All that is static: its value names the compiled program.

    Attributes:
      pool: how the lanes train.
      algorithm: where to look.
      scheduler: how long to train.
    """

    pool: Pool
    algorithm: Algorithm
    scheduler: Scheduler

    @property
    def problem(self) -> Problem:
        """The search."""
        return self.pool.problem

    def grains_of(self, events: int) -> Array:
        """Return how many grains of training so many events are: i32[]."""
        return jnp.int32(min(events * self.pool.grains, MOST_GRAINS))


class Best(NamedTuple):
    """The winner so far.

    Attributes:
      row: i32[]; NONE for none.
      done: bool[] whether it trained for its whole budget.
      steps: i32[] steps trained.
      score: f32[] its fitness, minimised.
      state: its train state, without the lane axis.
    """

    row: Array
    done: Array
    steps: Array
    score: Array
    state: TrainState


class SearchState(NamedTuple):
    """The carry of the loop, which is the whole search.

    Attributes:
      lanes: what trains.
      history: what is known.
      algorithm: state of the algorithm.
      scheduler: state of the scheduler.
      best: the winner so far.
      queue: proposals [L] that wait for a free lane.
      shuffle: orders of the current epochs.
      clock: i32[] events so far.
      grain: i32[] grains of training done in the event at hand; 0 between events.
      busy: i32[] lanes that trained in the latest event.
      copied: i32[] rows opened by copies.
      spared: bool[L] lanes whose trials were to be stopped, and go on because that costs nothing.
      finished: bool[] nothing trains and nothing is left to start.
      key: the root key.
    """

    lanes: Lanes
    history: History
    algorithm: Any
    scheduler: Any
    best: Best
    queue: Proposals
    shuffle: Shuffle
    clock: Array
    grain: Array
    busy: Array
    copied: Array
    spared: Array
    finished: Array
    key: Key


class Summary(NamedTuple):
    """What the host is told after a dispatch.

    Attributes:
      count: i32[] trials opened by this search.
      live: i32[] lanes whose trials go on.
      busy: i32[] lanes that trained in the latest event.
      failed: i32[] trials failed.
      events: i32[] events so far.
      score: f32[] of the first objective of the best, minimised; +inf while none is feasible.
      row: i32[] of the best.
      finished: bool[] whether the search has ended.
      history: a copy, which stays when the carry is lost in a crash.
      trained: i32[] steps that trials trained that have not ended.
      under_way: f32[] the same as shares of their budgets, in trials.
    """

    count: Array  # type: ignore[assignment]  # hides tuple.count
    live: Array
    busy: Array
    failed: Array
    events: Array
    score: Array
    row: Array
    finished: Array
    history: History
    trained: Array
    under_way: Array


def trials_left(program: Program, carry: SearchState) -> Array:
    """Return how many trials are left to start: i32[]. Copies count as none."""
    return program.problem.left(carry.history.count - carry.copied)
