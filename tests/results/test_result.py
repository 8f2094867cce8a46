"""Result: what a person reads after a search."""

import json
import sys

import numpy as np
import pytest

import jaxhpt


@pytest.fixture(scope="module")
def result():
    space = {"opt": ["a", "b"], "b": jaxhpt.When("opt", "b", {"x": jaxhpt.Float(0, 1)}), "n": jaxhpt.Int(1, 9)}
    return jaxhpt.maximize(
        lambda h, key: {"gain": h["b"]["x"] * h["n"] + h["opt"], "n2": h["n"] ** 2.0},
        space,
        objective="gain",
        trials=60,
        progress=False,
    )


def test_trials_are_in_order_and_in_the_users_sign(result):
    assert [t.id for t in result.trials] == list(range(60))
    for trial in result.trials:
        x = 0.5 if trial.hparams["b"]["x"] is None else trial.hparams["b"]["x"]
        gain = x * trial.hparams["n"] + (trial.hparams["opt"] == "b")
        assert trial.value == pytest.approx(gain, rel=1e-5)
        assert trial.metrics["n2"] == trial.hparams["n"] ** 2
        assert trial.status == "done"


def test_best_and_top_agree(result):
    values = sorted((t.value for t in result.trials), reverse=True)
    assert result.best.value == values[0]
    assert [t.value for t in result.top(4)] == values[:4]


def test_the_report_is_short_and_holds_the_best(result):
    lines = repr(result).splitlines()
    assert len(lines) == 2 + 1 + 5
    assert lines[0].startswith("60 trials in ")
    assert "trials/s" in lines[0]
    assert "compiled in" in lines[1]
    assert lines[2].split() == ["trial", "gain", "n2", "steps", "b.x", "n", "opt"]
    assert lines[3].split()[0] == str(result.best.id)


def test_the_table_has_a_row_a_trial(result):
    table = result.to_pandas()
    assert list(table.columns) == ["trial", "status", "steps", "gain", "n2", "b.x", "n", "opt"]
    assert len(table) == 60
    assert table.gain.max() == result.best.value
    assert table["b.x"].isna().sum() == (table.opt == "a").sum() > 0


def test_without_pandas_the_error_names_the_extra(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'jaxhpt\[pandas\]'"):
        result.to_pandas()


def test_hparams_are_plain_python(result):
    assert json.loads(json.dumps(result.best.hparams)) == result.best.hparams


def test_a_replay_of_a_black_box_is_the_same_number(result):
    for trial in (0, 17, result.best):
        _, metrics = result.replay(trial)
        value = result.trials[trial if isinstance(trial, int) else trial.id].value
        assert metrics["gain"] == pytest.approx(value, rel=1e-5)
    with pytest.raises(ValueError, match="trial=60: must be the id of one of the 60 trials"):
        result.replay(60)


def test_stats_describe_the_run(result):
    stats = result.stats
    assert (stats.trials, stats.failed, stats.ended) == (60, 0, "finished")
    assert stats.trials_per_second == pytest.approx(60 / stats.seconds)
    assert 0 < stats.lanes_busy <= 1
    assert stats.first_seconds >= stats.compile_seconds
    assert isinstance(result.history.unit, np.ndarray)
