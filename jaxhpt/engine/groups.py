"""Lanes of one structure, and the programs by which they train, made to fit into memory."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.lanes import Lanes
from jaxhpt.core.typing import NONE, Array, Key, TrainState
from jaxhpt.engine.compiling import SOON, Function
from jaxhpt.engine.memory import Fitting, exhausted, halved, too_little
from jaxhpt.engine.pools import advance, fill
from jaxhpt.training.copying import Copying
from jaxhpt.training.pool import Data, Orders, Pool, PoolState, Report
from jaxhpt.training.structures import STRUCTURE, Structure

SOONEST = {**SOON, "xla_backend_optimization_level": 0}  # what runs once a trial


def _select(orders: Orders, lanes: Array) -> Orders:
    """Take the orders of some lanes, i32[w]; NONE is a lane without a trial."""
    there, place = lanes != NONE, jnp.minimum(lanes, orders.fresh.shape[0] - 1)
    taken: Orders = jax.tree.map(lambda a: a[place], orders._replace(tick=orders.fresh))
    old = taken.lanes
    empty = Lanes(jnp.where(there, old.trial, NONE), jnp.where(there, old.steps, 0), jnp.where(there, old.budget, 0))
    fresh = taken.fresh & there
    if taken.onset is not None:  # they are given their weights before
        fresh &= taken.onset.which == NONE
    return taken._replace(fresh=fresh, score=taken.score & there, lanes=empty, tick=orders.tick)


def _vacant(pool: Pool) -> PoolState:
    return Copying().vacant(pool.functions.state, pool.batches, pool.lanes, pool.interval)


def _take(weights: TrainState, place: Array) -> TrainState:
    """Return the weights of lane i32[]: one trial's."""
    return jax.tree.map(lambda a: a[place], weights)


def _put(weights: TrainState, place: Array, one: TrainState) -> TrainState:
    """Put one trial's weights into lane i32[]."""
    return jax.tree.map(lambda a, b: a.at[place].set(b), weights, one)


SELECT = Function(_select, 0, options=SOON)
VACANT = Function(_vacant, 1, options=SOON)
TAKE = Function(_take, 0, options=SOON)
PUT = Function(_put, 0, donated=(0,), options=SOON)
FILL = Function(fill, 1, donated=(0,), options=SOONEST)
ADVANCE = Function(advance, 1, donated=(0,))


@dataclasses.dataclass(eq=False)
class Group:
    """Lanes of one structure that train by one program.

    Attributes:
      structure: theirs.
      pool: how they train; its functions are the structure's.
      data: what its program is given.
      root: the search's key.
      lanes: i32[w] of the study, on the host; NONE for a place that is free.
      state: their weights.
      orders: of the event at hand.
      begins: whether a trial begins in it.
      device: where it trains; None for the default.
    """

    structure: Structure
    pool: Pool
    data: Data
    root: Key
    lanes: np.ndarray
    state: PoolState
    orders: Orders | None = None
    begins: bool = False
    device: jax.Device | None = None

    @property
    def name(self) -> tuple:
        """What names its programs."""
        return self.structure.key, self.pool.lanes, self.device

    def put(self, tree: Any) -> Any:
        """Put arrays where it trains."""
        return jax.device_put(tree, self.device)

    @property
    def work(self) -> float:
        """Operations of a step of all lanes."""
        return self.pool.lanes * self.structure.operations

    def arguments(self, fresh: bool = True) -> tuple:
        """Return what its programs take; no trial is fresh where `fresh` is False."""
        orders: Any = self.orders
        if not fresh:
            orders = orders._replace(fresh=self.put(np.zeros(orders.fresh.shape, bool)))
        return self.state, orders, self.data, self.root


class Fitted(NamedTuple):
    """The programs of a structure's groups of so many lanes.

    Attributes:
      fill: starts trials.
      advance: trains them.
    """

    fill: Fitting
    advance: Fitting


def joined(groups: list[Group], reports: list[Report], lanes: int, metrics: int) -> Report:
    """Put the reports of groups, of so many metrics, in the places of their lanes, of which the study has so many."""
    scores, ok = np.full((lanes, metrics), np.inf, np.float32), np.zeros(lanes, bool)
    for group, report in zip(groups, jax.device_get(reports), strict=True):
        there = group.lanes != NONE
        scores[group.lanes[there]], ok[group.lanes[there]] = report.scores[there], report.ok[there]
    return Report(jnp.asarray(scores), jnp.asarray(ok))


def fitted(group: Group, told: list[str], times: int) -> Fitted:
    """Make the programs of a group that has not trained, and call them for nothing, smaller until they fit.

    Args:
      group: whose state is vacant; it is so after.
      told: list that takes what was done, in words.
      times: groups that train side by side.

    Raises:
      TooLittleMemoryError: not even one lane at a time fits.
      Exception: whatever else, with a note of the structure.
    """
    where, nothing = f" where {group.structure.label}", group.put((np.int32(0), np.int32(0)))
    try:
        fill = Fitting.compiled(FILL, group.pool, group.arguments(), halved, told, where)
        advance = Fitting.compiled(ADVANCE, group.pool, (*group.arguments(), *nothing), halved, told, where)
        _rehearse(group, fill, times)
        _rehearse(group, advance, times, *nothing)
        return Fitted(fill, advance)
    except Exception as error:
        raised = too_little(error) if exhausted(error) else error
        raised.add_note(f"{STRUCTURE}{group.structure.label}")
        if raised is error:
            raise
        raise raised from error


def _rehearse(group: Group, program: Fitting, times: int, *more: Array) -> None:
    """Call a program for nothing, smaller until it fits."""
    while True:
        try:
            found = program.rehearse(times, *group.arguments(fresh=False), *more)
        except (jax.errors.JaxRuntimeError, MemoryError) as error:
            if not exhausted(error):
                raise
            group.state = group.put(VACANT(group.pool))  # the program may have taken it
            program.shrink((*group.arguments(), *more), error)
        else:
            group.state = found[0] if more else found
            return
