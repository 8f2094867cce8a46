"""What is done with the lanes: refill, advance, score, copy. Written for L lanes at once, by `vmap` over one trial."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import select, zeros
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.lanes import Copies, Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, Key, PyTree
from jaxhpt.training.batches import Batches, Shuffle
from jaxhpt.training.user_functions import Captured, UserFunctions

MOST_STEPS = 8  # of a grain on accelerators


class Data(NamedTuple):
    """Arrays on device, arguments of the program.

    Attributes:
      train: leaves [rows, ...].
      valid: as the user gave it.
      captured: by his functions.
    """

    train: PyTree
    valid: PyTree
    captured: Captured


@dataclasses.dataclass(frozen=True)
class Pool:
    """How the lanes train. Static and hashable.

    Attributes:
      problem: the search.
      functions: the user's functions for one trial.
      batches: how minibatches are cut from data.
    """

    problem: Problem
    functions: UserFunctions
    batches: Batches

    def vacant(self) -> Lanes:
        """Make lanes that hold no trial."""
        num, space = self.problem.lanes, self.problem.space
        state = zeros(self.functions.state, num)
        values = tuple(jnp.zeros(num, d.dtype) for d in space.dimensions)
        none = jnp.zeros(num, jnp.int32)
        return Lanes(state, values, jnp.full(num, NONE, jnp.int32), none, none)

    def refill(self, lanes: Lanes, rows: Array, unit: Array, root: Key, captured: Captured) -> Lanes:
        """Start trials in free lanes.

        A `where` over all lanes, so that sharded lanes need no exchange.

        Args:
          lanes: of which some are free.
          rows: i32[L] row of the trial that starts in each lane; NONE for none.
          unit: f32[L, D] its snapped setting.
          root: the search's key.
          captured: by the user's functions.
        """
        functions = self.functions
        fresh = rows < NONE
        values = self.problem.space.values(unit)
        keys = jax.vmap(lambda row: jax.random.fold_in(key_of(root, Stream.TRIAL, row), 0))(rows)
        state = jax.vmap(lambda v, key: functions.init(captured.init, v, key))(values, keys)
        budget = jnp.broadcast_to(jax.vmap(lambda v: functions.steps(captured.steps, v))(values), rows.shape)
        new = Lanes(state, values, rows, jnp.zeros_like(lanes.steps), jnp.maximum(budget, 1))
        return select(fresh, new, lanes)

    def copy(self, lanes: Lanes, source: Lanes, copies: Copies, rows: Array) -> Lanes:
        """Let lanes go on from the weights, steps and budget of others; only so many lanes are moved.

        Args:
          lanes: of which some are replaced.
          source: the lanes that are copied from.
          copies: from where to where, under which snapped settings; NONE for none.
          rows: i32[N] the new trials.
        """
        taken = (source.state, source.steps, source.budget)
        moved = jax.tree.map(lambda a: a[copies.source], taken)
        new = (*moved, self.problem.space.values(copies.unit), rows)
        old = (lanes.state, lanes.steps, lanes.budget, lanes.values, lanes.trial)
        put = jax.tree.map(lambda a, b: a.at[copies.target].set(b, mode="drop"), old, new)
        state, steps, budget, values, trial = put
        return Lanes(state, values, trial, steps, budget)

    def free(self, lanes: Lanes, ended: Array) -> Lanes:
        """Empty the lanes whose trials have ended: bool[L]."""
        return lanes._replace(
            trial=jnp.where(ended, NONE, lanes.trial),
            budget=jnp.where(ended, 0, lanes.budget),
        )

    @property
    def grain(self) -> int:
        """Steps that are dispatched as one: a divisor of the interval.

        On a GPU the host reads after each round of a loop of unknown length whether another follows, so a round is
        several steps there.
        """
        most = 1 if jax.default_backend() == "cpu" else MOST_STEPS
        return max(d for d in range(1, most + 1) if self.problem.interval % d == 0)

    @property
    def grains(self) -> int:
        """Grains of an event."""
        return self.problem.interval // self.grain

    def advance(
        self, lanes: Lanes, shuffle: Shuffle, data: Data, root: Key, tick: Array, first: Array, last: Array
    ) -> Lanes:
        """Train all lanes side by side from one grain of an event to another; not at all where none is live.

        Args:
          lanes: of which some are live.
          shuffle: of the event.
          data: on device.
          root: the search's key.
          tick: i32[] at which the event began.
          first: i32[] grains of it done before.
          last: i32[] grains of it done after.
        """
        keys = jax.vmap(lambda row: key_of(root, Stream.TRIAL, row))(lanes.trial)

        def one(values: tuple, state: PyTree, batch: PyTree, key: Key) -> PyTree:
            return self.functions.step(data.captured.step, values, state, batch, key)

        train = jax.vmap(one, in_axes=(0, 0, None, 0))

        def step(i: Array, carry: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
            state, steps = carry
            batch = self.batch(shuffle, root, tick + i, data)
            live = steps < lanes.budget
            trained = train(lanes.values, state, batch, jax.vmap(jax.random.fold_in)(keys, steps + 1))
            state = trained if self.problem.exact else select(live, trained, state)
            return state, steps + live.astype(jnp.int32)

        def steps_of(grain: Array, carry: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
            begun = grain * self.grain
            return jax.lax.fori_loop(0, self.grain, lambda i, c: step(begun + jnp.int32(i), c), carry)

        def train_on(carry: tuple[PyTree, Array]) -> tuple[PyTree, Array]:
            return jax.lax.fori_loop(first, last, steps_of, carry)

        state, steps = jax.lax.cond(jnp.any(lanes.live), train_on, lambda carry: carry, (lanes.state, lanes.steps))
        return lanes._replace(state=state, steps=steps)

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

    def score(self, lanes: Lanes, due: Array, root: Key, data: Data) -> tuple[Array, Array]:
        """Evaluate the lanes, if any is due.

        Returns:
          scores f32[L, K], +inf where failed or not due, and ok bool[L].
        """

        def one(values: tuple[Array, ...], state: Any, row: Array) -> tuple[Array, Array]:
            metrics, healthy = self.measure(values, state, row, root, data)
            scores, ok = self.problem.metrics.scores(metrics)
            return jnp.where(healthy, scores, jnp.inf), ok & healthy

        def nothing() -> tuple[Array, Array]:
            none = jnp.full((self.problem.lanes, self.problem.num_metrics), jnp.inf, jnp.float32)
            return none, jnp.zeros(self.problem.lanes, bool)

        return jax.lax.cond(jnp.any(due), lambda: jax.vmap(one)(lanes.values, lanes.state, lanes.trial), nothing)
