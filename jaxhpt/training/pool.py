"""What is done with the weights of lanes: begin, train, score. Written by `vmap` over one trial."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import select
from jaxhpt.core.control import when
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.lanes import Lanes, Onset
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.typing import NONE, Array, Key, PyTree, TrainState
from jaxhpt.training.batches import Batches, Shuffle
from jaxhpt.training.user_functions import Captured, UserFunctions

MOST_STEPS = 8  # of a grain on accelerators


class Data(NamedTuple):
    """Arrays on device, arguments of the program.

    Attributes:
      train: leaves [rows, ...], or `Ragged`.
      valid: as the user gave it; a `Batch` where data sets have several lengths.
      captured: by his functions.
      begun: weights that trials begin from, leaves [E, ...]; of several structures a tuple of train states; None for
        none.
    """

    train: PyTree
    valid: PyTree
    captured: Captured
    begun: PyTree = None


class PoolState(NamedTuple):
    """The weights of L lanes.

    Attributes:
      weights: train states, leaves [L, ...].
      shuffle: orders of the current epochs.
    """

    weights: TrainState
    shuffle: Shuffle


class Orders(NamedTuple):
    """What a pool is told before an event.

    Attributes:
      values: decoded dimensions of all lanes' trials, D arrays [L].
      fresh: bool[L] lanes whose trial begins.
      score: bool[L] lanes that are to be scored at the end.
      lanes: who trains where, before the event.
      tick: i32[] of the batch stream, at which the event begins.
      onset: lanes whose trials begin from weights; None where none ever does.
    """

    values: tuple[Array, ...]
    fresh: Array
    score: Array
    lanes: Lanes
    tick: Array
    onset: Onset | None = None


class Report(NamedTuple):
    """What a pool tells after an event.

    Attributes:
      scores: f32[L, K] minimised; +inf where failed, and of all where none was to be scored.
      ok: bool[L] whether the scores are finite and the weights healthy.
    """

    scores: Array
    ok: Array


@dataclasses.dataclass(frozen=True)
class Pool:
    """How L lanes train. Static and hashable; knows nothing of the search beside it.

    Attributes:
      functions: the user's functions for one trial.
      batches: how minibatches are cut from data.
      metrics: what is scored.
      lanes: L.
      interval: training steps of an event.
      exact: whether `interval` divides every trial's steps, so that no update needs a mask.
      microbatch: lanes that train side by side, by `vmap`; the groups follow each other through an event.
      scored: the same for the evaluation, which may need more memory; None for as many as train.
    """

    functions: UserFunctions
    batches: Batches
    metrics: MetricSpec
    lanes: int
    interval: int
    exact: bool
    microbatch: int
    scored: int | None = None
    parts: ClassVar[int] = 1  # pools of so many lanes that are one

    @property
    def grain(self) -> int:
        """Steps that are dispatched as one: a divisor of the interval.

        On a GPU the host reads after each round of a loop of unknown length whether another follows, so a round is
        several steps there.
        """
        most = 1 if jax.default_backend() == "cpu" else MOST_STEPS
        return max(d for d in range(1, most + 1) if self.interval % d == 0)

    @property
    def grains(self) -> int:
        """Grains of an event."""
        return self.interval // self.grain

    def fill(self, state: PoolState, orders: Orders, data: Data, root: Key) -> PoolState:
        """Start trials, where any begins: a `where` over all lanes, so that sharded lanes need no exchange."""
        wave = key_of(root, Stream.WAVE, orders.tick)

        def one(lane: tuple) -> PyTree:
            values, row, which = lane
            key = jax.random.fold_in(key_of(root, Stream.TRIAL, row), 0)
            made = self.functions.init(data.captured.init, values, key, wave)
            return made if which is None else _begun(data.begun, which, made)

        def begun() -> TrainState:
            which = None if orders.onset is None or data.begun is None else orders.onset.which
            new = self._by_groups(jax.vmap(one), (orders.values, orders.lanes.trial, which), self.microbatch)
            return select(orders.fresh, new, state.weights)

        return state._replace(weights=when(jnp.any(orders.fresh), begun, lambda: state.weights))

    def advance(
        self, state: PoolState, orders: Orders, data: Data, root: Key, first: Array, last: Array
    ) -> tuple[PoolState, Report]:
        """Train all lanes side by side from one grain of an event to another; not at all where none is live.

        They are scored after the last grain.

        Args:
          state: donated.
          orders: of this event.
          data: on device.
          root: the search's key.
          first: i32[] grains of the event done before.
          last: i32[] grains of it done after.
        """
        weights = state.weights
        shuffle = self.batches.seek(state.shuffle, root, orders.tick, data.train)
        weights = when(
            jnp.any(orders.lanes.live),
            lambda: self._trained(weights, shuffle, orders, data, root, first, last),
            lambda: weights,
        )
        ends = (last == self.grains) & jnp.any(orders.score)
        return PoolState(weights, shuffle), self._scored(weights, orders, data, root, ends)

    def _trained(
        self,
        weights: TrainState,
        shuffle: Shuffle,
        orders: Orders,
        data: Data,
        root: Key,
        first: Array,
        last: Array,
    ) -> TrainState:
        keys = jax.vmap(lambda row: key_of(root, Stream.TRIAL, row))(orders.lanes.trial)
        behind = None if orders.onset is None or self.exact else orders.onset.steps
        each = (weights, orders.values, orders.lanes.steps, orders.lanes.budget, keys, behind)

        def one(state: PyTree, values: tuple, batch: PyTree, key: Key) -> PyTree:
            return self.functions.step(data.captured.step, values, state, batch, key)

        def train(group: tuple) -> TrainState:
            begin, values, before, budget, keys, behind = group

            def step(i: Array, state: TrainState) -> TrainState:
                batch, steps = self.batch(shuffle, root, orders.tick + i, data), before + i
                mine = jax.vmap(jax.random.fold_in)(keys, steps + 1)
                trained = jax.vmap(one, in_axes=(0, 0, None, 0))(state, values, batch, mine)
                if self.exact:
                    return trained
                going = steps < budget if behind is None else (steps < budget) & (steps >= behind)
                return select(going, trained, state)

            return self._grains(step, begin, first, last)

        return self._by_groups(train, each, self.microbatch)

    def _grains(self, step: Callable, begin: PyTree, first: Array, last: Array) -> PyTree:
        """Run the steps of some grains."""

        def steps(grain: Array, state: PyTree) -> PyTree:
            begun = grain * self.grain
            return jax.lax.fori_loop(0, self.grain, lambda i, s: step(begun + jnp.int32(i), s), state)

        return jax.lax.fori_loop(first, last, steps, begin)

    def _by_groups(self, function: Callable[[Any], PyTree], lanes: Any, size: int) -> PyTree:
        """Apply to groups of so many lanes, one after the other: leaves [L, ...] -> leaves [L, ...]."""
        if size >= self.lanes:
            return function(lanes)
        parts = jax.tree.map(lambda a: a.reshape(self.lanes // size, size, *a.shape[1:]), lanes)
        found = jax.lax.map(function, parts)
        return jax.tree.map(lambda a: a.reshape(self.lanes, *a.shape[2:]), found)

    def batch(self, shuffle: Shuffle, root: Key, tick: Array, data: Data) -> PyTree:
        """Return the batch of a tick, of all lanes: generated, or cut from the data."""
        if self.functions.generate is not None:
            return self.functions.generate(data.captured.generate, key_of(root, Stream.BATCH, tick), tick)
        return self.batches.at(shuffle, root, tick, data.train)

    def measure(self, values: tuple, state: PyTree, row: Array, root: Key, data: Data) -> tuple[PyTree, Array]:
        """Evaluate one trial: its metrics, name to f32[], and bool[] whether its weights are healthy."""
        key = key_of(root, Stream.EVALUATE, row)
        found: tuple[PyTree, Array] = self.functions.evaluate(data.captured.evaluate, values, state, data.valid, key)
        return found

    def _scored(self, weights: TrainState, orders: Orders, data: Data, root: Key, wanted: Array) -> Report:
        """Evaluate the lanes, if bool[] `wanted`."""

        def one(lane: tuple) -> Report:
            values, state, row = lane
            metrics, healthy = self.measure(values, state, row, root, data)
            scores, ok = self.metrics.scores(metrics)
            return Report(jnp.where(healthy, scores, jnp.inf), ok & healthy)

        def score() -> Report:
            lanes = (orders.values, weights, orders.lanes.trial)
            found: Report = self._by_groups(jax.vmap(one), lanes, self.scored or self.microbatch)
            return found

        def nothing() -> Report:
            none = jnp.full((self.lanes, len(self.metrics.names)), jnp.inf, jnp.float32)
            return Report(none, jnp.zeros(self.lanes, bool))

        return when(wanted, score, nothing)


def _begun(weights: PyTree, which: Array, made: PyTree) -> PyTree:
    """Return the weights i32[] `which`, of leaves [E, ...], of one trial; what `init` made where that is NONE."""

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(which < NONE, a[jnp.minimum(which, a.shape[0] - 1)], b)

    found: PyTree = jax.tree.map(pick, weights, made)
    return found
