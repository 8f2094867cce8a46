"""Parked trials: what a scheduler stops may go on later, in a free lane, as a copy of itself.

Slots hold the weights of trials that left their lanes. To moves they are lanes L, L + 1 and so on.
"""

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import compact, exclusive_count, select
from jaxhpt.core.control import when
from jaxhpt.core.history import History, Origin, open_rows
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, PyTree
from jaxhpt.engine.state import Moves, Parked, Study, StudyState, trials_left
from jaxhpt.schedulers.base import Recall, Scheduler, num_parked


def nothing_parked(scheduler: Scheduler, problem: Problem) -> Parked | None:
    """Return slots that hold no trial; None where the scheduler parks none."""
    num = num_parked(scheduler, problem.lanes)
    if not num:
        return None
    none = jnp.zeros(num, jnp.int32)
    notes = jax.tree.map(lambda a: jnp.zeros((num, *a.shape[1:]), a.dtype), scheduler.lane_init(problem))
    return Parked(Lanes(none + NONE, none, none), notes)


def recalled(study: Study, state: StudyState, lanes: Lanes, stopping: Array, scored: Array) -> Recall:
    """Judge what is parked, and what is to be.

    Args:
      study: static.
      state: with the reports of the event, and what the scheduler made of them.
      lanes: after they trained.
      stopping: bool[L] lanes whose trials are to be parked.
      scored: bool[L] lanes that were scored.

    Returns:
      Of P slots and then L lanes, see `Recall`; those that hold nothing, or do not stop, never go on. In an event in
      which no lane can be free, none does.
    """
    assert state.parked is not None
    both: Parked = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), state.parked, _leaving(state, lanes, stopping))
    last = ~jnp.any(state.queue.valid) & (trials_left(study, state) <= 0)
    given = (state.scheduler, both.notes, both.lanes, state.history, study.problem, last)

    def look() -> Recall:
        found: Recall = study.scheduler.recall(*given)  # type: ignore[attr-defined]  # it is of `Parks`
        return found._replace(standing=jnp.where(both.lanes.live, found.standing, jnp.inf))

    def nothing() -> Recall:
        return Recall(jnp.full(both.lanes.trial.shape, jnp.inf, jnp.float32), jnp.zeros_like(both.lanes.trial))

    return when(jnp.any(scored | state.spared | ~lanes.live | lanes.spent), look, nothing)


def _leaving(state: StudyState, lanes: Lanes, stopping: Array) -> Parked:
    """Return what is in lanes, bool[L] those that stop, as if it were parked."""
    trial, budget = jnp.where(stopping, lanes.trial, NONE), jnp.where(stopping, lanes.budget, 0)
    return Parked(Lanes(trial, lanes.steps, budget), state.lane_notes)


def park(study: Study, state: StudyState, recall: Recall, before: Lanes, parking: Array) -> tuple[StudyState, Moves]:
    """Park trials that stopped, and let others go on in free lanes.

    Args:
      study: static.
      state: with what has ended out of its lane.
      recall: as `recalled` returned it.
      before: the lanes, before any was freed.
      parking: bool[L] those whose trials are to be parked.

    Returns:
      The state, and the moves of weights, none of which is kept as the best.
    """
    assert state.parked is not None
    slots, lanes = state.parked.lanes.live, state.lanes.live
    none = jnp.full(2 * lanes.shape[0], NONE, jnp.int32)

    def some() -> tuple[StudyState, Array, Array]:
        return _parked(study, state, recall, before, parking)

    needed = jnp.any(parking) | (jnp.any(slots) & ~jnp.all(lanes))
    state, source, target = when(needed, some, lambda: (state, none, none))
    return state, Moves(jnp.full((), NONE, jnp.int32), source, target)


def _parked(
    study: Study, state: StudyState, recall: Recall, before: Lanes, parking: Array
) -> tuple[StudyState, Array, Array]:
    """Do it; return the moves as lanes copied from and to, i32[2 L] each, first those into slots."""
    old = state.parked
    assert old is not None
    num, lane = old.lanes.trial.shape[0], jnp.arange(parking.shape[0], dtype=jnp.int32)
    new = _leaving(state, before, parking)
    both: Lanes = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), old.lanes, new.lanes)
    taken = _taken(study, state, old, recall)
    woken = jnp.zeros(num, bool).at[taken].set(True, mode="drop")
    kept, place = _kept(both, recall.standing, woken)
    state = _woken(study, state, old, taken)._replace(parked=_into(old, new, kept, place))
    into, out = place != NONE, taken != NONE
    source = jnp.concatenate([jnp.where(into, lane, NONE), jnp.where(out, lane.size + taken, NONE)])
    target = jnp.concatenate([jnp.where(into, lane.size + place, NONE), jnp.where(out, lane, NONE)])
    return state, source, target


def _taken(study: Study, state: StudyState, parked: Parked, recall: Recall) -> Array:
    """Say which slot's trial goes on in each free lane: i32[L]; NONE for none.

    Those that trained longest come first, then those that stand best.
    """
    trial, steps, _ = parked.lanes
    num, free = trial.shape[0], ~state.lanes.live
    ready = parked.lanes.live & (recall.standing[:num] < 1)
    slots, lanes = recall.group[:num], recall.group[num:]
    turn = _turns(ready, slots, _places(trial, recall.standing[:num], -steps))
    mine = _turns(free, lanes, jnp.arange(free.shape[0], dtype=jnp.int32))
    fits = (lanes[:, None] == slots[None]) & (mine[:, None] == turn[None]) & free[:, None] & ready[None]
    found = jnp.any(fits, axis=1)
    found &= exclusive_count(found) < study.problem.copies - state.copied
    return jnp.where(found, jax.lax.argmax(fits, 1, jnp.int32), NONE)


def _places(*keys: Array) -> Array:
    """Return the place of each in the order by keys, the last of which counts most: i32[N]."""
    order = jnp.lexsort(keys).astype(jnp.int32)
    return jnp.zeros_like(order).at[order].set(jnp.arange(order.shape[0], dtype=jnp.int32))


def _turns(mask: Array, group: Array, place: Array) -> Array:
    """Number those of a mask within their groups, in the order of their places: i32[N]."""
    ahead = mask[None] & (group[:, None] == group[None]) & (place[None] < place[:, None])
    return jnp.sum(ahead, axis=1, dtype=jnp.int32)


def _kept(both: Lanes, standing: Array, woken: Array) -> tuple[Array, Array]:
    """Choose what is parked: those that stand best, of the slots, P, and the lanes, L.

    A slot that is freed holds weights until they have moved, and takes none in the same event.

    Returns:
      bool[P] slots that keep what they hold, and i32[L] the slot that takes what was in a lane, NONE for none.
    """
    num = woken.shape[0]
    remains = both.live & ~jnp.concatenate([woken, jnp.zeros(both.live.shape[0] - num, bool)])
    place = _places(both.trial, standing, ~remains)
    kept = remains & (place < num - jnp.sum(woken, dtype=jnp.int32))
    old, new = kept[:num], kept[num:]
    room = compact(~old & ~woken)
    return old, jnp.where(new, room[jnp.minimum(exclusive_count(new), num - 1)], NONE)


def _into(old: Parked, new: Parked, kept: Array, place: Array) -> Parked:
    """Let slots keep what they are to, bool[P], and take what was in lanes, i32[L] the slot of each."""
    trial, steps, budget = old.lanes
    left = Parked(Lanes(jnp.where(kept, trial, NONE), steps, jnp.where(kept, budget, 0)), old.notes)
    found: Parked = jax.tree.map(lambda a, b: a.at[place].set(b, mode="drop"), left, new)
    return found


def _woken(study: Study, state: StudyState, parked: Parked, taken: Array) -> StudyState:
    """Let trials of slots, i32[L], go on in lanes, each in a new row."""
    found, problem = taken != NONE, study.problem
    rows = jnp.where(found, state.history.num_rows + exclusive_count(found), NONE)
    mine: Parked = jax.tree.map(lambda a: a[jnp.minimum(taken, parked.lanes.trial.shape[0] - 1)], parked)
    going = mine.lanes._replace(trial=rows)
    lanes: Lanes = jax.tree.map(lambda a, b: jnp.where(found, a, b), going, state.lanes)
    notes: PyTree = select(found, mine.notes, state.lane_notes)
    history = _opened(problem, state, rows, mine.lanes)
    copied = state.copied + jnp.sum(found, dtype=jnp.int32)
    return state._replace(lanes=lanes, lane_notes=notes, history=history, copied=copied)


def _opened(problem: Problem, state: StudyState, rows: Array, parents: Lanes) -> History:
    """Open rows i32[L] of trials that go on from where their parents were parked."""
    unit = state.history.unit[jnp.minimum(parents.trial, problem.capacity - 1)]
    tick, origin = (state.clock + 1) * problem.schedule.interval, Origin(parents.trial, parents.steps)
    return open_rows(state.history, rows, unit, tick, None, origin)
