"""The loop: one event, a `while_loop` of events, and the only `jit` and donation.

An event is: ask, refill, advance, score, report, decide, close, keep the best, tell. The first fill is the same
code as every other, because the lanes begin empty.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt import history as columns
from jaxhpt.algorithms.base import Algorithm, Proposals, informed, no_proposals
from jaxhpt.history import History, Known, Status
from jaxhpt.keys import Stream, key_of
from jaxhpt.lanes import Lanes
from jaxhpt.numerics import front, ranks, zeros
from jaxhpt.objectives import INFEASIBLE
from jaxhpt.problem import Problem
from jaxhpt.schedulers.base import Scheduler
from jaxhpt.training.batches import Shuffle
from jaxhpt.training.contract import value_shapes
from jaxhpt.training.pool import Data, Pool
from jaxhpt.typing import Array, Key, PyTree, TrainState


@dataclasses.dataclass(frozen=True)
class Program:
    """All that is static: its value names the compiled program.

    Attributes:
      pool: how the lanes train.
      algorithm: where to look.
      scheduler: how long to train.
    """

    pool: Pool
    algorithm: Algorithm
    scheduler: Scheduler

    @property
    def problem(self) -> Problem:
        """The search."""
        return self.pool.problem


class Best(NamedTuple):
    """The winner so far.

    Attributes:
      row: i32[]; C for none.
      done: bool[] whether it trained for its whole budget.
      steps: i32[] steps trained.
      score: f32[] its fitness, minimised.
      state: its train state, without the lane axis.
    """

    row: Array
    done: Array
    steps: Array
    score: Array
    state: TrainState


class SearchState(NamedTuple):
    """The carry of the loop, which is the whole search.

    Attributes:
      lanes: what trains.
      history: what is known.
      algorithm: state of the algorithm.
      scheduler: state of the scheduler.
      best: the winner so far.
      queue: proposals [L] that wait for a free lane.
      shuffle: orders of the current epochs.
      clock: i32[] events so far.
      busy: i32[] lanes that trained in the latest event.
      finished: bool[] nothing trains and nothing is left to start.
      key: the root key.
    """

    lanes: Lanes
    history: History
    algorithm: Any
    scheduler: Any
    best: Best
    queue: Proposals
    shuffle: Shuffle
    clock: Array
    busy: Array
    finished: Array
    key: Key


class Summary(NamedTuple):
    """What the host is told after a dispatch.

    Attributes:
      count: i32[] trials opened by this search.
      live: i32[] lanes whose trials go on.
      busy: i32[] lanes that trained in the latest event.
      failed: i32[] trials failed.
      events: i32[] events so far.
      score: f32[] of the first objective of the best, minimised; +inf while none is feasible.
      row: i32[] of the best.
      finished: bool[] whether the search has ended.
    """

    count: Array  # type: ignore[assignment]  # hides tuple.count
    live: Array
    busy: Array
    failed: Array
    events: Array
    score: Array
    row: Array
    finished: Array


@functools.partial(jax.jit, static_argnums=0)
def begin(program: Program, root: Key, known: Known | None = None) -> SearchState:
    """Make the carry of a search that has not begun, but for what was `known` before."""
    problem, lanes = program.problem, program.pool.vacant(root)
    one = zeros(jax.eval_shape(program.pool.functions.start, root, value_shapes(problem.space)))
    none, notes = jnp.zeros((), jnp.int32), program.algorithm.num_notes(problem.space)
    history, algorithm = informed(program.algorithm, root, problem, known)
    best = Best(none + problem.capacity, none < 0, none, jnp.full((), jnp.inf, jnp.float32), one)
    return SearchState(
        lanes=lanes,
        history=history,
        algorithm=algorithm,
        scheduler=program.scheduler.init(key_of(root, Stream.SCHEDULER), problem),
        best=best,
        queue=no_proposals(problem.lanes, problem.num_dimensions, notes),
        shuffle=program.pool.functions.batches.start(problem.interval),
        clock=none,
        busy=none,
        finished=none < 0,
        key=root,
    )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def dispatch(program: Program, carry: SearchState, data: Data, events: Array) -> tuple[SearchState, Summary]:
    """Run at most `events` events, fewer where the search ends before.

    The number is traced: one executable runs the whole search at once or an event at a time, to the same bits.

    Args:
      program: static.
      carry: donated.
      data: on device.
      events: i32[]; 0 compiles and runs nothing.
    """
    last = jnp.minimum(carry.clock, jnp.iinfo(jnp.int32).max - events) + events

    def going(carry: SearchState) -> Array:
        return (carry.clock < last) & ~carry.finished

    carry = jax.lax.while_loop(going, lambda c: event(program, c, data), carry)
    return carry, _summary(program, carry)


def event(program: Program, carry: SearchState, data: Data) -> SearchState:
    """Run one event: propose, start, train for an interval, score, judge, close, learn."""
    carry = _fill(program, _ask(program, carry))
    busy = jnp.sum(carry.lanes.live, dtype=jnp.int32)
    carry = _train(program, carry, data)
    carry, ended = _judge(program, carry, data)
    carry = _tell(program, carry, ended)
    left = carry.history.count < program.problem.capacity
    finished = ~jnp.any(carry.lanes.live) & (~left | (busy == 0))
    return carry._replace(clock=carry.clock + jnp.minimum(busy, 1), busy=busy, finished=finished)


def _ask(program: Program, carry: SearchState) -> SearchState:
    """Ask for as many proposals as lanes are free and trials left, beyond those that wait already."""
    problem, history = program.problem, carry.history
    free = jnp.sum(~carry.lanes.live, dtype=jnp.int32)
    waiting = jnp.sum(carry.queue.valid, dtype=jnp.int32)
    count = jnp.minimum(free, problem.capacity - history.count) - waiting
    key = key_of(carry.key, Stream.ASK, carry.clock)

    def ask() -> tuple[Proposals, Any]:
        found, state = program.algorithm.ask(key, carry.algorithm, history, problem, problem.lanes, count)
        used = jnp.arange(problem.lanes) < count
        found = found._replace(unit=problem.space.snap(found.unit), valid=found.valid & used)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), carry.queue, found)
        order = front(both.valid)[: problem.lanes]
        return jax.tree.map(lambda a: a[order], both), state

    queue, state = jax.lax.cond(count > 0, ask, lambda: (carry.queue, carry.algorithm))
    return carry._replace(queue=queue, algorithm=state)


def _fill(program: Program, carry: SearchState) -> SearchState:
    """Start the waiting proposals, in order, in the free lanes, in order."""
    problem, queue, free = program.problem, carry.queue, ~carry.lanes.live
    order = front(queue.valid)
    mine = order[ranks(free)]
    starts = free & queue.valid[mine]
    rows = jnp.where(starts, carry.history.count + ranks(starts), problem.capacity)
    taken = jnp.zeros_like(queue.valid).at[jnp.where(starts, mine, problem.lanes)].set(True, mode="drop")
    unit, tick = queue.unit[mine], carry.clock * problem.interval

    def start() -> tuple[Lanes, History]:
        lanes = program.pool.refill(carry.lanes, rows, unit, carry.key)
        return lanes, columns.open_rows(carry.history, rows, unit, queue.note[mine], tick)

    lanes, history = jax.lax.cond(jnp.any(starts), start, lambda: (carry.lanes, carry.history))
    return carry._replace(lanes=lanes, history=history, queue=queue._replace(valid=queue.valid & ~taken))


def _train(program: Program, carry: SearchState, data: Data) -> SearchState:
    """Train all lanes to the next event."""
    tick = carry.clock * program.problem.interval
    shuffle = program.pool.functions.batches.seek(carry.shuffle, carry.key, tick)
    lanes = program.pool.advance(carry.lanes, shuffle, data, carry.key, tick)
    return carry._replace(lanes=lanes, shuffle=shuffle)


def _judge(program: Program, carry: SearchState, data: Data) -> tuple[SearchState, Array]:
    """Score the lanes that are due, let the scheduler decide, and close what has ended: rows i32[L], C for none."""
    problem, lanes, none = program.problem, carry.lanes, program.problem.capacity
    due = lanes.live & program.scheduler.due(carry.scheduler, lanes, problem)
    scores, ok = program.pool.score(lanes, due, data)
    place = jnp.clip((lanes.steps - 1) // problem.interval, 0, problem.reports - 1)
    history = columns.report(carry.history, jnp.where(due, lanes.trial, none), scores, lanes.steps, place)
    key = key_of(carry.key, Stream.DECIDE, carry.clock)
    verdict, scheduler = program.scheduler.decide(key, carry.scheduler, lanes, history, problem)
    lanes = lanes._replace(budget=jnp.where(lanes.live, verdict.budget, 0))
    failed = due & ~ok
    ended = lanes.live & (lanes.spent | verdict.stop | failed)
    status = jnp.where(failed, Status.FAILED, jnp.where(lanes.spent, Status.DONE, Status.STOPPED)).astype(jnp.int8)
    rows = jnp.where(ended, lanes.trial, none)
    history = columns.close(history, rows, status)
    best = _keep(carry.best, lanes, ended & ok, lanes.spent, problem.columns.fitness(scores))
    lanes = program.pool.free(lanes, ended)
    return carry._replace(lanes=lanes, history=history, scheduler=scheduler, best=best), rows


def _keep(best: Best, lanes: Lanes, candidates: Array, done: Array, scores: Array) -> Best:
    """Keep the better of the winner and the lanes that close.

    A trial that had its whole budget beats one that had not; among those that had not, the longest comes first. Of
    several objectives the first counts.
    """
    length = jnp.where(done, jnp.iinfo(jnp.int32).max, lanes.steps)
    longest = jnp.max(jnp.where(candidates, length, -1))
    rival = candidates & (length == longest)
    least = jnp.min(jnp.where(rival, scores, jnp.inf))
    lane = jnp.argmin(jnp.where(rival & (scores == least), lanes.trial, jnp.iinfo(jnp.int32).max))
    held = jnp.where(best.done, jnp.iinfo(jnp.int32).max, best.steps)
    better = (longest > held) | ((longest == held) & (scores[lane] < best.score))

    def take() -> Best:
        state = jax.tree.map(lambda a: a[lane], lanes.state)
        return Best(lanes.trial[lane], done[lane], lanes.steps[lane], scores[lane], state)

    return jax.lax.cond(jnp.any(candidates) & better, take, lambda: best)


def _tell(program: Program, carry: SearchState, rows: Array) -> SearchState:
    """Let the algorithm learn from the rows that ended, if any."""
    key = key_of(carry.key, Stream.TELL, carry.clock)

    def tell() -> Any:
        return program.algorithm.tell(key, carry.algorithm, carry.history, program.problem, rows)

    some = jnp.any(rows < program.problem.capacity)
    return carry._replace(algorithm=jax.lax.cond(some, tell, lambda: carry.algorithm))


def _summary(program: Program, carry: SearchState) -> Summary:
    failed = jnp.sum(carry.history.status == Status.FAILED, dtype=jnp.int32)
    live = jnp.sum(carry.lanes.live, dtype=jnp.int32)
    row, fitness = carry.best.row, carry.best.score
    score = jnp.where(fitness < INFEASIBLE, fitness, jnp.inf)
    count = carry.history.count - program.problem.prior
    return Summary(count, live, carry.busy, failed, carry.clock, score, row, carry.finished)


@functools.partial(jax.jit, static_argnums=0)
def train_again(program: Program, root: Key, data: Data, row: Array, unit: Array, start: Array, steps: Array) -> Any:
    """Train one trial alone, on the batches it saw.

    The same numbers within tolerance, not to the bit: one lane compiles to other operations than many.

    Args:
      program: static.
      root: the search's key.
      data: on device.
      row: i32[] of the trial.
      unit: f32[D] its setting.
      start: i32[] tick of its first batch.
      steps: i32[] to train.

    Returns:
      The trial's state, and its metrics as the user's function gives them.
    """
    functions, problem = program.pool.functions, program.problem
    values = problem.space.values(unit)
    key = key_of(root, Stream.TRIAL, row)

    def step(i: Array, carry: tuple[PyTree, Shuffle]) -> tuple[PyTree, Shuffle]:
        state, shuffle = carry
        shuffle = functions.batches.seek(shuffle, root, start + i)
        batch = functions.batches.at(shuffle, root, start + i, data.train)
        return functions.train(state, batch, values, jax.random.fold_in(key, i + 1)), shuffle

    state = functions.start(jax.random.fold_in(key, 0), values)
    shuffle = functions.batches.start(1)
    state, _ = jax.lax.fori_loop(0, steps, step, (state, shuffle))
    return state, functions.score(state, data.valid, values)
