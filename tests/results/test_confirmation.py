"""Confirming a search: the best settings are trained again, and what they come to then chooses the winner."""

import copy
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import jaxhpt
from jaxhpt.core.keys import Stream, key_of, root_of

SPACE = {"x": jaxhpt.Float(0, 1)}
OPTIONS = {"algorithm": "random", "progress": False}


def noisy(h, key):
    """All settings are equally good, but for luck."""
    return {"loss": 0.01 * h["x"] + jax.random.normal(key)}


@pytest.fixture(scope="module")
def lucky():
    return jaxhpt.minimize(noisy, SPACE, trials=64, confirm=6, seed=1, **OPTIONS)


def test_the_winner_is_chosen_by_the_fresh_figures(lucky):
    values = sorted(trial.value for trial in lucky.trials)
    fresh = [one.value for one in lucky.confirmed]
    assert sorted(one.trial.value for one in lucky.confirmed) == values[:6]
    assert fresh == sorted(fresh)
    assert lucky.best.id == lucky.confirmed[0].trial.id
    assert lucky.best.value > values[0]  # luck does not strike twice
    assert lucky.best_state["loss"] == pytest.approx(lucky.confirmed[0].value)
    assert lucky.replay(lucky.best)[1]["loss"] == pytest.approx(lucky.best.value)


def test_the_fresh_figures_have_keys_of_their_own(lucky):
    root = key_of(root_of(1), Stream.CONFIRM)
    rows = {one.trial.hparams["x"]: one for one in lucky.confirmed}
    for trial in lucky.fresh.trials:
        key = jax.random.fold_in(key_of(root, Stream.TRIAL, trial.id), 1)
        value = 0.01 * trial.hparams["x"] + float(jax.random.normal(key))
        assert rows[trial.hparams["x"]].value == pytest.approx(value, rel=1e-5)


def test_overtuning_is_the_luck_of_the_winner(lucky):
    found = lucky.overtuning()
    best = min(lucky.trials, key=lambda trial: trial.value)
    again = next(one for one in lucky.confirmed if one.trial.id == best.id)
    assert (found.trial, found.chosen, found.fresh) == (best.id, best.value, again.value)
    assert found.gap == pytest.approx(again.value - best.value)
    assert found.gap > 0.5


def test_a_maximised_value_is_overtuned_the_other_way():
    result = jaxhpt.maximize(noisy, SPACE, trials=64, confirm=1, objective="loss", **OPTIONS)
    found = result.overtuning()
    assert found.gap == pytest.approx(found.chosen - found.fresh)
    assert found.gap > 0.5


def test_it_is_shown_pickled_and_copied(lucky):
    text = repr(lucky)
    assert "trained again:" in text
    assert "before" in text
    for other in (pickle.loads(pickle.dumps(lucky)), copy.copy(lucky)):
        assert other.confirmed == lucky.confirmed
        assert other.best == lucky.best
        assert other.overtuning() == lucky.overtuning()
        assert other.best_state["loss"] == lucky.best_state["loss"]


def test_each_setting_is_trained_again_once():
    result = jaxhpt.minimize(noisy, {"x": jaxhpt.Int(0, 2)}, trials=24, confirm=5, **OPTIONS)
    assert sorted(one.trial.hparams["x"] for one in result.confirmed) == [0, 1, 2]


def test_a_setting_that_fails_again_comes_last():
    def function(h, key):
        bad = (h["x"] < 0.5) & (jax.random.uniform(key) < 0.7)
        return {"loss": jnp.where(bad, jnp.nan, h["x"])}

    result = jaxhpt.minimize(function, SPACE, trials=64, confirm=16, **OPTIONS)
    values = np.array([one.value for one in result.confirmed])
    failed = np.isnan(values)
    assert 0 < failed.sum() < 16
    assert not failed[: 16 - failed.sum()].any()
    assert result.best.value == result.confirmed[0].value
    if failed[[one.trial.id for one in result.confirmed].index(min(result.trials, key=_value).id)]:
        assert result.overtuning().gap == np.inf


def _value(trial):
    return trial.value if np.isfinite(trial.value) else np.inf


def test_where_all_fail_again_the_winner_is_that_of_the_search():
    seen = root_of(0)

    def function(h, key):
        ours = [key_of(seen, Stream.TRIAL, row) for row in range(4)]
        mine = jnp.stack([jax.random.key_data(jax.random.fold_in(k, 1)) for k in ours])
        return jnp.where((mine == jax.random.key_data(key)).all(1).any(), h["x"], jnp.nan)

    result = jaxhpt.minimize(function, SPACE, trials=4, confirm=2, **OPTIONS)
    assert result.best.value == min(trial.value for trial in result.trials)
    assert [np.isnan(one.value) for one in result.confirmed] == [True, True]
    assert result.overtuning().gap == np.inf
    assert "trained again" not in repr(result)
    assert result.best_state["score"] == pytest.approx(result.best.value)


X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
Y = (X.sum(1) + np.random.default_rng(1).normal(size=60)).astype(np.float32)


def flax(**options):
    given = {"train_data": (X, Y), "steps": 8, "batch_size": 16, **options}
    return jaxhpt.FlaxTask(nn.Dense(1), lambda h: optax.sgd(h["lr"]), loss="mse", **given)


@pytest.fixture(scope="module")
def folded():
    space = {"lr": jaxhpt.Float(0.001, 0.3, log=True)}
    given = {"trials": 12, "lanes": 6, "folds": jaxhpt.KFold(3), "seeds": 2, "scheduler": "asha", "confirm": 2}
    return jaxhpt.search(flax(), space, **given, **OPTIONS)


def test_folds_are_confirmed_with_another_split(folded):
    assert folded.stats.trials == 12
    assert len(folded.fresh.trials) == 2
    assert {one.trial.status for one in folded.confirmed} == {"done"}
    data, again = folded._run.data, folded.fresh._run.data
    assert (np.asarray(data.train["marks"]) != np.asarray(again.train["marks"])).any()
    assert len(folded.best_state) == 6


def test_overtuning_on_data_that_chose_nothing(folded):
    test = (X[:7] + 0.5, Y[:7])
    found, winner = folded.overtuning(test), folded.confirmed[0]
    errors = [np.mean((np.asarray(nn.Dense(1).apply(v, test[0]))[:, 0] - test[1]) ** 2) for v in folded.best_state]
    assert found.chosen == winner.value
    assert found.fresh == pytest.approx(np.mean(errors), rel=1e-4)
    assert found.gap == pytest.approx(found.fresh - found.chosen)
    with pytest.raises(RuntimeError, match="without the functions of its task"):
        pickle.loads(pickle.dumps(folded)).overtuning(test)


def test_overtuning_without_replicas_and_without_a_confirmation():
    space = {"lr": jaxhpt.Float(0.001, 0.3, log=True)}
    result = jaxhpt.search(flax(valid_data=(X, Y)), space, trials=2, **OPTIONS)
    found = result.overtuning((X[:9], Y[:9]))
    error = np.asarray(nn.Dense(1).apply(result.best_state, X[:9]))[:, 0] - Y[:9]
    assert found.chosen == result.best.value
    assert found.fresh == pytest.approx(np.mean(error**2), rel=1e-4)
    with pytest.raises(RuntimeError, match="search with confirm=5, or give test_data"):
        result.overtuning()
    with pytest.raises(ValueError, match="test_data leaf 0: NaN in row 1"):
        result.overtuning((np.array([[0, 0], [0, np.nan]], np.float32), Y[:2]))


def test_plain_tasks_with_folds_meet_test_data_as_rows_with_weights():
    def measure(state, data, h):
        return {"loss": jaxhpt.batch_mean(data.data, data) * h["x"]}

    job = jaxhpt.Task(lambda key, h: 0.0, lambda s, b, h, k: s, measure, train_data=np.ones(9, np.float32), steps=1)
    result = jaxhpt.search(job, SPACE, trials=2, folds=jaxhpt.Holdout(0.3), **OPTIONS)
    found = result.overtuning(np.full(5, 3.0, np.float32))
    assert found.fresh == pytest.approx(3 * found.chosen, rel=1e-5)


ERRORS = {
    r"confirm=-1: must be at least 0": {"confirm": -1},
    r"confirm=1\.5: must be an int": {"confirm": 1.5},
    r"confirm=9: must be at most the 8 trials": {"confirm": 9},
    r"objectives=.*one, for Confirm; confirm chooses one winner": {
        "confirm": 2,
        "objectives": {"loss": "min", "other": "min"},
    },
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_come_before_the_search(message):
    def function(h, key):
        return {"loss": h["x"], "other": h["x"]}

    given = {"objective": "loss", **ERRORS[message]}
    given = {k: v for k, v in given.items() if k != "objective" or "objectives" not in given}
    with pytest.raises((ValueError, TypeError), match=message):
        jaxhpt.minimize(function, SPACE, trials=8, **given, **OPTIONS)


def test_schedules_are_not_confirmed():
    space = {"lr": jaxhpt.Float(0.001, 0.3, log=True)}
    with pytest.raises(ValueError, match="confirm=2: a scheduler that copies weights finds a schedule"):
        jaxhpt.search(flax(valid_data=(X, Y)), space, trials=8, scheduler="pbt", confirm=2, **OPTIONS)


def test_an_interrupted_search_is_not_confirmed_and_one_that_a_callback_ended_is():
    given = {"events_per_dispatch": 1, "lanes": 4, "callbacks": [lambda snapshot: True], **OPTIONS}
    result = jaxhpt.minimize(noisy, SPACE, trials=64, confirm=2, **given)
    assert result.stats.ended == "callback"
    assert len(result.confirmed) == 2


def test_the_longest_trained_are_confirmed_where_none_is_done():
    job = jaxhpt.Task(
        lambda key, h: jnp.float32(0),
        lambda s, b, h, k: s + 1,
        lambda s, d, h: h["x"] + 0 * s,
        steps=40,
        direction="min",
    )
    stop = jaxhpt.EarlyStopping(patience=1, eval_interval=2)
    result = jaxhpt.search(job, SPACE, trials=12, lanes=4, scheduler=stop, confirm=3, **OPTIONS)
    rows = result.distinct_best(3)
    assert len(result.confirmed) == 3
    done = [t for t in result.trials if t.status == "done"]
    best = sorted(done or result.trials, key=lambda t: (-t.steps, t.value))[: min(3, len(done) or 3)]
    assert [t.id for t in best] == rows.tolist()[: len(best)]
