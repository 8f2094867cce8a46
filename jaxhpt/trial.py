"""Trial and Stretch: rows of the history in the user's own words."""

import dataclasses
from typing import Any

import numpy as np

from jaxhpt.history import History, Status
from jaxhpt.problem import Problem
from jaxhpt.typing import Hparams


@dataclasses.dataclass(frozen=True)
class Trial:
    """One setting and its training.

    Attributes:
      id: its number, in order of start.
      hparams: the setting, in the structure of the space; None where a dimension did not exist.
      metrics: name to value, in the user's own sign; NaN where failed or not reported.
      value: the objective's.
      steps: training steps done at the latest report.
      status: "done", "stopped", "failed", "running", or "prior" if known before the search.
      start: tick of the batch stream at which it started.
      feasible: whether it keeps all constraints; True where there are none.
      parent: id of the trial whose weights it went on from; None if it began afresh.
    """

    id: int
    hparams: Hparams
    metrics: dict[str, float]
    value: float
    steps: int
    status: str
    start: int
    feasible: bool = True
    parent: int | None = None


@dataclasses.dataclass(frozen=True)
class Stretch:
    """A part of a model's life that it trained under one setting.

    Attributes:
      trial: id.
      first: training steps done before it.
      last: training steps done after it.
      hparams: the setting.
    """

    trial: int
    first: int
    last: int
    hparams: Hparams


def read_rows(history: History, problem: Problem, feasible: np.ndarray, rows: np.ndarray) -> list[Trial]:
    """Return trials: rows i[n] of a history on the host, of which bool[C] `feasible` keep all constraints."""
    labels = problem.space.labels(history.unit[rows]) if len(rows) else []
    return [
        _trial(history, problem, bool(feasible[row]), int(row), label) for row, label in zip(rows, labels, strict=True)
    ]


def plain(value: Any) -> float:
    """Return the shortest number that is this float32."""
    return float(str(np.float32(value)))


def _trial(history: History, problem: Problem, feasible: bool, row: int, hparams: Hparams) -> Trial:
    columns, scores = problem.columns, np.asarray(history.metrics[row])
    shown = np.where(np.isfinite(scores), scores, np.nan) * np.array(columns.signs, np.float32)
    metrics = {name: plain(value) for name, value in zip(columns.names, shown, strict=True)}
    return Trial(
        id=row,
        hparams=hparams,
        metrics=metrics,
        value=metrics[columns.names[0]],
        steps=int(history.steps[row]),
        status=Status(int(history.status[row])).name.lower(),
        start=int(history.start[row]),
        feasible=feasible,
        parent=int(history.parent[row]) if history.parent[row] >= 0 else None,
    )
