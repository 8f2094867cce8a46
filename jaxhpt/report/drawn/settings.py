"""Settings and choices, by matplotlib: parallel coordinates, importances, fronts, spread, validation beside test."""

from typing import Any

import numpy as np

from jaxhpt.report.drawn.base import ACCENT, COLOURS, INK, SOFT, along, legend, quiet, ramp, within
from jaxhpt.report.figures.held_out import HeldOut
from jaxhpt.report.figures.importance import Importance
from jaxhpt.report.figures.parallel import Parallel
from jaxhpt.report.figures.pareto import Pareto
from jaxhpt.report.figures.spread import Spread

RAIL = -0.08  # where a line passes a dimension that does not exist


def parallel(figure: Parallel, ax: Any) -> Any:
    """Draw parallel coordinates."""
    from matplotlib.collections import LineCollection

    num = len(figure.axes)
    y = np.where(np.isnan(figure.place), RAIL, figure.place)
    lines = np.stack([np.broadcast_to(np.arange(num), y.shape), y], axis=-1)
    ax.add_collection(LineCollection(list(lines), colors=ramp()(figure.rank), linewidths=0.7, alpha=0.6))
    for i, axis in enumerate(figure.axes):
        ax.axvline(i, color=SOFT, linewidth=0.8)
        _ends(ax, i, axis)
    ax.set_xlim(-0.2, num - 0.8)
    ax.set_ylim(RAIL - 0.06, 1.06)
    ax.set_xticks(range(num), [axis.name for axis in figure.axes])
    quiet(ax, "Parallel coordinates").set_yticks([])
    return ax


def importance(figure: Importance, ax: Any) -> Any:
    """Draw importances."""
    names, error = list(figure.names)[::-1], np.nan_to_num(figure.error)[::-1]
    ax.barh(names, figure.share[::-1], 0.55, color=ACCENT, xerr=error, error_kw={"ecolor": INK, "capsize": 2, "lw": 1})
    ax.set_xlabel(f"share in {figure.objective}, by {figure.method}")
    quiet(ax, "Importance").grid(axis="y", visible=False)
    return ax


def pareto(figure: Pareto, ax: Any) -> Any:
    """Draw the front of the first two objectives."""
    x, y = (within(axis, score) for axis, score in zip(figure.axes[:2], figure.score[:2], strict=True))
    for name, colour, size, rows in (
        ("breaks a constraint", COLOURS["failed"], 8, ~figure.front & ~figure.feasible),
        ("dominated", SOFT, 10, ~figure.front & figure.feasible),
        ("Pareto front", ACCENT, 22, figure.front),
    ):
        if rows.any():
            ax.scatter(x[rows], y[rows], size, colour, alpha=0.9 if rows is figure.front else 0.75, lw=0, label=name)
    along(ax, "x", figure.axes[0])
    along(ax, "y", figure.axes[1])
    legend(ax)
    return quiet(ax, "Pareto front")


def hypervolume(figure: Pareto, ax: Any) -> Any:
    """Draw how the dominated volume grew."""
    ax.step(figure.trial, figure.volume, where="post", color=ACCENT)
    ax.set_xlabel("trial")
    ax.set_ylabel("share of the box")
    ax.set_ylim(0, 1.02)
    return quiet(ax, "Hypervolume")


def spread(figure: Spread, ax: Any) -> Any:
    """Draw the spread of the best trials."""
    place = np.arange(len(figure.row))
    ax.axvspan(figure.value[0] - figure.error[0], figure.value[0] + figure.error[0], color=ACCENT, alpha=0.12, lw=0)
    ax.hlines(place, figure.value - figure.deviation, figure.value + figure.deviation, SOFT, lw=1, label="deviation")
    ends = figure.value - figure.error, figure.value + figure.error
    ax.hlines(place, *ends, ACCENT, lw=2.5, alpha=0.5, label="standard error")
    ax.plot(figure.value, place, "o", color=ACCENT, markersize=4)
    ax.set_yticks(place, [f"{trial:,}" for trial in figure.trial])
    ax.invert_yaxis()
    ax.set_xlabel(figure.objective.name)
    ax.set_ylabel("trial, the best first")
    legend(ax)
    quiet(ax, f"Spread over {figure.models} models").grid(axis="y", visible=False)
    return ax


def held_out(figure: HeldOut, ax: Any) -> Any:
    """Draw validation beside test."""
    value, fresh = within(figure.chosen, figure.value), within(figure.other, figure.fresh)
    ax.scatter(value, fresh, 12, SOFT, alpha=0.75, linewidths=0, label="trials")
    ax.plot(value[figure.best], fresh[figure.best], "o-", color=ACCENT, markersize=5, lw=1, label="best so far")
    low, high = max(figure.chosen.low, figure.other.low), min(figure.chosen.high, figure.other.high)
    if high > low:
        ax.plot([low, high], [low, high], ":", color=SOFT, lw=1, label="equal")
    along(ax, "x", figure.chosen)
    along(ax, "y", figure.other)
    legend(ax)
    return quiet(ax, "Validation beside test")


def _ends(ax: Any, x: int, axis: Any) -> None:
    """Write the ends of an axis, or its texts."""
    texts = {0.0: f"{axis.low:.3g}", 1.0: f"{axis.high:.3g}"}
    if axis.near:
        texts = {float(axis.place(np.array(tick))): f"{tick:.4g}" for tick in axis.ticks}
    if axis.texts:
        texts = {(i + 0.5) / len(axis.texts): text for i, text in enumerate(axis.texts)}
    for y, text in texts.items():
        ax.text(x + 0.02, y, text, fontsize=7, color=INK, va="center")
