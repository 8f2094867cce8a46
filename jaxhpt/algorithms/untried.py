"""No setting twice: what an algorithm proposes again, while others are left, is moved to an untried setting near by.

For finite spaces only, and the one place where it is made certain: algorithms prefer untried settings as their own rule
allows, and need not see to the last ones. Where all have been tried, proposals stay as they are, and repeat.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.algorithms.enumeration import settings
from jaxhpt.algorithms.opened import Opened, confined
from jaxhpt.algorithms.variation import Mutation, genes, renewed
from jaxhpt.core.arrays import compact, exclusive_count, select
from jaxhpt.core.control import when
from jaxhpt.core.hashing import contained, fingerprint, inserted
from jaxhpt.core.history import History, open_rows, repeated
from jaxhpt.core.keys import uniforms
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NOBODY, NONE, Array, Key

FEW = 4096  # settings among which the nearest is looked for
MANY = 2**22  # settings that are listed at most
SPARE = 4  # times as many settings as rows: steps at random then meet a new one soon
STEPS = (8, 256)  # tried at most where settings are listed, and where they are not
TIE = 1e-5  # what is drawn between equal distances: less than any two different ones are apart
OWN_KEY = 2**31 - 1  # folded into the key of the event


def propose(
    algorithm: Algorithm,
    key: Key,
    state: Any,
    history: History,
    problem: Problem,
    num: int,
    count: Array,
    waiting: Proposals | None = None,
    how: Callable | None = None,
    opened: Opened | None = None,
) -> tuple[Proposals, Any]:
    """Ask an algorithm, snap what it proposes, and move what was tried before, unless it may repeat.

    What the user wants to be tried first comes first, as he gave it; the algorithm is asked for the rest.

    Args:
      algorithm: static.
      key: consumed.
      state: of the algorithm.
      history: all trials, running ones too.
      problem: static.
      num: Q, static.
      count: i32[] how many are wanted; others are not valid.
      waiting: earlier proposals that have not begun; None for none.
      how: the algorithm's `ask`, or what stands in for it.
      opened: structures that there are, where not each proposal may begin another; None where it may.

    Returns:
      Proposals, snapped, and the state of the algorithm. Notes stay with proposals that were moved: what they tell of
      how a proposal was made holds for one near by; who keeps places in them compares these with the row.
    """
    ask = how or algorithm.ask
    given = jnp.zeros(num, bool)
    if history.first.shape[0]:
        found, state, given = _after_first(ask, key, state, history, problem, num, count, waiting)
    else:
        found, state = ask(key, state, history, problem, num, count)
    used = jnp.arange(num, dtype=jnp.int32) < count
    found = found._replace(unit=problem.space.snap(found.unit), valid=found.valid & used)
    if opened is not None:
        found = confined(found, opened, problem.space, given)
    if problem.space.size is None or algorithm.may_repeat(problem):
        return found, state
    return untried(jax.random.fold_in(key, OWN_KEY), found, history, problem, waiting, given), state


def _after_first(
    ask: Callable,
    key: Key,
    state: Any,
    history: History,
    problem: Problem,
    num: int,
    count: Array,
    waiting: Proposals | None,
) -> tuple[Proposals, Any, Array]:
    """Propose what the user wants to be tried first, then what the algorithm does, which sees these as running.

    Returns:
      Proposals, the state of the algorithm, and bool[Q] which proposals are the user's.
    """
    copies = jnp.sum(history.parent < NONE, dtype=jnp.int32)
    queued = jnp.int32(0) if waiting is None else jnp.sum(waiting.valid, dtype=jnp.int32)
    before = history.num_rows - copies - problem.prior + queued
    index, most = jnp.arange(num, dtype=jnp.int32), history.first.shape[0]
    own = history.first[jnp.clip(before + index, 0, most - 1)]
    given = index < jnp.minimum(most - before, count)
    rows = jnp.where(given, history.num_rows + index, NONE)
    begun = open_rows(history, rows, own, jnp.zeros((), jnp.int32))
    taken = jnp.sum(given, dtype=jnp.int32)
    found, state = ask(key, state, begun, problem, num, count - taken)
    later = jax.tree.map(lambda a: a[jnp.maximum(index - taken, 0)], found)
    nobody = Proposals(own, jax.tree.map(jnp.zeros_like, later.note), given, jnp.full(num, NOBODY, jnp.int8))
    return select(given, nobody, later), state, given


def untried(
    key: Key,
    found: Proposals,
    history: History,
    problem: Problem,
    waiting: Proposals | None = None,
    given: Array | None = None,
) -> Proposals:
    """Move repeated proposals to untried settings near by.

    Of up to 4,096 settings, each goes to the nearest that is free, the first first. Of more, it goes by random steps;
    what these do not place, where trials may become more than a quarter of the settings, takes any that is free. Where
    none is, it stays as it is, and comes after the others.

    Args:
      key: consumed.
      found: snapped, of a finite space.
      history: all trials, running ones too.
      problem: static.
      waiting: earlier proposals that have not begun; None for none.
      given: bool[Q] the user's own, which stay as they are; None for none.
    """
    unit, valid, first = found.unit, found.valid, 0
    if waiting is not None:
        first = waiting.valid.shape[0]
        unit, valid = jnp.concatenate([waiting.unit, unit]), jnp.concatenate([waiting.valid, valid])
    own = jnp.arange(valid.shape[0], dtype=jnp.int32) >= first
    if given is not None:
        own &= ~jnp.pad(given, (first, 0))

    def again(unit: Array) -> Array:
        return repeated(history, unit, valid) & own

    repeats = again(unit)

    def move() -> Proposals:
        moved, stays = _moved(key, unit, valid, repeats, again, history, problem)
        order = compact(~stays[first:])
        return jax.tree.map(lambda a: a[order], found._replace(unit=moved[first:]))

    return when(jnp.any(repeats), move, lambda: found)


def _moved(
    key: Key,
    unit: Array,
    valid: Array,
    repeats: Array,
    again: Callable[[Array], Array],
    history: History,
    problem: Problem,
) -> tuple[Array, Array]:
    """Move the rows f32[N, D] that repeat; return all, and bool[N] those for which nothing was left."""
    table = settings(problem.space, max(FEW, min(SPARE * problem.capacity, MANY)))
    if table is not None and table.shape[0] <= FEW:
        return _nearest(key, unit, valid, repeats, history, table, problem.space)
    unit = renewed(key, unit, again, problem.space, Mutation(), STEPS[table is None])
    left = again(unit)
    return (unit, left) if table is None else _anywhere(unit, valid, left, history, table)


def _free(unit: Array, there: Array, history: History, table: Array) -> Array:
    """Tell which settings f32[S, D] are untried, and not among rows where bool[N] `there`: bool[S]."""
    tried, _ = inserted(history.tried, fingerprint(unit), there)
    return ~contained(tried, fingerprint(table))


def _nearest(
    key: Key, unit: Array, valid: Array, again: Array, history: History, table: Array, space: Space
) -> tuple[Array, Array]:
    """Move rows where `again`, one after the other, to the nearest setting that is free, while there is one."""
    free = _free(unit, valid & ~again, history, table)
    tie, order = TIE * uniforms(key, table.shape[:1]), compact(again)

    def step(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        i, unit, free = carry
        apart = _apart(unit[order[i]], table, space) + tie
        place = jax.lax.argmin(jnp.where(free, apart, jnp.inf), 0, jnp.int32)
        return i + 1, unit.at[order[i]].set(table[place]), free.at[place].set(False)

    def going(carry: tuple[Array, Array, Array]) -> Array:
        return (carry[0] < jnp.sum(again, dtype=jnp.int32)) & jnp.any(carry[2])

    num, unit, _ = jax.lax.while_loop(going, step, (jnp.zeros((), jnp.int32), unit, free))
    return unit, again & (exclusive_count(again) >= num)


def _apart(row: Array, table: Array, space: Space) -> Array:
    """Measure how far settings f32[S, D] are from a row f32[D]: another choice counts as a whole range, f32[S]."""
    apart = jnp.abs(table - row[None])
    return jnp.sum(jnp.where(genes(space).unordered[None], (apart > 0).astype(jnp.float32), apart), axis=1)


def _anywhere(unit: Array, valid: Array, again: Array, history: History, table: Array) -> tuple[Array, Array]:
    """Put any settings that are free in the places of rows where `again`, while there are such."""
    mixed = table[np.random.default_rng(0).permutation(table.shape[0])]
    free = _free(unit, valid & ~again, history, mixed)
    place = exclusive_count(again)
    lucky = again & (place < jnp.sum(free, dtype=jnp.int32))
    moved = mixed[compact(free)[jnp.minimum(place, table.shape[0] - 1)]]
    return jnp.where(lucky[:, None], moved, unit), again & ~lucky
