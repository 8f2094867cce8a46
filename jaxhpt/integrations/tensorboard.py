"""TensorBoard: the best so far, learning curves, and a table of trials by its HParams plugin. Needs no TensorFlow."""

import pathlib
import shutil
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.dimensions import Choice, Float, Int
from jaxhpt.core.history import History
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.engine.watching import WatchError
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.logger import ENDED, SECONDS, TOP, Logger, alike, plain_hparams, trials_of
from jaxhpt.results.trial import Trial

with extra("tensorboard"):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2, summary_v2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util import tensor_util

FOLDER = "tensorboard"
SEARCH = "search"  # the run of what is told of all trials
TRIAL = "trial-"


class TensorBoard(Logger):
    """Write a search for TensorBoard while it runs: a callback. Look at it by `tensorboard --logdir FOLDER`.

    The run "search" has the best value against the trials that ended. Each trial that is written is a run of its own,
    with its learning curve, its metrics, and its row in the HParams table. TensorBoard is slow with more than some
    hundreds of runs: see `top`.

    Args:
      logdir: the folder; None for `tensorboard` in the `run_dir` of the search.
      top: write a trial if fewer than so many of those that ended before it are better; None for all.
      seconds: from one look to the next, at least; up to 30 where looking would take more than a fiftieth of the time.

    Raises:
      ValueError, TypeError: no such path or numbers.

    Example:
      >>> import jaxhpt, pathlib, tempfile
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     options = {"trials": 32, "callbacks": [TensorBoard(folder, top=4)], "progress": False}
      ...     result = jaxhpt.minimize(lambda h, key: (h["x"] - 1) ** 2, space, **options)
      ...     f"trial-{result.best.id:06d}" in {path.name for path in pathlib.Path(folder).iterdir()}
      True
    """

    def __init__(
        self, logdir: str | pathlib.Path | None = None, *, top: int | None = TOP, seconds: float = SECONDS
    ) -> None:
        super().__init__(top, seconds)
        if logdir is not None and (not isinstance(logdir, str | pathlib.Path) or not str(logdir)):
            raise TypeError(f"logdir={logdir!r}: must be the path of a folder, or None for one in the run_dir")
        self._logdir = logdir

    def start(self, run_dir: pathlib.Path | None) -> set[int]:
        """Begin to write, or go on; see `Logger.start`."""
        there = self._logdir is not None or run_dir is not None
        require(there, "logdir", None, "the path of a folder, or search with run_dir")
        self._folder = pathlib.Path(run_dir or "", FOLDER) if self._logdir is None else pathlib.Path(self._logdir)
        steps = [event.step for event in _events(self._folder / SEARCH)]
        self._last = max(steps, default=-1)
        self._writer = EventFileWriter(str(self._folder / SEARCH))
        if not steps:
            self._writer.add_event(_event(self._experiment()))
        runs = ((path, _hparams(path)) for path in self._folder.glob(f"{TRIAL}*"))
        self._there = {int(path.name[len(TRIAL) :]): found for path, found in runs if found is not None}
        return set(self._there)

    def write(self, history: History, snapshot: Snapshot) -> None:
        """Write what is new, beside trials of this search alone; see `Logger.write`."""
        self._require_own(history)
        super().write(history, snapshot)

    def log(self, trials: Sequence[Trial], snapshot: Snapshot) -> None:
        """Write a run for each trial, and the best so far; see `Logger.log`."""
        for trial in trials:
            self._write_trial(trial)
        if snapshot.finished > self._last and snapshot.best_value is not None:
            self._last = snapshot.finished
            facts = {f"best {snapshot.objective}": snapshot.best_value, "failed": snapshot.failed}
            facts["trials a second"] = snapshot.trials_per_second
            for name, value in facts.items():
                self._writer.add_event(_scalar(name, value, snapshot.finished))
            self._writer.flush()

    def closed(self, ended: str) -> None:
        """Close the file; see `Paced.closed`."""
        self._writer.close()

    def _require_own(self, history: History) -> None:
        """Raise unless the trials that were there already are those of this search."""
        num = int(history.num_rows)
        rows = sorted(row for row in self._there if row < num and history.status[row] in ENDED)
        for trial in trials_of(history, self.problem, rows):
            if not alike(plain_hparams(trial, self.problem), self._there.pop(trial.id), self.problem.space):
                raise WatchError(
                    f"logdir={str(self._folder)!r}: trial {trial.id} there has another setting: it holds another "
                    "search; take another folder"
                )

    def _write_trial(self, trial: Trial) -> None:
        name = f"{TRIAL}{trial.id:06d}"
        writer = EventFileWriter(str(self._folder / name))
        writer.add_event(_event(summary_v2.hparams_pb(plain_hparams(trial, self.problem), trial_id=name)))
        objective = self.problem.objectives[0].name
        for step, value in zip(*trial.curve, strict=True):
            writer.add_event(_scalar(objective, value, step))
        for metric, value in trial.metrics.items():
            told = metric == objective and trial.steps in trial.curve.steps
            if np.isfinite(value) and not told:
                writer.add_event(_scalar(metric, value, trial.steps))
        writer.add_event(_event(_end(trial.status)))
        writer.close()

    def _experiment(self) -> Any:
        """Return what the table is to show: dimensions and metrics."""
        space = self.problem.space
        pairs = zip(space.names, space.dimensions, strict=True)
        hparams = [summary_v2.HParam(name, _domain(dimension)) for name, dimension in pairs]
        return summary_v2.hparams_config_pb(hparams, [summary_v2.Metric(n) for n in self.problem.metrics.names])


def _domain(dimension: Any) -> Any:
    """Return the values of a dimension; None where they are of several kinds."""
    if isinstance(dimension, Float):
        return summary_v2.RealInterval(float(dimension.low), float(dimension.high))
    if isinstance(dimension, Int):
        return summary_v2.IntInterval(dimension.low, dimension.high)
    assert isinstance(dimension, Choice)
    kinds = {type(value) for value in dimension.values}
    if len(kinds) > 1:
        return None
    return summary_v2.Discrete(list(dimension.values if kinds <= {bool, int, float, str} else dimension.texts))


def _event(summary: Any, step: int = 0) -> Any:
    return event_pb2.Event(summary=summary, step=step, wall_time=time.time())


def _scalar(tag: str, value: float, step: int) -> Any:
    return _event(summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=tag, simple_value=value)]), step)


def _end(status: str) -> Any:
    """Return what tells that a trial has ended, as its last event."""
    kind = api_pb2.STATUS_FAILURE if status == "failed" else api_pb2.STATUS_SUCCESS
    ended = plugin_data_pb2.SessionEndInfo(status=kind, end_time_secs=time.time())
    about = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(session_end_info=ended))
    value = summary_pb2.Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=about)
    value.tensor.CopyFrom(tensor_util.make_tensor_proto(0.0))
    return summary_pb2.Summary(value=[value])


def _events(folder: pathlib.Path) -> list[Any]:
    """Read the events of a run that tell something."""
    found = [event for path in sorted(folder.glob("events.*")) for event in EventFileLoader(str(path)).Load()]
    return [event for event in found if event.summary.value]


def _hparams(folder: pathlib.Path) -> dict[str, Any] | None:
    """Return the settings of a trial that was written to its end; take away one that was not."""
    found = {value.tag: value.metadata.plugin_data for event in _events(folder) for value in event.summary.value}
    if metadata.SESSION_END_INFO_TAG not in found:
        shutil.rmtree(folder)
        return None
    about = plugin_data_pb2.HParamsPluginData.FromString(found[metadata.SESSION_START_INFO_TAG].content)
    told = about.session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in told.items()}
