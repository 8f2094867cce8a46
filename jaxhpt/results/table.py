"""The table of trials: the one that a result prints, and the one for pandas."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Choice
from jaxhpt.core.problem import Problem
from jaxhpt.core.showing import shown
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE
from jaxhpt.core.values import Named
from jaxhpt.results.trial import Confirmed, Trial

FIXED, EMPTY = ("trial", "status", "steps"), MappingProxyType[str, Any]({})
SHOWN = 5  # trials


def headings(
    metrics: Sequence[str], hparams: Sequence[str], fixed: Iterable[str] = FIXED
) -> tuple[list[str], list[str]]:
    """Name the columns of metrics and of hyperparameters, each as the user named it unless that name is taken.

    A metric that is called as one of the `fixed` columns gets the prefix "metrics.", and a hyperparameter that is
    called as one of these or as a metric the prefix "hparams.".
    """
    taken = set(fixed)
    shown = [_free(name, "metrics", taken) for name in metrics]
    return shown, [_free(name, "hparams", taken) for name in hparams]


def table(trials: Sequence[Trial], unit: Any, space: Space) -> list[str]:
    """Return lines: a head, and a line for each of the trials, at least one, whose settings are rows of f32[C, D]."""
    settings = written_rows(unit[[t.id for t in trials]], space)
    metrics, hparams = headings(list(trials[0].metrics), space.names)
    rows = [
        [str(t.id), *(f"{m:.5g}" for m in t.metrics.values()), str(t.steps), *map(_short, values)]
        for t, values in zip(trials, settings, strict=True)
    ]
    return _align([["trial", *metrics, "steps", *hparams], *rows])


def confirmed_table(confirmed: Sequence[Confirmed]) -> list[str]:
    """Return lines: a head, and a line for each setting that was trained again, at least one."""
    rows = [[str(c.trial.id), *(f"{m:.5g}" for m in c.metrics.values()), f"{c.trial.value:.5g}"] for c in confirmed]
    return _align([["trial", *confirmed[0].metrics, "before"], *rows])


def frame(trials: Sequence[Trial], unit: Any, problem: Problem, curves: bool) -> Any:
    """Return a pandas table with a row a trial, all trials in order, or a row a report of their learning curves.

    Raises:
      ImportError: without pandas, the extra `jaxhpt[pandas]`.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'jaxhpt[pandas]'") from error
    if curves:
        reports = [(t.id, *report) for t in trials for report in zip(*t.curve, strict=True)]
        return pandas.DataFrame(reports, columns=["trial", "steps", "value"])
    names, rows = plain_table(trials, unit, problem)
    return pandas.DataFrame(rows, columns=names)


def plain_table(
    trials: Sequence[Trial], unit: Any, problem: Problem, first: Mapping[str, Any] = EMPTY
) -> tuple[list[str], list[list[Any]]]:
    """Return the names of the columns, and a row for each of the trials.

    Args:
      trials: of one search.
      unit: f32[C, D] settings of all its trials.
      problem: in the user's own space.
      first: columns before the others, name to the value of all rows.
    """
    fixed = (*first, *FIXED)
    metrics, hparams = headings(problem.metrics.names, problem.space.names, fixed)
    settings = written_rows(unit[[t.id for t in trials]], problem.space)
    rows = [
        [*first.values(), t.id, t.status, t.steps, *t.metrics.values(), *values]
        for t, values in zip(trials, settings, strict=True)
    ]
    return [*fixed, *metrics, *hparams], rows


def written_rows(unit: Any, space: Space) -> list[list[Any]]:
    """Return rows f32[n, D] as n lists of D plain values, of which functions and classes are written by their names."""
    writers = [_writer(dimension) for dimension in space.dimensions]
    return [[write(value) for write, value in zip(writers, row, strict=True)] for row in space.label_rows(unit)]


def _writer(dimension: Dimension) -> Callable[[Any], Any]:
    """Return how values of a dimension are written; None, of what does not exist, stays."""
    named = isinstance(dimension, Choice) and any(isinstance(value, Named) for value in dimension.values)  # as loaded
    if not isinstance(dimension, Choice) or (shown(dimension.values) == repr(dimension.values) and not named):
        return lambda value: value
    return lambda value: None if value is None else dimension.texts[dimension.find(value)]  # type: ignore[index]


def _free(name: str, prefix: str, taken: set[str]) -> str:
    while name in taken:
        name = f"{prefix}.{name}"
    taken.add(name)
    return name


def _align(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _of_the_longest(result: Any) -> list[str]:
    """Return the lines that show what there is where no trial has trained to its end."""
    if result._row == NONE and result.stats.failed == result.stats.trials > 0:
        told = f"all failed: {result.objectives[0].name}, or the weights, were not finite"
        return [f"{told}; jaxhpt.check(task, space) looks for the reason"]
    if result._row == NONE:
        return ["no trial is done"]
    shown = table([result.best], result.history.unit, result.space)
    return ["no trial is done; the best of those that trained longest:", *shown]


def found_table(result: Any, count: int = SHOWN) -> list[str]:
    """Return the lines that show what a result found: the best, or the front; and what came out when trained again."""
    several = len(result.objectives) > 1
    top = result.pareto_front() if several else result.top(count)
    if not top:
        return _of_the_longest(result) if not several else ["no trial is done and feasible"]
    front = [f"the first of {len(top)} on the Pareto front:"] if several else []
    lines = [*front, *table(top[:count], result.history.unit, result.space)]
    if result.fresh is None or result.fresh._row == NONE:
        return lines
    return [*lines, "trained again:", *confirmed_table(result.confirmed)]
