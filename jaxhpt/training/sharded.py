"""A pool whose lanes lie on several devices, an equal part on each.

Training exchanges nothing. After an event each device is told all scores; a winner's weights, and those that are copied
from lane to lane, go to all devices, as masked sums. Nothing else ever crosses from one device to another.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxhpt.core.arrays import select
from jaxhpt.core.checks import require
from jaxhpt.core.control import when
from jaxhpt.core.typing import NONE, Array, Key, PyTree, TrainState
from jaxhpt.training.batches import Batches
from jaxhpt.training.copying import Copying, put, rows
from jaxhpt.training.devices import CUT, LANES, WHOLE, Devices, gathered, owned, part
from jaxhpt.training.pool import Data, Orders, Pool, PoolState, Report

LANES_CUT = PoolState(CUT, WHOLE)  # type: ignore[arg-type]  # a prefix of its tree


@dataclasses.dataclass(frozen=True)
class ShardedCopying(Copying):
    """How weights are copied whose lanes lie on several devices. Its methods are written for one of these.

    Attributes:
      lanes: of one device.
      specs: how the arrays of one trial's state are cut over further axes of the mesh; empty for not at all.
    """

    lanes: int
    specs: tuple[PartitionSpec, ...] = ()

    def vacant(self, state: PyTree, batches: Batches, lanes: int, interval: int) -> PoolState:
        """Make weights of lanes that hold no trial."""
        return self.laid(super().vacant(state, batches, lanes, interval))

    def nobody(self, state: PyTree) -> TrainState:
        """Make the weights of no winner."""
        return self._cut(super().nobody(state))

    def keep(self, pools: tuple[PoolState, ...], best: TrainState, lane: Array) -> TrainState:
        """Put the weights of lane i32[] aside, where there is one: one trial's state, on all devices."""

        def taken() -> TrainState:
            place, mine = self._place(lane)
            return self._cut(owned(rows(pools[0].weights, place), mine))

        return when(lane != NONE, taken, lambda: best)

    def move(self, pools: tuple[PoolState, ...], source: Array, target: Array) -> tuple[PoolState, ...]:
        """Copy weights from lanes i32[N] `source` to lanes i32[N] `target`, NONE for none; only so many are moved."""
        (pool,) = pools

        def moved() -> tuple[PoolState, ...]:
            copied = owned(rows(pool.weights, self._place(source)[0]), self._place(source)[1])
            to, ours = self._place(target)
            weights = put(pool.weights, jnp.where(ours, to, self.lanes), copied)
            return (self.laid(pool._replace(weights=weights)),)

        return when(jnp.any(target != NONE), moved, lambda: pools)

    def parked(self, state: PyTree, slots: int) -> PoolState:
        """Make slots for the weights of parked trials, as many on each device; those beyond `slots` stay empty."""
        return self.laid(super().parked(state, -(-slots // jax.lax.axis_size(LANES))))

    def _between(self, rooms: tuple[PoolState, ...], source: Array, target: Array) -> tuple[PoolState, ...]:
        pool, store = rooms
        slots = max((leaf.shape[0] for leaf in jax.tree.leaves(store.weights)), default=1)
        beyond = self.lanes * jax.lax.axis_size(LANES)
        (lane, here), (slot, there) = self._place(source), _place(source - beyond, slots)
        taken = owned(select(there, rows(store.weights, slot), rows(pool.weights, lane)), here | there)
        (lane, here), (slot, there) = self._place(target), _place(target - beyond, slots)
        lanes = put(pool.weights, jnp.where(here, lane, self.lanes), taken)
        parked = put(store.weights, jnp.where(there, slot, slots), taken)
        return self.laid(pool._replace(weights=lanes)), self.laid(store._replace(weights=parked))

    def laid(self, state: PoolState) -> PoolState:
        """Return a pool whose arrays are cut over the further axes of the mesh."""
        return state._replace(weights=self._cut(state.weights, (None,)))

    def _cut(self, weights: TrainState, lead: tuple[None, ...] = ()) -> TrainState:
        if not self.specs:
            return weights
        leaves, tree = jax.tree.flatten(weights)
        specs = [PartitionSpec(*lead, *spec) for spec in self.specs]
        return jax.tree.unflatten(tree, map(jax.lax.with_sharding_constraint, leaves, specs))

    def _place(self, lane: Array) -> tuple[Array, Array]:
        """Return the place of lanes on this device, any place for those of others, and whether they are here."""
        return _place(lane, self.lanes)


def _place(lane: Array, num: int) -> tuple[Array, Array]:
    """Return the place of lanes on this device, which has so many, and whether they are here; see `_place` above."""
    place = lane - jax.lax.axis_index(LANES) * num
    return jnp.clip(place, 0, num - 1), (place >= 0) & (place < num)


@dataclasses.dataclass(frozen=True)
class ShardedPool(Pool):
    """How L lanes train on D devices. Its methods are written for one of these, with `lanes` of its own.

    Attributes:
      parts: D.
      specs: as in `ShardedCopying`.
    """

    parts: int = 1  # type: ignore[misc]
    specs: tuple[PartitionSpec, ...] = ()

    def fill(self, state: PoolState, orders: Orders, data: Data, root: Key) -> PoolState:
        """Start trials, where any begins."""
        return self._laid(super().fill(state, self._mine(orders), data, root))

    def advance(
        self, state: PoolState, orders: Orders, data: Data, root: Key, first: Array, last: Array
    ) -> tuple[PoolState, Report]:
        """Train all lanes from one grain of an event to another; after the last each device is told all scores."""
        state, mine = super().advance(state, self._mine(orders), data, root, first, last)
        nothing: Report = jax.tree.map(lambda a: jnp.concatenate([a] * self.parts), mine)
        return self._laid(state), when(last == self.grains, lambda: gathered(mine), lambda: nothing)

    def _mine(self, orders: Orders) -> Orders:
        """Return the orders of this device's lanes."""
        mine: Orders = part(orders._replace(tick=orders.fresh), self.lanes)
        return mine._replace(tick=orders.tick)

    def _laid(self, state: PoolState) -> PoolState:
        return ShardedCopying(self.lanes, self.specs).laid(state)


def partitioned(devices: Devices | None, rule: Callable | None, state: PyTree) -> tuple[PartitionSpec, ...]:
    """Return how the arrays of one trial's state are cut over the further axes of a mesh; empty where it has none.

    Args:
      devices: of the search; None for one.
      rule: of the task, (path, shape) -> `PartitionSpec`; None for none.
      state: the user's tree, of shapes.

    Raises:
      ValueError, TypeError: a mesh with further axes without a rule, or one that does not fit to an array.
    """
    if devices is None or not devices.cuts_models:
        return ()
    axes = {name: size for name, size in devices.mesh.shape.items() if name != LANES}
    if rule is None:
        raise ValueError(
            f"mesh: its axes {list(axes)} are for models that are cut, and nothing says how: give "
            "partition=(path, shape) -> jax.sharding.PartitionSpec, or a mesh with the axis 'lanes' alone"
        )
    return tuple(_checked(rule, axes, path, leaf.shape) for path, leaf in jax.tree_util.tree_leaves_with_path(state))


def _checked(rule: Callable, axes: dict[str, int], path: Any, shape: tuple[int, ...]) -> PartitionSpec:
    """Return what a rule says of an array, where it fits."""
    place = jax.tree_util.keystr(path, simple=True, separator="/")
    spec = rule(place, shape)
    if not isinstance(spec, PartitionSpec):
        raise TypeError(f"partition: returned {spec!r} for {place!r}; must be a jax.sharding.PartitionSpec")
    require(len(spec) <= len(shape), f"partition of {place!r}", spec, f"of at most {len(shape)} axes, as the array is")
    for size, names in zip(shape, spec, strict=False):
        used = names if isinstance(names, tuple) else () if names is None else (names,)
        require(set(used) <= set(axes), f"partition of {place!r}", spec, f"of the axes {list(axes)} of mesh")
        parts = math.prod(axes[name] for name in used)
        require(size % parts == 0, f"partition of {place!r}", spec, f"of lengths that {parts} devices divide: {shape}")
    return spec


def copying_of(pool: Pool) -> Copying:
    """Return how the weights of a pool are copied."""
    return ShardedCopying(pool.lanes, pool.specs) if isinstance(pool, ShardedPool) else Copying()


def specs_of(tree: PyTree) -> Any:
    """Return how arguments lie on devices: the lanes of pools are cut, all else is whole on each."""
    return jax.tree.map(lambda node: LANES_CUT if _is_pool(node) else WHOLE, tree, is_leaf=_is_pool)


def _is_pool(node: Any) -> bool:
    return isinstance(node, PoolState)
