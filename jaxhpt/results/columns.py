"""The columns of a history that are kept on disk, and a history of them."""

from typing import Any

import jax
import numpy as np

from jaxhpt.core.history import Begun, History, empty_history
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE

COLUMNS = (  # of the history, without what algorithms keep for themselves
    "unit", "status", "metrics", "curve", "steps", "start", "parent", "author", "num_rows", "num_trials", "first",
)  # fmt: skip


def begun_data(history: History) -> dict[str, list[int]] | None:
    """Write which trials began from weights of an earlier search, as JSON has it; None where none did."""
    if history.begun is None:
        return None
    return {name: np.asarray(column).tolist() for name, column in history.begun._asdict().items()}


def begun_steps(history: History) -> dict[int, int]:
    """Return the steps behind the weights that trials began with, by row; empty where none began so."""
    return {} if history.begun is None else dict(zip(*history.begun[::-1], strict=True))


def written_columns(history: History) -> History:
    """Copy what is written of a history from the device."""
    found = jax.device_get({name: getattr(history, name) for name in (*COLUMNS, "begun")})
    nothing: Any = np.zeros(0, np.uint32)
    return History(**found, note=(), tried=nothing)


def with_begun(history: Any, data: Any) -> Any:
    """Put into a history what `begun_data` wrote."""
    if data is None:
        return history
    found: Any = [np.array(data[name], np.int32) for name in Begun._fields]
    return history._replace(begun=Begun(*found))


def empty_columns(problem: Problem) -> Any:
    """Return a history without trials, of arrays of NumPy that may be written."""
    return jax.tree.map(np.array, jax.device_get(empty_history(problem)))._replace(note=())


def filled(history: Any, columns: dict[str, np.ndarray]) -> History:
    """Put columns of as many or of fewer rows into an empty history; a search has a few rows more than it opens.

    Raises:
      ValueError: columns of other shapes.
    """
    whole: dict[str, Any] = {name: columns[name] for name in ("num_rows", "first")}
    for name, column in columns.items():
        old = getattr(history, name)
        if not old.ndim or name in whole:
            continue
        num = min(len(old), len(column))
        if old[:num].shape != column[:num].shape or old.dtype != column.dtype:
            raise ValueError(f"{name}: {column.dtype}{list(column.shape)} in the place of {old.dtype}{list(old.shape)}")
        old[:num] = column[:num]
        whole[name] = old
    if not 0 <= int(whole["num_rows"]) <= NONE:
        raise ValueError(f"num_rows: {whole['num_rows']}")
    found: History = history._replace(**whole)
    return found
