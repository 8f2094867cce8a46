"""TensorBoard, MLflow and Weights & Biases, each with the real library and read back by it."""

import json
import struct
import time
import warnings

import pytest
import short_runs

import jaxhpt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of their own imports
    import mlflow
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import metadata, plugin_data_pb2

    from jaxhpt.integrations.mlflow import MLflow
    from jaxhpt.integrations.tensorboard import TensorBoard
    from jaxhpt.integrations.wandb import WandB

TWICE = [4, 1000]  # events after which the run is broken off, and gone on with


def run(folder, logger, events, **options):
    return short_runs.search(
        folder, callbacks=[logger, lambda s: s.events >= events], events_per_dispatch=1, scheduler="asha", **options
    )


def curve(trial):
    return list(zip(*trial.curve, strict=True))


def read(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = EventAccumulator(str(folder))
        return found.Reload()


def test_tensorboard_has_the_best_and_each_trial_once(tmp_path):
    for events in TWICE:
        result = run(tmp_path, TensorBoard(top=None, seconds=0), events)
    folder = tmp_path / "tensorboard"
    assert {path.name for path in folder.iterdir()} == {"search", *(f"trial-{t.id:06d}" for t in result.trials)}
    best = read(folder / "search").Scalars("best loss")
    assert [point.step for point in best] == sorted({point.step for point in best})
    assert best[-1].value == pytest.approx(result.best.value)
    for trial in (result.best, result.trials[0]):
        found = read(folder / f"trial-{trial.id:06d}")
        assert [(p.step, p.value) for p in found.Scalars("loss")] == [pytest.approx(point) for point in curve(trial)]
        about = found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
        hparams = plugin_data_pb2.HParamsPluginData.FromString(about).session_start_info.hparams
        assert hparams["lr"].number_value == trial.hparams["lr"]


def test_tensorboard_writes_again_what_was_not_whole(tmp_path):
    result = run(tmp_path, TensorBoard(top=3, seconds=0), 1000)
    trials = sorted((tmp_path / "tensorboard").glob("trial-*"))
    assert 3 <= len(trials) < 30
    assert f"trial-{result.best.id:06d}" in {path.name for path in trials}
    events = next(trials[0].iterdir())
    events.write_bytes(events.read_bytes()[:-40])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run(tmp_path, TensorBoard(top=3, seconds=0), 1000)
    assert read(trials[0]).SummaryMetadata(metadata.SESSION_END_INFO_TAG)


def test_tensorboard_is_not_mixed_with_another_search(tmp_path):
    short_runs.search(callbacks=[TensorBoard(tmp_path)])
    short_runs.search(callbacks=[TensorBoard(tmp_path)])  # the same one
    with pytest.raises(jaxhpt.SearchError, match=r"trial .* there has another setting: it holds another search"):
        short_runs.search(callbacks=[TensorBoard(tmp_path)], seed=1)
    wider = {"lr": jaxhpt.Float(3e-4, 0.7, log=True)}
    short_runs.search(tmp_path / "run", trials=24, callbacks=[TensorBoard(top=None)])
    short_runs.search(tmp_path / "run", callbacks=[TensorBoard(top=None)], space=wider, extend=True)
    assert len(list((tmp_path / "run" / "tensorboard").glob("trial-*"))) == 40


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.mark.slow  # it makes a database
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_mlflow_has_a_run_of_the_search_and_one_inside_it_for_each_trial(tmp_path, database):
    for events in TWICE:
        logger = MLflow("tests", tracking_uri=database, run_name="mine", top=6, seconds=0)
        result = run(tmp_path, logger, events)
    client = mlflow.MlflowClient(database)
    search = client.get_run(json.loads((tmp_path / "mlflow.json").read_text())["run_id"])
    assert search.info.run_id == logger.run_id
    assert (search.info.status, search.info.run_name, search.data.tags["jaxhpt.ended"]) == (
        "FINISHED",
        "mine",
        "finished",
    )
    steps = [point.step for point in client.get_metric_history(logger.run_id, "best loss")]
    assert steps == sorted(set(steps))
    inside = f"tags.`mlflow.parentRunId` = '{logger.run_id}'"
    runs = {int(r.data.tags["jaxhpt.trial"]): r for r in client.search_runs([search.info.experiment_id], inside)}
    assert len(runs) == len(list(logger._inside())) < 40
    best = runs[result.best.id]
    assert best.data.params == {"lr": str(result.best.hparams["lr"])}
    points = [(p.step, p.value) for p in client.get_metric_history(best.info.run_id, "loss")]
    assert sorted(points) == [pytest.approx(point) for point in curve(result.best)]


@pytest.mark.slow  # it makes a database
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_mlflow_is_ended_after_an_error(tmp_path, database):
    logger = MLflow("tests", tracking_uri=database, top=1)
    with pytest.raises(jaxhpt.SearchError):
        short_runs.search(tmp_path, callbacks=[logger, lambda s: 1 / 0], events_per_dispatch=1)
    assert mlflow.MlflowClient(database).get_run(logger.run_id).info.status == "FAILED"


def records(content):
    """Cut a file of W&B into records: blocks of 32 KiB, in them parts of records, each after a head of 7 bytes."""
    place, record = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        record += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def rows_of(folder):
    """Read the history of runs that were written offline."""
    from wandb.proto import wandb_internal_pb2

    rows = []
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in records(path.read_bytes()):
            history = wandb_internal_pb2.Record.FromString(record).history
            items = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in history.item}
            rows += [items] if items else []
    return rows


@pytest.mark.filterwarnings("ignore")
def test_wandb_has_a_row_for_each_trial(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    for events in TWICE:
        result = run(tmp_path, WandB("tests", mode="offline", seconds=0), events)
        time.sleep(1.1)  # its folders are named by the second
    rows = rows_of(tmp_path)
    told = {row["trial"]: row for row in rows if "status" in row}
    assert sorted(row["trial"] for row in rows if "status" in row) == list(range(40))
    best = told[result.best.id]
    assert best["loss"] == pytest.approx(result.best.value)
    assert best["hparams.lr"] == pytest.approx(result.best.hparams["lr"])
    finished = [row["finished"] for row in rows if "finished" in row]
    assert finished == sorted(set(finished))


@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_metrics_apart_from_its_own_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_SILENT", "true")
    jaxhpt.minimize(
        lambda h, key: {"loss": h["x"], "trial": 7 + h["x"], "finished": h["x"]}, {"x": jaxhpt.Float(0, 1)},
        objective="loss", trials=8, progress=False, run_dir=tmp_path, callbacks=[WandB("tests", mode="offline")],
    )  # fmt: skip
    rows = [row for row in rows_of(tmp_path) if "status" in row]
    assert [row["trial"] for row in rows] == list(range(8))
    assert all(row["metrics.trial"] >= 7 and row["metrics.finished"] < 1 and "finished" not in row for row in rows)


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="logdir=None"):
        short_runs.search(callbacks=[TensorBoard()])
    with pytest.raises(TypeError, match="top='many'"):
        TensorBoard("x", top="many")
    with pytest.raises(TypeError, match="experiment=3"):
        MLflow(3)
    with pytest.raises(ValueError, match="mode='off'"):
        WandB(mode="off")
    with pytest.raises(ValueError, match=r"options=\['id'\]"):
        WandB(id="x")
