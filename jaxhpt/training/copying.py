"""Weights that go from lane to lane, whatever they are: vacant at first, kept where they are the best, copied."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import compact, select, zeros
from jaxhpt.core.control import most, when
from jaxhpt.core.typing import NONE, Array, PyTree, TrainState
from jaxhpt.training.batches import Batches
from jaxhpt.training.pool import PoolState

AT_ONCE = 64  # trials whose weights are exchanged with slots at once: what is taken out lies beside both meanwhile


@dataclasses.dataclass(frozen=True)
class Copying:
    """How weights are copied that lie on one device. Static and hashable; knows nothing of what is trained."""

    def vacant(self, state: PyTree, batches: Batches, lanes: int, interval: int) -> PoolState:
        """Make weights of lanes that hold no trial, of the shapes of one trial's state, for events of so many steps."""
        return PoolState(zeros(state, lanes), batches.start(interval))

    def nobody(self, state: PyTree) -> TrainState:
        """Make the weights of no winner, of the shapes of one trial's state."""
        return zeros(state)

    def keep(self, pools: tuple[PoolState, ...], best: TrainState, lane: Array) -> TrainState:
        """Put the weights of lane i32[] aside, where there is one: one trial's state."""
        num = _lanes(pools)
        for i, pool in enumerate(pools):
            place = jnp.clip(lane - i * num, 0, num - 1)
            take, stay = functools.partial(rows, pool.weights, place), functools.partial(_same, best)
            best = when((lane >= i * num) & (lane < (i + 1) * num), take, stay)
        return best

    def parked(self, state: PyTree, slots: int) -> PoolState:
        """Make slots for the weights of parked trials, of the shapes of one trial's state."""
        return PoolState(zeros(state, slots), ())  # type: ignore[arg-type]  # nothing trains there

    def exchange(
        self, pools: tuple[PoolState, ...], store: PoolState, source: Array, target: Array
    ) -> tuple[tuple[PoolState, ...], PoolState]:
        """Copy weights between lanes and slots, some at a time: those that move alone cost time, and few memory.

        Args:
          pools: of the lanes.
          store: the slots, which come after the last lane.
          source: i32[N] copied from; NONE for none. Nothing is copied from what a move before it has written.
          target: i32[N] copied to; NONE for none.
        """
        size = min(AT_ONCE, target.shape[0])
        order, fill = compact(target != NONE), jnp.full(-target.shape[0] % size, NONE, jnp.int32)
        source, target = (jnp.concatenate([a[order], fill]) for a in (source, target))
        turns = -(-most(jnp.sum(target != NONE, dtype=jnp.int32)) // size)

        def some(turn: Array, rooms: tuple[PoolState, ...]) -> tuple[PoolState, ...]:
            mine = (jax.lax.dynamic_slice_in_dim(a, turn * size, size) for a in (source, target))
            return self._between(rooms, *mine)

        *found, store = jax.lax.fori_loop(0, turns, some, (*pools, store))
        return tuple(found), store

    def _between(self, rooms: tuple[PoolState, ...], source: Array, target: Array) -> tuple[PoolState, ...]:
        """Copy weights within and between rooms, whose lanes i32[N] are numbered one after the other."""
        sizes = [_lanes((room,)) for room in rooms]
        firsts = list(itertools.accumulate(sizes, initial=0))
        each = list(zip(rooms, firsts, sizes, strict=False))
        taken = rows(rooms[0].weights, jnp.clip(source, 0, sizes[0] - 1))
        for room, first, num in each[1:]:
            taken = select(source >= first, rows(room.weights, jnp.clip(source - first, 0, num - 1)), taken)

        def written(room: PoolState, first: int, num: int) -> PoolState:
            here = (target >= first) & (target < first + num)
            return room._replace(weights=put(room.weights, jnp.where(here, target - first, num), taken))

        return tuple(written(*one) for one in each)

    def move(self, pools: tuple[PoolState, ...], source: Array, target: Array) -> tuple[PoolState, ...]:
        """Copy weights from lanes i32[N] `source` to lanes i32[N] `target`, NONE for none; only so many are moved."""
        num = _lanes(pools)

        def moved() -> tuple[PoolState, ...]:
            parts = [rows(pool.weights, jnp.clip(source - i * num, 0, num - 1)) for i, pool in enumerate(pools)]
            taken = parts[0]
            for i, part in enumerate(parts[1:], 1):
                taken = select(source >= i * num, part, taken)
            return tuple(
                pool._replace(weights=put(pool.weights, jnp.where(target >= i * num, target - i * num, num), taken))
                for i, pool in enumerate(pools)
            )

        return when(jnp.any(target < num * len(pools)), moved, lambda: pools)


def rows(weights: TrainState, index: Array) -> TrainState:
    """Return the weights of lanes i32[...]: leaves [..., ...]."""
    return jax.tree.map(lambda a: a[index], weights)


def put(weights: TrainState, index: Array, taken: TrainState) -> TrainState:
    """Put weights, leaves [N, ...], into lanes i32[N]; those beyond the last lane are dropped."""
    return jax.tree.map(lambda a, b: a.at[index].set(b, mode="drop"), weights, taken)


def _lanes(pools: tuple[PoolState, ...]) -> int:
    leaves = jax.tree.leaves(pools[0].weights)
    return leaves[0].shape[0] if leaves else 1


def _same(weights: TrainState) -> TrainState:
    return weights
