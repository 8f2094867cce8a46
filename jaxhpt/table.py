"""The table of trials that a result prints."""

from collections.abc import Sequence
from typing import Any

from jaxhpt.space import Space
from jaxhpt.trial import Trial


def table(trials: Sequence[Trial], unit: Any, space: Space) -> list[str]:
    """Return lines: a head, and a line for each of the trials, at least one, whose settings are rows of f32[C, D]."""
    settings = space.label_rows(unit[[t.id for t in trials]])
    head = ["trial", *trials[0].metrics, "steps", *space.names]
    rows = [
        [str(t.id), *(f"{m:.5g}" for m in t.metrics.values()), str(t.steps), *map(_short, values)]
        for t, values in zip(trials, settings, strict=True)
    ]
    return _align([head, *rows])


def _align(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _short(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
