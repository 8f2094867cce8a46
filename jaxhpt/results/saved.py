"""A result out of the file that it was saved to. Reading it executes nothing."""

import json
import pathlib
from typing import Any

import numpy as np

from jaxhpt.core.plain_problem import problem_of
from jaxhpt.results.columns import COLUMNS, empty_columns, filled, with_begun
from jaxhpt.results.kept import NO_STATE, Kept
from jaxhpt.results.loose import Loose
from jaxhpt.results.result import Result
from jaxhpt.results.saving import ABOUT, FORMAT
from jaxhpt.results.stats import Stats


class SavedError(ValueError):
    """A file is no saved result, or damaged."""


def read(path: pathlib.Path) -> Result:
    """Read a result that `save` wrote.

    Raises:
      SavedError: it is none, or damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop(ABOUT).tobytes())
        if about["format"] != FORMAT:
            raise SavedError(f"{path}: format {about['format']!r}: this version of jaxhpt reads format {FORMAT}")
        return _result(about, "", arrays)
    except SavedError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise SavedError(f"{path}: no saved result, or damaged: {type(error).__name__}: {error}") from error


def _result(about: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray]) -> Result:
    problem = problem_of(about["problem"])
    history = filled(empty_columns(problem), {name: arrays[f"{prefix}history/{name}"] for name in COLUMNS})
    history = with_begun(history, about.get("begun"))
    stats = Stats(**{**about["stats"], "memory": tuple(about["stats"]["memory"])})
    fresh = _result(about["fresh"], f"{prefix}fresh/", arrays) if "fresh" in about else None
    given = (stats, history, problem, int(about["row"]), _read_kept(about["kept"], prefix, arrays))
    return Result(*given, arrays.get(f"{prefix}exact"), fresh, tuple(about["again"]))


def _read_kept(told: dict[str, Any] | None, prefix: str, arrays: dict[str, np.ndarray]) -> Kept | None:
    if told is None or "paths" not in told:
        return None if told is None else Kept(None, NO_STATE, replicas=told["replicas"])
    leaves = tuple(arrays[f"{prefix}best/{i}"] for i in range(len(told["paths"])))
    return Kept(Loose(leaves, tuple(map(tuple, told["paths"])), told["plain"]), told["missing"], None, told["replicas"])
