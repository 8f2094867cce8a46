"""The way in: defaults, what the host may do between dispatches, and what it is told."""

import _thread
import dataclasses
import signal
import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt

X = {"x": jaxhpt.Float(0, 1)}


def wait(hparams, key):
    """Take a little while a trial, so that there is something to interrupt."""
    noise = jax.lax.fori_loop(0, 4000, lambda i, v: jnp.sin(v + hparams["x"]), hparams["x"])
    return hparams["x"] + 0.0 * noise


def slow(**options):
    settings = {"trials": 100_000, "lanes": 4, "progress": False, "events_per_dispatch": 8, **options}
    return jaxhpt.minimize(wait, X, algorithm="random", **settings)


def test_a_decorated_step_and_a_space_say_everything(linear, lr_space):
    @jaxhpt.task(
        init=linear.init,
        evaluate=linear.evaluate,
        train_data=linear.train_data,
        valid_data=linear.valid_data,
        objective="loss",
    )
    def train_step(state, batch, hparams, key):
        return linear.step(state, batch, hparams, key)

    result = jaxhpt.search(train_step, lr_space)
    assert result.stats.trials == 256
    assert result.best.steps == 10  # ten passes over fifty rows in one batch
    state = linear.init(jax.random.key(0), {"lr": 0.1})
    assert train_step(state, linear.train_data, {"lr": 0.1}, jax.random.key(1))["w"].shape == (4,)


def test_a_step_may_return_metrics_of_its_own(linear, lr_space, same_bits):
    def step(state, batch, hparams, key):
        return linear.step(state, batch, hparams, key), {"anything": jnp.zeros(3)}

    options = {"trials": 8, "progress": False}
    plain = jaxhpt.search(linear, lr_space, **options)
    same_bits(jaxhpt.search(dataclasses.replace(linear, step=step), lr_space, **options).history, plain.history)


def test_states_of_python_numbers_and_any_pytree_are_fine():
    result = jaxhpt.search(
        lambda s, batch, h, key: (s[0] + h["x"], {"n": s[1]["n"] + 1}),
        X,
        init=lambda key, h: (0.0, {"n": 0}),
        evaluate=lambda s, data, h: (s[0] - s[1]["n"]) ** 2,
        steps=5,
        trials=8,
        progress=False,
    )
    assert result.best_state[1]["n"] == 5


def test_conditional_and_nested_spaces_reach_the_user_as_written():
    space = {
        "rule": ["sgd", "adam"],
        "adam": jaxhpt.When("rule", "adam", {"b2": jaxhpt.Float(0.9, 0.999)}),
        "net": (jaxhpt.Int(1, 4), {"act": "relu", "bias": jaxhpt.Bool()}),
    }

    def objective(h, key):
        assert h["net"][1]["act"] == "relu"
        assert h["net"][0].dtype == jnp.int32
        assert h["net"][1]["bias"].dtype == jnp.bool_
        by_rule = jax.lax.switch(h["rule"], [lambda: 10.0, lambda: h["adam"]["b2"]])
        return by_rule + h["net"][0] + h["net"][1]["bias"]

    result = jaxhpt.minimize(objective, space, algorithm="quasi_random", trials=200, progress=False)
    best = result.best.hparams
    assert best["rule"] == "adam"
    assert best["adam"]["b2"] < 0.95
    assert best["net"] == (1, {"act": "relu", "bias": False})
    inactive = [t.hparams for t in result.trials if t.hparams["rule"] == "sgd"]
    assert inactive
    assert all(h["adam"]["b2"] is None for h in inactive)


def test_maximize_is_the_other_way_round():
    result = jaxhpt.maximize(lambda h, key: -((h["x"] - 0.5) ** 2), X, algorithm="quasi_random", progress=False)
    assert result.best.hparams["x"] == pytest.approx(0.5, abs=0.01)
    assert result.best.value <= 0
    assert result.best.value == max(t.value for t in result.trials)


def test_several_metrics_of_a_black_box():
    result = jaxhpt.maximize(
        lambda h, key: {"gain": h["x"], "cost": h["x"] ** 2},
        X,
        objective="gain",
        algorithm="random",
        trials=16,
        progress=False,
    )
    assert result.best.metrics["cost"] == pytest.approx(result.best.metrics["gain"] ** 2, rel=1e-5)


def test_the_timeout_keeps_what_has_ended():
    result = slow(timeout=0.5)
    assert result.stats.ended == "timeout"
    assert 0 < result.stats.trials < 100_000
    assert all(t.status in ("done", "running") for t in result.trials)
    assert result.best.value == min(t.value for t in result.trials if t.status == "done")


def test_ctrl_c_keeps_what_has_ended():
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(1.5, _thread.interrupt_main).start()
    result = slow()
    assert result.stats.ended == "interrupted"
    assert 0 < result.stats.trials < 100_000
    assert np.isfinite(result.best.value)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_callback_sees_the_search_and_may_end_it():
    seen = []

    def callback(snapshot):
        seen.append(snapshot)
        return snapshot.finished >= 100

    result = slow(callbacks=[callback], events_per_dispatch=5)
    assert result.stats.ended == "callback"
    assert result.stats.trials == seen[-1].finished == 100
    assert [s.finished for s in seen] == [20, 40, 60, 80, 100]
    assert {s.lanes_busy for s in seen} == {4}
    assert seen[-1].best_value == pytest.approx(result.best.value, rel=1e-6)
    assert seen[-1].best_trial == result.best.id
    assert seen[-1].eta > 0


def test_a_search_in_another_thread_works():
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(jaxhpt.minimize(lambda h, key: h["x"], X, trials=8, progress=False))
    )
    thread.start()
    thread.join()
    assert answers[0].stats.trials == 8


def test_more_lanes_than_trials_and_odd_counts():
    for trials, lanes in ((1, 1), (3, 100), (100, 7)):
        result = jaxhpt.minimize(
            lambda h, key: h["x"], X, algorithm="random", trials=trials, lanes=lanes, progress=False
        )
        assert result.stats.trials == trials


def test_auto_lanes_leave_the_last_round_nearly_full():
    result = jaxhpt.minimize(lambda h, key: h["x"], X, algorithm="random", trials=90, progress=False)
    assert result.stats.lanes_busy == 90 / 96


def test_the_objective_draws_from_the_trials_own_key():
    result = jaxhpt.minimize(
        lambda h, key: jax.random.uniform(key) + 0 * h["x"], X, algorithm="random", trials=64, progress=False
    )
    assert len({t.value for t in result.trials}) == 64
