"""MLflow: a run for the search, and one inside it for each trial that is among the best when it ends."""

import pathlib
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.logger import SECONDS, TOP, Logger, plain_hparams
from jaxhpt.results.trial import Trial
from jaxhpt.store.files import read_json, write_json

with extra("mlflow"):
    import mlflow
    from mlflow.entities import Metric, Param, RunTag

NOTE = "mlflow.json"  # in the run directory: which run it is
PARENT, TRIAL = "mlflow.parentRunId", "jaxhpt.trial"
MOST = 1000  # metrics of one call, which MLflow allows
STATUS = {"interrupted": "KILLED", "terminated": "KILLED", "error": "FAILED"}


class MLflow(Logger):
    """Write a search to MLflow while it runs: a callback.

    The run of the search has the best value against the trials that ended. Each trial that is written is a run inside
    it, with its settings as parameters, its learning curve and its metrics; a trial costs MLflow some milliseconds, so
    see `top`.

    Args:
      experiment: of MLflow; made where there is none.
      tracking_uri: of the server, the database or the folder; None for the one that MLflow is set to.
      run_name: of the search; None for one by MLflow.
      top: write a trial if fewer than so many of those that ended before it are better; None for all.
      seconds: from one look to the next, at least; up to 30 where looking would take more than a fiftieth of the time.

    Raises:
      ValueError, TypeError: no such text or numbers.

    Example:
      ```python
      jaxhpt.search(task, space, run_dir="runs/first", callbacks=[MLflow("mine", tracking_uri="sqlite:///mlflow.db")])
      ```
    """

    def __init__(
        self,
        experiment: str = "jaxhpt",
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
        top: int | None = TOP,
        seconds: float = SECONDS,
    ) -> None:
        super().__init__(top, seconds)
        for name, value in {"experiment": experiment, "tracking_uri": tracking_uri, "run_name": run_name}.items():
            if not isinstance(value, str) and (value is not None or name == "experiment"):
                raise TypeError(f"{name}={value!r}: must be a text")
        self._experiment_name, self._uri, self._name = experiment, tracking_uri, run_name
        self.run_id = ""

    def start(self, run_dir: pathlib.Path | None) -> set[int]:
        """Begin a run, or go on with the one of the run directory; see `Logger.start`."""
        self._client = mlflow.MlflowClient(self._uri)
        found = self._client.get_experiment_by_name(self._experiment_name)
        made = self._client.create_experiment
        self._experiment = made(self._experiment_name) if found is None else found.experiment_id
        self._best, note = f"best {_named(self.problem.objectives[0].name)}", pathlib.Path(run_dir or "", NOTE)
        if run_dir is not None and note.exists():
            return self._go_on(read_json(note)["run_id"])
        about = {"jaxhpt.run_dir": str(run_dir)} if run_dir else {}
        begun = self._client.create_run(self._experiment, tags=about, run_name=self._name)
        self.run_id, self._last = begun.info.run_id, -1
        if run_dir is not None:
            write_json(note, {"run_id": self.run_id})
        return set()

    def log(self, trials: Sequence[Trial], snapshot: Snapshot) -> None:
        """Write a run for each trial, and the best so far; see `Logger.log`."""
        for trial in trials:
            self._write_trial(trial)
        if snapshot.finished > self._last and snapshot.best_value is not None:
            self._last, now = snapshot.finished, _now()
            facts = {self._best: snapshot.best_value, "failed": snapshot.failed}
            metrics = [Metric(name, value, now, self._last) for name, value in facts.items()]
            self._client.log_batch(self.run_id, metrics=metrics)

    def closed(self, ended: str) -> None:
        """End the run; see `Paced.closed`."""
        self._client.set_tag(self.run_id, "jaxhpt.ended", ended)
        self._client.set_terminated(self.run_id, STATUS.get(ended, "FINISHED"))

    def _go_on(self, run_id: str) -> set[int]:
        """Go on with a run; take away trials that were not written to their end."""
        self.run_id = run_id
        self._client.update_run(run_id, status="RUNNING")
        history = self._client.get_metric_history(run_id, self._best)
        self._last = max((metric.step for metric in history), default=-1)
        written = set()
        for run in self._inside():
            if run.info.status == "RUNNING":
                self._client.delete_run(run.info.run_id)
            elif TRIAL in run.data.tags:
                written.add(int(run.data.tags[TRIAL]))
        return written

    def _inside(self) -> Iterator[Any]:
        """Return the runs of trials."""
        token: str | None = None
        inside = f"tags.`{PARENT}` = '{self.run_id}'"
        while token != "":
            page = self._client.search_runs([self._experiment], inside, max_results=MOST, page_token=token)
            yield from page
            token = page.token or ""

    def _write_trial(self, trial: Trial) -> None:
        about = {PARENT: self.run_id, TRIAL: str(trial.id), "jaxhpt.status": trial.status}
        if trial.parent is not None:
            about["jaxhpt.parent"] = str(trial.parent)
        run = self._client.create_run(self._experiment, tags=about, run_name=f"trial {trial.id}").info.run_id
        params = [Param(_named(name), str(value)) for name, value in plain_hparams(trial, self.problem).items()]
        metrics = self._metrics(trial)
        for first in range(0, len(metrics), MOST):
            self._client.log_batch(run, metrics=metrics[first : first + MOST])
        self._client.log_batch(run, params=params, tags=[RunTag("jaxhpt.feasible", str(trial.feasible))])
        self._client.set_terminated(run, "FAILED" if trial.status == "failed" else "FINISHED")

    def _metrics(self, trial: Trial) -> list[Any]:
        objective, now = self.problem.objectives[0].name, _now()
        points = [(objective, value, step) for step, value in zip(*trial.curve, strict=True)]
        ends = [(name, value, trial.steps) for name, value in trial.metrics.items()]
        told = {(name, step) for name, _, step in points}
        points += [end for end in ends if (end[0], end[2]) not in told]
        return [Metric(_named(name), value, now, step) for name, value, step in points if np.isfinite(value)]


def _named(name: str) -> str:
    """Return a name that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "_", name)


def _now() -> int:
    return int(time.time() * 1000)
