"""The host's side: it looks up in the middle of an event, and nothing that goes wrong loses a finished trial."""

import os
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.engine import driver

SPACE = {"x": jaxhpt.Float(0, 1)}


def run(steps=8, interval=2, trials=16, lanes=4, evaluate=lambda s, data, h: s, **options):
    return jaxhpt.search(
        lambda s, batch, h, key: s + h["x"], SPACE, init=lambda key, h: jnp.float32(0), evaluate=evaluate,
        direction="min", steps=steps, interval=interval, trials=trials, lanes=lanes, algorithm="random",
        **{"progress": False, **options},
    )  # fmt: skip


def test_a_search_that_is_one_event_ends_when_its_time_is_up():
    """Of a billion steps, which take minutes."""
    result = run(steps=1_000_000_000, interval=1_000_000_000, trials=4, timeout=0.2)
    assert result.stats.ended == "timeout"
    assert result.stats.events == 0
    assert result.stats.trials == 0
    assert [t.status for t in result.trials] == ["running"] * 4
    assert result.stats.lanes_busy == 1.0
    assert ", 100% busy" in repr(result)


@pytest.mark.parametrize(("timeout", "interval"), [(1e-9, 8), (1e-9, 3), (None, 3)])
def test_lanes_are_busy_for_a_part_of_the_time_that_there_was(timeout, interval):
    stats = run(interval=interval, timeout=timeout).stats
    assert stats.lanes_busy == pytest.approx(1.0 if timeout else 8 / 9)  # the last event of a trial has a step to spare


def test_callbacks_and_the_display_hear_of_a_long_event():
    heard = []
    run(steps=1_000_000_000, interval=1_000_000_000, trials=4, callbacks=[lambda s: heard.append(s) or len(heard) == 3])
    assert [s.events for s in heard] == [0, 0, 0]
    assert [s.started for s in heard] == [4, 4, 4]
    assert 0 < heard[0].under_way < heard[2].under_way < 4
    assert heard[2].eta is None  # nothing has ended, and next to nothing is done


@pytest.mark.parametrize("grains", [1, 3, 5])
def test_cutting_events_anywhere_gives_the_same_bits(monkeypatch, same_bits, grains):
    whole = run()
    monkeypatch.setattr(driver, "_retime", lambda now, seconds: grains)
    cut = run()
    same_bits(whole.history, cut.history)
    same_bits(whole.best_state, cut.best_state)
    assert whole.stats.events == cut.stats.events == 16


def test_a_callback_that_raises_loses_no_finished_trial():
    def callback(snapshot):
        if snapshot.finished >= 8:
            raise ValueError("of the user's own")

    with pytest.raises(jaxhpt.SearchError, match="ValueError: of the user's own") as caught:
        run(callbacks=[callback], events_per_dispatch=1)
    result = caught.value.result
    assert isinstance(caught.value.__cause__, ValueError)
    assert result.stats.trials == 8
    assert result.stats.ended == "error"
    assert result.best.value == min(t.value for t in result.trials if t.status == "done")
    assert float(result.best_state) == pytest.approx(result.best.value)


def test_a_display_that_fails_loses_no_finished_trial(monkeypatch):
    class Broken:
        def compiling(self, known=""):
            pass

        def update(self, snapshot):
            if snapshot.finished >= 8:
                raise OSError("the terminal is gone")

        def close(self):
            raise OSError("the terminal is gone")

    monkeypatch.setattr(sys.modules["jaxhpt.arguments"], "display", lambda wanted: Broken())
    with pytest.raises(jaxhpt.SearchError, match="OSError: the terminal is gone") as caught:
        run(events_per_dispatch=1)
    assert caught.value.result.stats.trials == 8


def test_a_crash_in_the_users_function_loses_no_finished_trial():
    called = []

    def host(value):
        called.append(1)
        if len(called) > 8:
            raise RuntimeError("the disk is full")
        return np.asarray(value)

    def evaluate(state, data, h):
        return jax.pure_callback(host, jax.ShapeDtypeStruct((), jnp.float32), state, vmap_method="sequential")

    with pytest.raises(jaxhpt.SearchError, match="the disk is full") as caught:
        run(evaluate=evaluate, events_per_dispatch=1)
    result = caught.value.result
    done = [t for t in result.trials if t.status == "done"]
    assert len(done) == 8
    assert result.best.value == min(t.value for t in done)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_is_meant_to_end_the_process_carries_the_result(kind):
    def callback(snapshot):
        if snapshot.finished >= 8:
            raise kind

    with pytest.raises(kind) as caught:
        run(callbacks=[callback], events_per_dispatch=1)
    assert caught.value.result.stats.trials == 8


def test_a_terminal_that_is_closed_costs_the_display_only(monkeypatch):
    stream = open(os.devnull, "w")  # noqa: SIM115
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    with pytest.warns(UserWarning, match="progress: cannot be shown"):
        assert run(progress=True).stats.trials == 16
