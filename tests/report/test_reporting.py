"""Reports of results, of several, of runs on disk, and of a run that goes on."""

import json
import re
import socket
import threading
import time

import numpy as np
import pytest
import short_runs

import jaxhpt
from jaxhpt import reporting
from jaxhpt.core.history import Status
from jaxhpt.results.findings import findings_of


@pytest.fixture(scope="module")
def result():
    return short_runs.search(scheduler="asha")


def searches_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)[1])["searches"]


def test_findings_are_the_trials(result):
    found = findings_of(result, importance=None)
    for row, trial in enumerate(result.trials):
        assert found.trial[row] == trial.id
        assert Status(int(found.status[row])).name.lower() == trial.status
        assert found.value[row, 0] == pytest.approx(trial.hparams["lr"], rel=1e-5)
        assert found.score[row, 0] == pytest.approx(trial.value, rel=1e-5, nan_ok=True)
        there = np.isfinite(found.curve[row])
        assert found.report[row][there].tolist() == list(trial.curve.steps)
    assert found.trial[found.best] == result.best.id
    assert (found.facts.algorithm, found.facts.scheduler, found.facts.seed) == ("Genetic", "ASHA", 0)


def test_findings_of_conditional_spaces_and_of_what_is_maximised():
    space = {"opt": ["a", "b"], "b": jaxhpt.When("opt", "b", {"x": jaxhpt.Float(0, 1)}), "n": jaxhpt.Int(1, 9)}
    gain = lambda h, key: {"gain": h["b"]["x"] * h["n"] + h["opt"], "size": h["n"] ** 2.0}  # noqa: E731
    result = jaxhpt.maximize(gain, space, objective="gain", trials=20, progress=False)
    found = findings_of(result, importance=None)
    names = [axis.name for axis in found.axes]
    for row, trial in enumerate(result.trials):
        x, opt = found.value[row, names.index("b.x")], found.value[row, names.index("opt")]
        assert np.isnan(x) == (trial.hparams["b"]["x"] is None)
        assert found.axes[names.index("opt")].texts[int(opt)] == trial.hparams["opt"]
        assert found.score[row, 0] == pytest.approx(trial.value)
    assert found.score[found.best, 0] == found.score[:, 0].max()


def test_a_result_reports_itself_with_what_mattered(tmp_path):
    where = short_runs.search().report(tmp_path / "new" / "report.html", importance="grey")
    (search,) = searches_of(where)
    (entry,) = (figure for figure in search["figures"] if figure["name"] == "importance")
    assert entry["variants"][0][1]["names"] == ["lr"]
    assert [path.name for path in where.parent.iterdir()] == ["report.html"]  # nothing is left of writing it


def test_several_are_one_page(result, tmp_path):
    path = jaxhpt.report({"first": result, "second": result}, tmp_path / "both.html")
    assert [search["name"] for search in searches_of(path)] == ["first", "second"]
    assert len(searches_of(jaxhpt.report([result] * 3, path))) == 3


def test_what_mattered_is_told_of_each_of_several(tmp_path):
    result = short_runs.search()
    for search in searches_of(jaxhpt.report([result, result], tmp_path / "both.html")):
        (entry,) = (figure for figure in search["figures"] if figure["name"] == "importance")
        assert entry["variants"][0][1]["method"] == "grey"


@pytest.mark.parametrize("given", [3, [3], "nowhere", {}])
def test_what_is_no_result_is_refused(given, tmp_path):
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=r"must be|no such run"):
        jaxhpt.report(given, tmp_path / "no.html")


def test_two_names_that_read_alike_are_refused(result, tmp_path):
    with pytest.raises(ValueError, match="must be of different names"):
        jaxhpt.report({1: result, "1": result}, tmp_path / "page.html")


def test_an_unknown_method_is_refused(result, tmp_path):
    with pytest.raises(ValueError, match="importance='gray': unknown"):
        result.report(tmp_path / "no.html", importance="gray")
    with pytest.raises(ValueError, match="importance='gray': unknown"):
        jaxhpt.report([result, result], tmp_path / "no.html", importance="gray")
    assert not (tmp_path / "no.html").exists()


def test_a_run_is_read_with_its_algorithm(tmp_path):
    short_runs.search(tmp_path / "run", trials=16)
    text = jaxhpt.report(tmp_path / "run", tmp_path / "run.html", importance=None).read_text()
    assert "Genetic" in text
    assert "<title>run</title>" in text


def test_a_run_that_was_killed_or_has_no_trial_yet_is_shown(tmp_path):
    short_runs.search(tmp_path / "run", trials=16)
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "ended": None}))
    assert "killed" in jaxhpt.report(tmp_path / "run", tmp_path / "page.html", importance=None).read_text()
    for path in (tmp_path / "run" / "trials.jsonl", *(tmp_path / "run" / "checkpoints").glob("*")):
        path.rename(tmp_path / path.name)
    text = jaxhpt.report(tmp_path / "run", tmp_path / "page.html").read_text()
    assert "no trial has ended" in text


def test_a_run_is_followed_to_its_end(tmp_path):
    run, path, seen = tmp_path / "run", tmp_path / "live.html", []

    def look(snapshot):
        if len(seen) < 40 and True not in seen:
            time.sleep(0.1)
            seen.append(path.exists() and 'class="state">running' in path.read_text())

    follower = threading.Thread(target=jaxhpt.watch, args=(run, path, 0.05), daemon=True)
    follower.start()
    short_runs.search(run, trials=24, callbacks=[look], events_per_dispatch=1)
    follower.join(60)
    assert not follower.is_alive()
    assert True in seen
    assert len(searches_of(path)[0]["figures"]) > 4
    assert '"reload":0' in path.read_text()


def test_a_run_is_followed_until_its_winner_is_confirmed(tmp_path, monkeypatch):
    run, path, pages = tmp_path / "run", tmp_path / "live.html", []
    monkeypatch.setattr(reporting, "write", lambda path, text: pages.append(text))
    follower = threading.Thread(target=jaxhpt.watch, args=(run, path, 0.02), daemon=True)
    follower.start()
    short_runs.search(run, trials=24, confirm=2)
    follower.join(60)
    assert not follower.is_alive()
    assert "when trained again" in pages[-1]


def test_a_run_whose_process_is_gone_is_followed_no_longer(tmp_path):
    short_runs.search(tmp_path / "run", trials=16)
    manifest = tmp_path / "run" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "ended": None}))
    lock = {"host": socket.gethostname(), "pid": 2**22 + 1, "began": None}
    (tmp_path / "run" / "lock").write_text(json.dumps(lock))
    path = jaxhpt.watch(tmp_path / "run", tmp_path / "page.html", every=0.1)
    assert "killed" in path.read_text()


def test_how_often_to_look_is_checked(tmp_path):
    with pytest.raises(ValueError, match="every=0: must be above 0"):
        jaxhpt.watch(tmp_path, tmp_path / "page.html", every=0)


def test_a_notebook_shows_the_best_without_script(result):
    text = result._repr_html_()
    assert "lowest loss" in text
    assert f"trial {result.best.id}" in text
    assert "<svg" in text
    assert "<script" not in text
    assert len(text) < 12_000
    assert text.count("<tr>") == 6


def test_a_notebook_shows_a_front():
    result = jaxhpt.minimize(
        lambda h, key: {"a": h["x"], "b": 1 - h["x"]}, {"x": jaxhpt.Float(0, 1)}, objectives={"a": "min", "b": "min"},
        trials=12, progress=False,
    )  # fmt: skip
    assert "12 trials" in result._repr_html_()
    assert "on the Pareto front" in result._repr_html_()
