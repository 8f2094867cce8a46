"""The winner of a run, for those who have no jaxhpt: its weights by Orbax, and its setting in words."""

import contextlib
import pathlib
import shutil
import tempfile
import warnings
from typing import Any

import jax

from jaxhpt.results.exporting import export
from jaxhpt.results.plain import plain_trials
from jaxhpt.results.result import Result
from jaxhpt.store.files import BEST, RunError, read_json, write_json

ABOUT = "best.json"


def keep_best(folder: pathlib.Path, result: Result) -> None:
    """Write `best/` anew where there is another winner than it has; that it cannot be written is a warning.

    Args:
      folder: of the run.
      result: of its search. Nothing is written of one without a single winner, or whose
        winner has no arrays, or lost them in a crash.
    """
    if not result.has_weights:
        return
    about, there = _about(result), None
    with contextlib.suppress(OSError, RunError):
        there = read_json(folder / BEST / ABOUT)
    if about == there:
        return
    try:
        _write(folder, result, about)
    except Exception as error:  # a full disk, or what the user's own export raises
        said = f"run_dir={str(folder)!r}: {BEST} cannot be written ({type(error).__name__}: {error})"
        warnings.warn(said, stacklevel=3)


def _about(result: Result) -> dict[str, Any]:
    (found,) = plain_trials([result.best], result.history.unit, result.space)
    return found


def _write(folder: pathlib.Path, result: Result, about: dict[str, Any]) -> None:
    if not jax.tree.leaves(result.best_state):
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{BEST}-") as made:
        new = pathlib.Path(made) / BEST
        export(new, result.best_state, None, None)
        write_json(new / ABOUT, about)
        shutil.rmtree(folder / BEST, ignore_errors=True)
        new.rename(folder / BEST)
