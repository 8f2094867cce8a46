"""Weights that go from lane to lane, whatever they are: vacant at first, kept where they are the best, copied."""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import select, zeros
from jaxhpt.core.control import when
from jaxhpt.core.typing import Array, PyTree, TrainState
from jaxhpt.training.batches import Batches
from jaxhpt.training.pool import PoolState


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
