"""Tuner: asking and telling from outside, in any order, with failures, and the same Result."""

import math

import numpy as np
import pytest

import jaxhpt

SPACE = {"x": jaxhpt.Float(-1, 3), "kind": ["a", "b"]}


def objective(hparams):
    return (hparams["x"] - 1) ** 2 + (hparams["kind"] == "a")


def drive(tuner, batch=8):
    while trials := tuner.ask(batch):
        tuner.tell(trials, [objective(trial.hparams) for trial in trials])
    return tuner.result


@pytest.fixture(scope="module")
def finished():
    return drive(jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=16), trials=200))


def test_a_search_from_outside_finds_the_best(finished):
    assert finished.best.hparams["kind"] == "b"
    assert finished.best.value < 0.01
    assert finished.best.value == pytest.approx(objective(finished.best.hparams), abs=1e-6)
    assert [trial.id for trial in finished.trials] == list(range(200))
    assert finished.stats.trials == 200
    assert finished.stats.ended == "finished"
    assert "200 trials" in repr(finished)


def test_the_same_seed_gives_the_same_settings(finished):
    again = drive(jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=16), trials=200))
    np.testing.assert_array_equal(again.history.unit, finished.history.unit)


def test_values_may_come_in_any_order_and_any_number_may_be_in_flight():
    tuner = jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=4), trials=40)
    first, second = tuner.ask(7), tuner.ask(2)
    tuner.tell(second[1], 5.0)
    tuner.tell([first[3], first[0]], [1.0, 2.0])
    assert [trial.id for trial in tuner.running] == [1, 2, 4, 5, 6, 7]
    assert tuner.running[0] == first[1]
    tuner.tell([1, 2, 4], [3.0, 4.0, 0.5])
    assert tuner.result.best.id == 4
    assert tuner.result.stats.trials == 6
    assert {t.status for t in tuner.result.trials} == {"done", "running"}
    assert len({trial.id for trial in [*first, *second, *tuner.ask(31)]}) == 40
    assert tuner.ask(1) == []


@pytest.mark.parametrize("failure", [None, math.nan, math.inf, -math.inf])
def test_failed_trials_are_told_as_such_and_lose_nothing_else(failure):
    tuner = jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=4), trials=20)
    trials = tuner.ask(4)
    tuner.tell(trials, [1.0, failure, 2.0, failure])
    assert [t.status for t in tuner.result.trials] == ["done", "failed", "done", "failed"]
    assert tuner.result.best.id == 0
    assert math.isnan(tuner.result.trials[1].value)
    assert tuner.result.stats.failed == 2
    assert len(tuner.ask(4)) == 4


def test_nothing_told_yet_has_no_best():
    tuner = jaxhpt.Tuner(SPACE, trials=4)
    tuner.ask(2)
    with pytest.raises(RuntimeError, match="no trial ended"):
        _ = tuner.result.best


def test_the_largest_is_sought_where_asked():
    tuner = jaxhpt.Tuner(SPACE, objective="accuracy", direction="max", trials=8)
    trials = tuner.ask(3)
    tuner.tell(trials, [0.25, 0.75, 0.5])
    assert tuner.result.best.metrics == {"accuracy": 0.75}


def test_values_that_differ_late_are_told_apart():
    tuner = jaxhpt.Tuner({"x": jaxhpt.Float(0, 1)}, algorithm=jaxhpt.Genetic(population=8), trials=8)
    trials = tuner.ask(8)
    tuner.tell(trials, [1000 + 1e-9 * rank for rank in (5, 2, 7, 1, 0, 3, 6, 4)])
    assert tuner.result.best.id == 4
    members = np.asarray(tuner._state.algorithm.members)
    assert members.tolist() == [4, 3, 1, 5, 7, 0, 6, 2]


def test_several_objectives_and_constraints_make_a_front():
    tuner = jaxhpt.Tuner(
        {"x": jaxhpt.Float(0, 1)},
        algorithm=jaxhpt.NSGA2(population=4),
        objectives={"accuracy": "max", "size": "min"},
        constraints={"size": ("<=", 0.6)},
        metrics=["seconds"],
        trials=20,
    )
    trials = tuner.ask(4)
    sizes = [0.2, 0.4, 0.5, 0.9]
    tuner.tell(trials, [{"accuracy": s if s != 0.5 else 0.1, "size": s, "seconds": 1.0} for s in sizes])
    front = tuner.result.pareto_front()
    assert [trial.metrics["size"] for trial in front] == [0.4, 0.2]
    assert [t.feasible for t in tuner.result.trials] == [True, True, True, False]
    assert tuner.result.hypervolume({"accuracy": 0.0, "size": 1.0}) == pytest.approx(0.2 * 0.8 + 0.2 * 0.6)
    with pytest.raises(RuntimeError, match="several objectives"):
        _ = tuner.result.best


def test_a_grid_is_asked_to_its_end():
    tuner = jaxhpt.Tuner({"a": [1, 2, 3], "b": [True, False]}, algorithm="grid")
    assert len(tuner.ask(4)) == 4
    assert len(tuner.ask(4)) == 2
    assert tuner.ask(4) == []


def test_trials_evaluated_elsewhere_have_no_weights(finished):
    with pytest.raises(RuntimeError, match="outside jaxhpt"):
        _ = finished.best_state
    with pytest.raises(RuntimeError, match="outside jaxhpt"):
        finished.replay(0)


def test_asking_and_telling_compile_once_for_each_width(compilations):
    algorithm = jaxhpt.Genetic(population=4, eta=11.0)
    drive(jaxhpt.Tuner(SPACE, algorithm=algorithm, trials=24))
    with compilations() as seen:
        drive(jaxhpt.Tuner(SPACE, algorithm=algorithm, trials=24, seed=5))
    assert not seen


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t: t.ask(0), ValueError, "num=0"),
        (lambda t: t.ask(1.5), TypeError, r"num=1\.5"),
        (lambda t: t.tell(3, 1.0), ValueError, "trial 3: it was never asked for"),
        (lambda t: t.tell(-1, 1.0), ValueError, "trial -1"),
        (lambda t: (t.tell(0, 1.0), t.tell(0, 1.0)), ValueError, "trial 0: it was told already"),
        (lambda t: t.tell([0, 0], [1.0, 2.0]), ValueError, "each must be told once"),
        (lambda t: t.tell([0, 1], [1.0]), ValueError, "1 for 2 trials"),
        (lambda t: t.tell(0, {"loss": 1.0}), ValueError, "each must hold"),
        (lambda t: jaxhpt.Tuner(SPACE, trials=0), ValueError, "trials=0"),
        (lambda t: jaxhpt.Tuner(SPACE, algorithm="genetics"), ValueError, "did you mean 'genetic'"),
        (lambda t: jaxhpt.Tuner(SPACE, direction="up"), ValueError, "direction='up'"),
        (lambda t: jaxhpt.Tuner(SPACE, objectives={"a": "min", "b": "min"}, algorithm="cma_es"), ValueError, "CMAES"),
    ],
)
def test_misuse_is_refused(call, error, message):
    tuner = jaxhpt.Tuner(SPACE, trials=4)
    tuner.ask(2)
    with pytest.raises(error, match=message):
        call(tuner)
