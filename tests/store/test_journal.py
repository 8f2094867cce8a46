"""A Tuner's calls are on disk before they return, and a Tuner made in the same way goes on from there."""

import gc
import json

import numpy as np
import pytest

import jaxhpt

SPACE = {"x": jaxhpt.Float(-1, 3), "k": ["a", "b"]}


def made(run_dir=None, **options):
    return jaxhpt.Tuner(SPACE, **{"algorithm": "tpe", "trials": 24, "run_dir": run_dir, "progress": False, **options})


def value(trial):
    return float("nan") if trial.id == 5 else (trial.hparams["x"] - 1) ** 2 + 1e-9 * (trial.hparams["k"] == "a")


def go(tuner, times):
    for _ in range(times):
        trials = tuner.ask(2)
        tuner.tell(trials, [value(trial) for trial in trials])


def same(one, other):
    assert repr(one.trials) == repr(other.trials)
    assert one.best == other.best
    num = len(one.trials)
    np.testing.assert_array_equal(one.history.unit[:num], other.history.unit[:num])


def test_it_goes_on_where_it_stood(tmp_path):
    whole, first = made(), made(tmp_path)
    go(whole, 4)
    go(first, 4)
    (left,) = first.ask(1)
    whole.tell(whole.ask(1), [0.5])
    with pytest.raises(ValueError, match="runs in it; wait for its end"):
        made(tmp_path)
    first.close()
    second = made(tmp_path)
    assert second.running == [left]  # asked for, and never told
    second.tell(left, 0.5)
    go(whole, 6)
    go(second, 6)
    same(second.result, whole.result)
    loaded = jaxhpt.load(tmp_path)
    same(loaded, whole.result)
    assert loaded.best.value == whole.result.best.value  # as exact as it was told
    lines = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert sorted(line["trial"] for line in lines) == [t.id for t in whole.result.trials if t.status != "running"]
    second.close()
    third = made(tmp_path, trials=30)
    same(third.result, whole.result)
    assert len(third.ask(30)) == 30 - len(whole.result.trials)


def test_it_is_refused_what_differs(tmp_path):
    go(tuner := made(tmp_path), 1)
    tuner.close()
    with pytest.raises(ValueError, match="seed: 0 in the run, 1 now"):
        made(tmp_path, seed=1)
    with pytest.raises(ValueError, match="holds another run"):
        jaxhpt.Tuner({"x": jaxhpt.Float(-1, 4), "k": ["a", "b"]}, algorithm="tpe", trials=24, run_dir=tmp_path)
    calls = (tmp_path / "calls.jsonl").read_text()
    (tmp_path / "calls.jsonl").write_text(calls.replace('"unit": [[0.', '"unit": [[0.0'))
    with pytest.raises(ValueError, match="asks for other settings than in the run"):
        made(tmp_path)
    (tmp_path / "calls.jsonl").write_text("{}\n" + calls)
    with pytest.raises(ValueError, match=r"calls.jsonl: line 1 is damaged"):
        made(tmp_path)


def test_an_unfinished_call_counts_as_none(tmp_path):
    go(tuner := made(tmp_path), 2)
    tuner.close()
    calls = tmp_path / "calls.jsonl"
    calls.write_bytes(calls.read_bytes()[:-4])
    again = made(tmp_path)
    assert [trial.id for trial in again.running] == [2, 3]


def test_priors_are_part_of_it(tmp_path):
    prior = [({"x": 0.5, "k": "a"}, 0.25), ({"x": 2.0, "k": "b"}, None)]
    go(tuner := made(tmp_path, prior=prior), 2)
    loaded = jaxhpt.load(tmp_path)
    assert [t.status for t in loaded.trials][:2] == ["prior", "prior"]
    same(loaded, tuner.result)


def test_a_tuner_that_is_gone_leaves_no_lock(tmp_path):
    go(made(tmp_path), 1)
    gc.collect()
    go(made(tmp_path), 1)


def test_a_closed_tuner_writes_no_more(tmp_path):
    go(tuner := made(tmp_path), 1)
    tuner.close()
    with pytest.raises(ValueError, match="this Tuner was closed; make another one in the same way"):
        tuner.ask(1)
