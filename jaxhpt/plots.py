"""Figures of a search by matplotlib, the extra `jaxhpt[plots]`; each is a function of a result and returns its axes.

All of them, and more, are on the page that `Result.report` writes, which needs no matplotlib.

Example:
  >>> import jaxhpt
  >>> result = jaxhpt.minimize(lambda h, key: h["x"] ** 2, {"x": jaxhpt.Float(-1, 1)}, trials=16, progress=False)
  >>> ax = jaxhpt.plots.history(result)  # doctest: +SKIP
  >>> ax.figure.savefig("history.png")  # doctest: +SKIP
"""

from collections.abc import Callable
from typing import Any

from jaxhpt.core.checks import suggest
from jaxhpt.report.catalogue import OF_A_SEARCH, OF_AN_OBJECTIVE, OF_SEVERAL
from jaxhpt.report.drawn import scores, settings, time
from jaxhpt.report.drawn.base import literal, new_axes, pyplot
from jaxhpt.report.figures import contours as data
from jaxhpt.report.figures.base import Missing
from jaxhpt.reporting import named
from jaxhpt.results.findings import findings_of
from jaxhpt.results.result import Result


def history(result: Result, objective: str | None = None, ax: Any = None) -> Any:
    """Draw the optimisation history: what each trial came to, and the best so far.

    Args:
      result: of a search.
      objective: name of the one that is meant; None for the first.
      ax: axes to draw in; None for new ones.

    Returns:
      The axes.

    Raises:
      ValueError: nothing to show, or an unknown objective.
      ImportError: without matplotlib, the extra `jaxhpt[plots]`.
    """
    return _of("history", result, objective, ax, scores.history)


def parallel(result: Result, ax: Any = None) -> Any:
    """Draw parallel coordinates: a line for each trial; the stronger, the better. Arguments as of `history`."""
    return _of("parallel", result, None, ax, settings.parallel, size=(9.0, 4.2))


def importance(result: Result, objective: str | None = None, ax: Any = None, method: str = "permutation") -> Any:
    """Draw what mattered, with standard errors. Arguments as of `history`, and the method of `Result.importance`."""
    return _of("importance", result, objective, ax, settings.importance, method)


def slices(result: Result, objective: str | None = None) -> Any:
    """Draw an objective against each dimension. Arguments as of `history`; returns the matplotlib figure."""
    figure = _figure("slices", result, objective)
    return scores.slices(figure, scores.axes_of_slices(figure))


def contours(
    result: Result, x: str | None = None, y: str | None = None, objective: str | None = None, ax: Any = None
) -> Any:
    """Draw an objective over two dimensions, smoothed. Arguments as of `history`.

    Args:
      result: of a search.
      x: name of one dimension; None for the first of the space that is not `y`.
      y: name of another; None for the first that is not `x`.
      objective: name of the one that is meant; None for the first.
      ax: axes to draw in; None for new ones.
    """
    given, known = [name for name in (x, y) if name is not None], result.space.names
    if len(set(given)) < len(given) or not set(given) <= set(known):
        raise ValueError(f"x={x!r}, y={y!r}: must be two dimensions of {list(known)}, or None")
    others = [name for name in known if name not in given]
    names = tuple(others.pop(0) if name is None else name for name in (x, y)) if len(known) > 1 else ()
    pyplot()
    made = data.contours(findings_of(result, importance=None), _column(result, objective), names)
    return scores.contours(_there("contours", made), 0, _axes(ax, (5.6, 4.4)))


def curves(result: Result, ax: Any = None) -> Any:
    """Draw learning curves, and where they were stopped. Arguments as of `history`."""
    return _of("curves", result, None, ax, time.curves)


def pareto(result: Result, ax: Any = None) -> Any:
    """Draw the Pareto front of the first two objectives. Arguments as of `history`."""
    return _of("pareto", result, None, ax, settings.pareto, size=(5.6, 4.4))


def hypervolume(result: Result, ax: Any = None) -> Any:
    """Draw how the volume grew that the Pareto front dominates. Arguments as of `history`."""
    figure = _figure("pareto", result, None)
    if not len(figure.trial):
        raise ValueError("hypervolume: nothing to show: no trial is done and feasible, or over three objectives")
    return settings.hypervolume(figure, _axes(ax))


def lanes(result: Result, ax: Any = None) -> Any:
    """Draw the timeline: which trial trained when, in lanes. Arguments as of `history`."""
    return _of("lanes", result, None, ax, time.lanes)


def rungs(result: Result, ax: Any = None) -> Any:
    """Draw the flow through the rungs: how many trials came how far. Arguments as of `history`."""
    return _of("rungs", result, None, ax, time.rungs)


def lineage(result: Result, dimension: str | None = None, ax: Any = None) -> Any:
    """Draw who went on from whose weights, under which setting. Arguments as of `history`.

    Args:
      result: of a search whose scheduler copies weights.
      dimension: name of the one that is the height; None for the first.
      ax: axes to draw in; None for new ones.
    """
    figure = _figure("lineage", result, None)
    names = list(result.space.names)
    if dimension is not None and dimension not in names:
        raise ValueError(f"dimension={dimension!r}: unknown; {suggest(dimension, names)}")
    return time.lineage(figure, 0 if dimension is None else names.index(dimension), _axes(ax, (8.0, 4.0)))


def endings(result: Result, ax: Any = None) -> Any:
    """Draw why trials ended, as time goes on. Arguments as of `history`."""
    return _of("endings", result, None, ax, time.endings)


def spread(result: Result, objective: str | None = None, ax: Any = None) -> Any:
    """Draw the best trials with their spread over seeds and folds. Arguments as of `history`."""
    return _of("spread", result, objective, ax, settings.spread, size=(6.4, 5.6))


def held_out(result: Result, ax: Any = None) -> Any:
    """Draw what chose the winner beside what did not: a test metric, or a confirmation. Arguments as of `history`."""
    return _of("held_out", result, None, ax, settings.held_out, size=(5.0, 4.4))


def distribution(results: Any, objective: str | None = None, ax: Any = None) -> Any:
    """Draw the empirical distribution of several searches: the share of trials that are as good as a value.

    Args:
      results: a result, a list of results, or a dict of them by name.
      objective: name of the one that is meant; None for the first.
      ax: axes to draw in; None for new ones.
    """
    return _of_several("distribution", results, objective, ax, scores.distribution)


def comparison(results: Any, objective: str | None = None, ax: Any = None) -> Any:
    """Draw the best so far of several searches. Arguments as of `distribution`."""
    return _of_several("comparison", results, objective, ax, scores.comparison)


def _of(
    name: str,
    result: Result,
    objective: str | None,
    ax: Any,
    draw: Callable,
    method: str | None = None,
    size: tuple[float, float] = (7.2, 4.0),
) -> Any:
    figure = _figure(name, result, objective, method)
    return draw(figure, _axes(ax, size))


def _figure(name: str, result: Result, objective: str | None, method: str | None = None) -> Any:
    """Return a figure as data.

    Raises:
      ValueError: nothing to show.
    """
    pyplot()  # what is missing is said before anything is measured
    if name in OF_A_SEARCH:
        return _there(name, OF_A_SEARCH[name](findings_of(result, importance=method)))
    column = _column(result, objective)
    return _there(name, OF_AN_OBJECTIVE[name](findings_of(result, importance=method), column))


def _of_several(name: str, results: Any, objective: str | None, ax: Any, draw: Callable) -> Any:
    pyplot()
    found = named(results)
    first, *more = found.values()
    if any(result.objectives != first.objectives for result in more):
        raise ValueError(f"results: {name} is of searches with the same objectives; these have others than each other")
    searches = [findings_of(result, label, None) for label, result in found.items()]
    column = _column(first, objective)
    return draw(_there(name, OF_SEVERAL[name](searches, column)), _axes(ax))


def _there(name: str, figure: Any) -> Any:
    if isinstance(figure, Missing):
        raise ValueError(f"{name}: nothing to show: {figure.why}")
    return literal(figure)


def _column(result: Result, objective: str | None) -> int:
    names = [one.name for one in result.objectives]
    if objective is not None and objective not in names:
        raise ValueError(f"objective={objective!r}: unknown; {suggest(objective, names)}")
    return 0 if objective is None else names.index(objective)


def _axes(ax: Any, size: tuple[float, float] = (7.2, 4.0)) -> Any:
    return new_axes(size=size) if ax is None else ax
