"""Training over time, by matplotlib: learning curves, lanes, rungs, lineage, endings."""

from typing import Any

import numpy as np

from jaxhpt.report.drawn.base import ACCENT, COLOURS, SOFT, along, by_status, legend, name_of, quiet, within
from jaxhpt.report.figures.curves import Curves
from jaxhpt.report.figures.endings import Endings
from jaxhpt.report.figures.lanes import Lanes
from jaxhpt.report.figures.lineage import Lineage
from jaxhpt.report.figures.rungs import Rungs


def curves(figure: Curves, ax: Any) -> Any:
    """Draw learning curves."""
    for steps, value, status in zip(figure.steps, figure.value, figure.status, strict=True):
        there, colour = np.isfinite(value), COLOURS[name_of(status)]
        shown = within(figure.objective, value[there])
        ax.plot(steps[there], shown, color=colour, lw=0.8, alpha=0.6)
        ax.plot(steps[there][-1:], shown[-1:], "o", color=colour, markersize=2.5)
    for name, colour, _ in by_status(figure.status):
        ax.plot([], [], color=colour, label=name)
    along(ax, "y", figure.objective)
    ax.set_xlabel("training steps")
    legend(ax)
    return quiet(ax, "Learning curves")


def lanes(figure: Lanes, ax: Any) -> Any:
    """Draw the timeline."""
    from matplotlib.collections import PolyCollection

    for name in ("stopped", "failed", "running", "done"):
        rows = np.flatnonzero([name_of(status) == name for status in figure.status])
        boxes = [_box(figure.first[i], figure.last[i], figure.lane[i]) for i in rows]
        ax.add_collection(PolyCollection(boxes, facecolors=COLOURS[name], alpha=0.85, label=name if boxes else None))
    ax.set_xlim(0, figure.last.max())
    ax.set_ylim(max(figure.num, figure.lane.max() + 1), 0)
    ax.set_xlabel("steps trained in a lane")
    ax.set_ylabel("lane")
    quiet(ax, "Lanes").grid(visible=False)
    legend(ax)
    return ax


def rungs(figure: Rungs, ax: Any) -> Any:
    """Draw how many trials came to each rung, and what became of them there."""
    place, going = np.arange(len(figure.steps)), np.append(figure.reached[1:], 0)
    below = np.zeros(len(place))
    parts = {"went on": (ACCENT, going)} | {n: (COLOURS[n], getattr(figure, n)) for n in ("done", "running")}
    parts |= {name: (COLOURS[name], getattr(figure, name)) for name in ("stopped", "failed")}
    for name, (colour, count) in parts.items():
        if count.any():
            ax.bar(place, count, 0.62, below, color=colour, alpha=0.35 if name == "went on" else 0.85, label=name)
        below = below + count
    for x, count in zip(place, figure.reached, strict=True):
        ax.annotate(f"{count:,}", (x, count), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    ax.set_xticks(place, [f"step {steps:,}" for steps in figure.steps])
    ax.set_ylabel("trials")
    legend(ax)
    return quiet(ax, "Flow through the rungs")


def lineage(figure: Lineage, dimension: int, ax: Any) -> Any:
    """Draw who went on from whose weights, at the height of one dimension."""
    axis = figure.axes[dimension]
    height = np.nan_to_num(figure.place[dimension], nan=0.0)
    for i, parent in enumerate(figure.parent):
        _stretch(ax, figure, height, i, parent, figure.last[i], SOFT, 0.8)
    ends = [*figure.first[figure.winner[1:]], figure.last[figure.winner[-1]]]
    for i, end in zip(figure.winner, ends, strict=True):
        _stretch(ax, figure, height, i, figure.parent[i], end, ACCENT, 2.0)
    places = np.linspace(0, 1, 5)
    low, high = axis.along(np.array([axis.low, axis.high]))
    texts = [f"{v:.3g}" for v in axis.back(low + places * (high - low))]
    if axis.texts:
        places, texts = (np.arange(len(axis.texts)) + 0.5) / len(axis.texts), list(axis.texts)
    ax.set_yticks(places, texts)
    ax.set_ylabel(axis.name)
    ax.set_xlabel("training steps behind the weights")
    return quiet(ax, "Lineage")


def endings(figure: Endings, ax: Any) -> Any:
    """Draw why trials ended."""
    tick, zero = np.append(0, figure.tick), np.zeros((len(figure.names), 1), int)
    labels = [f"{name} {count:,}" for name, count in zip(figure.names, figure.count, strict=True)]
    colours = [COLOURS[name] for name in figure.names]
    ax.stackplot(tick, np.hstack([zero, figure.ended]), labels=labels, colors=colours, alpha=0.7)
    ax.set_xlabel("steps trained in a lane")
    ax.set_ylabel("trials that ended")
    legend(ax)
    return quiet(ax, "Why trials ended")


def _box(first: int, last: int, lane: int) -> list[tuple[float, float]]:
    return [(first, lane + 0.06), (last, lane + 0.06), (last, lane + 0.94), (first, lane + 0.94)]


def _stretch(
    ax: Any, figure: Lineage, height: np.ndarray, i: int, parent: int, last: int, colour: str, width: float
) -> None:
    x, y = [figure.first[i], last], [height[i], height[i]]
    if parent >= 0:
        x, y = [figure.first[i], *x], [height[parent], *y]
    ax.plot(x, y, color=colour, lw=width, solid_capstyle="round")
