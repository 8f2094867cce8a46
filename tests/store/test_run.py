"""A run directory: the same call goes on to the same bits, another is refused, and damage is said or got over."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as orbax
import pytest
import short_runs as runs

import jaxhpt
from jaxhpt.results.columns import written_columns
from jaxhpt.store import best, files, recorder
from jaxhpt.store.checkpoints import Checkpoints
from jaxhpt.store.files import Lock


@pytest.fixture(scope="module")
def whole():
    return runs.search()


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A run that was cut off after two of five events, to be copied."""
    folder = tmp_path_factory.mktemp("half") / "run"
    runs.cut(folder, 2)
    return folder


@pytest.fixture
def run(half, tmp_path):
    return shutil.copytree(half, tmp_path / "run")


def same(one, other):
    for name in ("unit", "status", "metrics", "steps", "start", "parent", "author", "tried", "curve"):
        np.testing.assert_array_equal(getattr(one.history, name), getattr(other.history, name), err_msg=name)
    np.testing.assert_array_equal(one.best_state["w"], other.best_state["w"])
    assert one.best == other.best


def lines(folder):
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


def test_the_same_call_goes_on_to_the_same_bits(run, whole):
    before = jaxhpt.load(run)
    assert (before.stats.ended, before.stats.trials) == ("callback", 16)
    assert before.trials[:16] == whole.trials[:16]
    result = runs.search(run)
    same(result, whole)
    assert sorted(line["trial"] for line in lines(run)) == list(range(40))
    again = jaxhpt.load(run)
    assert again.trials == result.trials
    assert again.stats.ended == "finished"
    np.testing.assert_array_equal(again.best_state["w"], result.best_state["w"])  # a dict of arrays needs no task
    assert repr(again).splitlines()[2:] == repr(result).splitlines()[2:]
    same(runs.search(run), whole)  # and once more, when nothing is left to do


def test_time_goes_on_where_it_stood(run):
    before, seen = jaxhpt.load(run).stats.seconds, []
    result = runs.search(run, timeout=3600, callbacks=[lambda s: seen.append(s.seconds)], events_per_dispatch=1)
    assert 0 < before < seen[0] < result.stats.seconds
    assert jaxhpt.load(run).stats.seconds > before
    assert runs.search(run, timeout=before / 2, trials=400, events_per_dispatch=1).stats.trials > 40  # of this call


def test_the_winner_lies_beside_by_itself(run, whole):
    result = runs.search(run)
    with orbax.Checkpointer(orbax.PyTreeCheckpointHandler()) as reader:
        found = reader.restore(run / "best" / "weights")
    np.testing.assert_array_equal(found["w"], whole.best_state["w"])
    about, won = json.loads((run / "best" / "best.json").read_text()), result.best
    (line,) = [line for line in lines(run) if line["trial"] == won.id]
    assert about == {name: line[name] for name in ("trial", "status", "steps", "metrics", "hparams", "curve")}
    assert (about["metrics"], about["hparams"]) == (won.metrics, won.hparams)
    then = (run / "best").stat().st_mtime_ns
    runs.search(run)
    assert (run / "best").stat().st_mtime_ns == then  # the same winner is not written again
    (run / "best" / "best.json").write_text("{")
    runs.search(run)
    assert json.loads((run / "best" / "best.json").read_text()) == about


def test_of_several_objectives_no_winner_is_written(tmp_path):
    objectives = {"objectives": {"loss": "min", "size": "min"}, "algorithm": "random"}
    evaluate = lambda s, valid, h: {"loss": jnp.sum(s["w"] ** 2), "size": s["w"][0]}  # noqa: E731
    both = runs.search(tmp_path, evaluate=evaluate, **objectives)
    assert not both.has_weights
    assert not (tmp_path / "best").exists()


def test_a_winner_that_cannot_be_written_is_a_warning(run, whole, monkeypatch):
    def full(*_):
        raise OSError("No space left on device")

    shutil.rmtree(run / "best")
    monkeypatch.setattr(best, "export", full)
    with pytest.warns(UserWarning, match="best cannot be written .OSError: No space left"):
        same(runs.search(run), whole)


def test_more_trials(run):
    result = runs.search(run, trials=64)
    assert (result.stats.trials, len(lines(run))) == (64, 64)
    assert [t.status for t in result.trials] == ["done"] * 64
    assert len({tuple(t.hparams.items()) for t in result.trials}) == 64
    with pytest.raises(ValueError, match="trials=40: the run has 64 already; not less"):
        runs.search(run)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": 1}, "seed: 0 in the run, 1 now"),
        ({"algorithm": "random"}, "algorithm.kind: 'Genetic' in the run, 'Random' now"),
        ({"algorithm": jaxhpt.Genetic(population=8)}, "algorithm.population: 20 in the run, 8 now"),
        ({"scheduler": "asha"}, "scheduler.kind: 'RunToEnd' in the run, 'ASHA' now"),
        ({"lanes": 4}, "layout.lanes: 8 in the run, 4 now"),
        ({"steps": 24}, "schedule.steps: 12 in the run, 24 now"),
        ({"train_data": runs.ROWS + 1}, "task.data: other data than it was"),
        ({"evaluate": lambda s, valid, h: {"loss": jnp.sum(s["w"] ** 4)}}, "task.functions: what the functions"),
        ({"space": {"lr": jaxhpt.Float(1e-3, 0.6, log=True)}}, "space.dimensions[0].high: 0.5 in the run, 0.6 now"),
        ({"first": [{"lr": 0.1}]}, "before"),
    ],
)
def test_another_call_is_refused_with_what_differs(run, options, said):
    with pytest.raises(ValueError, match="holds another run; take another directory, or call it as before") as error:
        runs.search(run, **options)
    assert said in str(error.value)
    assert not (run / "lock").exists()


def damaged(folder, part):
    """Turn a byte in the middle of the largest file of the latest checkpoint."""
    latest = max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    files = [path for path in latest.rglob("*") if path.is_file() and part in str(path)]
    path = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    return latest


@pytest.mark.parametrize("part", ["state/d/", "state/_METADATA", "facts/metadata"])
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(run, whole, part):
    runs.cut(run, 4)
    latest = damaged(run, part)
    with pytest.warns(UserWarning, match="damaged, the one before is taken"):
        result = runs.search(run)
    same(result, whole)
    assert str(latest.name) == "2"
    assert sorted(line["trial"] for line in lines(run)) == list(range(40))  # none twice


def test_where_all_checkpoints_are_damaged_the_log_is_still_read(run):
    damaged(run, "state/d/")
    with pytest.warns(UserWarning, match="damaged"), pytest.raises(ValueError, match="all checkpoints are damaged"):
        runs.search(run)


def test_an_unfinished_line_of_the_log_is_cut_off_and_written_again(run, whole):
    log = run / "trials.jsonl"
    log.write_bytes(log.read_bytes()[:-7])
    same(runs.search(run), whole)
    assert sorted(line["trial"] for line in lines(run)) == list(range(40))


def test_a_damaged_line_within_the_log_is_an_error(run):
    log = run / "trials.jsonl"
    log.write_bytes(log.read_bytes().replace(b'"status"', b'"stat', 1))
    with pytest.raises(ValueError, match=r"trials.jsonl: line 1 is damaged: .*; remove that line to go on"):
        runs.search(run)


def test_trials_that_the_checkpoint_does_not_know_are_there_and_are_not_doubled(run, whole):
    shutil.rmtree(run / "checkpoints")
    loaded = jaxhpt.load(run)
    assert (loaded.stats.trials, loaded.stats.ended) == (16, "callback")
    assert loaded.trials[:16] == whole.trials[:16]
    assert loaded.best.value == min(t.value for t in whole.trials[:16])
    with pytest.raises(RuntimeError, match="does not pickle"):
        _ = loaded.best_state
    same(runs.search(run), whole)
    assert sorted(line["trial"] for line in lines(run)) == list(range(40))


def test_what_ran_when_a_run_was_killed_is_no_trial(run, whole):
    shutil.rmtree(run / "checkpoints")
    (run / "trials.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines(run) if line["trial"] != 2))
    loaded = jaxhpt.load(run)
    assert loaded.trials[:14] == [trial for trial in whole.trials[:15] if trial.id != 2]
    assert loaded.to_pandas().equals(whole.to_pandas().drop(2)[: len(loaded.trials)].reset_index(drop=True))
    with pytest.raises(ValueError, match="id of one of the 15 trials"):
        loaded.lineage(2)


def test_a_manifest_that_is_no_json_or_of_another_format(run):
    text = (run / "manifest.json").read_text()
    for content, said in ((text[:-20], "damaged, no JSON"), ('{"format": 99}', "format 99: this version of jaxhpt")):
        (run / "manifest.json").write_text(content)
        for call in (runs.search, jaxhpt.load):
            with pytest.raises(ValueError, match=said):
                call(run)


def test_one_process_at_a_time(run):
    lock = Lock(run)
    with pytest.raises(ValueError, match=f"process {os.getpid()} on .* runs in it; wait for its end"):
        runs.search(run)
    lock.release()
    elsewhere = {"host": "elsewhere", "pid": 1, "began": None}
    (run / "lock").write_text(json.dumps(elsewhere))
    with pytest.raises(ValueError, match=r"process 1 on elsewhere runs in it; if it is gone, remove .*lock"):
        runs.search(run)
    (run / "lock").write_text("")
    with pytest.raises(ValueError, match="does not tell whose it is; remove it if no search runs"):
        runs.search(run)


@pytest.mark.parametrize("began", [None, "12345"])
def test_the_lock_of_a_process_that_is_gone_is_taken_over(run, whole, began):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    pid = child.pid if began is None else os.getppid()  # gone; or another process has its number now
    (run / "lock").write_text(json.dumps({"host": os.uname().nodename, "pid": pid, "began": began}))
    same(runs.search(run), whole)
    assert not (run / "lock").exists()


def test_where_nothing_can_be_written_the_search_goes_on_and_says_so(monkeypatch, tmp_path, whole):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Checkpoints, "_save", full)
    with pytest.warns(UserWarning, match=r"cannot be written \(OSError: .*No space left.*\); the search goes on"):
        same(runs.search(tmp_path / "run"), whole)
    monkeypatch.setattr(recorder.Log, "add", full)
    with pytest.warns(UserWarning, match="cannot be written"):
        same(runs.search(tmp_path / "other"), whole)


def test_a_directory_that_cannot_be_written(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match=r"run_dir='/proc/nowhere': cannot be made: .*; take another directory"):
        runs.search("/proc/nowhere")

    def refused(*args, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.tempfile, "NamedTemporaryFile", refused)
    with pytest.raises(ValueError, match=r"cannot be written: .*Permission denied; take another directory"):
        runs.search(tmp_path)


def test_a_file_system_without_links_has_locks_too(monkeypatch, tmp_path, whole):
    def refused(*args, **options):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(files.os, "link", refused)
    lock = Lock(tmp_path)
    with pytest.raises(ValueError, match="runs in it; wait for its end"):
        runs.search(tmp_path)
    lock.release()
    same(runs.search(tmp_path), whole)


def test_after_an_error_the_log_and_the_latest_checkpoint_count(tmp_path, whole):
    def fails(snapshot):
        if snapshot.events == 3:
            raise RuntimeError("of the callback")

    with pytest.raises(jaxhpt.SearchError):
        runs.search(tmp_path, callbacks=[fails], events_per_dispatch=1)
    assert not (tmp_path / "checkpoints").exists()
    assert sorted(line["trial"] for line in lines(tmp_path)) == list(range(24))
    assert jaxhpt.load(tmp_path).stats.ended == "error"
    same(runs.search(tmp_path), whole)


@pytest.mark.parametrize(("given", "error"), [(7, TypeError), ("", TypeError), (__file__, ValueError)])
def test_a_run_dir_must_be_a_directory(given, error):
    with pytest.raises(error, match="run_dir="):
        runs.search(given)


def test_settings_of_writing():
    with pytest.raises(ValueError, match="checkpoint_seconds=0: must be above 0"):
        runs.search(None, checkpoint_seconds=0)
    with pytest.raises(ValueError, match="extend=True: must be with the run_dir of a run"):
        runs.search(None, extend=True)
    with pytest.raises(FileNotFoundError, match="no such run and no such file"):
        jaxhpt.load("nowhere")
    with pytest.raises(ValueError, match="no run, without a manifest"):
        jaxhpt.load(pathlib.Path(__file__).parent)


def test_other_versions_are_told(run):
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["versions"]["jax"] = "0.1"
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.warns(UserWarning, match=r"was begun with jax 0.1, now .*: what comes may differ in its last bits"):
        runs.search(run)


def test_a_saved_result_is_read_back(tmp_path, whole):
    whole.save(tmp_path / "result.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = jaxhpt.load(tmp_path / "result.npz")
    assert (again.trials, again.stats, again.best) == (whole.trials, whole.stats, whole.best)
    np.testing.assert_array_equal(again.best_state["w"], whole.best_state["w"])
    assert again.importance("grey") == whole.importance("grey")
    assert repr(again) == repr(whole)
    again.save(tmp_path / "twice.npz")
    assert (tmp_path / "twice.npz").read_bytes()[:2] == b"PK"
    assert jaxhpt.load(tmp_path / "twice.npz").trials == whole.trials
    content = bytearray((tmp_path / "result.npz").read_bytes())
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="no saved result, or damaged"):
        jaxhpt.load(tmp_path / "cut.npz")


def test_exported_weights_and_a_prediction(tmp_path, whole):
    import orbax.checkpoint as orbax

    pytest.importorskip("flatbuffers")
    whole.export_best(tmp_path / "best", lambda state, x: x @ state["w"], jnp.ones((2, 3)))
    weights = orbax.PyTreeCheckpointer().restore(tmp_path / "best" / "weights")
    np.testing.assert_array_equal(weights["w"], whole.best_state["w"])
    read = jax.export.deserialize(bytearray((tmp_path / "best" / "predict.jax").read_bytes()))
    np.testing.assert_allclose(read.call(jnp.ones((2, 3))), jnp.ones((2, 3)) @ whole.best_state["w"], rtol=1e-6)
    with pytest.raises(ValueError, match="must be a new folder, or an empty one"):
        whole.export_best(tmp_path / "best")
    with pytest.raises(ValueError, match="predict and example: give both"):
        whole.export_best(tmp_path / "other", lambda state, x: x)
    with pytest.raises(KeyError):
        whole.export_best(tmp_path / "other", lambda state, x: state["v"], jnp.ones((2, 3)))
    assert not (tmp_path / "other").exists()  # so that it can be tried again
    rows = jax.ShapeDtypeStruct(jax.export.symbolic_shape("rows, 3"), jnp.float32)
    whole.export_best(tmp_path / "other", lambda state, x: x @ state["w"], rows)
    read = jax.export.deserialize(bytearray((tmp_path / "other" / "predict.jax").read_bytes()))
    assert read.call(jnp.ones((5, 3))).shape[0] == 5


WIDE = {"lr": jaxhpt.Float(1e-4, 1.0, log=True)}


def close(one, other):
    assert [t.hparams["lr"] for t in one] == pytest.approx([t.hparams["lr"] for t in other], rel=1e-5)
    assert [t.value for t in one] == [t.value for t in other]


def test_a_wider_space_keeps_the_trials_there_were_also_where_it_is_killed_at_once(run, whole, monkeypatch):
    monkeypatch.setattr(recorder.Recorder, "end", lambda *given: None)  # as a kill does
    monkeypatch.setattr(recorder.Recorder, "look", lambda self, execution, *rest: self._log.add(
        written_columns(execution.summary.history)) or "")  # fmt: skip
    killed = runs.cut(run, 3, space=WIDE, extend=True)
    monkeypatch.undo()
    close(jaxhpt.load(run).trials[:16], whole.trials[:16])  # the checkpoint lies in the old space, the log in both
    with pytest.raises(ValueError, match=r"space\.dimensions"):
        runs.search(run)
    result = runs.search(run, space=WIDE)
    close(result.trials[:16], whole.trials[:16])
    assert result.stats.trials == 40
    np.testing.assert_array_equal(result.history.unit[:24], killed.history.unit[:24])
    assert min(t.hparams["lr"] for t in result.trials) < 1e-3 or max(t.hparams["lr"] for t in result.trials) > 0.5
    close(jaxhpt.load(run).trials, result.trials)


def test_a_refused_call_changes_nothing(run):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match="seed: 0 in the run, 1 now"):
        runs.search(run, space=WIDE, extend=True, seed=1)
    narrow = {"lr": jaxhpt.Float(1e-2, 1.0, log=True)}
    with pytest.raises(ValueError, match=r"extend lr=.* with a wider range or more choices"):
        runs.search(run, space=narrow, extend=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_settings_that_are_tried_first_are_the_same_in_a_wider_space(tmp_path):
    runs.cut(tmp_path, 2, first=[{"lr": 0.1}])
    result = runs.search(tmp_path, space=WIDE, extend=True, first=[{"lr": 0.1}])
    assert result.trials[0].hparams["lr"] == pytest.approx(0.1)
    with pytest.raises(ValueError, match=r"known\[1\]|before"):
        runs.search(tmp_path, space=WIDE, first=[{"lr": 0.1}, {"lr": 0.2}])


def test_fewer_lanes_for_want_of_memory_are_those_it_goes_on_with(tmp_path, monkeypatch):
    import importlib

    way_in = importlib.import_module("jaxhpt.search")
    begun = way_in._begun

    def short(program, *rest):
        if program.problem.lanes > 8:
            raise MemoryError("RESOURCE_EXHAUSTED")
        return begun(program, *rest)

    monkeypatch.setattr(way_in, "_begun", short)
    with pytest.warns(UserWarning, match="memory did not suffice"):
        first = runs.cut(tmp_path, 2, lanes="auto")
    monkeypatch.undo()
    result = runs.search(tmp_path, lanes="auto")
    assert first.stats.lanes == result.stats.lanes <= 8
    assert result.stats.trials == 40


def test_a_changed_function_of_another_structure_is_refused(tmp_path):
    def search(factor):
        space = {**runs.SPACE, "wide": jaxhpt.Bool(structural=True)}

        def evaluate(state, valid, h):
            return {"loss": jnp.sum(state["w"] ** 2) * (factor if h["wide"] else 1.0)}

        return runs.search(tmp_path, space=space, evaluate=evaluate, trials=16, algorithm="random")

    assert {t.hparams["wide"] for t in search(2.0).trials} == {False, True}
    with pytest.raises(ValueError, match=r"holds another run: task.functions where wide=True"):
        search(3.0)


def test_rungs_have_room_for_the_trials_that_were_added(tmp_path):
    few = runs.search(tmp_path, scheduler=jaxhpt.ASHA(min_steps=4), trials=8, algorithm="random")
    many = runs.search(tmp_path, scheduler=jaxhpt.ASHA(min_steps=4), trials=160, algorithm="random")
    assert few.stats.trials == 8
    whole = [t for t in many.trials if t.status == "done"]
    assert 0.2 < len(whole) / 160 < 0.5  # one of three, and those that came early


def test_the_working_directory_may_change(tmp_path, monkeypatch, whole):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    runs.search("a run/one", callbacks=[lambda s: monkeypatch.chdir(tmp_path / "elsewhere")], events_per_dispatch=2)
    assert not list((tmp_path / "elsewhere").iterdir())
    assert jaxhpt.load(tmp_path / "a run" / "one").trials == whole.trials


LEAVES = {
    "key": lambda key: key,
    "keys": lambda key: jax.random.split(key, (2, 3)),
    "bfloat16": lambda key: jnp.bfloat16(1.5),
    "int4": lambda key: jnp.ones(3, jnp.int4),
    "float8": lambda key: jnp.ones(3, jnp.float8_e5m2),
    "int8": lambda key: jnp.int8(-3),
    "bool": lambda key: jnp.bool_(1),
    "empty": lambda key: jnp.zeros((0, 4)),
    "nothing": lambda key: {},
    "tuple": lambda key: (jnp.ones(2), [jnp.zeros(1)]),
    "names": lambda key: {"a.b": jnp.ones(1), "": jnp.ones(2)},
    "complex": lambda key: 1j * jnp.ones(2, jnp.complex64),
}


@pytest.mark.parametrize("name", LEAVES)
def test_states_of_any_leaves_are_written_and_read(tmp_path, name):
    def init(key, h):
        return {"w": jax.random.normal(key, (3,)), "z": LEAVES[name](key)}

    def step(s, batch, h, key):
        return {**s, "w": s["w"] * (1 - h["lr"])}

    given = {"init": init, "evaluate": runs.evaluate, "steps": 2, "trials": 8, "lanes": 4, "progress": False}
    given |= {"algorithm": "random", "execution": "fused"}
    whole = jaxhpt.search(step, runs.SPACE, **given)
    cut = {"callbacks": [lambda s: True], "events_per_dispatch": 1}
    jaxhpt.search(step, runs.SPACE, run_dir=tmp_path / "run", **given, **cut)
    assert (tmp_path / "run" / "checkpoints").exists()
    result = jaxhpt.search(step, runs.SPACE, run_dir=tmp_path / "run", **given)
    task = jaxhpt.Task(init, step, runs.evaluate, steps=2)
    result.save(tmp_path / "saved.npz")
    for found in (result, jaxhpt.load(tmp_path / "run", task), jaxhpt.load(tmp_path / "saved.npz", task)):
        assert jax.tree.structure(found.best_state) == jax.tree.structure(whole.best_state)
        for one, other in zip(jax.tree.leaves(found.best_state), jax.tree.leaves(whole.best_state), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(*map(bare, (one, other)))


def bare(leaf):
    is_key = jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def test_remains_without_a_manifest_are_no_run(run):
    (run / "manifest.json").unlink()
    with pytest.raises(
        ValueError, match=r"has trials.jsonl, checkpoints of a run without its manifest.json; remove them"
    ):
        runs.search(run, seed=1)
    with pytest.raises(ValueError, match="no run, without a manifest"):
        jaxhpt.load(run)


def test_a_run_of_a_tuner_is_none_of_a_search(tmp_path):
    jaxhpt.Tuner(runs.SPACE, trials=8, run_dir=tmp_path, progress=False).close()
    with pytest.raises(ValueError, match="way: 'Tuner' in the run, 'search' now"):
        runs.search(tmp_path)


def test_what_lies_elsewhere_in_memory_is_the_same(tmp_path, whole):
    first = runs.cut(tmp_path / "other", 2, space={**runs.SPACE, "one": ThatOne()})
    assert first.stats.trials == 16
    result = runs.search(tmp_path / "other", space={**runs.SPACE, "one": ThatOne()})
    np.testing.assert_array_equal(result.history.metrics, whole.history.metrics)


class ThatOne:
    """Equal to others of its kind, without a name of its own."""

    def __eq__(self, other):
        return isinstance(other, ThatOne)

    def __hash__(self):
        return 7


def test_how_many_structures_begin_is_part_of_a_run(tmp_path):
    space = {**runs.SPACE, "wide": jaxhpt.Bool(structural=True)}

    def evaluate(state, valid, h):
        return {"loss": jnp.sum(state["w"] ** 2) + h["wide"]}

    given = {"space": space, "evaluate": evaluate, "trials": 8, "algorithm": "random"}
    runs.search(tmp_path, **given)
    with pytest.raises(ValueError, match=r"layout.structures\[0\]: 0.25 in the run, 0.5 now"):
        runs.search(tmp_path, compile_share=0.5, **given)


def test_what_is_told_of_a_killed_run_is_of_its_log(tmp_path):
    folder = tmp_path / "run"
    runs.cut(folder, 4, checkpoint_seconds=1e-9, scheduler=jaxhpt.ASHA(min_steps=4))
    checkpoints = sorted((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))
    for path in checkpoints[1:]:
        shutil.rmtree(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    files.write_json(folder / "manifest.json", {**manifest, "ended": None, "numbers": None})
    found = jaxhpt.load(folder)
    assert found.stats.trials == len(lines(folder)) > 0
    assert found.stats.seconds == max(line["seconds"] for line in lines(folder))
    assert 0 < found.stats.lanes_busy <= 1
    assert "(unfinished)" in repr(found)


def test_of_trials_that_did_not_end_the_longest_is_shown():
    result = runs.search(
        scheduler=jaxhpt.ASHA(min_steps=4), steps=1000, interval=4, callbacks=[lambda s: s.events >= 2]
    )
    assert not result.top()
    first, _, row = repr(result).splitlines()[2:]
    assert first == "no trial is done; the best of those that trained longest:"
    assert row.split()[0] == str(result.best.id)


def test_a_run_that_goes_on_says_with_what(run, whole, capsys):
    same(runs.search(run, progress=True), whole)
    assert capsys.readouterr().err.startswith("jaxhpt: goes on with 16 trials\n")


def test_a_run_that_has_ended_says_so_and_takes_no_longer(run, whole, capsys):
    runs.search(run)
    ended, again = jaxhpt.load(run), runs.search(run, progress=True)
    same(again, whole)
    assert capsys.readouterr().err.startswith("jaxhpt: has ended already, with 40 trials: nothing is searched\n")
    assert again.stats.seconds == ended.stats.seconds == jaxhpt.load(run).stats.seconds
    more = runs.search(run, trials=48, progress=True)
    assert capsys.readouterr().err.startswith("jaxhpt: goes on with 40 trials\n")
    assert more.stats.seconds > ended.stats.seconds


def test_the_time_to_the_first_checkpoint_begins_where_compiling_is_over(tmp_path, monkeypatch):
    seen, begin, write = [], recorder.Recorder.begin, recorder.Recorder._checkpoint
    monkeypatch.setattr(recorder, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(recorder.Recorder, "begin", lambda self, *a: seen.append(self._due()) or begin(self, *a))
    monkeypatch.setattr(recorder.Recorder, "_checkpoint", lambda self, *a: seen.append(a[1].events) or write(self, *a))
    runs.cut(tmp_path / "run", 4)
    assert seen[:2] == [False, 1]


def test_a_run_without_a_checkpoint_says_that_it_begins_anew(run, whole, capsys):
    shutil.rmtree(run / "checkpoints")
    same(runs.search(run, progress=True), whole)
    told = "begins anew: it was killed before its first checkpoint; 16 trials of its log are trained again"
    assert capsys.readouterr().err.startswith(f"jaxhpt: {told}\n")


@pytest.mark.parametrize(
    ("there", "logged", "said"),
    [
        (None, 0, ""),
        (8, 8, "goes on with 8 trials"),
        (1200, 1230, "goes on with 1,200 trials; 30 more, which ended after the checkpoint, are trained again"),
    ],
)
def test_what_is_said_of_a_run_that_goes_on(there, logged, said):
    assert recorder.known_of(there, logged, False) == said
