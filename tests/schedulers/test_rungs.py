"""Rungs: places among all that came, against sorted lists; and what a comparison costs."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import ASHA, Float, GreyStop, MedianStop, Space
from jaxhpt.core import history
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.schedulers import rungs

GROUPS, LANES = 3, 7
SPACE, COLUMNS = Space.of({"x": Float(0, 1)}), choose(("loss",))
enter = jax.jit(rungs.enter)
better_than = jax.jit(rungs.better_than)


def problem(**given):
    return Problem(SPACE, COLUMNS, **{"trials": 40, "lanes": LANES, "schedule": Schedule(81, 1), **given})


def events(seed, number, values):
    """Return events: the rung that each lane came to, its score, and its trial, whose ids are in no order."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(number * LANES).astype(np.int32).reshape(number, LANES)
    scores = rng.choice(np.append(np.arange(values), np.inf), (number, LANES)).astype(np.float32)
    return list(zip(rng.integers(0, GROUPS + 1, (number, LANES), np.int32), scores, ids, strict=True))


def place(came, one):
    """Return the number of better ones: by score, then event, then id."""
    return sum(other < one for other in came)


@pytest.mark.parametrize("kept", [1, 4, 60])
@pytest.mark.parametrize("values", [2, 1000])
def test_places_are_those_in_a_sorted_list(kept, values):
    state = rungs.empty(GROUPS, problem(trials=3 * (kept - 1)), 3)
    assert state.best.shape == (GROUPS, kept)
    came = [[] for _ in range(GROUPS)]
    for event, (which, scores, ids) in enumerate(events(kept, 30, values)):
        state, found = enter(state, which, scores, ids)
        rows = [(float(s), event, int(i)) for s, i in zip(scores, ids, strict=True)]
        for rung, row in zip(which, rows, strict=True):
            if rung < GROUPS:
                came[rung].append(row)
        for lane, (rung, row) in enumerate(zip(which, rows, strict=True)):
            if rung < GROUPS:
                expected = place(came[rung], row) if math.isfinite(row[0]) else kept
                assert min(int(found[lane]), kept) == min(expected, kept)
        for rung in range(GROUPS):
            best = sorted(row[0] for row in came[rung])[:kept]
            np.testing.assert_array_equal(state.best[rung], best + [np.inf] * (kept - len(best)))
            assert int(state.num_arrived[rung]) == len(came[rung])


def test_of_equal_scores_the_earlier_event_comes_first_and_then_the_smaller_id():
    state = rungs.empty(1, problem(), 3)
    same = jnp.full(LANES, 2.0)
    state, first = enter(state, jnp.zeros(LANES, jnp.int32), same, jnp.array([30, 10, 20, 16, 15, 14, 13], jnp.int32))
    assert first.tolist() == [6, 0, 5, 4, 3, 2, 1]
    _, second = enter(state, jnp.zeros(LANES, jnp.int32), same, jnp.array([0, 1, 2, 3, 4, 5, 6], jnp.int32))
    assert second.tolist() == [7, 8, 9, 10, 11, 12, 13]


def test_a_lane_that_came_to_no_rung_changes_nothing(same_bits):
    state, _ = enter(rungs.empty(2, problem(), 3), *(jnp.asarray(v) for v in events(0, 1, 9)[0]))
    again, _ = enter(state, jnp.full(LANES, 2, jnp.int32), jnp.zeros(LANES), jnp.arange(LANES, dtype=jnp.int32))
    same_bits(again, state)


def test_scores_below_others_are_counted_at_each_rung():
    state = rungs.empty(2, problem(), 3)
    which, scores = jnp.array([0, 0, 0, 1, 1, 2, 2], jnp.int32), jnp.array([1.0, 2.0, 2.0, 5.0, 6.0, 0.0, 0.0])
    state, _ = enter(state, which, scores, jnp.arange(LANES, dtype=jnp.int32))
    asked = jnp.array([2.0, 2.5, np.inf, 5.0, 7.0, 1.0, np.inf])
    assert better_than(state, jnp.array([0, 0, 0, 1, 1, 1, 1], jnp.int32), asked).tolist() == [1, 3, 3, 0, 2, 0, 2]


@pytest.mark.parametrize(
    ("first", "eta", "steps", "interval", "expected"),
    [
        (1, 3, 81, 1, (1, 3, 9, 27)),
        (None, 3, 81, 1, (3, 9, 27)),
        (None, 2, 81, 1, (6, 12, 24, 48)),
        (None, 4, 81, 1, (6, 24)),
        (4, 3, 81, 5, (5, 15, 45)),
        (27, 3, 81, 1, (27,)),
        (81, 3, 81, 1, ()),
        (500, 3, 81, 1, ()),
        (None, 3, 1, 1, ()),
        (None, 30, 81, 1, (3,)),
    ],
)
def test_rungs_are_powers_apart_at_ends_of_intervals_below_the_longest_trial(first, eta, steps, interval, expected):
    assert rungs.levels(first, eta, problem(schedule=Schedule(steps, interval))) == expected


@functools.cache
def work(scheduler, prior):
    """Return the operations of a decision with so many earlier trials in the history."""
    made = problem(prior=prior, schedule=Schedule(9, 1, 1))
    lanes = Lanes(*(jnp.full(LANES, v, jnp.int32) for v in (0, 1, 9)))
    kept = scheduler.init(jax.random.key(0), made), scheduler.lane_init(made)
    decide = jax.jit(lambda s, n, la, h: scheduler.decide(jax.random.key(0), s, n, la, h, made))
    return decide.lower(*kept, lanes, history.empty_history(made)).compile().cost_analysis()["flops"]


@pytest.mark.parametrize("scheduler", [ASHA(min_steps=1), MedianStop(), GreyStop()])
def test_a_comparison_costs_the_same_however_many_trials_the_history_holds(scheduler):
    assert work(scheduler, 100_000) == pytest.approx(work(scheduler, 10), rel=0.05)


def test_a_rung_keeps_as_many_scores_as_may_go_on_and_no_more():
    for trials, share in ((40, 3), (41, 2), (1, 3)):
        assert rungs.empty(2, problem(trials=trials), share).best.shape == (2, trials // share + 1)
