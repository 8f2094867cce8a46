"""What drawings of matplotlib share: colours, scales, and where they are drawn."""

import dataclasses
from typing import Any

import numpy as np

from jaxhpt.core.history import Status
from jaxhpt.report.axis import Axis
from jaxhpt.report.findings import STATUSES

ACCENT, SOFT, INK, PALE = "#1f5fbf", "#667080", "#16191d", "#cfdcee"
COLOURS = {"done": ACCENT, "stopped": SOFT, "failed": "#c8500a", "running": "#00876c", "prior": "#9a5b9f"}
SERIES = ("#1f5fbf", "#d98200", "#00876c", "#b0578d", "#4aa3d8", "#c8500a", "#6b6f76", "#8f8a00")
DASHES: tuple[Any, ...] = ("-", (0, (4, 3.5)), (0, (1, 3)), (0, (5.5, 2.5, 1, 2.5)))
GRID = "#eef0f3"
NEAR = ", by the log of the distance to the best"
EXTRA = "plots need matplotlib: pip install 'jaxhpt[plots]'"


def pyplot() -> Any:
    """Return `matplotlib.pyplot`.

    Raises:
      ImportError: without matplotlib, the extra `jaxhpt[plots]`.
    """
    try:
        from matplotlib import pyplot as found
    except ImportError as error:
        raise ImportError(EXTRA) from error
    return found


def new_axes(num: int = 1, size: tuple[float, float] = (7.2, 4.0), **options: Any) -> Any:
    """Return axes of a new figure; an array of them where there are several, side by side."""
    across = min(num, 3)
    down = -(-num // across)
    _, found = pyplot().subplots(
        down, across, figsize=(size[0] if num == 1 else 3.4 * across, size[1] * down), layout="constrained", **options
    )
    for spare in np.ravel(found)[num:]:
        spare.remove()
    return found if num == 1 else np.ravel(found)[:num]


def literal(figure: Any) -> Any:
    """Return a figure whose texts are drawn as they are: between two dollars matplotlib reads maths."""
    if isinstance(figure, str):
        return figure.replace("$", r"\$")
    if isinstance(figure, tuple):
        return tuple(map(literal, figure))
    if dataclasses.is_dataclass(figure) and not isinstance(figure, type):
        fields = dataclasses.fields(figure)
        return dataclasses.replace(figure, **{one.name: literal(getattr(figure, one.name)) for one in fields})
    return figure


def ramp() -> Any:
    """Return a colour map from what is worse to what is better."""
    pyplot()
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("jaxhpt", [PALE, ACCENT])


def quiet(ax: Any, title: str = "") -> Any:
    """Take away what is not needed."""
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color("#c9ced6")
    ax.tick_params(length=0, labelsize=8, colors="#5c6470")
    ax.grid(axis="y", color=GRID)
    ax.set_axisbelow(True)
    ax.xaxis.label.set_color("#5c6470")
    ax.yaxis.label.set_color("#5c6470")
    if title:
        ax.set_title(title, loc="left", fontsize=11)
    return ax


def along(ax: Any, which: str, axis: Axis) -> None:
    """Put the scale of an axis on "x" or "y": its ends with some air, its logarithm, its texts, its name."""
    getattr(ax, f"set_{which}label")(axis.name + (NEAR if axis.near else ""))
    if axis.texts:
        getattr(ax, f"set_{which}ticks")(range(len(axis.texts)), axis.texts)
        getattr(ax, f"set_{which}lim")(-0.5, len(axis.texts) - 0.5)
        return
    low, high = axis.low, axis.high
    if axis.near:
        getattr(ax, f"set_{which}scale")("function", functions=(axis.along, axis.back))
        getattr(ax, f"set_{which}ticks")(axis.ticks, [f"{tick:.4g}" for tick in axis.ticks])
        ends = axis.along(np.array([low, high]))
        getattr(ax, f"set_{which}lim")(*axis.back(ends + 0.03 * np.ptp(ends) * np.array([-1, 1])))
    elif axis.log:
        getattr(ax, f"set_{which}scale")("log")
        air = (high / low) ** 0.04
        getattr(ax, f"set_{which}lim")(low / air, high * air if high > low else 2 * high)
    else:
        air = 0.04 * (high - low) or 0.5
        getattr(ax, f"set_{which}lim")(low - air, high + air)


def within(axis: Axis, value: Any) -> Any:
    """Return values, those beyond the ends of an axis at them."""
    return value if axis.texts else np.clip(value, axis.low, axis.high)


def beyond(ax: Any, axis: Axis, x: Any, value: Any, colour: str) -> None:
    """Draw a triangle at the edge for each of some values that lies beyond an end of an axis that goes up."""
    for end, marker, out in ((axis.high, "^", value > axis.high), (axis.low, "v", value < axis.low)):
        if out.any():
            ax.scatter(x[out], np.full(out.sum(), end), 20, colour, marker=marker, linewidths=0, clip_on=False)


def jitter(axis: Axis, num: int) -> Any:
    """Return what moves values apart where an axis has texts: f64[num], the same each time."""
    return 0.5 * ((np.arange(num) * 0.618034) % 1 - 0.5) if axis.texts else np.zeros(num)


def by_status(status: np.ndarray) -> Any:
    """Yield name, colour and places of each status that there is, those that are done last."""
    for name in ("stopped", "prior", "running", "done"):
        places = np.flatnonzero(status == Status[name.upper()])
        if len(places):
            yield name, COLOURS[name], places


def series(i: int) -> dict[str, Any]:
    """Return the look of the `i`-th of several lines: each has gaps where the last has none, so that none hides it."""
    return {"color": SERIES[i % len(SERIES)], "linestyle": DASHES[i % len(DASHES)]}


def name_of(status: int) -> str:
    """Return the name of a status."""
    return STATUSES[status]


def legend(ax: Any) -> None:
    """Name what was drawn with a label, above the axes; beside them where there are many names."""
    names = ax.get_legend_handles_labels()[1]
    if not names:
        return
    above = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": len(names)}
    beside = {"loc": "upper left", "bbox_to_anchor": (1, 1), "ncols": -(-len(names) // 20)}
    few = sum(map(len, names)) + 6 * len(names) < 60
    ax.legend(frameon=False, fontsize=8, borderpad=0, handlelength=1.2, **(above if few else beside))
