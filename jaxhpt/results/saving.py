"""A result into one file, without a run directory: arrays by NumPy, all else as JSON."""

import dataclasses
import json
import pathlib
from typing import Any

import numpy as np

from jaxhpt.core.files import OPEN, writing
from jaxhpt.core.plain_problem import problem_data
from jaxhpt.results.columns import COLUMNS, begun_data
from jaxhpt.results.kept import NO_EXPORT, NO_STATE, Kept, Run
from jaxhpt.results.loose import Loose, loose

FORMAT = 1
ABOUT = "about"


def save(result: Any, path: str | pathlib.Path) -> None:
    """Write a result to a file, see `Result.save`."""
    arrays: dict[str, np.ndarray] = {}
    about = {"format": FORMAT, **_told(result, "", arrays)}
    arrays[ABOUT] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with writing(pathlib.Path(path), OPEN) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _told(result: Any, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Put the arrays of a result by name, and return all else."""
    for name in COLUMNS:
        arrays[f"{prefix}history/{name}"] = np.asarray(getattr(result.history, name))
    if result._exact is not None:
        arrays[f"{prefix}exact"] = result._exact
    about = {"problem": problem_data(result._problem), "stats": dataclasses.asdict(result.stats), "row": result._row}
    about |= {"kept": _kept(result._run, prefix, arrays), "again": list(result._again)}
    about["begun"] = begun_data(result.history)
    if result.fresh is not None:
        about["fresh"] = _told(result.fresh, f"{prefix}fresh/", arrays)
    return about


def _kept(run: Run | Kept | None, prefix: str, arrays: dict[str, np.ndarray]) -> dict[str, Any] | None:
    kept = run.kept() if isinstance(run, Run) else run
    if kept is None or kept.missing == NO_STATE:
        return None if kept is None else {"missing": NO_STATE, "replicas": kept.replicas}
    state = run.state if isinstance(run, Run) else kept.weights
    found = state if isinstance(state, Loose) else loose(state)
    for i, leaf in enumerate(found.leaves):
        arrays[f"{prefix}best/{i}"] = leaf
    missing = kept.missing or ("" if found.plain else NO_EXPORT)
    paths = [list(path) for path in found.paths]
    return {"missing": missing, "replicas": kept.replicas, "paths": paths, "plain": found.plain}
