"""Commands that search: `run`, `demo` and `check`."""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from jaxhpt.arguments import SearchError
from jaxhpt.check import check
from jaxhpt.cli.demo import DEMO, SPACE
from jaxhpt.cli.reading import named_in, space_of
from jaxhpt.cli.telling import FAILED, FINE, Found, code_of, tell
from jaxhpt.core.checks import require
from jaxhpt.integrations.extra import extra
from jaxhpt.results.result import Result
from jaxhpt.search import maximize, minimize, search
from jaxhpt.training.task import Task

SEARCH = ("trials", "algorithm", "scheduler", "lanes", "seeds", "seed")  # of `check`, too
RUN = ("timeout", "confirm", "run_dir", "checkpoint_seconds")


def run(options: argparse.Namespace) -> int:
    """Search what a file defines."""
    source = options.task.rpartition(":")[0]
    task, space = named_in(options.task, "task"), space_of(options.space, source)
    given = _given(options, (*SEARCH, *RUN)) | ({"extend": True} if options.extend else {})
    if options.minimize or options.maximize:
        plain = "a plain function (hparams, key) -> value; a Task is searched without --minimize and --maximize"
        require(not isinstance(task, Task), "task", options.task, plain)
        return _searched(minimize if options.minimize else maximize, task, space, given, options)
    _require_task(task, options.task, "; of a plain function say --minimize or --maximize")
    return _searched(search, task, space, given, options)


def demo(options: argparse.Namespace) -> int:
    """Search the settings of small networks, without any data from elsewhere."""
    given = {"trials": 256, "scheduler": "asha", **_given(options, ("trials", "algorithm", "scheduler", "run_dir"))}
    return _searched(search, DEMO, SPACE, given, options)


def checked(options: argparse.Namespace) -> int:
    """Look at a search before it runs."""
    task, space = named_in(options.task, "task"), space_of(options.space, options.task.rpartition(":")[0])
    _require_task(task, options.task)
    found = check(task, space, compile=not options.quick, **_given(options, SEARCH))
    print(json.dumps(_plain(dataclasses.asdict(found)), default=str) if options.json else found)
    return FAILED if found.grave else FINE


def _plain(value: Any) -> Any:
    """Return what JSON holds: names as text, and null for a number that is not finite."""
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Return the arguments that were given: what was not is left to `search`."""
    return {name: value for name in names if (value := getattr(options, name)) is not None}


def _require_task(task: Any, place: str, remedy: str = "") -> None:
    said = f"a Task, a FlaxTask, or a step decorated with @jaxhpt.task{remedy}"
    require(isinstance(task, Task), "task", place, said)


def _searched(way: Any, task: Any, space: Any, given: Mapping[str, Any], options: argparse.Namespace) -> int:
    _require_writable(options)
    if options.optuna:
        require("run_dir" in given, "--optuna", True, "with --run-dir, where the journal is written")
        with extra("optuna"):
            from jaxhpt.integrations.optuna import Journal
        given = {**given, "callbacks": [Journal()]}
    try:
        result = way(task, space, progress=not options.quiet, **given)
    except SearchError as error:
        _leave(error.result, options)
        print(f"jaxhpt {options.command}: {error}", file=sys.stderr)
        return FAILED
    _leave(result, options)
    return code_of(result)


def _require_writable(options: argparse.Namespace) -> None:
    """Raise before a search, rather than after it, where its outputs cannot be written."""
    for name, path in (("--save", options.save), ("--report", options.report)):
        if path is None:
            continue
        where = pathlib.Path(path).absolute()
        there = where if where.exists() else where.parent
        require(not where.is_dir(), name, path, "a file, not a directory")
        require(there.exists(), name, path, f"in a folder that is there: make {there} first")
        require(os.access(there, os.W_OK), name, path, "where you may write")


def _leave(result: Result, options: argparse.Namespace) -> None:
    """Print a result, and write what was asked for."""
    try:
        if options.save is not None:
            result.save(options.save)
        if options.report is not None:
            result.report(options.report)
    finally:  # last, as whoever reads it may close the pipe
        tell([Found(result)], options.json, options.top)
