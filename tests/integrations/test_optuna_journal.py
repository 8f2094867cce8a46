"""A search as a study of Optuna, while it runs and afterwards."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optuna
import pytest
import short_runs
from optuna.trial import TrialState

import jaxhpt
from jaxhpt.integrations.optuna import Journal, to_optuna
from jaxhpt.store.commands import tell

NAMES = {"done": "COMPLETE", "stopped": "PRUNED", "failed": "FAIL", "running": "RUNNING"}


def study_of(path, name="jaxhpt"):
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))


def same(study, result):
    """Whether each trial is there, once, with its setting, its end, its curve and its value."""
    assert len(study.trials) == len(result.trials)
    for there, trial in zip(study.trials, result.trials, strict=True):
        assert there.number == trial.id
        assert there.params == trial.hparams
        assert there.state.name == NAMES[trial.status]
        assert there.intermediate_values == dict(zip(*trial.curve, strict=True))
        assert there.values is None or there.values == [trial.value]
    return True


class Look:
    """Reads the journal in the middle of a search."""

    def __init__(self, path, events):
        self.path, self.events, self.study = path, events, None

    def __call__(self, snapshot):
        if snapshot.events >= self.events and self.study is None:
            self.study = study_of(self.path)
            self.trials, self.snapshot = self.study.trials, snapshot


def test_a_running_search_is_there_as_it_stands(tmp_path):
    look = Look(tmp_path / "optuna.journal", 6)
    result = short_runs.search(
        tmp_path, callbacks=[Journal(seconds=0), look], events_per_dispatch=1, scheduler="asha", interval=1
    )
    assert len(look.trials) == look.snapshot.started < 40
    assert sum(t.state == TrialState.RUNNING for t in look.trials) == look.snapshot.started - look.snapshot.finished > 0
    assert any(t.state == TrialState.RUNNING and t.intermediate_values for t in look.trials)
    assert any(t.state == TrialState.PRUNED for t in look.trials)
    study = study_of(tmp_path / "optuna.journal")
    assert same(study, result)
    assert study.metric_names == ["loss"]
    assert study.best_value == result.best.value
    assert study.trials[0].user_attrs == {"status": result.trials[0].status, "steps": result.trials[0].steps}


def test_a_run_that_goes_on_doubles_no_trial(tmp_path):
    def some(events, trials=40, folder=tmp_path / "run"):
        callbacks = [Journal(seconds=0), lambda s: s.events >= events]
        return short_runs.search(folder, callbacks=callbacks, events_per_dispatch=1, scheduler="asha", trials=trials)

    some(4)
    shutil.copytree(tmp_path / "run", tmp_path / "earlier")
    some(9)
    journal = tmp_path / "run" / "optuna.journal"
    with journal.open("a") as file:
        file.write('{"op_code": 4, "unfin')  # killed in the middle of a line
    # Killed before the checkpoint of event 9: the journal knows more than the run that goes on.
    shutil.copy(journal, tmp_path / "earlier" / "optuna.journal")
    assert same(study_of(tmp_path / "earlier" / "optuna.journal"), some(1000, folder=tmp_path / "earlier"))
    assert same(study_of(journal), some(1000))
    lines = journal.read_bytes()
    result = some(1000)  # nothing is left to do
    assert journal.read_bytes() == lines
    assert same(study_of(journal), result)
    assert same(study_of(journal), some(1000, trials=50))  # fmt: skip


def test_another_search_is_not_mixed_in(tmp_path):
    path = tmp_path / "some.journal"
    short_runs.search(callbacks=[Journal(path)])
    with pytest.raises(jaxhpt.SearchError, match="another search"):
        short_runs.search(callbacks=[Journal(path)], seed=1)
    result = short_runs.search(callbacks=[Journal(path, study_name="second")], seed=1)
    assert same(study_of(path, "second"), result)


@pytest.mark.parametrize("wider", [jaxhpt.Float(3e-4, 0.7, log=True), jaxhpt.Float(1e-3, 0.9, log=True)])
def test_a_run_goes_on_in_a_wider_space(tmp_path, wider):
    short_runs.search(tmp_path, trials=24, callbacks=[Journal()])
    options = {"trials": 40, "extend": True, "space": {"lr": wider}, "callbacks": [Journal()]}
    result = short_runs.search(tmp_path, **options)
    study = study_of(tmp_path / "optuna.journal")
    assert [trial.value for trial in study.trials] == [trial.value for trial in result.trials]
    settings = [trial.hparams["lr"] for trial in result.trials]
    assert [trial.params["lr"] for trial in study.trials] == pytest.approx(settings, rel=1e-5)


def test_notes_of_a_dashboard_are_let_be_but_not_trials(tmp_path):
    path = tmp_path / "some.journal"

    def note(snapshot):
        study_of(path).set_user_attr("note", "seen")

    result = short_runs.search(callbacks=[Journal(path, seconds=0), note], events_per_dispatch=1)
    assert same(study_of(path), result)
    with pytest.raises(jaxhpt.SearchError, match="somebody else"):
        short_runs.search(
            callbacks=[Journal(path, study_name="b", seconds=0), lambda s: study_of(path).ask() and None],
            events_per_dispatch=1,
        )


def test_a_place_is_needed():
    with pytest.raises(ValueError, match=r"path=None: must be the path of a file, or search with run_dir"):
        short_runs.search(callbacks=[Journal()])
    with pytest.raises(TypeError, match="path=3"):
        Journal(3)
    with pytest.raises(ValueError, match="seconds=-1"):
        Journal(seconds=-1)


RICH = {
    "rate": jaxhpt.Float(1e-3, 1.0, log=True),
    "third": jaxhpt.Float(1 / 3, 2.0, step=1 / 3),
    "size": jaxhpt.Int(2, 10, step=2),
    "flag": jaxhpt.Bool(),
    "rule": ["sgd", "adam"],
    "adam": jaxhpt.When("rule", "adam", {"b2": jaxhpt.Float(0.9, 0.999), "kind": [1, 2]}),
    "act": jaxhpt.Choice([jnp.tanh, jax.nn.relu]),
}


@pytest.fixture(scope="module")
def rich():
    def function(h, key):
        b2, kind = h["adam"]["b2"], h["adam"]["kind"]
        loss = h["rate"] + h["third"] + jnp.where(h["flag"], b2, kind) + 0.1 * h["rule"] + 0.1 * h["act"]
        return {"loss": jnp.where(h["rate"] > 0.5, jnp.nan, loss), "score": h["size"] * 1.0, "cost": 2.0 * h["size"]}

    return jaxhpt.minimize(
        function, RICH, objectives={"loss": "min", "score": "max"}, constraints={"cost": ("<=", 10)}, trials=64,
        algorithm="random", progress=False,
    )  # fmt: skip


def test_all_kinds_of_dimensions_objectives_and_bounds_are_there(rich):
    study = to_optuna(rich)
    assert [d.name for d in study.directions] == ["MINIMIZE", "MAXIMIZE"]
    assert study.metric_names == ["loss", "score"]
    states = {there.state for there in study.trials}
    assert states == {TrialState.COMPLETE, TrialState.FAIL}
    for there, trial in zip(study.trials, rich.trials, strict=True):
        adam = trial.hparams["rule"] == "adam"
        assert [name for name in there.params if "adam" in name] == (["adam.b2", "adam.kind"] if adam else [])
        assert there.params["act"] in ("tanh", "relu")
        for name, value in there.params.items():
            one = there.distributions[name]
            assert one._contains(one.to_internal_repr(value)), (name, value)
        if trial.status == "done":
            assert there.values == [trial.metrics["loss"], trial.metrics["score"]]
            assert there.user_attrs["cost"] == trial.metrics["cost"]
            assert (max(there.constraints.values()) <= 0) == trial.feasible
    front = {trial.id for trial in rich.pareto_front()}
    assert front <= {trial.number for trial in study.best_trials}


def test_its_distributions_are_those_of_the_space(rich):
    found = {name: one for trial in to_optuna(rich).trials for name, one in trial.distributions.items()}
    assert found["rate"] == optuna.distributions.FloatDistribution(1e-3, 1.0, log=True)
    assert found["size"] == optuna.distributions.IntDistribution(2, 10, step=2)
    assert found["flag"] == optuna.distributions.CategoricalDistribution([False, True])
    assert found["adam.kind"] == optuna.distributions.CategoricalDistribution([1, 2])


def test_a_study_is_written_to_a_storage_and_once(rich, tmp_path):
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "j")))
    first, again = to_optuna(rich, storage, "mine"), to_optuna(rich, storage, "mine")
    assert len(first.trials) == len(again.trials) == 64
    json.dumps([trial.user_attrs for trial in again.trials], allow_nan=False)


def test_copies_and_what_was_known_are_there():
    before = [({"lr": 0.1}, 0.5), ({"lr": 0.2}, None)]
    result = short_runs.search(prior=before, scheduler="pbt")
    study = to_optuna(result)
    assert [t.state for t in study.trials[:2]] == [TrialState.COMPLETE, TrialState.FAIL]
    parents = {trial.id: trial.parent for trial in result.trials if trial.parent is not None}
    assert parents
    assert {t.number: t.user_attrs["parent"] for t in study.trials if "parent" in t.user_attrs} == parents


def test_what_ran_when_a_run_was_killed_keeps_its_number(tmp_path):
    short_runs.search(tmp_path, trials=8)
    shutil.rmtree(tmp_path / "checkpoints")
    log = (tmp_path / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_text("".join(line for line in log if json.loads(line)["trial"] != 2))
    result = jaxhpt.load(tmp_path)
    study = to_optuna(result)
    assert [study.trials[trial.id].params for trial in result.trials] == [trial.hparams for trial in result.trials]
    assert (study.trials[2].state, study.trials[2].params) == (TrialState.FAIL, {})


def test_what_a_person_told_is_there_as_exactly():
    tuner = jaxhpt.Tuner({"x": jaxhpt.Float(0, 3)}, algorithm="random", trials=8, progress=False)
    for trial in tuner.ask(4):
        tuner.tell(trial, 1000 + 1e-9 * trial.id)
    study = to_optuna(tuner.result)
    np.testing.assert_array_equal([t.value for t in study.trials], [1000 + 1e-9 * n for n in range(4)])


def test_a_search_that_is_told_of_more_trials_goes_on_in_the_same_study(tmp_path, monkeypatch):
    monkeypatch.setattr("jaxhpt.store.recorder.LOG_SECONDS", 0.0)

    def more(snapshot):
        if snapshot.trials == 40 and snapshot.events == 3:
            tell(tmp_path, "trials", 48)

    result = short_runs.search(tmp_path, callbacks=[Journal(seconds=0), more], events_per_dispatch=1)
    assert len(result.trials) == 48
    assert same(study_of(tmp_path / "optuna.journal"), result)
