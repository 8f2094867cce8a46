"""The data of a page as JSON: figures and columns, each array once, however many figures have it."""

import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhpt.core.metrics import Objective
from jaxhpt.engine.endings import phrase
from jaxhpt.report.catalogue import TEXTS, Entry, LeftOut, figures_of, figures_together
from jaxhpt.report.figures.base import thinned
from jaxhpt.report.findings import STATUSES, Findings

DIGITS = 6
LARGE = 32  # rows of a matrix from which on it is one array, not one of each row
MOST = 20_000  # trials of a search that are on a page each by itself
COLUMNS = (  # of findings, a row a trial
    "trial", "status", "unit", "value", "score", "fitness", "feasible", "steps", "start", "born", "report", "curve",
)  # fmt: skip
DETAILED, MANY = 12_000, 24  # trials, and searches, from which on a page tells of the first ones alone in detail


class Pool:
    """The arrays of a page, each once."""

    def __init__(self) -> None:
        self.arrays: list[str] = []
        self._places: dict[str, int] = {}

    def add(self, array: np.ndarray) -> Any:
        """Return what stands for an array: {"a": its place}, or a list of these for the rows of a small matrix."""
        if array.ndim == 2 and len(array) <= LARGE:
            return [self.add(row) for row in array]
        text = json.dumps(_plain(array.tolist()), separators=(",", ":"))
        place = self._places.setdefault(text, len(self.arrays))
        if place == len(self.arrays):
            self.arrays.append(text)
        return {"a": place}

    def of(self, value: Any) -> Any:
        """Return records, tuples and arrays as plain data."""
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: self.of(getattr(value, field.name)) for field in dataclasses.fields(value)}
            return {"kind": type(value).__name__, **fields}
        if isinstance(value, np.ndarray):
            return self.add(value)
        if isinstance(value, tuple | list):
            return [self.of(part) for part in value]
        return _plain(value)


def _plain(value: Any) -> Any:
    """Write numbers with six digits, whole ones with all, and those that are none as null."""
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.{DIGITS}g}")
        return int(value) if float(value).is_integer() and abs(short) < 2**53 else short
    return value.item() if isinstance(value, np.integer) else value


def payload(searches: Sequence[Findings], **about: Any) -> str:
    """Return the JSON of a page.

    Args:
      searches: of the page, at least one.
      **about: what else the page has to know, as plain data.
    """
    pool, detailed = Pool(), searches[: num_detailed(searches)]
    content = {
        **about,
        "statuses": STATUSES,
        "searches": [_search(pool, findings) for findings in detailed],
        "together": None if len(searches) == 1 else _together(pool, searches),
    }
    told = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return f'{{"arrays":[{",".join(pool.arrays)}],{told[1:]}'


def few(findings: Findings) -> Findings:
    """Return the findings of at most 20,000 trials: the best half, and others evenly spread; the winners always."""
    num = len(findings.trial)
    if num <= MOST:
        return findings
    kept = thinned(findings.fitness, np.arange(num), MOST)
    winners = [*findings.front, *findings.again.row, *([findings.best] if findings.best >= 0 else [])]
    kept = np.union1d(kept, np.array(winners, int))
    place = np.full(num + 1, -1)
    place[kept] = np.arange(len(kept))
    columns = {name: value[kept] for name in COLUMNS for value in [getattr(findings, name)]} | {
        "parent": place[findings.parent[kept]],
        "front": place[findings.front],
        "best": int(place[findings.best]),
    }
    again = dataclasses.replace(findings.again, row=place[findings.again.row])
    return dataclasses.replace(findings, **columns, again=again)


def num_detailed(searches: Sequence[Findings]) -> int:
    """Return of how many searches a page tells every trial."""
    total = np.cumsum([len(findings.trial) for findings in searches])
    return max(1, min(MANY, int(np.searchsorted(total, DETAILED, side="right"))))


def _search(pool: Pool, findings: Findings) -> dict[str, Any]:
    whole, findings = findings, few(findings)
    entries, missing = figures_of(findings, whole)
    columns = ("trial", "status", "feasible", "steps", "start", "parent", "front")
    metrics = findings.metrics
    return {
        "name": findings.name,
        **{name: pool.add(getattr(findings, name)) for name in columns},
        "axes": pool.of(findings.axes),
        "value": pool.add(findings.value.T),
        "metrics": metrics.names,
        "objectives": [[objective.name, objective.direction] for objective in metrics.objectives],
        "constraints": [[one.name, one.relation, one.bound] for one in metrics.constraints],
        "score": pool.add(findings.score.T),
        "best": findings.best,
        "of": len(whole.trial),
        "figures": [_entry(pool, entry) for entry in entries],
        "missing": missing,
    }


def _entry(pool: Pool, entry: Entry) -> dict[str, Any]:
    title, hint = TEXTS[entry.name]
    variants = [[label, pool.of(figure)] for label, figure in entry.variants]
    return {"name": entry.name, "title": title, "hint": hint, "variants": variants}


def _together(pool: Pool, searches: Sequence[Findings]) -> dict[str, Any]:
    alike = all(findings.metrics.objectives == searches[0].metrics.objectives for findings in searches)
    left = LeftOut("Searches together", "they have not the same objectives")
    entries, missing = figures_together(searches) if alike else ([], [left])
    return {
        "figures": [_entry(pool, entry) for entry in entries],
        "missing": missing,
        **_summaries(searches, _found(searches[0].metrics.objectives) if alike else "best, or on the front"),
    }


def _found(objectives: Sequence[Objective]) -> str:
    """Name what `_summary` says was found."""
    return f"best {objectives[0].name}" if len(objectives) == 1 else "on the front"


def _summaries(searches: Sequence[Findings], found: str) -> dict[str, Any]:
    """Return the table of searches: the names of its columns, and a row each; columns of which nothing is known go."""
    settings = list(dict.fromkeys(axis.name for findings in searches for axis in findings.axes))
    names = ["search", found, "trials", "failed", "algorithm", "scheduler", "seed", "seconds", "ended", *settings]
    rows = [_summary(findings) + _best_setting(findings, settings) for findings in searches]
    kept = [i for i, column in enumerate(zip(*rows, strict=True)) if i < 2 or any(v not in (None, "") for v in column)]
    return {
        "columns": [names[i] for i in kept],
        "searches": [[_plain(row[i]) for i in kept] for row in rows],
    }


def _summary(findings: Findings) -> list[Any]:
    """Return name, best value or trials on the front, and how it ran."""
    best = findings.score[findings.best, 0] if findings.best >= 0 else None
    told = findings.facts
    found = best if len(findings.metrics.objectives) == 1 else len(findings.front)
    kinds = [told.algorithm or None, told.scheduler or None, told.seed]
    return [findings.name, found, told.trials, told.failed, *kinds, told.seconds, phrase(told.ended)]


def _best_setting(findings: Findings, names: Sequence[str]) -> list[Any]:
    """Return the setting of the best trial by names: numbers and texts; None where a dimension does not exist."""
    if findings.best < 0:
        return [None] * len(names)
    known = {
        axis.name: None if np.isnan(value) else axis.texts[int(value)] if axis.texts else value
        for axis, value in zip(findings.axes, findings.value[findings.best], strict=True)
    }
    return [known.get(name) for name in names]
