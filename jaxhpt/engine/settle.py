"""The end of an event: what trained is scored, judged, closed or copied, and the best is kept."""

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import exclusive_count, full_precision
from jaxhpt.core.history import History, Origin, Status, close, open_rows, report
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.lanes import Copies, Lanes
from jaxhpt.core.typing import NONE, Array
from jaxhpt.engine.state import Best, Program, SearchState, trials_left
from jaxhpt.training.pool import Data


def judge(program: Program, carry: SearchState, data: Data) -> tuple[SearchState, Array]:
    """Score the lanes that are due, let the scheduler decide, and close what has ended: rows i32[L], NONE for none."""
    problem, lanes = program.problem, carry.lanes
    due = lanes.live & program.scheduler.needs_score(carry.scheduler, lanes, problem)
    scores, ok = program.pool.score(lanes, due, carry.key, data)
    reporting, place = jnp.where(due, lanes.trial, NONE), problem.place(lanes.steps)
    history = report(carry.history, reporting, scores, lanes.steps, place)
    key = key_of(carry.key, Stream.DECIDE, carry.clock)
    verdict, scheduler = full_precision(program.scheduler.decide)(key, carry.scheduler, lanes, history, problem)
    lanes = lanes._replace(budget=jnp.where(lanes.live, verdict.budget, 0))
    failed = due & ~ok
    going = lanes.live & ~lanes.spent & ~failed
    stop = going & (verdict.stop | (carry.spared & ~due))
    spared = stop & _costs_nothing(program, carry, lanes, going & ~stop)
    stop &= ~spared
    ended = lanes.live & (lanes.spent | stop | failed)
    replaced = jnp.zeros_like(ended)
    if verdict.copies is not None:
        copies = _possible(program, carry, verdict.copies, going & ~stop, (going & ~stop) | failed)
        replaced = replaced.at[copies.target].set(True, mode="drop")
    closed = ended | replaced
    status = jnp.where(lanes.spent, jnp.int8(Status.DONE), jnp.int8(Status.STOPPED))
    status = jnp.where(failed, jnp.int8(Status.FAILED), status)
    rows = jnp.where(closed, lanes.trial, NONE)
    history = close(history, rows, status)
    best = _keep(carry.best, lanes, closed & ok, lanes.spent, problem.metrics.fitness(scores))
    lanes_left = program.pool.free(lanes, ended)
    carry = carry._replace(lanes=lanes_left, history=history, scheduler=scheduler, best=best, spared=spared)
    if verdict.copies is not None:
        carry = _copy(program, carry, copies, lanes)
    return carry, rows


def _costs_nothing(program: Program, carry: SearchState, lanes: Lanes, going: Array) -> Array:
    """Tell which lanes may as well go on: bool[L].

    When no trial is left to start, a lane that is freed stays empty, and costs as much as one that trains: then a trial
    is spared that ends no later than one which goes on by right, bool[L]; it goes on by right itself once it is judged
    again and found good, and is stopped when there is no such one any more.
    """
    waiting = jnp.any(carry.queue.valid) | (trials_left(program, carry) > 0)
    steps = lanes.budget - lanes.steps
    return ~waiting & (steps <= jnp.max(jnp.where(going, steps, 0)))


def _possible(program: Program, carry: SearchState, copies: Copies, sources: Array, targets: Array) -> Copies:
    """Drop the copies from or to lanes that do not allow it, bool[L] each, and those there are no rows for."""
    good = (copies.source < NONE) & (copies.target < NONE) & sources[copies.source] & targets[copies.target]
    good &= exclusive_count(good) < program.problem.copies - carry.copied
    return copies._replace(source=jnp.where(good, copies.source, NONE), target=jnp.where(good, copies.target, NONE))


def _copy(program: Program, carry: SearchState, copies: Copies, before: Lanes) -> SearchState:
    """Let lanes go on from others' weights, under other settings, each in a new row, if there are any to.

    Args:
      program: static.
      carry: with the rows of the targets closed.
      copies: those that are made.
      before: the lanes, before any was freed.
    """
    problem, made = program.problem, copies.target < NONE
    rows = jnp.where(made, carry.history.count + exclusive_count(made), NONE)
    tick = (carry.clock + 1) * problem.interval

    def copy() -> tuple[Lanes, History]:
        unit = problem.space.snap(copies.unit)
        origin = Origin(before.trial[copies.source], before.steps[copies.source])
        foreign = jnp.full((made.shape[0], carry.history.note.shape[1]), jnp.nan, jnp.float32)
        history = open_rows(carry.history, rows, unit, foreign, tick, origin)
        return program.pool.copy(carry.lanes, before, copies._replace(unit=unit), rows), history

    lanes, history = jax.lax.cond(jnp.any(made), copy, lambda: (carry.lanes, carry.history))
    copied = carry.copied + jnp.sum(made, dtype=jnp.int32)
    return carry._replace(lanes=lanes, history=history, copied=copied)


def _keep(best: Best, lanes: Lanes, candidates: Array, done: Array, scores: Array) -> Best:
    """Keep the better of the winner and the lanes that close.

    A trial that had its whole budget beats one that had not; among those that had not, the longest comes first. Of
    several objectives the first counts.
    """
    length = jnp.where(done, jnp.iinfo(jnp.int32).max, lanes.steps)
    longest = jnp.max(jnp.where(candidates, length, -1))
    rival = candidates & (length == longest)
    least = jnp.min(jnp.where(rival, scores, jnp.inf))
    lane = jax.lax.argmin(jnp.where(rival & (scores == least), lanes.trial, jnp.iinfo(jnp.int32).max), 0, jnp.int32)
    held = jnp.where(best.done, jnp.iinfo(jnp.int32).max, best.steps)
    better = (longest > held) | ((longest == held) & (scores[lane] < best.score))

    def take() -> Best:
        state = jax.tree.map(lambda a: a[lane], lanes.state)
        return Best(lanes.trial[lane], done[lane], lanes.steps[lane], scores[lane], state)

    return jax.lax.cond(jnp.any(candidates) & better, take, lambda: best)
