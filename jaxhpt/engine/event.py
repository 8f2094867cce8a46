"""The event, in order: propose, instruct, fill, advance, settle, keep, move.

    propose   the study asks the algorithm for as many settings as lanes are free, and gives them out
    instruct  settings become values, budgets, and who is to be scored
    fill      a pool starts trials in its free lanes (`training/pool.py`)
    advance   a pool trains and scores its lanes
    settle    the study reports, lets the scheduler decide, closes, and tells the algorithm (`settle.py`)
    keep      the weights of a new winner are put aside (`training/pool.py`)
    move      weights go from lane to lane, where a scheduler copies, and to and from where it parks them

Each is a pure function. `split.py` runs them as programs of their own, `loop.py` many events as one.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Designed, Proposals, informed, no_proposals
from jaxhpt.algorithms.opened import Opened
from jaxhpt.algorithms.untried import propose as propose_untried
from jaxhpt.core.arrays import compact, exclusive_count, full_precision
from jaxhpt.core.control import when
from jaxhpt.core.history import History, Known, open_rows
from jaxhpt.core.jaxprs import Traced
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.lanes import Lanes, Onset
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, Key
from jaxhpt.engine.onset import begun
from jaxhpt.engine.parking import nothing_parked
from jaxhpt.engine.state import Best, Places, Study, StudyState, trials_left
from jaxhpt.schedulers.base import Scheduler
from jaxhpt.training.pool import Orders


def begin(study: Study, root: Key, known: Known | None, trials: Array) -> StudyState:
    """Make the state of a study in which nothing has begun, but for what was `known` before.

    Args:
      study: static.
      root: the search's key.
      known: before; None for nothing.
      trials: i32[] to open, at most those of the study.
    """
    problem = study.problem
    none, note = jnp.zeros((), jnp.int32), study.algorithm.note(problem)
    history, algorithm = informed(study.algorithm, root, problem, known)
    vacant = jnp.zeros(problem.lanes, jnp.int32)
    return StudyState(
        history=history._replace(num_trials=trials),
        algorithm=algorithm,
        scheduler=study.scheduler.init(key_of(root, Stream.SCHEDULER), problem),
        lane_notes=study.scheduler.lane_init(problem),
        lanes=Lanes(vacant + NONE, vacant, vacant),
        queue=no_proposals(problem.lanes, problem.num_dimensions, note),
        best=Best(none + NONE, none < 0, none, jnp.full((), jnp.inf, jnp.float32)),
        clock=none,
        busy=none,
        copied=none,
        spared=vacant < 0,
        finished=none < 0,
        key=root,
        parked=nothing_parked(study.scheduler, problem),
    )


@full_precision
def propose(study: Study, designed: bool, state: StudyState, opened: Opened | None = None) -> tuple[StudyState, Places]:
    """Ask for as many proposals as lanes are free and trials left, and start them in the free lanes.

    Args:
      study: static.
      designed: static; whether all that is asked for is of the algorithm's initial design, which then stands in for
        the algorithm, to the same bits, in a program without its model.
      state: between events.
      opened: structures that there are, where not each proposal may begin another; None where it may.
    """
    state, fresh, onset = _fill(study, _ask(study, designed, state, opened))
    busy = jnp.sum(state.lanes.live | fresh, dtype=jnp.int32)
    unit = state.history.unit[jnp.minimum(state.lanes.trial, study.problem.capacity - 1)]
    tick = state.clock * study.problem.schedule.interval
    places = Places(fresh, unit, state.lanes, state.lane_notes, tick, onset)
    return state._replace(busy=busy), places


def _ask(study: Study, designed: bool, state: StudyState, opened: Opened | None) -> StudyState:
    """Ask for what is missing beyond the proposals that wait already."""
    problem, algorithm = study.problem, study.algorithm
    free = jnp.sum(~state.lanes.live, dtype=jnp.int32)
    waiting = jnp.sum(state.queue.valid, dtype=jnp.int32)
    count = jnp.minimum(free, trials_left(study, state)) - waiting
    key = key_of(state.key, Stream.ASK, state.clock)
    how = algorithm.design if designed and isinstance(algorithm, Designed) else algorithm.ask

    def some() -> tuple[Proposals, Any]:
        given = (algorithm, key, state.algorithm, state.history, problem)
        found, learned = propose_untried(*given, problem.lanes, count, state.queue, how, opened)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), state.queue, found)
        order = compact(both.valid)[: problem.lanes]
        return jax.tree.map(lambda a: a[order], both), learned

    queue, learned = when(count > 0, some, lambda: (state.queue, state.algorithm))
    return state._replace(queue=queue, algorithm=learned)


def _fill(study: Study, state: StudyState) -> tuple[StudyState, Array, Onset | None]:
    """Start the waiting proposals, in order, in the free lanes, in order.

    Returns:
      The state, bool[L] those that begin, and those of them that begin from weights, where there are any at all.
    """
    problem, queue, free = study.problem, state.queue, ~state.lanes.live
    order = compact(queue.valid)
    mine = order[exclusive_count(free)]
    fresh = free & queue.valid[mine]
    rows = jnp.where(fresh, state.history.num_rows + exclusive_count(fresh), NONE)
    taken = jnp.zeros_like(queue.valid).at[jnp.where(fresh, mine, NONE)].set(True, mode="drop")
    tick = state.clock * problem.schedule.interval

    def start() -> History:
        return open_rows(state.history, rows, queue.unit[mine], tick, jax.tree.map(lambda a: a[mine], queue.made))

    history = when(jnp.any(fresh), start, lambda: state.history)
    old = state.lanes
    lanes = Lanes(jnp.where(fresh, rows, old.trial), jnp.where(fresh, 0, old.steps), old.budget)
    left = queue._replace(valid=queue.valid & ~taken)
    state = state._replace(history=history, lanes=lanes, queue=left)
    return (state, fresh, None) if history.begun is None else begun(study, state, history.begun, rows)


def instruct(
    problem: Problem, scheduler: Scheduler, steps: Traced, pools: int, captured: tuple[Array, ...], places: Places
) -> tuple[tuple[Orders, ...], Lanes, Array]:
    """Decode the settings of all lanes, give budgets to those that begin, and say who is to be scored.

    The one program that knows the ends of the ranges.

    Args:
      problem: static; of the space with its ends.
      scheduler: static.
      steps: static; decoded dimensions -> i32[], the training steps of a trial.
      pools: static; how many share the lanes.
      captured: by the function behind `steps`.
      places: of all lanes.

    Returns:
      The orders of each pool, all lanes with their budgets, and bool[L] those that are to be scored.
    """
    values = problem.space.values(places.unit)
    wanted = jnp.broadcast_to(jax.vmap(lambda v: steps(captured, v))(values), places.fresh.shape)
    budget = jnp.where(places.fresh, jnp.maximum(wanted, 1), places.lanes.budget)
    lanes = places.lanes._replace(budget=budget)
    after = lanes.trained(problem.schedule.interval)
    score = after.live & scheduler.needs_score(places.notes, after, problem)
    num = problem.lanes // pools

    def mine(i: int) -> Orders:
        parts = jax.tree.map(lambda a: a[i * num : (i + 1) * num], (values, places.fresh, score, lanes, places.onset))
        return Orders(parts[0], parts[1], parts[2], parts[3], places.tick, parts[4])

    return tuple(mine(i) for i in range(pools)), lanes, score
