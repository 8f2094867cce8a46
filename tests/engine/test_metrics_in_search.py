"""Several objectives and constraints, from the call to the Result."""

import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.history import Status

SPACE = {"x": jaxhpt.Float(0, 1), "y": jaxhpt.Float(0, 1)}


def two(hparams, key):
    return {"gain": hparams["x"], "cost": hparams["x"] ** 2 + hparams["y"], "weight": hparams["x"] + hparams["y"]}


@pytest.fixture(scope="module")
def several():
    return jaxhpt.minimize(
        two, SPACE, objectives={"gain": "max", "cost": "min"}, constraints={"weight": ("<=", 0.8)},
        algorithm=jaxhpt.NSGA2(population=20), trials=400, lanes=20, progress=False,
    )  # fmt: skip


def test_the_front_is_what_no_trial_beats(several):
    front = {trial.id for trial in several.pareto_front()}
    fair = [trial for trial in several.trials if trial.feasible]
    for trial in fair:
        gain, cost = trial.metrics["gain"], trial.metrics["cost"]
        beaten = any(
            o.metrics["gain"] >= gain
            and o.metrics["cost"] <= cost
            and (o.metrics["gain"] > gain or o.metrics["cost"] < cost)
            for o in fair
        )
        assert beaten == (trial.id not in front)
    assert len(front) >= 10
    gains = [trial.metrics["gain"] for trial in several.pareto_front()]
    assert gains == sorted(gains, reverse=True)


def test_infeasible_trials_are_told_and_kept_out(several):
    for trial in several.trials:
        assert trial.feasible == (np.float32(trial.metrics["weight"]) <= np.float32(0.8))
    assert not all(trial.feasible for trial in several.trials)
    late = [trial.feasible for trial in several.trials[200:]]
    assert np.mean(late) > 0.7


def test_the_hypervolume_comes_near_what_is_possible(several):
    best = 0.8 - 0.8**3 / 3  # the area between cost = gain^2 and 1, up to a gain of 0.8
    assert 0.9 * best < several.hypervolume({"gain": 0.0, "cost": 1.0}) <= best
    with pytest.raises(ValueError, match="reference"):
        several.hypervolume({"gain": 0.0})


def test_of_several_objectives_there_is_no_best_and_the_report_shows_the_front(several):
    with pytest.raises(RuntimeError, match="several objectives"):
        _ = several.best
    assert "on the Pareto front" in repr(several)


def test_one_objective_is_optimised_within_its_bounds():
    seen = []
    result = jaxhpt.maximize(
        two, SPACE, objective="gain", constraints={"weight": ("<=", 0.5), "cost": (">=", 0.1)},
        algorithm="genetic", trials=512, lanes=16, progress=False, callbacks=[seen.append],
    )  # fmt: skip
    assert result.best.feasible
    assert result.best.value == pytest.approx(0.5, abs=0.02)
    assert result.best.value == max(trial.value for trial in result.trials if trial.feasible)
    assert max(trial.value for trial in result.trials) > result.best.value
    assert seen[-1].best_value == pytest.approx(result.best.value)
    assert result.top(3)[0].id == result.best.id


def test_where_nothing_is_feasible_the_least_violation_is_best():
    result = jaxhpt.minimize(
        two, SPACE, objective="cost", constraints={"weight": (">=", 3.0)}, trials=64, progress=False
    )
    assert not result.best.feasible
    assert result.best.metrics["weight"] == max(trial.metrics["weight"] for trial in result.trials)
    assert not result.pareto_front()


def test_a_failed_objective_fails_the_trial():
    def failing(hparams, key):
        return {"a": hparams["x"], "b": 1.0 / (hparams["x"] > 0.5)}

    result = jaxhpt.minimize(
        failing, {"x": jaxhpt.Float(0, 1)}, objectives={"a": "min", "b": "min"}, trials=32, progress=False
    )
    failed = np.array([trial.hparams["x"] <= 0.5 for trial in result.trials])
    np.testing.assert_array_equal(result.history.status == Status.FAILED, failed)
    assert all(trial.hparams["x"] > 0.5 for trial in result.pareto_front())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"objectives": {"gains": "max"}}, "did you mean 'gain'"),
        ({"objectives": {"gain": "up"}}, "direction='up'"),
        ({"objectives": {}}, "must be a dict"),
        ({"objectives": {"gain": "max", "cost": "min"}, "algorithm": "genetic"}, "NSGA2"),
        ({"objective": "cost", "constraints": {"weights": ("<=", 1)}}, "did you mean 'weight'"),
        ({"objective": "cost", "constraints": {"weight": 1}}, "must be a dict"),
        ({"objective": "cost", "constraints": {"weight": ("<", 1)}}, "relation '<'"),
        ({"objective": "cost", "constraints": {"weight": ("<=", float("nan"))}}, "finite number"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_compiling(options, message, compilations):
    with pytest.raises(ValueError, match=message):
        jaxhpt.minimize(two, SPACE, trials=8, progress=False, **options)


@pytest.mark.parametrize("scale", [1.0, 1e32, 2e38])
def test_values_of_any_size_are_ordered_within_their_bounds(scale):
    def large(hparams, key):
        return {"f": np.float32(scale) * (0.1 + hparams["x"]), "x": hparams["x"]}

    seen = []
    options = {"objective": "f", "constraints": {"x": (">=", 0.5)}, "algorithm": "random", "trials": 32, "lanes": 8}
    result = jaxhpt.minimize(
        large, {"x": jaxhpt.Float(0, 1)}, progress=False, callbacks=[seen.append], **options
    )  # fmt: skip
    least = min(trial.hparams["x"] for trial in result.trials if trial.hparams["x"] >= 0.5)
    assert result.best.hparams["x"] == least == result.top(1)[0].hparams["x"]
    assert seen[-1].best_value == pytest.approx(result.best.value)
    assert seen[-1].best_trial == result.best.id
