"""Which figures a report has, in order."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxhpt.report.figures.base import Missing
from jaxhpt.report.figures.comparison import comparison
from jaxhpt.report.figures.contours import contours
from jaxhpt.report.figures.curves import curves
from jaxhpt.report.figures.distribution import distribution
from jaxhpt.report.figures.endings import endings
from jaxhpt.report.figures.held_out import held_out
from jaxhpt.report.figures.history import history
from jaxhpt.report.figures.importance import importance
from jaxhpt.report.figures.lanes import lanes
from jaxhpt.report.figures.lineage import lineage
from jaxhpt.report.figures.parallel import parallel
from jaxhpt.report.figures.pareto import pareto
from jaxhpt.report.figures.rungs import rungs
from jaxhpt.report.figures.slices import slices
from jaxhpt.report.figures.spread import spread
from jaxhpt.report.findings import Findings

OF_AN_OBJECTIVE: dict[str, Callable[[Findings, int], Any]] = {
    "history": history,
    "importance": importance,
    "slices": slices,
    "contours": contours,
    "spread": spread,
    "distribution": lambda findings, column: distribution([findings], column),
}
OF_A_SEARCH: dict[str, Callable[[Findings], Any]] = {
    "parallel": parallel,
    "pareto": pareto,
    "curves": curves,
    "lanes": lanes,
    "rungs": rungs,
    "lineage": lineage,
    "endings": endings,
    "held_out": held_out,
}
ORDER = (
    "history", "pareto", "importance", "contours", "parallel", "slices", "curves", "lineage", "rungs", "endings",
    "lanes", "spread", "held_out", "distribution",
)  # fmt: skip
OF_SEVERAL: dict[str, Callable[[Sequence[Findings], int], Any]] = {
    "comparison": comparison,
    "distribution": distribution,
}


COUNTS = ("distribution", "endings", "rungs")  # figures without single trials
TEXTS = {  # title, and how to read it
    "history": ("Optimisation history", "A dot is what a trial came to; the line is the best so far."),
    "pareto": ("Pareto front", "No trial beats those on the front in every objective; beside it, how the front grew."),
    "importance": ("Importance", "The share of each dimension in the objective, with standard errors."),
    "parallel": (
        "Parallel coordinates",
        "A line is a trial, through its settings to its value; the stronger, the better.",
    ),
    "slices": ("Slices", "The objective against each dimension alone."),
    "contours": ("Contours", "The objective over two dimensions, smoothed; the stronger, the better; dots are trials."),
    "curves": ("Learning curves", "A line is the training of a trial; a dot is where it ended or was stopped."),
    "lineage": ("Lineage", "Who went on from whose weights; the height is the setting that was trained under."),
    "rungs": ("Flow through the rungs", "How many trials trained how far, and what became of the others."),
    "endings": (
        "Why trials ended",
        "Trials that ended so far, by the reason. A lane is one of the places that train at once.",
    ),
    "lanes": (
        "Lanes",
        "A lane is one of the places that train at once; a bar is a trial in its lane, from its start to its end.",
    ),
    "spread": ("Spread over seeds and folds", "The best trials, with how far their models lie apart."),
    "held_out": (
        "Validation beside test",
        "The figure that chose, against one that did not; on the line both are equal.",
    ),
    "distribution": ("Empirical distribution", "The share of trials that are at least as good as a value."),
    "comparison": ("Best so far of each search", "A line is a search."),
}


class Entry(NamedTuple):
    """A figure of a report, in as many variants as there are objectives that it may be of.

    Attributes:
      name: of the figure, in `TEXTS`.
      variants: (name of the objective, or nothing; the figure as data) each.
    """

    name: str
    variants: tuple[tuple[str, Any], ...]


class LeftOut(NamedTuple):
    """A figure that a report has not.

    Attributes:
      title: of the figure.
      why: it is left out.
    """

    title: str
    why: str


def figures_of(findings: Findings, whole: Findings) -> tuple[list[Entry], list[LeftOut]]:
    """Return the figures of a search, and those that are left out.

    Args:
      findings: of the trials that are shown each by itself.
      whole: of all trials, for the figures that count them.
    """
    return _sorted((name, _variants(name, whole if name in COUNTS else findings)) for name in ORDER)


def figures_together(searches: Sequence[Findings]) -> tuple[list[Entry], list[LeftOut]]:
    """Return the figures of several searches with the same objectives, and those that are left out."""
    names = [objective.name for objective in searches[0].metrics.objectives]
    return _sorted(
        (name, [(label, make(searches, column)) for column, label in enumerate(names)])
        for name, make in OF_SEVERAL.items()
    )


def _variants(name: str, findings: Findings) -> list[tuple[str, Any]]:
    if name in OF_A_SEARCH:
        return [("", OF_A_SEARCH[name](findings))]
    make = OF_AN_OBJECTIVE[name]
    return [(o.name, make(findings, column)) for column, o in enumerate(findings.metrics.objectives)]


def _sorted(made: Any) -> tuple[list[Entry], list[LeftOut]]:
    """Part what has something to show from what has not."""
    entries, missing = [], []
    for name, variants in made:
        there = tuple((label, figure) for label, figure in variants if not isinstance(figure, Missing))
        if there:
            entries.append(Entry(name, there))
        else:
            missing.append(LeftOut(TEXTS[name][0], variants[0][1].why))
    return entries, missing
