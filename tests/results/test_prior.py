"""Warm starts: what was known before informs a search, is marked, and is never taken for its own work."""

import warnings

import jax
import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.history import Status

SPACE = {"x": jaxhpt.Float(-2.0, 2.0), "kind": ["a", "b", "c"]}
ENDLESS = [name for name in jaxhpt.ALGORITHMS if name != "grid"]


def bowl(h, key):
    return (h["x"] - 1.0) ** 2 + 0.1 * (h["kind"] != 1)


def run(prior=None, algorithm="random", trials=32, **options):
    return jaxhpt.minimize(
        bowl, SPACE, algorithm=algorithm, trials=trials, lanes=8, progress=False, prior=prior, **options
    )


@pytest.fixture(scope="module")
def earlier():
    return run(trials=24)


def test_earlier_trials_come_first_and_are_marked(earlier):
    result = run(earlier)
    assert [t.status for t in result.trials] == ["prior"] * 24 + ["done"] * 32
    assert [t.id for t in result.trials] == list(range(56))
    for before, now in zip(earlier.trials, result.trials, strict=False):
        assert now.hparams == before.hparams
        assert now.metrics == before.metrics
    np.testing.assert_array_equal(result.history.unit[:24], earlier.history.unit[:24])


def test_they_count_as_none_of_the_search_s_own(earlier):
    seen = []
    result = run(earlier, callbacks=[lambda s: seen.append((s.started, s.finished, s.trials))])
    assert result.stats.trials == 32
    assert result.stats.lanes_busy == 1.0
    assert seen[-1] == (32, 32, 32)
    assert result.best.id >= 24
    assert all(t.id >= 24 for t in result.top(60))


def test_the_same_seed_does_not_repeat_the_earlier_search(earlier):
    result = run(earlier, trials=24)
    assert not np.intersect1d(result.history.unit[:24, 1], result.history.unit[24:, 1]).size


def test_the_same_prior_gives_the_same_bits(earlier):
    a, b = run(earlier, algorithm="genetic"), run(earlier, algorithm="genetic")
    np.testing.assert_array_equal(a.history.unit, b.history.unit)


@pytest.mark.parametrize("algorithm", ENDLESS)
def test_every_algorithm_starts_from_it(algorithm, earlier):
    result = run(earlier, algorithm=algorithm, trials=16)
    assert result.stats.trials == 16
    assert np.isfinite(result.best.value)


@pytest.mark.parametrize("algorithm", ["bayesian", "genetic", "differential_evolution", "cma_es"])
def test_a_warm_search_is_better_from_the_first_batch(algorithm):
    hartmann = jaxhpt.problems.hartmann6
    first = jaxhpt.minimize(hartmann, hartmann.space(), algorithm="quasi_random", trials=256, lanes=8, progress=False)

    def value(prior, seed):
        light = {"bayesian": jaxhpt.Bayesian(limit=128)}  # each size of a model is compiled
        options = {
            "algorithm": light.get(algorithm, algorithm),
            "trials": 32,
            "lanes": 8,
            "progress": False,
            "seed": seed,
        }
        return jaxhpt.minimize(hartmann, hartmann.space(), prior=prior, **options).best.value

    cold, warm = (np.mean([value(prior, seed) for seed in range(4)]) for prior in (None, first))
    assert warm < cold - 0.2


def test_results_chain(earlier):
    second = run(earlier, trials=8)
    third = run(second, trials=8)
    assert [t.status for t in third.trials] == ["prior"] * 32 + ["done"] * 8


def test_several_results_and_pairs_mix(earlier):
    pair = ({"x": 0.5, "kind": "b"}, 0.25)
    failed = ({"x": -1.0, "kind": "a"}, None)
    result = run([earlier, pair, run(trials=8, seed=5), failed], trials=8)
    known = [t for t in result.trials if t.status == "prior"]
    assert len(known) == 34
    assert known[-2].hparams == {"x": 0.5, "kind": "b"}
    assert known[-2].value == 0.25
    assert np.isnan(known[-1].value)


def test_failures_and_what_ended_early(earlier):
    half = jaxhpt.minimize(
        lambda h, key: jax.numpy.where(h["x"] > 0, bowl(h, key), np.nan), SPACE, trials=32, lanes=8, algorithm="random",
        progress=False,
    )  # fmt: skip
    assert 0 < half.stats.failed < 32
    result = run(half, algorithm="bayesian", trials=16)
    assert np.isinf(result.history.metrics[:32, 0]).sum() == half.stats.failed
    stopped = half.history._replace(status=np.full(32, Status.STOPPED, np.int8))
    object.__setattr__(half, "history", stopped)
    half.__dict__.pop("trials", None)
    assert run(half, trials=8).stats.trials == len(run(half, trials=8).trials) == 8


def test_a_narrower_space_takes_what_fits(earlier):
    narrow = {"x": jaxhpt.Float(0.0, 2.0), "kind": ["b", "a"]}
    fits = [t for t in earlier.trials if t.hparams["x"] >= 0 and t.hparams["kind"] != "c"]
    with pytest.warns(UserWarning, match=f"{24 - len(fits)} of 24 trials do not fit the space"):
        result = jaxhpt.minimize(bowl, narrow, prior=earlier, trials=8, lanes=8, algorithm="random", progress=False)
    known = [t for t in result.trials if t.status == "prior"]
    assert [t.hparams["kind"] for t in known] == [t.hparams["kind"] for t in fits]
    np.testing.assert_allclose([t.hparams["x"] for t in known], [t.hparams["x"] for t in fits], atol=1e-6)


def test_metrics_by_name_and_in_the_user_s_sign():
    def two(h, key):
        return {"accuracy": -bowl(h, key), "size": 2.0 + h["x"]}

    first = jaxhpt.minimize(two, SPACE, objective="size", trials=16, lanes=8, algorithm="random", progress=False)
    result = jaxhpt.maximize(
        two, SPACE, objective="accuracy", constraints={"size": ("<=", 3.0)}, prior=first, trials=16, lanes=8,
        algorithm="bayesian", progress=False,
    )  # fmt: skip
    for before, now in zip(first.trials, result.trials, strict=False):
        assert now.metrics == pytest.approx(before.metrics)
    with pytest.raises(ValueError, match=r"prior=.*'loss'"):
        jaxhpt.minimize(lambda h, key: {"loss": bowl(h, key)}, SPACE, objective="loss", prior=first, progress=False)


def test_ids_lead_to_their_training_again(earlier):
    task = jaxhpt.Task(
        init=lambda key, h: jax.random.normal(key, (3,)),
        step=lambda w, batch, h, key: w - h["lr"] * 2 * w,
        evaluate=lambda w, data, h: {"loss": (w**2).sum()},
        steps=5,
    )
    space = {"lr": jaxhpt.Float(1e-3, 0.9)}
    first = jaxhpt.search(task, space, trials=8, lanes=4, progress=False)
    second = jaxhpt.search(task, space, trials=8, lanes=4, prior=first, progress=False)
    for trial in (second.best, second.trials[8], second.trials[-1]):
        _, metrics = second.replay(trial)
        assert metrics["loss"] == pytest.approx(trial.metrics["loss"], rel=1e-5)
    np.testing.assert_allclose((second.best_state**2).sum(), second.best.value, rtol=1e-5)


def test_the_tuner_takes_it_too(earlier):
    tuner = jaxhpt.Tuner(SPACE, algorithm="genetic", trials=8, prior=earlier)
    asked = tuner.ask(20)
    assert [trial.id for trial in asked] == list(range(24, 32))
    tuner.tell(asked, [float(bowl({"x": t.hparams["x"], "kind": "abc".index(t.hparams["kind"])}, None)) for t in asked])
    assert tuner.ask() == []
    result = tuner.result
    assert result.stats.trials == 8
    assert result.stats.ended == "finished"
    assert result.best.status == "done"
    assert result.trials[3].metrics == earlier.trials[3].metrics
    with pytest.raises(ValueError, match="told already"):
        tuner.tell(3, 1.0)


@pytest.mark.parametrize(
    ("prior", "error", "match"),
    [
        ("result.pkl", TypeError, "prior='result.pkl'"),
        ([1.0], TypeError, "pair"),
        ([({"x": 0.0}, 1.0)], ValueError, "structure"),
        ([({"x": 9.0, "kind": "a"}, 1.0)], ValueError, "inside the space"),
        ([({"x": 1.0, "kind": "a"}, {"loss": 1.0})], ValueError, "metrics that include 'score'"),
    ],
)
def test_what_is_no_prior(prior, error, match):
    with pytest.raises(error, match=match):
        run(prior)


def test_nothing_known_is_no_prior(earlier):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a, b = run([]), run()
    np.testing.assert_array_equal(a.history.unit, b.history.unit)
