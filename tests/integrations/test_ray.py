"""The searcher of Ray Tune: called as Ray calls it, and in a run of Ray's own."""

import subprocess
import sys

import pytest
from ray import tune

import jaxhpt
from jaxhpt.integrations.ray import Searcher, space_of

X = {"x": jaxhpt.Float(-1, 3)}
LOSS = {"metric": "loss", "mode": "min", "algorithm": "tpe"}


def drive(searcher, num, first=0, value=lambda config: {"loss": (config["x"] - 1) ** 2}):
    """Let trials run one by one, as Ray does; return their settings."""
    found = []
    for place in range(first, first + num):
        found.append(searcher.suggest(f"trial{place}"))
        searcher.on_trial_complete(f"trial{place}", value(found[-1]))
    return found


def test_ranges_of_ray_are_dimensions_and_what_is_fixed_stays():
    config = {
        "lr": tune.loguniform(1e-4, 1e-1),
        "net": {"width": tune.randint(1, 9), "even": tune.qrandint(1, 9, 2), "act": tune.choice(["relu", "tanh"])},
        "drop": tune.quniform(0.0, 0.5, 0.1),
        "depth": tune.lograndint(1, 9),
        "data": {"name": "digits"},
        "layers": [64, 64],
    }
    assert space_of(config) == {
        "lr": jaxhpt.Float(1e-4, 1e-1, log=True),
        "net": {
            "width": jaxhpt.Int(1, 8),
            "even": jaxhpt.Int(2, 8, step=2),
            "act": jaxhpt.Choice(["relu", "tanh"]),
        },
        "drop": jaxhpt.Float(0.0, 0.5, step=0.1),
        "depth": jaxhpt.Int(1, 8, log=True),
    }


@pytest.mark.parametrize(
    "value", [tune.randn(), tune.qrandn(0, 1, 0.1), tune.sample_from(lambda spec: 1), tune.grid_search([1, 2])]
)
def test_a_range_without_its_like_is_refused_by_its_place(value):
    with pytest.raises(ValueError, match=r"param_space\['net/x'\]=.*has no like"):
        space_of({"net": {"x": value}})


def test_it_learns_and_goes_on_beyond_its_room():
    found = drive(Searcher(space=X, **LOSS, trials=16, seed=1), 40)  # two doublings
    assert min(abs(config["x"] - 1) for config in found[-8:]) < 0.05
    assert len({config["x"] for config in found}) > 30


def test_a_maximum_and_trials_that_fail_or_report_nothing():
    searcher = Searcher(space=X, metric="score", mode="max", algorithm="tpe", trials=64)
    searcher.on_trial_complete("never proposed", {"score": 1.0})
    for place in range(30):
        x = searcher.suggest(str(place))["x"]
        told = {"score": float("nan") if x < 0 else -((x - 1.5) ** 2)}
        searcher.on_trial_complete(str(place), told if x < 2 else None, error=x > 2.5)
    last = [searcher.suggest(f"more{place}")["x"] for place in range(8)]
    assert sum(1 < x < 2 for x in last) >= 6


def test_several_metrics_make_a_front():
    searcher = Searcher(
        space=X, metric=["near", "far", "seen"], mode=["min", "max", "obs"], algorithm="nsga2", trials=32
    )
    drive(searcher, 32, value=lambda config: {"near": config["x"] ** 2, "far": config["x"], "seen": 1.0})
    assert searcher.suggest("more") is not None


def test_settings_that_are_to_be_tried_first():
    found = drive(Searcher(space=X, **LOSS, first=[{"x": 0.5}, {"x": 2.0}], trials=8), 3)
    assert [config["x"] for config in found[:2]] == [0.5, 2.0]
    assert found[2]["x"] not in (0.5, 2.0)


def test_a_grid_ends():
    searcher = Searcher(space={"x": [1, 2], "y": [True, False]}, metric="loss", mode="min", algorithm="grid", trials=8)
    assert len({str(config) for config in drive(searcher, 4)}) == 4
    assert searcher.suggest("more") == Searcher.FINISHED


def test_saved_and_restored_it_knows_what_ended_and_what_runs(tmp_path):
    searcher = Searcher(space=X, **LOSS, seed=3, trials=32)
    drive(searcher, 20)
    running = searcher.suggest("running")
    searcher.save(str(tmp_path / "state"))
    other = Searcher(space=X, **LOSS, trials=32)
    other.restore(str(tmp_path / "state"))
    other.on_trial_complete("running", {"loss": (running["x"] - 1) ** 2})
    assert min(abs(config["x"] - 1) for config in drive(other, 8, 30)) < 0.05


def test_what_ray_tells_is_taken():
    searcher = Searcher(algorithm="tpe")
    config = {"net": {"x": tune.uniform(-1, 3)}, "k": 3}
    assert searcher.set_search_properties("loss", "min", config, num_samples=300)
    assert set(searcher.suggest("a")) == {"net"}
    own = Searcher(space=X)
    assert not own.set_search_properties("loss", "min", {"k": 3})
    assert set(own.suggest("a")) == {"x"}


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match=r"metric and mode=None: .* TuneConfig"):
        Searcher(space=X).suggest("a")
    with pytest.raises(ValueError, match=r"objectives=.* must be one, for Genetic"):
        Searcher(space=X, metric=["a", "b"], mode=["min", "max"], algorithm="genetic")
    searcher = Searcher(space=X, **LOSS)
    searcher.suggest("a")
    with pytest.raises(ValueError, match=r"metric=\['loss'\]: .*\['accuracy'\]"):
        searcher.on_trial_complete("a", {"accuracy": 1.0})


RUN = """
import sys
import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from jaxhpt.integrations.ray import Searcher

def train(config):
    w = 4.0
    for step in range(9):
        w = w - config["opt"]["lr"] * 2 * w
        if config["opt"]["lr"] > 0.9:
            raise ValueError("diverged")
        tune.report({"loss": w**2})

ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
first = [{"opt": {"lr": 0.25}}, {"opt": {"lr": 0.95}}]
searcher = Searcher(algorithm="tpe", seed=1, first=first)
tuner = tune.Tuner(
    train,
    param_space={"opt": {"lr": tune.loguniform(1e-3, 1.0)}, "k": 3},
    tune_config=tune.TuneConfig(metric="loss", mode="min", num_samples=8, search_alg=searcher,
                                max_concurrent_trials=2, scheduler=ASHAScheduler(max_t=9, grace_period=3)),
    run_config=tune.RunConfig(storage_path=sys.argv[1], name="run", verbose=0),
)
found = tuner.fit()
assert len(found) == 8 and found.num_errors >= 1, found
assert found.get_best_result().metrics["loss"] < 1e-3
assert found.get_best_result().config["k"] == 3
again = tune.Tuner.restore(sys.argv[1] + "/run", train, restart_errored=True).fit()
assert len(again) == 8
"""


@pytest.mark.slow
def test_a_run_of_ray(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(tmp_path)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
