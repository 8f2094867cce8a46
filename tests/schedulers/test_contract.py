"""What every scheduler owes the loop: an end for every trial, whatever happens; the same bits; nothing that is weak."""

import collections
import dataclasses
import functools
import inspect
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covered_by

import jaxhpt
from jaxhpt import SCHEDULERS, Float, Space
from jaxhpt.core import history
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.engine.split import Split
from jaxhpt.schedulers import Scheduler, rungs

TRIALS = 20
UNEQUAL = {"steps": "epochs", "steps_per_epoch": 3, "trials": TRIALS, "seed": 2}
COSTLY = {"pb2": jaxhpt.PB2(perturbation_interval=6)}  # fits a model at each comparison
every_scheduler = pytest.mark.parametrize("name", SCHEDULERS)
ALONE = ("asha", "pbt", "grey_stop", "early_stopping")  # on one lane nothing is compared within an event
every_scheduler_and_width = pytest.mark.parametrize(
    ("name", "lanes"),
    covered_by(
        [*((name, 5) for name in SCHEDULERS), *((name, 1) for name in ALONE)], itertools.product(SCHEDULERS, (5, 1))
    ),
)


@pytest.fixture(scope="module")
def run(known):
    """Return finished searches over trials of unequal length, of which some fail."""
    return functools.cache(lambda name, lanes: known(COSTLY.get(name, name), lanes=lanes, **UNEQUAL))


@every_scheduler_and_width
def test_a_search_ends_and_every_trial_with_it(run, score_of, name, lanes):
    result = run(name, lanes)
    begun = [t for t in result.trials if t.parent is None]
    assert len(begun) == result.stats.trials == TRIALS
    assert result.stats.ended == "finished"
    assert result.stats.copies == len(result.trials) - TRIALS
    assert 0 < result.stats.lanes_busy <= 1.0
    for trial in result.trials:
        score = score_of(trial.hparams, trial.steps)
        assert trial.status == "failed" if math.isinf(score) else trial.status in ("done", "stopped")
        assert math.isnan(trial.value) if math.isinf(score) else trial.value == score
        if trial.parent is None:
            assert trial.steps <= 3 * trial.hparams["epochs"]
            assert trial.status != "done" or trial.steps == 3 * trial.hparams["epochs"] or name == "early_stopping"
    assert result.stats.failed == sum(t.status == "failed" for t in result.trials) > 0
    assert any(t.status == "done" for t in begun)


@every_scheduler_and_width
def test_lanes_are_refilled_at_once(run, name, lanes):
    result, busy = run(name, lanes), collections.Counter()
    births = {t.id: result.lineage(t)[-1].first for t in result.trials}
    for trial in result.trials:
        interval = result.stats.interval
        first, events = trial.start // interval, -(-(trial.steps - births[trial.id]) // interval)
        busy.update(range(first, first + events))
    last = max(t.start for t in result.trials if t.parent is None) // result.stats.interval
    assert all(busy[event] == lanes for event in range(last))
    assert max(busy) + 1 == result.stats.events
    steps = sum(t.steps - births[t.id] for t in result.trials)
    assert result.stats.lanes_busy == pytest.approx(steps / (lanes * result.stats.events * result.stats.interval))


@every_scheduler_and_width
def test_the_same_seed_gives_the_same_bits_however_it_is_dispatched(known, run, same_bits, name, lanes):
    for events in (1, "all"):
        again = known(COSTLY.get(name, name), lanes=lanes, events_per_dispatch=events, **UNEQUAL)
        same_bits(again.history, run(name, lanes).history)
        same_bits(again.best_state, run(name, lanes).best_state)


@every_scheduler
def test_the_best_is_the_best_of_those_that_are_done(run, name):
    result = run(name, 5)
    best = min((t for t in result.trials if t.status == "done"), key=lambda t: (t.value, t.id))
    assert result.best.value == best.value
    assert result.best.status == "done"
    assert result.best_state == result.best.steps


@every_scheduler
def test_it_follows_the_protocol_to_the_names_of_its_arguments(name):
    scheduler = SCHEDULERS[name]()
    assert isinstance(scheduler, Scheduler)
    assert hash(scheduler) == hash(SCHEDULERS[name](**vars(scheduler)))
    assert scheduler == SCHEDULERS[name]()
    for method in ("event_interval", "report_interval", "num_copies", "init", "lane_init", "needs_score", "decide"):
        own = inspect.signature(getattr(SCHEDULERS[name], method)).parameters
        assert list(own) == list(inspect.signature(getattr(Scheduler, method)).parameters), method


SEVERAL = ("asha", "hyperband", "median_stop", "pbt")  # take several objectives
ONE, TWO = choose(("loss",)), choose(("loss", "size"), objectives={"loss": "min", "size": "max"})
every_scheduler_and_its_objectives = pytest.mark.parametrize(
    ("name", "metrics"), [*((name, ONE) for name in SCHEDULERS), *((name, TWO) for name in SEVERAL)]
)


def problem(scheduler, steps=18, interval=1, lanes=5, metrics=ONE):
    schedule = Schedule(steps, interval)
    schedule = dataclasses.replace(schedule, report_interval=scheduler.report_interval(schedule))
    copies = scheduler.num_copies(schedule, TRIALS)
    return Problem(Space.of({"x": Float(0, 1)}), metrics, TRIALS, lanes, schedule, copies=copies)


def kinds(tree):
    return [(leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in jax.tree.leaves(tree)]


@every_scheduler_and_its_objectives
def test_shapes_and_dtypes_stay_and_nothing_is_weak(name, metrics):
    scheduler = SCHEDULERS[name]()
    made = problem(scheduler, metrics=metrics)
    number = jax.ShapeDtypeStruct((5,), jnp.int32)
    lanes, past = Lanes(number, number, number), jax.eval_shape(lambda: history.empty_history(made))
    state = jax.eval_shape(lambda: scheduler.init(jax.random.key(0), made))
    notes = jax.eval_shape(lambda: scheduler.lane_init(made))
    due = jax.eval_shape(lambda n, la: scheduler.needs_score(n, la, made), notes, lanes)
    verdict, later, noted = jax.eval_shape(
        lambda s, n, la, h: scheduler.decide(jax.random.key(0), s, n, la, h, made), state, notes, lanes, past
    )
    assert (kinds(later), kinds(noted)) == (kinds(state), kinds(notes))
    assert not any(weak for _, _, weak in kinds((state, notes, due, verdict)))
    assert (due.shape, due.dtype) == (verdict.stop.shape, verdict.stop.dtype) == ((5,), jnp.bool_)
    assert (verdict.budget.shape, verdict.budget.dtype) == ((5,), jnp.int32)
    assert (verdict.copies is None) == (made.copies == 0)


@every_scheduler_and_its_objectives
def test_the_state_is_of_the_study_and_what_is_kept_for_a_lane_is_a_note_of_its_own(name, metrics):
    scheduler = SCHEDULERS[name]()
    few, many = (problem(scheduler, lanes=lanes, metrics=metrics) for lanes in (8, 16))
    states = (kinds(jax.eval_shape(lambda made=made: scheduler.init(jax.random.key(0), made))) for made in (few, many))
    assert next(states) == next(states)
    for made in (few, many):
        notes = jax.eval_shape(lambda made=made: scheduler.lane_init(made))
        assert all(leaf.shape[0] == made.lanes for leaf in jax.tree.leaves(notes))
    noted = {"asha", "hyperband", "grey_stop", "pb2"} | ({"median_stop"} if metrics == TWO else set())
    assert bool(jax.tree.leaves(notes)) == (name in noted)


@pytest.mark.parametrize(
    "name", [name for name in SCHEDULERS if name != "pb2"]
)  # its Gaussian process is not held to it
def test_strict_promotion_and_ranks_hold(name):
    scheduler = SCHEDULERS[name]()
    made = problem(scheduler)

    def event(key, lanes, past):
        kept = scheduler.init(key, made), scheduler.lane_init(made)
        return scheduler.needs_score(kept[1], lanes, made), scheduler.decide(key, *kept, lanes, past, made)

    number = jax.ShapeDtypeStruct((5,), jnp.int32)
    lanes, past = Lanes(number, number, number), jax.eval_shape(lambda: history.empty_history(made))
    with jax.numpy_rank_promotion("raise"), jax.numpy_dtype_promotion("strict"):
        jax.eval_shape(event, jax.random.key(0), lanes, past)


@every_scheduler
@pytest.mark.parametrize("longest", [1, 2, 19, 20, 27, 1000, 100_003])
def test_a_pace_is_within_a_trial_and_reports_fit(name, longest):
    scheduler = SCHEDULERS[name]()
    pace = scheduler.event_interval(longest)
    assert pace is None or 1 <= pace <= max(1, longest // 15)
    made = problem(scheduler, longest, pace or longest)
    assert 1 <= made.schedule.reports <= 128
    assert made.copies == (TRIALS * (-(-longest // pace) - 1) if isinstance(scheduler, jaxhpt.PBT) else 0)


@pytest.mark.parametrize("name", ["asha", "hyperband"])
@pytest.mark.parametrize(("longest", "interval"), [(81, 3), (81, 1), (24, 5), (1000, 7)])
def test_rungs_are_at_the_ends_of_events(name, longest, interval):
    made = problem(SCHEDULERS[name](), longest, interval)
    steps = rungs.levels(None, 3, made)
    assert steps
    assert all(level % interval == 0 and level < longest for level in steps)
    assert all(3 * low == high for low, high in itertools.pairwise(steps))


@pytest.mark.parametrize(("name", "lanes"), [("asha", 1), ("asha", 5), ("hyperband", 5)])
def test_trials_are_stopped_at_rungs_only(run, name, lanes):
    result = run(name, lanes)
    stopped = {t.steps for t in result.trials if t.status == "stopped"}
    assert stopped <= set(rungs.levels(None, 3, result._problem)) == {1, 3, 9}
    assert stopped


def test_several_objectives_are_refused_by_those_that_follow_one_before_anything_is_compiled(monkeypatch, compilations):
    def search(scheduler):
        return jaxhpt.minimize(
            lambda h, key: {"a": h["x"], "b": 1 - h["x"]}, {"x": Float(0, 1)}, objectives={"a": "min", "b": "min"},
            trials=4, lanes=2, scheduler=scheduler, progress=False,
        )  # fmt: skip

    with pytest.raises(ValueError, match="ASHA, Hyperband, MedianStop, PBT and RunToEnd take several"):
        search("pb2")  # compiles what is done with the arguments
    monkeypatch.setattr(Split, "run", lambda *args: pytest.fail("the loop was reached"))
    for name in SCHEDULERS:
        if name not in SEVERAL and name != "run_to_end":
            kind = SCHEDULERS[name].__name__
            with compilations() as seen, pytest.raises(ValueError, match=rf"objectives=\['a', 'b'\].*one, for {kind}"):
                search(name)
            assert seen == []


@pytest.mark.parametrize(
    ("scheduler", "options", "message"),
    [
        (jaxhpt.ASHA(min_steps=60), {}, r"min_steps=60: must be smaller, as ASHA acts at step 60 for the first time"),
        (
            jaxhpt.ASHA(min_steps=41),
            {"interval": 20},
            r"min_steps=41: .* at step 60 .* interval=20, .* ends at step 60;",
        ),
        (jaxhpt.Hyperband(min_steps=99), {}, r"min_steps=99: .*Hyperband acts"),
        (jaxhpt.PBT(perturbation_interval=60), {}, r"perturbation_interval=60: .*PBT acts at step 60"),
        (jaxhpt.PB2(perturbation_interval=10**6), {}, r"perturbation_interval=1000000: .*PB2 acts"),
        (jaxhpt.MedianStop(eval_interval=60), {}, r"eval_interval=60: .*MedianStop"),
        (jaxhpt.MedianStop(eval_interval=40, min_steps=41), {"interval": 10}, r"min_steps=41: .*at step 80"),
        (jaxhpt.GreyStop(eval_interval=61), {}, r"eval_interval=61: .*GreyStop"),
        (jaxhpt.GreyStop(eval_interval=15), {}, r"min_reports=4: .*at step 60"),
        (jaxhpt.EarlyStopping(eval_interval=60), {}, r"eval_interval=60: .*EarlyStopping"),
        (jaxhpt.EarlyStopping(patience=19), {}, r"patience=19: .*at step 60"),
        ("asha", {"steps": 1}, r"steps=1: must be more, as ASHA acts at step 1 .* or say scheduler='run_to_end'"),
        ("pbt", {"interval": 60}, r"steps=60: must be more, as PBT acts at step 60 .* with interval=60"),
    ],
    ids=str,
)
def test_what_would_never_act_is_refused_before_anything_is_compiled(
    known, monkeypatch, compilations, scheduler, options, message
):
    monkeypatch.setattr(Split, "run", lambda *args: pytest.fail("the loop was reached"))

    def refused():
        with pytest.raises(ValueError, match=message):
            known(scheduler, **{"steps": 60, "trials": 4, "lanes": 2, **options})

    refused()  # compiles what is done with the arguments
    with compilations() as seen:
        refused()
    assert seen == []


@pytest.mark.parametrize(
    ("scheduler", "copies"),
    [
        (jaxhpt.ASHA(min_steps=11), False),
        (jaxhpt.PBT(perturbation_interval=11), True),
        (jaxhpt.MedianStop(eval_interval=11, min_trials=1), False),
        (jaxhpt.EarlyStopping(patience=1, min_delta=99, eval_interval=5), False),
    ],
    ids=str,
)
def test_what_acts_one_step_before_the_longest_trial_ends_is_taken(known, scheduler, copies):
    result = known(scheduler, trials=8, lanes=8, interval=1)
    assert result.stats.copies > 0 if copies else any(t.steps < 12 for t in result.trials)


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [("bayesian", "pbt"), ("differential_evolution", "pbt"), ("grid", "hyperband"), ("tpe", "asha")],
)
def test_it_works_with_algorithms_that_learn_and_with_one_that_ends(known, score_of, algorithm, name):
    given = jaxhpt.Grid(points=3) if algorithm == "grid" else algorithm
    result = known(name, algorithm=given, trials=14, lanes=4, steps=6)
    begun = [t for t in result.trials if t.parent is None]
    assert len(begun) == (9 if algorithm == "grid" else 14)
    assert len({tuple(t.hparams.values()) for t in begun}) == len(begun)
    for trial in result.trials:
        score = score_of(trial.hparams, trial.steps)
        assert trial.status == "failed" if math.isinf(score) else trial.value == score
        assert trial.status != "running"


def test_reports_have_places_in_order():
    for steps, interval, stride in (
        (12, 3, 3),
        (12, 5, 5),
        (100, 1, 15),
        (100, 3, 3),
        (1, 1, 1),
        (300, 1, 3),
        (100, 10, 60),
    ):
        made = dataclasses.replace(problem(SCHEDULERS["asha"]()), schedule=Schedule(steps, interval, stride))
        events, reports = -(-steps // interval), made.schedule.reports
        assert reports == -(-steps // stride)
        times = np.minimum(np.arange(1, events + 1) * interval, steps)
        places = np.asarray(made.schedule.place(jnp.asarray(times, jnp.int32)))
        assert places[0] == 0
        assert np.all(np.diff(places) >= 0)
        assert places[-1] < reports
        sizes = np.bincount(places)
        assert np.all(sizes[:-1] == sizes[0])  # only the last may have fewer
        assert sizes[-1] <= sizes[0]
        if stride == interval:
            np.testing.assert_array_equal(places, np.arange(events))
        assert int(made.schedule.place(jnp.int32(10 * steps))) < reports  # a trial longer than was foreseen


def test_a_single_report_has_the_first_place():
    made = problem(SCHEDULERS["run_to_end"](), 50, 7)
    assert made.schedule.place(jnp.arange(1, 51, dtype=jnp.int32)).tolist() == [0] * 50
