"""The command line: what each command prints, writes and returns."""

import csv
import dataclasses
import inspect
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import pytest
import short_runs as runs

import jaxhpt
from jaxhpt import reporting
from jaxhpt.arguments import DEFAULT_TRIALS
from jaxhpt.cli import main, searching
from jaxhpt.cli.main import parser
from jaxhpt.cli.reading import space_of
from jaxhpt.engine.endings import ENDINGS, phrase
from jaxhpt.results.stats import headline

FILE = """
import jax.numpy as jnp
import jaxhpt

space = {"lr": jaxhpt.Float(1e-3, 0.5, log=True)}
other = {"lr": jaxhpt.Float(1e-3, 0.1, log=True)}

@jaxhpt.task(init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2}, steps=4)
def task(w, batch, h, key):
    return w - h["lr"] * 2 * w

def f(h, key):
    return (h["lr"] - 0.1) ** 2

def broken(h, key):
    return h["lr"] * jnp.nan
"""
SMALL = ["--trials", "8", "--lanes", "4", "--algorithm", "random", "--quiet"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "tuned_by_cli.py"
    path.write_text(FILE)
    return str(path)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "run"
    runs.cut(folder, 2)
    return str(folder)


def test_a_search_of_a_file(file, tmp_path, capsys):
    saved = str(tmp_path / "result.npz")
    assert main(["run", f"{file}:task", *SMALL, "--save", saved, "--top", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("8 trials in")
    assert len(out.splitlines()) == 2 + 1 + 3
    assert main(["run", f"{file}:task", *SMALL, "--json", "--space", "other"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ended"], told["trials"], told["objectives"]) == ("finished", 8, {"loss": "min"})
    assert all(trial["hparams"]["lr"] <= 0.1 for trial in told["best"])
    assert main(["show", saved, saved, "--json", "--top", "1"]) == 0
    assert [len(one["best"]) for one in json.loads(capsys.readouterr().out)] == [1, 1]


def test_a_function_is_searched_when_it_is_said_so(file, capsys):
    given = ["--space", "lr=1e-3..0.5:log", *SMALL, "--json"]
    assert main(["run", f"{file}:f", "--minimize", *given]) == 0
    assert json.loads(capsys.readouterr().out)["best"][0]["metrics"]["score"] < 0.1
    assert main(["run", f"{file}:f", *given]) == 2
    assert "of a plain function say --minimize or --maximize" in json.loads(capsys.readouterr().err)["error"]
    assert main(["run", f"{file}:task", "--minimize", *given]) == 2
    assert "a Task is searched without --minimize" in json.loads(capsys.readouterr().err)["error"]


def test_a_search_that_finds_nothing_says_so(file, capsys):
    assert main(["run", f"{file}:broken", "--minimize", *SMALL]) == 1
    assert "all failed: score, or the weights, were not finite" in capsys.readouterr().out


def test_a_run_goes_on_and_grows(file, tmp_path, capsys):
    given = ["run", f"{file}:task", *SMALL, "--json", "--run-dir", str(tmp_path / "run")]
    assert main(given) == 0
    assert main([*given, "--trials", "12"]) == 0
    assert main([*given, "--trials", "12", "--seed", "1"]) == 2
    out, err = capsys.readouterr()
    assert [json.loads(line)["trials"] for line in out.splitlines()] == [8, 12]
    assert "seed: 0 in the run, 1 now" in json.loads(err)["error"]


def test_a_dry_run(file, capsys):
    assert main(["check", f"{file}:task", "--quick", "--trials", "8"]) in (0, 1)
    assert capsys.readouterr().out.startswith("state ")
    code = main(["check", f"{file}:task", "--quick", "--json", "--trials", "8", "--lanes", "4"])
    told = json.loads(capsys.readouterr().out)
    assert (told["lanes"], code) == (4, 0)


BAD = """
import jax.numpy as jnp
import jaxhpt

space = {"lr": jaxhpt.Float(1e-3, 0.5, log=True)}
given = {"init": lambda key, h: jnp.float32(4.0), "steps": 4}

@jaxhpt.task(evaluate=lambda w, data, h: {"loss": w**2}, **given)
def nan(w, batch, h, key):
    return w - h["lr"] * jnp.nan

@jaxhpt.task(evaluate=lambda w, data, h: {"loss": h["lr"] ** 2}, **given)
def unread(w, batch, h, key):
    return w - h["lr"] * 2 * w

@jaxhpt.task(evaluate=lambda w, data, h: {"loss": w**2}, valid_data=jnp.arange(4.0), **given)
def other(w, batch, h, key):
    return w - h["lr"] * 2 * w
"""


@pytest.mark.parametrize(
    ("name", "said", "code"),
    [
        ("nan", "tried are NaN or infinite after", 1),
        ("unread", "no metric depends on the state", 1),
        ("other", "does not read its valid_data", 0),  # which may be meant
    ],
)
def test_a_dry_run_fails_where_results_would_mean_nothing(name, said, code, tmp_path, capsys):
    (tmp_path / "bad_tasks.py").write_text(BAD)
    assert main(["check", f"{tmp_path}/bad_tasks.py:{name}", "--trials", "8", "--lanes", "4"]) == code
    assert said in capsys.readouterr().out
    del sys.modules["bad_tasks"]


def test_a_dry_run_is_json_whatever_a_choice_holds(tmp_path, capsys):
    space = "space = {'c': jaxhpt.Choice([float('inf'), None], structural=True), 'lr': jaxhpt.Float(0, 1)}\n"
    step = "def task(w, batch, h, key):\n    return w - h['lr'] * (h['c'] is None)\n"
    task = FILE[FILE.index("@jaxhpt.task") : FILE.index("def task")]
    (tmp_path / "infinite.py").write_text(f"import jax.numpy as jnp\nimport jaxhpt\n{space}{task}{step}")
    assert main(["check", f"{tmp_path}/infinite.py:task", "--json", "--trials", "4"]) in (0, 1)
    told = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert told["lanes"] >= 1


def test_what_a_run_is_doing_is_shown(tmp_path, capsys):
    folder, shown = tmp_path / "run", []

    def look(*words):
        assert main(["show", str(folder), *words]) == 0
        return capsys.readouterr().out

    def callback(snapshot):
        if snapshot.events == 2:
            shown.append(look())
            shown.append(json.loads(look("--json"))["state"])
            files = [folder / name for name in ("commands.jsonl", "lock")]
            told = {"kind": "pause", "value": None, "event": None, "wrong": "", "time": time.time(), "source": "x.json"}
            files[0].write_text(json.dumps(told) + "\n")
            shown.append(look().splitlines()[0])
            os.utime(files[1], (time.time() + 9, time.time() + 9))  # of a process that began later
            shown.append(look().splitlines()[0])

    runs.search(folder, callbacks=[callback], events_per_dispatch=1, checkpoint_seconds=1e-9)
    states = ["(running)", "running", "(paused)", "(running)"]
    assert [text.splitlines()[0][-len(state) :] for text, state in zip(shown, states, strict=True)] == states
    assert json.loads(look("--json"))["state"] == "ended"
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "ended": None}))
    assert look().splitlines()[0].endswith("(killed)")


def test_trials_are_counted_by_how_they_ended_and_runs_are_named(run, tmp_path, capsys):
    result = runs.search(folder := tmp_path / "asha", scheduler=jaxhpt.ASHA(min_steps=4))
    stopped = sum(trial.status == "stopped" for trial in result.trials)
    assert repr(result).startswith(f"40 trials ({stopped} stopped early) in ")
    assert main(["show", run, str(folder)]) == 0
    first, second = capsys.readouterr().out.split("\n\n")
    assert first.splitlines()[:2][0] == f"{run}:"
    assert first.splitlines()[1].startswith("16 trials in ")
    assert second.splitlines()[0] == f"{folder}:"
    assert second.splitlines()[1].startswith(f"40 trials ({40 - stopped} done, {stopped} stopped early) in ")
    assert main(["show", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [told[name] for name in ("done", "stopped", "failed", "run")] == [40 - stopped, stopped, 0, str(folder)]


@pytest.mark.parametrize("ended", [*ENDINGS, "told"])
def test_people_are_told_in_english_how_a_search_ended(run, ended):
    stats = dataclasses.replace(jaxhpt.load(run).stats, ended=ended)
    assert ("(" in headline(stats)[0]) == (ended != "finished")
    assert phrase(ended) == "finished" or len(phrase(ended).split()) > 2


def test_tables_for_other_programs(run, tmp_path, capsys):
    loaded = jaxhpt.load(run)
    assert main(["export", run, "--to", "csv", "-o", "-"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [float(row["lr"]) for row in rows] == [trial.hparams["lr"] for trial in loaded.trials]
    assert list(rows[0]) == ["trial", "status", "steps", "loss", "lr"]
    assert main(["export", run, "--to", "json", "-o", str(tmp_path / "t.json"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(tmp_path / "t.json"), "trials": len(rows)}
    assert [t["trial"] for t in json.loads((tmp_path / "t.json").read_text())] == list(range(len(rows)))
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    assert main(["export", run, "--to", "parquet", "-o", str(tmp_path / "t.parquet")]) == 0
    pandas.testing.assert_frame_equal(pandas.read_parquet(tmp_path / "t.parquet"), loaded.to_pandas())
    assert main(["export", run, "--to", "parquet", "-o", "-"]) == 2


def test_a_page_to_look_at(run, file, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["report", run, "-o", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    alone = page.read_text()
    assert main(["report", run, "-o", str(page), "--watch", "--json"]) == 0  # of a run that has ended it returns
    assert json.loads(capsys.readouterr().out) == {"path": str(page)}
    saved = str(tmp_path / "other.npz")
    given = ["--save", saved, "--report", str(tmp_path / "p.html")]
    assert main(["run", f"{file}:f", "--minimize", *SMALL, *given]) == 0
    assert "</html>" in (tmp_path / "p.html").read_text()
    assert main(["report", run, saved, "-o", str(page)]) == 0
    assert len(page.read_text()) > len(alone)
    assert main(["report", run, "-o", str(tmp_path)]) == 2
    assert "is a directory; name a file in it" in capsys.readouterr().err
    assert main(["report", run, saved, "--watch"]) == 2
    assert main(["report", saved, "--watch"]) == 2  # it would wait for ever
    assert main(["report", run, run, "-o", str(page)]) == 2
    assert "--watch='" in (err := capsys.readouterr().err)
    assert "given once" in err


def test_a_page_of_a_saved_result_alone(file, tmp_path, capsys):
    saved, page = str(tmp_path / "one.npz"), tmp_path / "page.html"
    assert main(["run", f"{file}:f", "--minimize", *SMALL, "--save", saved]) == 0
    assert main(["report", saved, "-o", str(page)]) == 0
    assert "killed" not in page.read_text().split("<script")[0]


def test_tables_of_many_searches_tell_them_apart_whatever_is_named_so(tmp_path, capsys):
    folder, out = tmp_path / "many", tmp_path / "t.parquet"
    jaxhpt.search_many(
        lambda state, batch, h, key: state - h["search"], {"search": jaxhpt.Float(0, 1)}, run_dir=folder,
        init=lambda key, h: jnp.float32(0), evaluate=lambda state, data, h: {"loss": state}, steps=2, trials=3,
        train_data=jnp.ones((2, 4)), batch_size=2, algorithm="random", progress=False,
    )  # fmt: skip
    names = ["search", "trial", "status", "steps", "loss", "hparams.search"]
    assert main(["export", str(folder), "--to", "csv", "-o", "-"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(list(row), row["search"]) for row in rows] == [(names, str(i)) for i in (0, 0, 0, 1, 1, 1)]
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    assert main(["export", str(folder), "--to", "parquet", "-o", str(out)]) == 0
    found = pandas.read_parquet(out)
    assert (list(found), found["search"].tolist()) == (names, [0, 0, 0, 1, 1, 1])
    shutil.rmtree(folder / "checkpoints")
    log = folder / "trials.jsonl"  # as of a run that was killed before a trial of its first search had ended
    log.write_text("".join(line for line in log.read_text().splitlines(True) if json.loads(line)["search"]))
    capsys.readouterr()
    assert main(["export", str(folder), "--to", "csv", "-o", "-"]) == 0
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == rows[3:]


ODD = """
import jax.numpy as jnp
import jaxhpt

def last(values):
    return values[-1]

kinds = jaxhpt.Choice(["a,b", 'two "lines"\\n', None, 2.5, (1, "x"), len, last], structural=True)
space = {"x": jaxhpt.Float(0, 1), "kind": kinds}

def f(h, key):
    return h["x"] + (h["kind"] is None)
"""


def test_choices_of_all_kinds_are_written_for_other_programs(tmp_path, capsys, monkeypatch):
    (tmp_path / "odd_kinds.py").write_text(ODD)
    run, saved = str(tmp_path / "v1.2"), str(tmp_path / "v1.2.npz")
    given = ["--space", "space", *SMALL, "--trials", "20", "--run-dir", run, "--save", saved]
    assert main(["run", f"{tmp_path}/odd_kinds.py:f", "--minimize", *given]) == 0
    monkeypatch.chdir(tmp_path)
    for path in (run, saved):
        assert main(["export", path, "--to", "csv"]) == 0
    with (tmp_path / "v1.2.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert {row["kind"] for row in rows} >= {"a,b", 'two "lines"\n', "len", "last", ""}
    monkeypatch.chdir(run)
    assert main(["export", ".", "--to", "json"]) == 0
    assert len(json.loads((tmp_path / "v1.2" / "v1.2.json").read_text())) == 20
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    assert main(["export", run, "--to", "parquet", "-o", "t.parquet"]) == 0
    found = pandas.read_parquet("t.parquet")["kind"]
    assert [value if isinstance(value, str) else "" for value in found] == [row["kind"] for row in rows]


def test_the_demo_says_what_it_tunes_what_it_wrote_and_what_is_next(tmp_path, capsys, monkeypatch):
    searched = []

    def small(task, space, progress, **given):
        searched.append(given)
        return runs.search(given["run_dir"])

    monkeypatch.setattr(searching, "search", small)
    page, folder = str(tmp_path / "page.html"), str(tmp_path / "run")
    assert main(["demo", "--run-dir", folder, "--seed", "3"]) == 0
    first, wrote, after = capsys.readouterr().err.splitlines()
    assert searched[0] == {"trials": 256, "algorithm": "auto", "scheduler": "asha", "seed": 3, "run_dir": folder}
    assert (
        "256 small networks that tell two spirals apart; tunes lr, momentum, decay, scale, by algorithm auto" in first
    )
    assert wrote.startswith(f"wrote {folder}: the run; ")
    assert "jaxhpt demo --report demo.html" in after
    assert "jaxhpt run FILE.py:TASK" in after
    assert main(["demo", "--run-dir", folder, "--report", page, "--quiet"]) == 0
    assert f"wrote {page}: a page to look at" in (err := capsys.readouterr().err)
    assert "next:" not in err
    assert main(["demo", "--run-dir", folder, "--json"]) == 0
    assert capsys.readouterr().err == ""


def test_help_shows_defaults(capsys):
    commands = parser()._subparsers._group_actions[0].choices
    told = {name: " ".join(commands[name].format_help().split()) for name in ("run", "demo", "check")}
    defaults = inspect.signature(jaxhpt.search).parameters
    for name in ("run", "check"):
        assert f"by default {DEFAULT_TRIALS}, or all points" in told[name]
        assert f"by default {defaults['scheduler'].default} " in told[name]
    assert all(f"by default {defaults['algorithm'].default} " in text for text in told.values())
    assert "by default asha " in told["demo"]


def test_outputs_are_looked_at_before_a_search(file, tmp_path, capsys):
    given = ["run", f"{file}:f", "--minimize", *SMALL, "--trials", "1000000000"]
    assert main([*given, "--save", str(tmp_path)]) == 2
    assert "must be a file, not a directory" in capsys.readouterr().err
    assert main([*given, "--report", str(tmp_path / "no" / "page.html")]) == 2
    assert "in a folder that is there" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error(run):
    command = f"{sys.executable} -m jaxhpt show {run} | true; echo ${{PIPESTATUS[0]}}"
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=buffered)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_watch_ends_by_ctrl_c_and_when_the_run_is_gone(run, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(run, folder)
    monkeypatch.setattr(reporting, "held", lambda folder: True)
    monkeypatch.setattr(reporting, "_ended", lambda folder: False)
    monkeypatch.setattr(reporting.time, "sleep", lambda seconds: shutil.rmtree(folder))
    watch = ["report", str(folder), "--watch", "-o", str(tmp_path / "page.html")]
    assert main(watch) == 2
    assert "is gone" in capsys.readouterr().err

    def interrupted(seconds):  # a process in the background may ignore the signal itself
        raise KeyboardInterrupt

    monkeypatch.setattr(reporting.time, "sleep", interrupted)
    assert main(watch) == 130
    assert "which has not begun, until" in (err := capsys.readouterr().err)
    assert err.endswith("jaxhpt report: interrupted\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1\nraise KeyError('a')", "line 2 raises KeyError"), ("x = (", "line 1 raises SyntaxError"),
        ("import sys\n\nsys.exit(3)", "line 3 raises SystemExit"), ("def f():\n  int('a')\nf()", "line 2 raises Val"),
    ],
)  # fmt: skip
def test_what_a_file_raises_is_said_with_its_line(text, said, tmp_path, capsys):
    (tmp_path / "it_raises.py").write_text(text)
    assert main(["run", f"{tmp_path}/it_raises.py:x"]) == 2
    assert said in capsys.readouterr().err
    assert "it_raises" not in sys.modules


def test_a_module_of_the_current_folder_is_found(tmp_path, capsys, monkeypatch):
    (tmp_path / "only_here.py").write_text("def f(h, key):\n    return h['x']\n")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    monkeypatch.chdir(tmp_path)
    assert main(["run", "only_here:f", "--minimize", "--space", "x=0..1.", *SMALL]) == 0


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_as_many_trials_are_shown_as_there_can_be(run, count, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["show", run, "--top", count])
    assert "is no whole number from 1 on" in capsys.readouterr().err


def test_a_study_of_optuna(run, file, tmp_path, capsys):
    optuna = pytest.importorskip("optuna")
    path, folder = tmp_path / "t.journal", str(tmp_path / "run")

    def study(path):
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
        return optuna.load_study(study_name="jaxhpt", storage=storage)

    assert main(["export", run, "--to", "optuna", "-o", str(path)]) == 0
    assert study(path).best_params == jaxhpt.load(run).best.hparams
    assert main(["run", f"{file}:f", "--minimize", *SMALL, "--optuna", "--run-dir", folder]) == 0
    assert len(study(f"{folder}/optuna.journal").trials) == 8
    capsys.readouterr()
    assert main(["run", f"{file}:f", "--minimize", *SMALL, "--optuna"]) == 2
    assert "with --run-dir" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["run", "export"])
def test_a_missing_extra_is_said_once(way, run, file, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    for name in [name for name in sys.modules if name.startswith("jaxhpt.integrations.optuna")]:
        monkeypatch.delitem(sys.modules, name)
    searched = ["run", f"{file}:f", "--minimize", *SMALL, "--optuna", "--run-dir", str(tmp_path / "run")]
    assert main(searched if way == "run" else ["export", run, "--to", "optuna"]) == 2
    said = capsys.readouterr().err
    assert [said.count(part) for part in ("jaxhpt.integrations.optuna:", "pip install 'jaxhpt[optuna]'")] == [1, 1]


@pytest.mark.parametrize("missing", ["pandas", "pyarrow"])
def test_a_table_for_parquet_names_its_extra(missing, run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    assert main(["export", run, "--to", "parquet", "-o", str(tmp_path / "t.parquet")]) == 2
    assert "pip install 'jaxhpt[parquet]'" in (said := capsys.readouterr().err)
    assert "[pandas]" not in said


@pytest.mark.parametrize(
    ("words", "space"),
    [
        (["a=1..8"], {"a": jaxhpt.Int(1, 8)}),
        (["a=1e-4..1e-1:log"], {"a": jaxhpt.Float(1e-4, 1e-1, log=True)}),
        (["a=-2..2.5", "b=16..64:step=16"], {"a": jaxhpt.Float(-2, 2.5), "b": jaxhpt.Int(16, 64, step=16)}),
        (["a=.1..1.", "b=+1..8"], {"a": jaxhpt.Float(0.1, 1.0), "b": jaxhpt.Int(1, 8)}),
        (["a=relu,tanh:structural"], {"a": jaxhpt.Choice(["relu", "tanh"], structural=True)}),
        (["a=32,64,128", "b=true,false"], {"a": jaxhpt.Choice([32, 64, 128]), "b": jaxhpt.Bool()}),
        (["opt.lr=0..1", "opt.b.c=1,2"], {"opt": {"lr": jaxhpt.Int(0, 1), "b": {"c": jaxhpt.Choice([1, 2])}}}),
    ],
)
def test_a_space_in_words(words, space):
    assert jaxhpt.Space.of(space_of(words, "")) == jaxhpt.Space.of(space)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a=1"], "--space a='1': must be a range such as"), (["a=x..y"], "must be a number"),
        (["a=1..2:lag"], "one of log, step, structural; did you mean 'log'"), (["=1..2"], "must be NAME="),
        (["a=1..2", "b"], "must be NAME="), (["a=1..2", "a.b=1..2"], "another name, as a is a dimension itself"),
        (["a.b=1..2", "a.b=1..3"], "given once"), (["spice"], "a name in"), (["a", "b"], "one name"),
        (["a..b=1..2"], "between dots"), ([".a=1..2"], "between dots"), (["a=true,false,true"], "distinct"),
        (["nowhere.py:x"], "a file that is there"), (["a=2..1"], "low|below|less"),
    ],
)  # fmt: skip
def test_what_is_no_space_is_said(words, said, file):
    with pytest.raises(ValueError, match=said):
        jaxhpt.Space.of(space_of(words, file))


def test_a_spec_is_a_space(tmp_path):
    space = jaxhpt.Space.of({"a": jaxhpt.Int(1, 8), "b": [1, 2]})
    (tmp_path / "space.json").write_text(json.dumps(space.to_spec()))
    assert space_of([str(tmp_path / "space.json")], "") == space


def test_a_confirmation_is_told_to_programs(tmp_path, capsys):
    result = runs.search(tmp_path / "run", trials=8, confirm=3)
    assert main(["show", str(tmp_path / "run"), "--json", "--top", "2"]) == 0
    told = json.loads(capsys.readouterr().out)["confirmed"]
    assert told == [{"trial": one.trial.id, "metrics": one.metrics} for one in result.confirmed[:2]]
    assert told[0]["trial"] == result.best.id


def test_a_demo_takes_its_seed(monkeypatch):
    seen = []
    monkeypatch.setattr(searching, "_searched", lambda way, task, space, given, options: seen.append(given) or 0)
    assert main(["demo", "--seed", "3"]) == 0
    assert seen[0]["seed"] == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "task"], "must be FILE.py:NAME or MODULE:NAME"), (["run", "no_such_module:x"], "No module named"),
        (["run", "math:pi.task"], "must be a name in math"),
        (["show", "/no/such/run"], "there is no such run"), (["export", "/no/such", "--to", "csv"], "no such run"),
    ],
)  # fmt: skip
def test_a_wrong_argument_has_code_2_and_a_remedy(words, said, capsys):
    assert main(words) == 2
    assert said in capsys.readouterr().err
    assert main([*words, "--json"]) == 2
    assert said in json.loads(capsys.readouterr().err)["error"]
    with pytest.raises((ValueError, ImportError, OSError), match=said):
        main([*words, "--debug"])


def test_every_command_has_json_and_completes(capsys):
    commands = parser()._subparsers._group_actions[0].choices
    for name, command in commands.items():
        assert "--json" in command.format_help(), name
    pytest.importorskip("shtab")
    assert main(["completion", "bash", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["shell"] == "bash"
    for shell in ("bash", "zsh", "tcsh"):
        assert main(["completion", shell]) == 0
        script = capsys.readouterr().out
        assert all(name in script for name in commands)


def test_ctrl_c_ends_in_order_with_its_own_code(file, tmp_path):
    words = ["run", f"{file}:f", "--minimize", "--trials", "2000000", "--lanes", "4", "--algorithm", "random"]
    words += ["--json", "--run-dir", str(tmp_path / "run")]
    command = [sys.executable, "-m", "jaxhpt", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ})
    log, patience = tmp_path / "run" / "trials.jsonl", time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < patience:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert b"jaxhpt: ending in order; again to end at once\n" in err
    assert json.loads(out)["ended"] == "interrupted"
