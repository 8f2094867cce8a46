"""Trial and Stretch: rows of the history in the user's own words."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from jaxhpt.core.history import History, Status
from jaxhpt.core.problem import Problem
from jaxhpt.core.showing import Shown
from jaxhpt.core.typing import NONE, Hparams


class Curve(NamedTuple):
    """A learning curve: the reports of one trial, in order.

    Attributes:
      steps: training steps at each report.
      values: the first objective there, in the user's own sign.
    """

    steps: tuple[int, ...] = ()
    values: tuple[float, ...] = ()


NO_CURVE = Curve()


@dataclasses.dataclass(frozen=True, repr=False)
class Trial(Shown):
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
      curve: the reports that were kept of its training, as (steps, values): one at the end, and as many before as its
        scheduler looks at.
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
    curve: Curve = NO_CURVE


@dataclasses.dataclass(frozen=True, repr=False)
class Confirmed(Shown):
    """A setting of a search that was trained again, with fresh seeds and folds.

    Attributes:
      trial: of the search, with the figures that it was chosen by.
      metrics: name to value when trained again; NaN where that failed.
      value: the objective's.
    """

    trial: Trial
    metrics: dict[str, float]
    value: float


@dataclasses.dataclass(frozen=True, repr=False)
class Stretch(Shown):
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


def read_rows(
    history: History, problem: Problem, feasible: np.ndarray, rows: np.ndarray, exact: np.ndarray | None = None
) -> list[Trial]:
    """Return trials.

    Args:
      history: on the host.
      problem: static.
      feasible: bool[C] whether rows keep all constraints.
      rows: i[n] those that are meant.
      exact: f64[C, K] scores as a person told them; None where they are those of the history.
    """
    labels = problem.space.labels(history.unit[rows]) if len(rows) else []
    scores = np.asarray(history.metrics if exact is None else exact)
    return [
        _trial(history, problem, bool(feasible[row]), int(row), label, scores)
        for row, label in zip(rows, labels, strict=True)
    ]


def plain(value: Any) -> float:
    """Return the shortest number that is this float32; a float64 as it is."""
    return float(value) if isinstance(value, np.float64) else float(str(np.float32(value)))


def _curve(history: History, problem: Problem, row: int, scores: np.ndarray) -> Curve:
    """Read the reports of a row: those before the last stand at the ends of the strides."""
    there = np.flatnonzero(np.isfinite(history.curve[row]))
    steps = np.minimum((there + 1) * problem.schedule.report_steps, history.steps[row])
    values = np.asarray(history.curve[row][there]) if scores.dtype == np.float32 else scores[row, : len(there)]
    sign = values.dtype.type(problem.objectives[0].sign)
    return Curve(tuple(int(step) for step in steps), tuple(plain(value * sign) for value in values))


def _trial(
    history: History, problem: Problem, feasible: bool, row: int, hparams: Hparams, all_scores: np.ndarray
) -> Trial:
    columns, scores = problem.metrics, np.asarray(all_scores[row])
    shown = np.where(np.isfinite(scores), scores, scores.dtype.type(np.nan)) * np.array(columns.signs, scores.dtype)
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
        parent=int(history.parent[row]) if history.parent[row] < NONE else None,
        curve=_curve(history, problem, row, all_scores),
    )
