"""A running search does what it is told by files in its directory, and repeats it where it goes on."""

import dataclasses
import json
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import short_runs as runs

import jaxhpt
from jaxhpt import cli
from jaxhpt.store import recorder
from jaxhpt.store.commands import Commands, tell


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(recorder, "LOG_SECONDS", 0.0)
    monkeypatch.setattr(recorder, "PAUSE_SECONDS", 0.01)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    folder = tmp_path_factory.mktemp("told") / "run"
    runs.cut(folder, 1)
    return folder


def told(folder, events, *command):
    """Search, and tell it something after so many events; return the result, and what the log says of it."""
    sent = []

    def callback(snapshot):
        if snapshot.events >= events and not sent:
            sent.append(tell(folder, *command))

    result = runs.search(folder, callbacks=[callback], events_per_dispatch=1)
    return result, [json.loads(line) for line in (folder / "commands.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("execution", ["split", "fused"])
def test_a_setting_is_tried_next(tmp_path, execution):
    sent = []
    given = {"callbacks": [lambda s: s.events >= 2 and not sent and sent.append(tell(folder, "try", {"lr": 0.0777}))]}
    folder = tmp_path / "run"
    result = runs.search(folder, execution=execution, events_per_dispatch=1, **given)
    (trial,) = [t for t in result.trials if t.hparams["lr"] == pytest.approx(0.0777, rel=1e-5)]
    assert trial.id == 24  # the first of the event after next: the look comes before the event that follows
    assert (trial.status, result.stats.trials) == ("done", 40)
    line = json.loads((folder / "commands.jsonl").read_text())
    assert (line["kind"], line["event"], line["wrong"]) == ("try", 3, "")


def test_a_setting_is_tried_after_those_that_come_first(tmp_path):
    folder, sent, first = tmp_path / "run", [], [{"lr": 0.01 + i / 1000} for i in range(20)]
    given = {"callbacks": [lambda s: None if sent else sent.append(tell(folder, "try", {"lr": 0.0777}))]}
    result = runs.search(folder, first=first, events_per_dispatch=1, **given)
    rates = [trial.hparams["lr"] for trial in result.trials]
    np.testing.assert_allclose(rates[:20], [setting["lr"] for setting in first], rtol=1e-5)
    assert sum(rate == pytest.approx(0.0777, rel=1e-5) for rate in rates[20:]) == 1


def test_a_trial_is_dropped_and_its_lane_goes_to_another(tmp_path):
    folder, sent = tmp_path / "run", []

    def callback(snapshot):
        if snapshot.events >= 4 and not sent:
            sent.append(tell(folder, "drop", 9))
            tell(folder, "drop", 3)

    result = runs.search(folder, callbacks=[callback], events_per_dispatch=1, interval=4, trials=16)
    assert result.trials[9].status == "stopped"
    assert result.trials[9].steps < 12
    assert [t.status for t in result.trials].count("done") == 15
    lines = [json.loads(line) for line in (folder / "commands.jsonl").read_text().splitlines()]
    assert [line["wrong"] for line in lines] == ["", "trial 3 is not running"]


def test_it_is_stopped_in_order_and_goes_on(tmp_path):
    result, _ = told(tmp_path / "run", 2, "stop")
    assert result.stats.ended == "stopped"
    assert result.stats.trials == 24
    np.testing.assert_array_equal(runs.search(tmp_path / "run").history.unit, runs.search().history.unit)


def test_their_number_is_raised_while_it_runs_and_the_same_call_keeps_it(tmp_path):
    result, _ = told(tmp_path / "run", 2, "trials", 100)
    assert result.stats.trials == 100
    assert runs.search(tmp_path / "run").stats.trials == 100
    assert len((tmp_path / "run" / "trials.jsonl").read_text().splitlines()) == 100


@pytest.mark.parametrize("fewer", [1, 39])
def test_their_number_is_not_lowered_and_the_search_goes_on(tmp_path, fewer):
    result, (line,) = told(tmp_path / "run", 1, "trials", fewer)
    assert (result.stats.trials, line["wrong"]) == (40, "the run has 40 already; not less: stop ends it")
    assert runs.search(tmp_path / "run").stats.trials == 40


def test_what_is_no_command_breaks_no_search(tmp_path):
    folder = tmp_path / "run"

    def callback(snapshot):
        if snapshot.events == 2:
            (folder / "commands").mkdir()
            (folder / "commands" / "a.json").mkdir()
            (folder / "commands" / "b.json").symlink_to(tmp_path / "nowhere")
            (folder / "commands" / "c.json").write_text('{"kind": "trials", "value": 100000000000000000000}')

    assert runs.search(folder, callbacks=[callback], events_per_dispatch=1).stats.trials == 40
    lines = [json.loads(line)["wrong"] for line in (folder / "commands.jsonl").read_text().splitlines()]
    assert ["a directory" in lines[0], "No such file" in lines[1], "at most 2**30" in lines[2]] == [True] * 3
    with pytest.raises(ValueError, match=r"trials=2147483648: must be at most 2\*\*30"):
        runs.search(trials=2**31)


def test_it_pauses_until_it_is_told_to_go_on(tmp_path):
    folder, waited = tmp_path / "run", []

    def later():
        time.sleep(0.3)
        waited.append(len(list(folder.glob("commands/*.json"))))
        tell(folder, "resume")

    def callback(snapshot):
        if snapshot.events == 2:
            tell(folder, "pause")
            threading.Thread(target=later).start()

    begun = time.monotonic()
    result = runs.search(folder, callbacks=[callback], events_per_dispatch=1)
    assert time.monotonic() - begun > 0.3
    assert (result.stats.trials, waited) == (40, [0])


def test_what_it_was_told_is_repeated_from_an_earlier_checkpoint(tmp_path, monkeypatch):
    whole, _ = told(tmp_path / "run", 2, "try", {"lr": 0.05})
    steps = sorted((tmp_path / "run" / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for path in steps:
        shutil.rmtree(path)  # of a machine that was gone before the first checkpoint
    again = runs.search(tmp_path / "run", events_per_dispatch=3)
    np.testing.assert_array_equal(again.history.unit, whole.history.unit)
    np.testing.assert_array_equal(again.history.metrics, whole.history.metrics)
    assert len((tmp_path / "run" / "commands.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("fly",), "command='fly': must be one of stop, pause"), (("stop", 3), "stop=3: must be without a value"),
        (("try", {"x": 1}), "must be names of the space"), (("try", {"lr": 7}), "must be within"),
        (("try", {}), "complete: 'lr' is None"), (("try", 3), "must be a setting"), (("drop", "a"), "must be an int"),
        (("trials", 0), "a whole number from 1 on"), (("trials", 10**20), r"at most 2\*\*30"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_at_once(begun, command, said):
    with pytest.raises((ValueError, TypeError), match=said):
        tell(begun, *command)
    with pytest.raises(ValueError, match="the directory of a run"):
        tell(begun / "nowhere", "stop")


def beside(folder, *commands):
    """Tell a search by the command line while it runs; return its result, and the codes of the commands."""
    codes = []

    def speak():
        codes.extend(cli.main(["tell", str(folder), *words]) for words in commands)

    speaker = threading.Thread(target=speak)

    def callback(snapshot):
        if snapshot.events == 2:
            speaker.start()
        if snapshot.events > 2 and speaker.is_alive():
            time.sleep(0.02)

    result = runs.search(folder, callbacks=[callback], events_per_dispatch=1, trials=2000, **WIDER)
    speaker.join()
    return result, codes


def evaluate(s, valid, h):
    return {"loss": runs.evaluate(s, valid, h)["loss"] + 0.0 * (h["act"] + h["width"])}


SPACE = {"lr": runs.SPACE["lr"], "act": jaxhpt.Choice([min, (1, 2), "text"]), "width": jaxhpt.Int(1, 8)}
WIDER = {"space": SPACE, "evaluate": evaluate}


def test_the_command_line_says_what_became_of_a_command(tmp_path, capsys):
    given = ["try", '{"lr": 0.0777}', "--json"]
    words = (["drop", "99999"], ["trials", "10"], given, ["pause"], ["resume", "--json"], ["stop"])
    result, codes = beside(tmp_path / "run", *words)
    out, err = capsys.readouterr()
    assert codes == [2, 2, 0, 0, 0, 0]
    assert err.splitlines() == [
        "jaxhpt tell: drop 99999: refused: trial 99999 is not running",
        "jaxhpt tell: trials 10: refused: the run has 2000 already; not less: stop ends it",
    ]
    tried, paused, resumed, stopped = out.splitlines()
    tried = json.loads(tried)
    best = result.trials[tried["filled_from"]]
    assert (tried["done"], tried["event"] > 0, best.status) == (True, True, "done")
    (trial,) = [t for t in result.trials if t.hparams["lr"] == pytest.approx(0.0777, rel=1e-5)]
    assert trial.hparams == {**best.hparams, "lr": trial.hparams["lr"]}
    assert (paused, json.loads(resumed)["done"], stopped) == ("pause: done", True, "stop: done")
    assert result.stats.ended == "stopped"


def test_what_is_left_out_of_a_setting_needs_a_trial_that_is_done(tmp_path, capsys):
    runs.cut(tmp_path / "run", 1, interval=1, **WIDER)
    assert cli.main(["tell", str(tmp_path / "run"), "try", '{"lr": 0.01}']) == 2
    assert "complete, with act, width too, until a trial is done" in capsys.readouterr().err
    assert cli.main(["tell", str(tmp_path / "run"), "try", '{"lrr": 0.01}']) == 2
    assert "names of the space; did you mean 'lr'" in capsys.readouterr().err
    runs.search(tmp_path / "run", interval=1, **WIDER)
    assert cli.main(["tell", str(tmp_path / "run"), "try", '{"lr": 0.01}']) == 0
    assert capsys.readouterr().out.startswith("act, width: as in trial ")


def test_what_is_for_a_search_that_runs_is_refused_elsewhere_and_kept_for_none(tmp_path, capsys):
    runs.cut(folder := tmp_path / "run", 2)
    for kind in ("stop", "pause", "resume"):
        assert cli.main(["tell", str(folder), kind]) == 2
        assert f"no search runs there, so there is none to {kind}" in capsys.readouterr().err
    assert not (folder / "commands").exists()
    tell(folder, "trials", 44)
    for place, kind in enumerate(("pause", "stop")):  # told while it was killed
        (folder / "commands" / f"{place}.json").write_text(json.dumps({"kind": kind, "value": None}))
    result = runs.search(folder)
    assert (result.stats.ended, result.stats.trials) == ("finished", 44)
    lines = [json.loads(line) for line in (folder / "commands.jsonl").read_text().splitlines()]
    said = "told before this search began: {} is for one that runs"
    assert [(line["kind"], line["wrong"]) for line in lines] == [
        ("pause", said.format("pause")), ("stop", said.format("stop")), ("trials", ""),
    ]  # fmt: skip


def test_what_nobody_takes_is_said_to_wait(tmp_path, capsys, monkeypatch):
    runs.cut(tmp_path / "run", 2)
    words = ["tell", str(tmp_path / "run"), "drop", "3", "--wait"]
    assert cli.main([*words, "5"]) == 0  # which does not wait, as nobody is there
    assert "drop 3: no search runs in" in capsys.readouterr().out
    monkeypatch.setattr("jaxhpt.store.commands.held", lambda folder: True)
    monkeypatch.setattr("jaxhpt.cli.steering.held", lambda folder: True)
    assert cli.main([*words, "0.2"]) == 0
    assert "drop 3: not taken yet after 0.2 s; what becomes of it will stand in" in capsys.readouterr().out
    assert cli.main([*words, "-1"]) == 2
    assert "wait=-1.0: must be 0 or more seconds" in capsys.readouterr().err


def test_the_command_line(tmp_path, capsys):
    runs.cut(tmp_path / "run", 2)
    run = str(tmp_path / "run")
    assert cli.main(["tell", run, "try", '{"lr": 0.01}']) == 0
    assert len(list((tmp_path / "run" / "commands").iterdir())) == 1
    capsys.readouterr()
    assert cli.main(["show", run]) == 0
    assert "16 trials" in capsys.readouterr().out
    assert cli.main(["tell", run, "drop", "-1"]) == 2
    assert "must be a whole number from 0 on" in capsys.readouterr().err
    assert cli.main(["show", str(tmp_path)]) == 2
    with pytest.raises(SystemExit):
        cli.main(["tell", run, "try", "{lr: 0.01}"])
    found = subprocess.run([sys.executable, "-m", "jaxhpt.cli", "show", run], capture_output=True, text=True)
    assert found.stdout.startswith("16 trials")


def test_many_searches_pause_and_stop_and_take_no_other_orders(tmp_path):
    import jax.numpy as jnp

    folder, sent = tmp_path / "run", []

    def callback(snapshot):
        if not sent:
            sent.append(tell(folder, "drop", 0))
            tell(folder, "trials", 9)
        elif len(sent) == 1:
            sent.append(tell(folder, "stop"))

    given = {"init": runs.init, "evaluate": runs.evaluate, "train_data": jnp.stack([runs.ROWS] * 2), "batch_size": 4}
    given |= {"steps": 12, "trials": 32, "lanes": 4, "progress": False, "algorithm": "random"}
    results = jaxhpt.search_many(
        runs.step, runs.SPACE, run_dir=folder, events_per_dispatch=1, callbacks=[callback], **given
    )
    assert [r.stats.ended for r in results] == ["stopped"] * 2
    lines = [json.loads(line)["wrong"] for line in (folder / "commands.jsonl").read_text().splitlines()]
    assert lines[0] == "not for many searches at once"
    whole, again = (jaxhpt.search_many(runs.step, runs.SPACE, run_dir=run, **given) for run in (None, folder))
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one.history.metrics, other.history.metrics)
    loaded = jaxhpt.load(folder)
    assert [r.best for r in loaded] == [r.best for r in again]
    more = jaxhpt.search_many(runs.step, runs.SPACE, run_dir=folder, **{**given, "trials": 48})
    assert [r.stats.trials for r in more] == [48, 48]


def test_a_kill_loses_no_command(begun):
    def commands():
        return Commands(begun, jaxhpt.Space.of(runs.SPACE))

    tell(begun, "drop", 3)
    (path,) = (begun / "commands").iterdir()
    (taken,) = commands().take()  # and killed before it was carried out
    (again,) = (later := commands()).take()
    assert (again, later.take()) == (taken, [])
    text = path.read_text()
    later.log(later.order(again), event=5)
    assert not path.exists()
    path.write_text(text)  # killed between the two
    assert (commands().take(), path.exists()) == ([], False)
    assert commands().again(0)[-1] == dataclasses.replace(later.order(again), event=5)
