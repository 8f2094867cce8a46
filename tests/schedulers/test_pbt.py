"""Population-based training: a copy is its source to the bit, and nobody else notices."""

import collections
import dataclasses
import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxhpt
from jaxhpt import PBT, Float, RunToEnd, Space
from jaxhpt.core import history
from jaxhpt.core.history import Status
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE
from jaxhpt.engine.event import instruct
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.engine.state import Places

TRIALS, LANES, EVERY, INTERVAL, STEPS = 14, 10, 8, 4, 32
SPACE = {"lr": Float(1e-3, 1.0, log=True), "scale": Float(0.5, 2.0), "rule": ["plain", "clipped"]}


def init(key, hparams):
    w = jax.random.normal(key, (4,))
    return {"w": w, "adam": optax.adam(hparams["lr"]).init(w), "steps": jnp.int32(0)}


def step(state, batch, hparams, key):
    def loss(w):
        return hparams["scale"] * jnp.mean((batch["x"] @ w - batch["y"]) ** 2)

    gradient = jax.grad(loss)(state["w"]) + 1e-2 * jax.random.normal(key, (4,))
    gradient = jnp.where(hparams["rule"] == 1, jnp.clip(gradient, -1.0, 1.0), gradient)
    updates, adam = optax.adam(hparams["lr"]).update(gradient, state["adam"])
    w = jnp.where((hparams["lr"] > 0.2) & (state["steps"] == 10), jnp.nan, optax.apply_updates(state["w"], updates))
    return {"w": w, "adam": adam, "steps": state["steps"] + 1}


def evaluate(state, valid, hparams):
    return {"loss": jnp.mean((valid["x"] @ state["w"] - valid["y"]) ** 2), "age": state["steps"].astype(jnp.float32)}


class Copy(NamedTuple):
    """One copy: the lanes, and the rows of the source, of what was replaced, and of the copy."""

    source: int
    target: int
    parent: int
    old: int
    row: int


class Event(NamedTuple):
    """One event: the lanes and the history before it, after it where all run to their end, and after it."""

    before: object
    alone: object
    after: object

    @property
    def copies(self):
        found, past = [], self.after.history
        for row in range(self.alone.history.num_rows, past.num_rows):
            parent = int(past.parent[row])
            (source,) = np.flatnonzero(self.alone.lanes.trial == parent)
            (target,) = np.flatnonzero(self.after.lanes.trial == row)
            found.append(Copy(int(source), int(target), parent, int(self.alone.lanes.trial[target]), row))
        return found


class Seen(NamedTuple):
    """What is looked at of a carry."""

    lanes: object
    history: object
    clock: object
    weights: object
    values: object


def seen(program, carry, data):
    study, whole = carry.study, jax.tree.map(lambda *parts: jnp.concatenate(parts), *(p.weights for p in carry.pools))
    values = values_of(program, study, data.captured.steps)
    return jax.device_get(Seen(study.lanes, study.history, study.clock, whole, values))


@functools.partial(jax.jit, static_argnums=0)
def values_of(program, study, captured):
    """Return the values that the lanes will train with in the next event, those apart that begin in it."""
    lanes, problem = study.lanes, program.problem
    unit = study.history.unit[jnp.minimum(lanes.trial, problem.capacity - 1)]
    places = Places(jnp.zeros(LANES, bool), unit, lanes, study.lane_notes, study.clock * INTERVAL)
    given = (problem, program.study.scheduler, program.pool.functions.steps, program.pools, captured, places)
    orders, _, _ = instruct(*given)
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *(order.values for order in orders))


def one_event(program, carry, data):
    scheduler, problem = program.study.scheduler, program.problem
    state, notes = scheduler.init(jax.random.key(0), problem), scheduler.lane_init(problem)
    carry = carry._replace(study=carry.study._replace(scheduler=state, lane_notes=notes))
    return dispatch(program, jax.tree.map(jnp.copy, carry), data, jnp.int32(1))[0]


def search(linear, exploit, **options):
    return jaxhpt.search(
        step, SPACE, init=init, evaluate=evaluate, train_data=linear.train_data, valid_data=linear.valid_data,
        batch_size=16, steps=STEPS, objective="loss", algorithm="random", trials=TRIALS, lanes=LANES, interval=INTERVAL,
        scheduler=PBT(perturbation_interval=EVERY, exploit=exploit, quantile_fraction=0.3),
        progress=False, seed=1, cores=2, **options,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["truncation", "tournament"])
def result(request, linear):
    return search(linear, request.param)


@pytest.fixture(scope="module")
def walk(result):
    """Return the events of the search, each run with and without a scheduler."""
    program, data = result._run.program, result._run.data
    plain = dataclasses.replace(program, study=dataclasses.replace(program.study, scheduler=RunToEnd()))
    events, carry = [], begin(program, jax.random.key(1))
    while not bool(carry.study.finished):
        after, alone = one_event(program, carry, data), one_event(plain, carry, data)
        events.append(Event(*(seen(program, each, data) for each in (carry, alone, after))))
        carry = after
    return events


@pytest.fixture(scope="module")
def copies(walk):
    """Return the copies, each with its event."""
    found = [(event, copy) for event in walk for copy in event.copies]
    assert len(found) > 10
    return found


def lane(tree, index):
    return jax.tree.map(lambda leaf: leaf[index], tree)


def test_a_copy_holds_the_weights_optimiser_and_steps_of_its_source_to_the_bit(result, copies, same_bits):
    for event, copy in copies:
        same_bits(lane(event.after.weights, copy.target), lane(event.alone.weights, copy.source))
        assert event.after.lanes.steps[copy.target] == event.alone.lanes.steps[copy.source]
        state = jax.tree.unflatten(result._run.structures.first.treedef, event.after.weights)
        assert state["steps"][copy.target] == event.after.lanes.steps[copy.target]
        assert event.after.lanes.budget[copy.target] == event.alone.lanes.budget[copy.source] == STEPS


def test_copies_go_from_pool_to_pool_and_within_one(result, copies):
    assert result._run.program.pools == 2
    assert {(copy.source < LANES // 2, copy.target < LANES // 2) for _, copy in copies} == {
        (source, target) for source in (True, False) for target in (True, False)
    }


def test_a_copy_is_a_row_of_its_own_with_settings_of_the_space(result, copies):
    for event, copy in copies:
        past, space = event.after.history, result.space
        assert past.status[copy.row] == Status.RUNNING
        assert past.start[copy.row] == event.after.clock * INTERVAL
        np.testing.assert_array_equal(past.unit[copy.row], space.snap(jnp.asarray(past.unit[copy.row])))
        assert np.any(past.unit[copy.row] != past.unit[copy.parent])
        decoded = space.values(jnp.asarray(past.unit[copy.row]))
        for column, value in zip(event.after.values, decoded, strict=True):
            np.testing.assert_allclose(column[copy.target], value, rtol=1e-6)
    assert [copy.row for _, copy in copies] == [t.id for t in result.trials if t.parent is not None]


def test_what_is_replaced_is_stopped_or_has_failed(result, copies):
    ends = collections.Counter()
    for event, copy in copies:
        failed = not np.isfinite(event.after.history.metrics[copy.old, 0])
        assert event.after.history.status[copy.old] == (Status.FAILED if failed else Status.STOPPED)
        ends[failed] += 1
        assert event.after.history.steps[copy.old] == event.alone.lanes.steps[copy.target]
    assert min(ends[True], ends[False]) >= 1


def test_nobody_copies_from_a_worse_one_or_from_one_that_trained_less(copies):
    for event, copy in copies:
        score = event.after.history.metrics[:, 0]
        assert score[copy.parent] < score[copy.old]
        assert event.alone.lanes.steps[copy.source] >= event.alone.lanes.steps[copy.target]
        assert event.alone.lanes.steps[copy.source] % EVERY == 0


def test_all_other_lanes_are_as_without_a_scheduler_to_the_bit(walk, same_bits):
    for event in walk:
        targets = {copy.target for copy in event.copies}
        others = np.array([i for i in range(LANES) if i not in targets], int)
        same_bits(lane(event.after.weights, others), lane(event.alone.weights, others))
        after, alone = lane(event.after.lanes, others), lane(event.alone.lanes, others)
        same_bits(after.steps, alone.steps)
        here = after.budget > 0
        same_bits((after.trial[here], after.budget[here]), (alone.trial[here], alone.budget[here]))
        both = [lane(lane(side.values, others), here) for side in (event.after, event.alone)]
        same_bits(*both)
        gone = alone.trial[~here & (alone.budget > 0)]
        assert np.all(event.after.history.status[gone] == Status.FAILED)


def test_no_row_changes_but_those_in_the_lanes(walk, same_bits):
    for event in walk:
        none = len(event.after.history.status)
        touched = {*event.before.lanes.trial, *event.alone.lanes.trial, *event.after.lanes.trial}
        rows = np.array([row for row in range(none) if row not in touched], int)
        assert len(rows) >= none - 3 * LANES
        for name in ("unit", "status", "metrics", "curve", "steps", "start", "parent", "author"):
            same_bits(getattr(event.after.history, name)[rows], getattr(event.before.history, name)[rows])
        for name in ("unit", "start", "parent"):
            olds = [copy.old for copy in event.copies]
            same_bits(getattr(event.after.history, name)[olds], getattr(event.alone.history, name)[olds])


def test_the_first_copies_come_at_the_first_comparison(walk):
    first = next(event for event in walk if event.copies)
    assert first.after.clock == EVERY // INTERVAL
    assert not {copy.old for copy in first.copies} - set(range(LANES))


def test_the_walk_is_the_search(result, walk, same_bits):
    same_bits(walk[-1].after.history, result.history)


def test_copies_count_as_no_trials_and_are_bounded(result):
    made = sum(t.parent is not None for t in result.trials)
    assert result.stats.trials == TRIALS
    assert result.stats.copies == made == len(result.trials) - TRIALS
    assert made <= result._run.program.study.scheduler.num_copies(result._problem.schedule, TRIALS) == TRIALS * 3
    assert {t.status for t in result.trials} == {"done", "stopped", "failed"}
    assert result.stats.lanes_busy <= 1.0


def test_no_more_rows_are_opened_than_there_are(result):
    program, data = result._run.program, result._run.data
    carry = one_event(program, begin(program, jax.random.key(1)), data)
    most = carry.study.copied + program.problem.copies - 1
    after = one_event(program, carry._replace(study=carry.study._replace(copied=most)), data).study
    assert int(after.history.num_rows) == LANES + 1
    assert int(after.copied) == program.problem.copies
    assert np.sum(np.asarray(after.history.parent) < NONE) == 1
    assert np.sum(np.asarray(after.history.status) == Status.STOPPED) == 1
    assert np.all(np.asarray(after.lanes.live))


def test_a_lineage_is_a_life_without_gaps(result):
    for trial in result.trials:
        life, line = result.lineage(trial), [trial]
        while line[0].parent is not None:
            line.insert(0, result.trials[line[0].parent])
        assert [(part.trial, part.hparams) for part in life] == [(t.id, t.hparams) for t in line]
        assert life[0].first == 0
        assert life[-1].last == trial.steps
        assert trial.status == "failed" or trial.metrics["age"] == trial.steps
        for earlier, later in itertools.pairwise(life):
            assert earlier.last == later.first
            assert later.first % EVERY == 0
    assert max(len(result.lineage(trial)) for trial in result.trials) >= 3


def test_a_lineage_goes_on_where_a_search_was_ended_right_after_a_copy(linear):
    ended = [lambda snapshot: snapshot.events == EVERY // INTERVAL]
    result = search(linear, "truncation", events_per_dispatch=1, callbacks=ended)
    lives = [result.lineage(trial) for trial in result.trials if trial.parent is not None]
    assert len(lives) == 3
    assert all(part.first <= part.last for life in lives for part in life)


def test_a_copied_trial_trained_again_gives_its_numbers(result):
    done = [t for t in result.trials if t.status == "done"]
    trial = max(done, key=lambda t: len(result.lineage(t)))
    state, metrics = result.replay(trial)
    assert metrics == pytest.approx(trial.metrics, rel=1e-3, abs=1e-6)
    assert int(state["steps"]) == STEPS


class Case(NamedTuple):
    """Lanes by hand, the score of each, and which are compared."""

    lanes: Lanes
    past: history.History
    score: np.ndarray
    ready: np.ndarray


MADE = Problem(Space.of(SPACE), choose(("loss",)), trials=40, lanes=9, schedule=Schedule(30, 1), copies=90)


def case(seed, equal=False):
    """Make nine lanes: free, spent, failed, between comparisons, of all ages; or compared all, without ties."""
    rng = np.random.default_rng(seed)
    trial = rng.permutation(MADE.trials)[:9].astype(np.int32)
    steps = rng.choice([3, 5, 6, 10, 30], 9, p=[0.2, 0.3, 0.1, 0.3, 0.1]).astype(np.int32)
    score = rng.choice([1.0, 2.0, 3.0, 4.0, np.inf], 9).astype(np.float32)
    free = rng.uniform(size=9) < 0.15
    if equal:
        steps[:], score, free[:] = 5, rng.permutation(9).astype(np.float32), False
    budget = np.where(free, 0, 30).astype(np.int32)
    past = history.empty_history(MADE)
    metrics = np.array(past.metrics)
    metrics[trial, 0] = score
    unit = MADE.space.snap(jnp.asarray(rng.uniform(size=past.unit.shape), jnp.float32))
    lanes = Lanes(jnp.where(free, NONE, trial), jnp.array(steps), jnp.array(budget))
    ready = ~free & (steps < 30) & (steps % 5 == 0)
    return Case(lanes, past._replace(unit=unit, metrics=jnp.array(metrics)), score, ready)


@pytest.fixture(scope="module")
def decide():
    """Return a function from the way to copy, a case and a seed to the pairs of lanes, and the verdict."""

    @functools.cache
    def compiled(exploit):
        scheduler = PBT(perturbation_interval=5, exploit=exploit, quantile_fraction=0.4, resample=0.0)
        return jax.jit(lambda key, la, past: scheduler.decide(key, scheduler.init(key, MADE), None, la, past, MADE)[0])

    def call(exploit, given, seed):
        verdict = compiled(exploit)(jax.random.key(seed), given.lanes, given.past)
        source, target = np.asarray(verdict.copies.source), np.asarray(verdict.copies.target)
        used = (source < 9) & (target < 9)
        return list(zip(source[used].tolist(), target[used].tolist(), strict=True)), verdict

    return call


@pytest.mark.parametrize("exploit", ["truncation", "tournament"])
def test_only_lanes_at_a_comparison_take_part_and_the_worse_copies_from_the_better(decide, exploit):
    total = 0
    for seed in range(150):
        given = case(seed)
        pairs, verdict = decide(exploit, given, seed)
        assert not np.any(verdict.stop)
        np.testing.assert_array_equal(verdict.budget, given.lanes.budget)
        assert len({target for _, target in pairs}) == len(pairs)
        for source, target in pairs:
            assert given.ready[source]
            assert given.ready[target]
            assert given.score[source] < given.score[target]
            assert given.lanes.steps[source] >= given.lanes.steps[target]
        total += len(pairs)
    assert total > 100


def test_the_worst_share_copies_from_the_best_share(decide):
    for seed in range(150):
        given = case(seed)
        pairs, _ = decide("truncation", given, seed)
        ranked = np.sort(given.score[given.ready])
        few = min(max(1, int(0.4 * len(ranked))), len(ranked) // 2)
        assert len(pairs) <= few
        for source, target in pairs:
            assert given.score[source] <= ranked[few - 1]
            assert given.score[target] >= ranked[-few]


def test_where_all_are_compared_each_of_the_worst_copies_from_any_of_the_best(decide):
    given, drawn = case(0, equal=True), collections.Counter()
    for seed in range(150):
        pairs, _ = decide("truncation", given, seed)
        assert sorted(given.score[target] for _, target in pairs) == [6, 7, 8]
        drawn.update(given.score[source] for source, _ in pairs)
    assert set(drawn) == {0, 1, 2}
    assert min(drawn.values()) > 450 / 3 * 0.75


def test_in_a_tournament_each_meets_any_other(decide):
    given, drawn = case(0, equal=True), collections.Counter()
    for seed in range(150):
        pairs, _ = decide("tournament", given, seed)
        drawn.update((given.score[source], given.score[target]) for source, target in pairs)
    assert set(drawn) == {(better, worse) for worse in range(9) for better in range(worse)}
    assert sum(drawn[better, 8] for better in range(8)) == 150  # the worst loses to anybody
    assert sum(drawn.values()) == pytest.approx(150 * 9 / 2, rel=0.1)
    assert min(drawn.values()) > 150 / 8 * 0.3


@pytest.mark.parametrize("exploit", ["truncation", "tournament"])
def test_the_settings_of_copies_are_near_those_of_their_sources(decide, exploit):
    lr, rule, scale = range(3)
    for seed in range(20):
        given = case(seed, equal=True)
        _, verdict = decide(exploit, given, seed)
        used = np.asarray(verdict.copies.target) < 9
        rows = given.lanes.trial[np.asarray(verdict.copies.source)[used]]
        before, after = np.asarray(given.past.unit[rows]), np.asarray(verdict.copies.unit)[used]
        np.testing.assert_array_equal(after[:, rule], before[:, rule])
        away = np.abs(after - before)[:, [lr, scale]]
        assert np.all((away > 0) & (away <= 0.15 + 1e-6))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"perturbation_interval": 0}, "perturbation_interval=0: must be at least 1"),
        ({"exploit": "tournement"}, "exploit='tournement': must be known; did you mean 'tournament'"),
        ({"quantile_fraction": 0}, "quantile_fraction=0: must be above 0 and at most 1/2"),
        ({"quantile_fraction": 0.6}, "quantile_fraction=0.6: must be"),
        ({"quantile_fraction": float("nan")}, "quantile_fraction=nan: must be"),
        ({"perturbation": 0.0}, "perturbation=0.0: must be above 0 and at most 1/2"),
        ({"perturbation": 0.51}, "perturbation=0.51: must be"),
        ({"resample": -0.1}, "resample=-0.1: must be in"),
        ({"resample": 1.1}, "resample=1.1: must be in"),
    ],
)
def test_arguments_out_of_range(given, message):
    with pytest.raises(ValueError, match=message):
        PBT(**given)


def test_an_argument_that_is_no_whole_number():
    with pytest.raises(TypeError, match=r"perturbation_interval=2.5: must be an int"):
        PBT(perturbation_interval=2.5)
