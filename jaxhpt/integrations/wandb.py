"""Weights & Biases: a run for the search, and a row of its history for each trial."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.logger import SECONDS, Logger, plain_hparams
from jaxhpt.results.table import FIXED, headings
from jaxhpt.results.trial import Trial
from jaxhpt.store.files import read_json, write_json

with extra("wandb"):
    import wandb

NOTE = "wandb.json"  # in the run directory: which run it is, and which trials it has
ROWS = 1000
TAKEN = (*FIXED, "finished", "curves")  # of a row, what is no metric
OURS = ("id", "resume", "project", "mode")


class WandB(Logger):
    """Write a search to Weights & Biases while it runs: a callback.

    One run is the search; its history has a row for each trial that is written, with its metrics and settings, and
    the best so far, so that its charts of parallel coordinates work. A metric that is called as one of the columns
    `trial`, `status`, `steps`, `finished` and `curves` gets the prefix "metrics.". The learning curves of the trials
    that this process wrote are in a table at the end.

    Args:
      project: of the run.
      mode: "offline" writes to local files, for `wandb sync`; "online"; None for what the environment says.
      top: write a trial if fewer than so many of those that ended before it are better; None for all.
      seconds: from one look to the next, at least; up to 30 where looking would take more than a fiftieth of the time.
      **options: of `wandb.init`, such as `name`, `group`, `dir`.

    Raises:
      ValueError, TypeError: no such text or numbers.

    Example:
      ```python
      jaxhpt.minimize(function, space, run_dir="runs/first", callbacks=[WandB("my-project", mode="offline")])
      ```
    """

    def __init__(
        self,
        project: str = "jaxhpt",
        *,
        mode: str | None = None,
        top: int | None = ROWS,
        seconds: float = SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(top, seconds)
        if not isinstance(project, str):
            raise TypeError(f"project={project!r}: must be a text")
        require(mode in ("offline", "online", None), "mode", mode, "'offline', 'online' or None")
        ours = [name for name in options if name in OURS]
        require(not ours, "options", ours, "others than these: they are set by the run_dir")
        self._project, self._mode, self._options = project, mode, options

    def start(self, run_dir: pathlib.Path | None) -> set[int]:
        """Begin a run, or go on with the one of the run directory; see `Logger.start`."""
        self._note = None if run_dir is None else run_dir / NOTE
        self._names, _ = headings(self.problem.metrics.names, (), TAKEN)
        told: dict[str, Any] = {"id": None, "trials": [], "finished": -1}
        if self._note is not None and self._note.exists():
            told = read_json(self._note)
        options = {"dir": None if run_dir is None else str(run_dir), **self._options}
        again = {} if told["id"] is None else {"id": told["id"], "resume": "allow"}
        self._run = wandb.init(project=self._project, mode=self._mode, **options, **again)  # type: ignore[arg-type]
        self._logged, self._curves = list(told["trials"]), list[Any]()
        self._last = told["finished"]
        self._run.define_metric("*", step_metric="trial")
        self._run.define_metric("best *", step_metric="finished")
        self._save()
        return set(self._logged)

    def log(self, trials: Sequence[Trial], snapshot: Snapshot) -> None:
        """Write a row for each trial; see `Logger.log`."""
        for trial in trials:
            settings = {f"hparams.{name}": value for name, value in plain_hparams(trial, self.problem).items()}
            values = zip(self._names, trial.metrics.values(), strict=True)
            metrics = {name: value for name, value in values if np.isfinite(value)}
            about = {"trial": trial.id, "steps": trial.steps, "status": trial.status}
            self._run.log({**about, **metrics, **settings})
            if len(trial.curve.steps) > 1:
                self._curves += [(trial.id, step, value) for step, value in zip(*trial.curve, strict=True)]
        self._logged += [trial.id for trial in trials]
        better = snapshot.finished > self._last and snapshot.best_value is not None
        if better:
            self._last = snapshot.finished
            self._run.log({"finished": self._last, f"best {snapshot.objective}": snapshot.best_value})
        if better or trials:
            self._save()

    def closed(self, ended: str) -> None:
        """Write the learning curves, and end the run; see `Paced.closed`."""
        self._run.summary["ended"] = ended
        if self._curves:
            self._run.log({"curves": wandb.Table(columns=["trial", "steps", "value"], data=self._curves)})
        self._run.finish(exit_code=1 if ended == "error" else 0)

    def _save(self) -> None:
        if self._note is not None:
            write_json(self._note, {"id": self._run.id, "trials": self._logged, "finished": self._last})
