"""The loop: one event, a `while_loop` of parts of events, and the only `jit` and donation.

An event is: ask, refill, advance, score, report, decide, close, copy, keep the best, tell. The first fill is the same
code as every other, because the lanes begin empty. Its training is cut into grains, so that the host may look up in the
middle of a long one.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Proposals, informed, no_proposals
from jaxhpt.algorithms.untried import propose
from jaxhpt.core.arrays import compact, exclusive_count, full_precision, zeros
from jaxhpt.core.history import History, Known, Status, open_rows
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.typing import NONE, Array, Key
from jaxhpt.engine.settle import judge
from jaxhpt.engine.state import Best, Program, SearchState, Summary, trials_left
from jaxhpt.training.pool import Data


@functools.partial(jax.jit, static_argnums=0)
def begin(program: Program, root: Key, known: Known | None = None) -> SearchState:
    """Make the carry of a search that has not begun, but for what was `known` before."""
    problem, lanes = program.problem, program.pool.vacant()
    one = zeros(program.pool.functions.state)
    none, notes = jnp.zeros((), jnp.int32), program.algorithm.num_notes(problem)
    history, algorithm = informed(program.algorithm, root, problem, known)
    best = Best(none + NONE, none < 0, none, jnp.full((), jnp.inf, jnp.float32), one)
    return SearchState(
        lanes=lanes,
        history=history,
        algorithm=algorithm,
        scheduler=program.scheduler.init(key_of(root, Stream.SCHEDULER), problem),
        best=best,
        queue=no_proposals(problem.lanes, problem.num_dimensions, notes),
        shuffle=program.pool.batches.start(problem.interval),
        clock=none,
        grain=none,
        busy=none,
        copied=none,
        spared=jnp.zeros(problem.lanes, bool),
        finished=none < 0,
        key=root,
    )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def dispatch(program: Program, carry: SearchState, data: Data, grains: Array) -> tuple[SearchState, Summary]:
    """Run for at most `grains` grains of training, fewer where the search ends before.

    The number is traced: one executable runs the whole search at once or a grain at a time, to the same bits.

    Args:
      program: static.
      carry: donated.
      data: on device.
      grains: i32[]; 0 compiles and runs nothing.
    """

    def going(state: tuple[SearchState, Array]) -> Array:
        carry, left = state
        return (left > 0) & ~carry.finished

    def part(state: tuple[SearchState, Array]) -> tuple[SearchState, Array]:
        carry, left = state
        after = event(program, carry, data, left)
        trained = jnp.where(after.grain == 0, program.pool.grains, after.grain) - carry.grain
        return after, left - trained

    carry, _ = jax.lax.while_loop(going, part, (carry, grains))
    return carry, _summary(program, carry)


def event(program: Program, carry: SearchState, data: Data, grains: Array | int | None = None) -> SearchState:
    """Run one event, or at most i32[] `grains` of it, from where the carry stands in it."""
    whole = program.pool.grains
    carry = jax.lax.cond(carry.grain == 0, lambda c: _open(program, c, data), lambda c: c, carry)
    left = whole - carry.grain
    now = left if grains is None else jnp.minimum(grains, left)
    carry = _train(program, carry, data, now)
    return jax.lax.cond(carry.grain == whole, lambda c: _close(program, c, data), lambda c: c, carry)


def _open(program: Program, carry: SearchState, data: Data) -> SearchState:
    """Begin an event: propose, and start."""
    carry = _fill(program, _ask(program, carry), data)
    tick = carry.clock * program.problem.interval
    shuffle = program.pool.batches.seek(carry.shuffle, carry.key, tick)
    return carry._replace(busy=jnp.sum(carry.lanes.live, dtype=jnp.int32), shuffle=shuffle)


def _close(program: Program, carry: SearchState, data: Data) -> SearchState:
    """End an event: score, judge, close, learn."""
    carry, ended = judge(program, carry, data)
    carry = _tell(program, carry, ended)
    left, busy = trials_left(program, carry) > 0, carry.busy
    finished = ~jnp.any(carry.lanes.live) & (~left | (busy == 0))
    clock = carry.clock + jnp.minimum(busy, 1)
    return carry._replace(clock=clock, grain=jnp.zeros_like(carry.grain), finished=finished)


@full_precision
def _ask(program: Program, carry: SearchState) -> SearchState:
    """Ask for as many proposals as lanes are free and trials left, beyond those that wait already."""
    problem, history = program.problem, carry.history
    free = jnp.sum(~carry.lanes.live, dtype=jnp.int32)
    waiting = jnp.sum(carry.queue.valid, dtype=jnp.int32)
    count = jnp.minimum(free, trials_left(program, carry)) - waiting
    key = key_of(carry.key, Stream.ASK, carry.clock)

    def ask() -> tuple[Proposals, Any]:
        given = (program.algorithm, key, carry.algorithm, history, problem)
        found, state = propose(*given, problem.lanes, count, carry.queue)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), carry.queue, found)
        order = compact(both.valid)[: problem.lanes]
        return jax.tree.map(lambda a: a[order], both), state

    queue, state = jax.lax.cond(count > 0, ask, lambda: (carry.queue, carry.algorithm))
    return carry._replace(queue=queue, algorithm=state)


def _fill(program: Program, carry: SearchState, data: Data) -> SearchState:
    """Start the waiting proposals, in order, in the free lanes, in order."""
    problem, queue, free = program.problem, carry.queue, ~carry.lanes.live
    order = compact(queue.valid)
    mine = order[exclusive_count(free)]
    starts = free & queue.valid[mine]
    rows = jnp.where(starts, carry.history.count + exclusive_count(starts), NONE)
    taken = jnp.zeros_like(queue.valid).at[jnp.where(starts, mine, NONE)].set(True, mode="drop")
    unit, tick = queue.unit[mine], carry.clock * problem.interval

    def start() -> tuple[Lanes, History]:
        lanes = program.pool.refill(carry.lanes, rows, unit, carry.key, data.captured)
        return lanes, open_rows(carry.history, rows, unit, queue.note[mine], tick)

    lanes, history = jax.lax.cond(jnp.any(starts), start, lambda: (carry.lanes, carry.history))
    return carry._replace(lanes=lanes, history=history, queue=queue._replace(valid=queue.valid & ~taken))


def _train(program: Program, carry: SearchState, data: Data, grains: Array) -> SearchState:
    """Train all lanes for i32[] `grains`."""
    tick, last = carry.clock * program.problem.interval, carry.grain + grains
    lanes = program.pool.advance(carry.lanes, carry.shuffle, data, carry.key, tick, carry.grain, last)
    return carry._replace(lanes=lanes, grain=last)


@full_precision
def _tell(program: Program, carry: SearchState, rows: Array) -> SearchState:
    """Let the algorithm learn from the rows that ended, if any."""
    key = key_of(carry.key, Stream.TELL, carry.clock)

    def tell() -> Any:
        return program.algorithm.tell(key, carry.algorithm, carry.history, program.problem, rows)

    some = jnp.any(rows < NONE)
    return carry._replace(algorithm=jax.lax.cond(some, tell, lambda: carry.algorithm))


def _summary(program: Program, carry: SearchState) -> Summary:
    failed = jnp.sum(carry.history.status == jnp.int8(Status.FAILED), dtype=jnp.int32)
    live = jnp.sum(carry.lanes.live, dtype=jnp.int32)
    row = carry.best.row
    scores = carry.history.metrics[row]
    found = (row < NONE) & program.problem.metrics.feasible(scores)
    score = jnp.where(found, scores[0], jnp.inf)
    count = carry.history.count - carry.copied - program.problem.prior
    history = jax.tree.map(jnp.copy, carry.history)
    steps = jnp.where(carry.lanes.live, carry.lanes.steps, 0)
    under_way = jnp.sum(steps.astype(jnp.float32) / jnp.maximum(carry.lanes.budget, 1).astype(jnp.float32))
    trained = jnp.sum(steps, dtype=jnp.int32)
    facts = (count, live, carry.busy, failed, carry.clock, score, row, carry.finished)
    return Summary(*facts, history, trained, under_way)
