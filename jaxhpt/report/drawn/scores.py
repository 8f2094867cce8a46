"""What trials came to, by matplotlib: history, slices, contours, distributions, several searches."""

from typing import Any

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.drawn.base import (
    ACCENT,
    COLOURS,
    along,
    beyond,
    by_status,
    jitter,
    legend,
    new_axes,
    quiet,
    ramp,
    series,
    within,
)
from jaxhpt.report.figures.comparison import Comparison
from jaxhpt.report.figures.contours import Contours
from jaxhpt.report.figures.distribution import Distribution
from jaxhpt.report.figures.history import History
from jaxhpt.report.figures.slices import Slices


def history(figure: History, ax: Any) -> Any:
    """Draw an optimisation history."""
    along(ax, "y", figure.objective)
    value = within(figure.objective, figure.value)
    for name, colour, rows in by_status(figure.status):
        ax.scatter(figure.trial[rows], value[rows], 9, colour, alpha=0.75, linewidths=0, label=name)
        beyond(ax, figure.objective, figure.trial[rows], figure.value[rows], colour)
    _failed(ax, figure.trial[figure.status == Status.FAILED])
    ax.step(figure.trial, within(figure.objective, figure.best), where="post", color=ACCENT, label="best so far")
    ax.set_xlabel("trial")
    legend(ax)
    return quiet(ax, "Optimisation history")


def slices(figure: Slices, axes: Any) -> Any:
    """Draw slices, one in each of as many axes as there are dimensions."""
    for ax, axis, value in zip(axes, figure.axes, figure.value, strict=True):
        moved, score = value + jitter(axis, len(value)), within(figure.objective, figure.score)
        for _, colour, rows in by_status(figure.status):
            ax.scatter(moved[rows], score[rows], 7, colour, alpha=0.75, linewidths=0)
            beyond(ax, figure.objective, moved[rows], figure.score[rows], colour)
        along(ax, "x", axis)
        along(ax, "y", figure.objective)
        ax.set_ylabel(figure.objective.name)
        failed = figure.status == Status.FAILED
        _failed(ax, moved[failed & np.isfinite(moved)])
        quiet(ax)
    return axes[0].figure


def contours(figure: Contours, pair: int, ax: Any) -> Any:
    """Draw the contours of one pair of dimensions."""
    one = figure.pairs[pair]
    left, up = _edges(one.rank.shape[1]), _edges(one.rank.shape[0])
    mesh = ax.pcolormesh(left, up, np.ma.masked_invalid(one.rank), cmap=ramp(), vmin=0, vmax=1)
    ax.scatter(one.left, one.up, 3, "#16191d", alpha=0.5, linewidths=0)
    for which, axis in (("x", one.x), ("y", one.y)):
        _ticks(ax, which, axis)
    bar = ax.figure.colorbar(mesh, ax=ax, ticks=np.linspace(0, 1, len(one.level)), label="value at the rank")
    worst, *middle, best = (f"{value:.4g}" for value in one.level)
    bar.ax.set_yticklabels([f"worst {worst}", *middle, f"best {best}"], fontsize=8)
    bar.outline.set_visible(False)
    return quiet(ax, f"{figure.objective}, smoothed")


def distribution(figure: Distribution, ax: Any) -> Any:
    """Draw empirical distributions."""
    for i, (name, value, share) in enumerate(zip(figure.names, figure.value, figure.share, strict=True)):
        ax.step(value, share, where="post", label=name or None, **series(i))
    along(ax, "x", figure.objective)
    ax.set_ylim(0, 1.02)
    ax.set_ylabel("share of trials that are as good")
    legend(ax)
    return quiet(ax, "Empirical distribution")


def comparison(figure: Comparison, ax: Any) -> Any:
    """Draw the best so far of several searches."""
    for i, (name, count, best) in enumerate(zip(figure.names, figure.count, figure.best, strict=True)):
        ax.step(count, within(figure.objective, best), where="post", label=name or None, **series(i))
    along(ax, "y", figure.objective)
    ax.set_xlabel("trials")
    legend(ax)
    return quiet(ax, "Best so far of each search")


def axes_of_slices(figure: Slices) -> Any:
    """Return new axes for slices."""
    return np.atleast_1d(new_axes(len(figure.axes), (3.6, 2.6)))


def _failed(ax: Any, x: Any) -> None:
    if len(x):
        look = {"marker": "x", "label": "failed", "linewidths": 1, "transform": ax.get_xaxis_transform()}
        ax.scatter(x, np.full(len(x), 0.015), 14, COLOURS["failed"], **look)


def _edges(num: int) -> np.ndarray:
    return np.linspace(0, 1, num + 1)


def _ticks(ax: Any, which: str, axis: Any) -> None:
    """Name places in [0, 1] by the values that are there."""
    getattr(ax, f"set_{which}label")(axis.name)
    if axis.texts:
        places, texts = (np.arange(len(axis.texts)) + 0.5) / len(axis.texts), axis.texts
    else:
        places = np.linspace(0, 1, 5)
        low, high = axis.along(np.array([axis.low, axis.high]))
        texts = tuple(f"{v:.3g}" for v in axis.back(low + places * (high - low)))
    getattr(ax, f"set_{which}ticks")(places, texts)
    getattr(ax, f"set_{which}lim")(0, 1)
