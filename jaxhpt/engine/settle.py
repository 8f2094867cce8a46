"""The end of an event: what trained is reported, judged, closed or copied, the best is noted, the algorithm learns."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.arrays import exclusive_count, full_precision
from jaxhpt.core.control import when
from jaxhpt.core.history import History, Origin, Status, close, open_rows, report
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.lanes import Copies, Lanes
from jaxhpt.core.typing import NONE, Array
from jaxhpt.engine.parking import park, recalled
from jaxhpt.engine.state import Best, Moves, Study, StudyState, Summary, trials_left
from jaxhpt.schedulers.base import Recall, Verdict
from jaxhpt.training.pool import Report

LONGEST = jnp.iinfo(jnp.int32).max


@full_precision
def settle(
    study: Study, state: StudyState, lanes: Lanes, scored: Array, reports: tuple[Report, ...]
) -> tuple[StudyState, Moves]:
    """Report the scores, let the scheduler decide, close what has ended, and tell the algorithm.

    Args:
      study: static.
      state: as `propose` left it.
      lanes: before they trained, all with their budgets.
      scored: bool[L] lanes that were scored.
      reports: of the pools, in order.
    """
    found = Report(*(jnp.concatenate(parts) for parts in zip(*reports, strict=True)))
    problem, lanes = study.problem, lanes.trained(study.problem.schedule.interval)
    rows, place = jnp.where(scored, lanes.trial, NONE), problem.schedule.place(lanes.steps)
    history = report(state.history, rows, found.scores, lanes.steps, place)
    key = key_of(state.key, Stream.DECIDE, state.clock)
    verdict, scheduler, notes = study.scheduler.decide(key, state.scheduler, state.lane_notes, lanes, history, problem)
    lanes = lanes._replace(budget=jnp.where(lanes.live, verdict.budget, 0))
    failed = scored & ~found.ok
    state = state._replace(history=history, scheduler=scheduler, lane_notes=notes)
    stopping = verdict.stop & scored & ~failed & ~lanes.spent & lanes.live
    recall = None if state.parked is None else recalled(study, state, lanes, stopping, scored)
    stop, spared = _stopped(study, state, lanes, verdict, scored, failed, recall)
    ended = lanes.live & (lanes.spent | stop | failed)
    going = lanes.live & ~lanes.spent & ~failed & ~stop
    wanted = None if verdict.copies is None else _within(study, state, lanes, verdict.copies)
    copies = None if wanted is None else _possible(study, state, wanted, going, going | failed)
    closed = ended if copies is None else ended | jnp.zeros_like(ended).at[copies.target].set(True, mode="drop")
    status = jnp.where(lanes.spent, jnp.int8(Status.DONE), jnp.int8(Status.STOPPED))
    rows = jnp.where(closed, lanes.trial, NONE)
    history = close(history, rows, jnp.where(failed, jnp.int8(Status.FAILED), status))
    best, keep = _best(state.best, lanes, closed & found.ok, problem.metrics.fitness(found.scores))
    left = Lanes(jnp.where(ended, NONE, lanes.trial), lanes.steps, jnp.where(ended, 0, lanes.budget))
    state = state._replace(history=history, lanes=left, best=best, spared=spared)
    moves = Moves(keep, *jnp.full((2, 0 if copies is None else copies.target.shape[0]), NONE, jnp.int32))
    if copies is not None:
        state, moves = _copy(study, state, copies, lanes), moves._replace(source=copies.source, target=copies.target)
    if recall is not None:
        assert copies is None, "a scheduler that parks trials makes no other copies"
        state, moved = park(study, state, recall, lanes, stop & stopping)
        moves = moved._replace(keep=keep)
    return _closed(study, tell(study, state, rows)), moves


def _closed(study: Study, state: StudyState) -> StudyState:
    """Count the event, and say whether the search has ended."""
    left = trials_left(study, state) > 0
    finished = ~jnp.any(state.lanes.live) & (~left | (state.busy == 0))
    return state._replace(clock=state.clock + jnp.minimum(state.busy, 1), finished=finished)


def _stopped(
    study: Study,
    state: StudyState,
    lanes: Lanes,
    verdict: Verdict,
    scored: Array,
    failed: Array,
    recall: Recall | None,
) -> tuple[Array, Array]:
    """Return the lanes that stop, and those that were to and are spared: bool[L] each.

    When no trial is left to start or to go on, a lane that is freed stays empty, at the cost of one that trains: then a
    trial is spared that ends no later than one which goes on by right; it goes on by right itself once it is judged
    again and found good, and is stopped when there is no such one any more.
    """
    going = lanes.live & ~lanes.spent & ~failed
    stop = going & (verdict.stop | (state.spared & ~scored))
    waiting = jnp.any(state.queue.valid) | (trials_left(study, state) > 0)
    if recall is not None:
        ready, num = recall.standing < 1, lanes.trial.shape[0]
        stop, waiting = stop & ~ready[-num:], waiting | jnp.any(ready[:-num])
    steps = lanes.budget - lanes.steps
    spared = stop & ~waiting & (steps <= jnp.max(jnp.where(going & ~stop, steps, 0)))
    return stop & ~spared, spared


def _within(study: Study, state: StudyState, lanes: Lanes, copies: Copies) -> Copies:
    """Drop copies between trials of different structures, whose weights do not fit, and let none change its own."""
    columns = np.array(study.problem.space.structural, np.int32)
    if not columns.size:
        return copies
    unit = state.history.unit[jnp.minimum(lanes.trial, study.problem.capacity - 1)][:, columns]
    last = study.problem.lanes - 1
    ours, theirs = unit[jnp.minimum(copies.source, last)], unit[jnp.minimum(copies.target, last)]
    kept = study.problem.space.snap(copies.unit.at[:, columns].set(ours))
    same = jnp.all((ours == theirs) & (ours == kept[:, columns]), axis=1)  # exploring may hide what shapes a model
    return Copies(jnp.where(same, copies.source, NONE), jnp.where(same, copies.target, NONE), kept)


def _possible(study: Study, state: StudyState, copies: Copies, sources: Array, targets: Array) -> Copies:
    """Drop the copies from or to lanes that do not allow it, bool[L] each, and those there are no rows for."""
    num = study.problem.lanes
    there = (copies.source < num) & (copies.target < num)
    allowed = there & sources[jnp.minimum(copies.source, num - 1)] & targets[jnp.minimum(copies.target, num - 1)]
    allowed &= exclusive_count(allowed) < study.problem.copies - state.copied
    source, target = jnp.where(allowed, copies.source, NONE), jnp.where(allowed, copies.target, NONE)
    return copies._replace(source=source, target=target)


def _copy(study: Study, state: StudyState, copies: Copies, before: Lanes) -> StudyState:
    """Let lanes go on from others' weights, under other settings, each in a new row, if there are any to.

    Args:
      study: static.
      state: with the rows of the targets closed.
      copies: those that are made.
      before: the lanes, before any was freed.
    """
    problem, made = study.problem, copies.target != NONE
    rows = jnp.where(made, state.history.num_rows + exclusive_count(made), NONE)
    tick, source = (state.clock + 1) * problem.schedule.interval, jnp.minimum(copies.source, problem.lanes - 1)

    def copy() -> tuple[Lanes, History]:
        origin = Origin(before.trial[source], before.steps[source])
        history = open_rows(state.history, rows, problem.space.snap(copies.unit), tick, None, origin)
        new = Lanes(rows, before.steps[source], before.budget[source])
        return jax.tree.map(lambda a, b: a.at[copies.target].set(b, mode="drop"), state.lanes, new), history

    lanes, history = when(jnp.any(made), copy, lambda: (state.lanes, state.history))
    return state._replace(lanes=lanes, history=history, copied=state.copied + jnp.sum(made, dtype=jnp.int32))


def _best(best: Best, lanes: Lanes, candidates: Array, scores: Array) -> tuple[Best, Array]:
    """Take the better of the winner and the lanes that close: it, and its lane, i32[]; NONE where it stays.

    A trial that had its whole budget beats one that had not; among those that had not, the longest comes first. Of
    several objectives the first counts.
    """
    length = jnp.where(lanes.spent, LONGEST, lanes.steps)
    longest = jnp.max(jnp.where(candidates, length, -1))
    rival = candidates & (length == longest)
    least = jnp.min(jnp.where(rival, scores, jnp.inf))
    lane = jax.lax.argmin(jnp.where(rival & (scores == least), lanes.trial, LONGEST), 0, jnp.int32)
    held = jnp.where(best.done, LONGEST, best.steps)
    better = jnp.any(candidates) & ((longest > held) | ((longest == held) & (scores[lane] < best.score)))
    new = Best(lanes.trial[lane], lanes.spent[lane], lanes.steps[lane], scores[lane])
    return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best), jnp.where(better, lane, NONE)


def tell(study: Study, state: StudyState, rows: Array) -> StudyState:
    """Let the algorithm learn from the rows that ended, if any."""
    key = key_of(state.key, Stream.TELL, state.clock)

    def tell() -> Any:
        return study.algorithm.tell(key, state.algorithm, state.history, study.problem, rows)

    learned = when(jnp.any(rows != NONE), tell, lambda: state.algorithm)
    return state._replace(algorithm=learned)


def summary(study: Study, state: StudyState, lanes: Lanes, done: Array) -> Summary:
    """Sum up a search for the host.

    Args:
      study: static.
      state: of the study.
      lanes: who trains where: of the state between events, of the orders in the middle of one.
      done: i32[] steps of the event at hand that are done.
    """
    problem, history, last = study.problem, state.history, study.problem.capacity - 1
    scores = history.metrics[jnp.minimum(state.best.row, last)]
    found = (state.best.row != NONE) & problem.metrics.feasible(scores)
    steps = jnp.where(lanes.live, jnp.minimum(lanes.steps + done, lanes.budget), 0)
    if history.begun is not None:  # a lane waits for the rest of an interval that its weights have begun
        steps = jnp.where(lanes.live, jnp.maximum(steps, history.steps[jnp.minimum(lanes.trial, last)]), 0)
    return Summary(
        opened=history.num_rows - state.copied - problem.prior,
        live=jnp.sum(lanes.live, dtype=jnp.int32),
        busy=state.busy,
        done=_count(history, Status.DONE),
        stopped=_count(history, Status.STOPPED),
        failed=_count(history, Status.FAILED),
        events=state.clock,
        score=jnp.where(found, scores[0], jnp.inf),
        row=state.best.row,
        finished=state.finished,
        history=jax.tree.map(jnp.copy, history),
        trained=jnp.sum(steps, dtype=jnp.int32),
        steps=state.clock * problem.schedule.interval + done,
        shares=jnp.where(lanes.live, steps.astype(jnp.float32) / jnp.maximum(lanes.budget, 1).astype(jnp.float32), -1),
    )


def _count(history: History, status: Status) -> Array:
    return jnp.sum(history.status == jnp.int8(status), dtype=jnp.int32)
