"""Tuner: asking and telling from outside, in any order, with failures, and the same Result."""

import concurrent.futures
import io
import math
import sys
import threading

import jax
import numpy as np
import pandas as pd
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


@pytest.mark.parametrize(
    "values", [[1e300, 3e300, 2e300, -1.0], [3e-300, 2e-300, 0.0, 1e-300], [-1e308, 1e308, 0.0, 1.0], [5, True, 7, 2]]
)
def test_what_a_person_tells_is_what_he_is_shown(values):
    tuner = jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=4), trials=8, progress=False)
    tuner.tell(tuner.ask(4), values)
    result = tuner.result
    assert [t.value for t in result.trials] == values
    assert result.to_pandas().score.tolist() == [float(value) for value in values]
    assert {t.status for t in result.trials} == {"done"}
    order = np.argsort(values).tolist()
    assert result.best.id == order[0]
    assert [t.id for t in result.top(4)] == order
    assert np.asarray(tuner._state.algorithm.members).tolist() == order
    assert len(tuner.ask(4)) == 4


def test_numbers_that_float32_does_not_tell_apart_are_ordered_within_their_bounds():
    tuner = jaxhpt.Tuner(
        SPACE, objectives={"loss": "min", "gain": "max"}, constraints={"loss": (">=", 1.0)}, algorithm="random",
        trials=8, progress=False,
    )  # fmt: skip
    losses, gains = [1 - 1e-12, 1.0, 1 + 1e-12, 1 + 2e-12], [9.0, 1.0, 1 + 1e-13, 0.5]
    tuner.tell(tuner.ask(4), [{"loss": loss, "gain": gain} for loss, gain in zip(losses, gains, strict=True)])
    assert [t.feasible for t in tuner.result.trials] == [False, True, True, True]
    assert [t.id for t in tuner.result.pareto_front()] == [1, 2]


def test_the_direction_is_told_by_few_whole_names_alone():
    tuner = jaxhpt.Tuner(SPACE, objective="accuracy", trials=8, algorithm="random", progress=False)
    tuner.tell(tuner.ask(3), [0.25, 0.75, 0.5])
    assert tuner.result.best.value == 0.75
    tuner = jaxhpt.Tuner(SPACE, trials=8, algorithm="random", progress=False)
    tuner.tell(tuner.ask(3), [0.25, 0.75, 0.5])
    assert tuner.result.best.value == 0.25
    for name in ("f1_score", "score", "neg_log_loss"):
        with pytest.raises(ValueError, match=r'direction="min".*direction="max"'):
            jaxhpt.Tuner(SPACE, objective=name)


def test_threads_may_share_one():
    tuner = jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=8), trials=64, progress=False)
    seen, barrier = [], threading.Barrier(8)

    def work():
        barrier.wait()
        while asked := tuner.ask(1):
            assert asked[0] in tuner.running
            tuner.tell(asked, [objective(trial.hparams) for trial in asked])
            seen.append((asked[0].id, tuner.result.stats.trials))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work) for _ in range(8)]:
            done.result()
    assert sorted(row for row, _ in seen) == list(range(64))
    result = tuner.result
    assert result.stats.trials == 64
    assert [t.value for t in result.trials] == [objective(t.hparams) for t in result.trials]


def test_it_works_without_compiling():
    def settings():
        tuner = jaxhpt.Tuner({"x": jaxhpt.Float(0, 1)}, algorithm="random", trials=6, progress=False)
        tuner.tell(tuner.ask(2), [1.0, None])
        tuner.tell(tuner.ask(3), [0.5, 2.0, 3.0])
        return tuner.result

    with jax.disable_jit():
        plain = settings()
    assert plain.best.id == 2
    np.testing.assert_array_equal(plain.history.unit, settings().history.unit)


def test_it_tells_how_long_compiling_took(finished):
    tuner = jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=4, eta=12.0), trials=24, progress=False)
    assert tuner.result.stats.first_seconds is None
    stats = drive(tuner).stats
    assert stats.compile_seconds > 0.05
    assert stats.first_seconds > 0.05
    assert stats.seconds > 0
    again = drive(jaxhpt.Tuner(SPACE, algorithm=jaxhpt.Genetic(population=4, eta=12.0), trials=24, progress=False))
    assert again.stats.compile_seconds < stats.compile_seconds / 2


def test_it_shows_progress(capsys):
    drive(jaxhpt.Tuner(SPACE, objective="loss", algorithm="random", trials=20))
    out, err = capsys.readouterr()
    assert out == ""
    assert "compiling" in err
    assert "20/20 trials" in err
    assert "best loss" in err
    drive(jaxhpt.Tuner(SPACE, algorithm="random", trials=20, progress=False))
    assert capsys.readouterr() == ("", "")


def test_a_display_that_fails_loses_nothing(monkeypatch):
    class Broken(io.StringIO):
        def write(self, text):
            raise OSError("no terminal any more")

    monkeypatch.setattr(sys, "stderr", Broken())
    tuner = jaxhpt.Tuner(SPACE, algorithm="random", trials=4)
    with pytest.warns(RuntimeWarning, match="no terminal any more"):
        asked = tuner.ask(2)
    tuner.tell(asked, [1.0, 2.0])
    assert tuner.result.stats.trials == 2


def test_numbers_and_ids_of_numpy_and_pandas_are_taken():
    tuner = jaxhpt.Tuner(SPACE, algorithm="random", trials=np.int64(16), lanes=np.int32(2), seed=np.uint8(3))
    assert len(tuner.ask(np.int64(6))) == 6
    tuner.tell(np.int64(0), np.float32(0.5))
    tuner.tell(np.arange(1, 3), np.array([0.25, 1.5]))
    tuner.tell(pd.Series([3, 4]), pd.Series([1.0, np.nan], index=[7, 9]))
    tuner.tell(5, jax.numpy.float32(0.125))
    table = tuner.result.to_pandas()
    assert table.score.tolist()[:4] == [0.5, 0.25, 1.5, 1.0]
    assert table.status.tolist() == ["done"] * 4 + ["failed", "done"]
    assert tuner.result.lineage(table.trial.iloc[3])[0].trial == 3


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


@pytest.mark.parametrize("algorithm", ["bayesian", "screen", "auto"])
def test_the_first_settings_do_not_wait_for_the_model_and_are_the_same(algorithm, monkeypatch):
    chosen = jaxhpt.Bayesian(initial=6, limit=64, candidates=64, num_ascents=8)
    screen = jaxhpt.Screen(jaxhpt.Random(), model=chosen)
    chosen = {"bayesian": chosen, "screen": screen, "auto": jaxhpt.ALGORITHMS["auto"]()}[algorithm]

    def early(count):
        return jaxhpt.Tuner(SPACE, algorithm=chosen, trials=64, progress=False).ask(count)

    with monkeypatch.context() as without_model:
        without_model.setattr(jaxhpt.Bayesian, "choose", lambda *args, **options: pytest.fail("asked the model"))
        designed = early(4), early(7)  # more than the design has, but none has ended that the model could learn from
    if algorithm != "auto":
        with monkeypatch.context() as all_of_it:
            all_of_it.setattr(jaxhpt.Bayesian, "in_design", lambda self, problem, last, none_ended: False)
            assert designed == (early(4), early(7))


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
        (lambda t: t.tell([0, 1], 1.0), ValueError, r"values=1\.0: 2 trials need a list with a value for each"),
        (lambda t: t.tell([0, 1], {"score": 1.0}), ValueError, "2 trials need a list"),
        (lambda t: t.tell([0, 1], "12"), ValueError, "2 trials need a list"),
        (lambda t: t.tell([0, 1], None), ValueError, "2 trials need a list"),
        (lambda t: t.tell(0, "low"), TypeError, "'score' is 'low': must be a number"),
        (lambda t: t.tell(0, [1.0]), TypeError, r"'score' is \[1\.0\]: must be a number"),
        (lambda t: t.tell(0, {"score": 1j}), TypeError, "'score' is 1j: must be a number"),
        (lambda t: t.tell(0, {"score": 1.0, "size": 2}), ValueError, r"\['size'\] unknown"),
        (lambda t: t.tell(0, {}), ValueError, r"\['score'\] missing"),
        (lambda t: t.tell(1.0, 1.0), TypeError, r"trials=1\.0"),
        (lambda t: t.tell(["0"], [1.0]), TypeError, "trials: '0'"),
        (lambda t: jaxhpt.Tuner(SPACE, trials=0), ValueError, "trials=0"),
        (lambda t: jaxhpt.Tuner(SPACE, seed=None), TypeError, "seed=None: must be an int"),
        (lambda t: jaxhpt.Tuner(SPACE, seed=1.0), TypeError, r"seed=1\.0"),
        (lambda t: jaxhpt.Tuner(SPACE, seed=-1), ValueError, "seed=-1"),
        (lambda t: jaxhpt.Tuner(SPACE, seed=2**63), ValueError, "seed=9223372036854775808.*below 2"),
        (lambda t: jaxhpt.Tuner(SPACE, metrics="size"), TypeError, "metrics='size'"),
        (lambda t: jaxhpt.Tuner(SPACE, n_trials=5), TypeError, "'n_trials'; it is called 'trials' here"),
        (lambda t: jaxhpt.Tuner(SPACE, num_trials=5), TypeError, "'num_trials'; it is called 'trials' here"),
        (lambda t: jaxhpt.Tuner(SPACE, max_trials=5), TypeError, "'max_trials'; it is called 'trials' here"),
        (lambda t: jaxhpt.Tuner(SPACE, n_iter=5), TypeError, "'n_iter'; it is called 'trials' here"),
        (lambda t: jaxhpt.Tuner(SPACE, mode="max"), TypeError, "'mode'; it is called 'direction' here"),
        (lambda t: jaxhpt.Tuner(SPACE, algoritm="tpe"), TypeError, "did you mean 'algorithm'"),
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
