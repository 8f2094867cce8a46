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

from jaxhpt.algorithms import DEFAULT_ALGORITHM
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
TRIALS, SCHEDULER = 256, "asha"  # of the demo


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
    usual = {"trials": TRIALS, "algorithm": DEFAULT_ALGORITHM, "scheduler": SCHEDULER}
    given = {**usual, **_given(options, ("trials", "algorithm", "scheduler", "seed", "run_dir"))}
    said = f"{given['trials']:,} small networks that tell two spirals apart; tunes {', '.join(SPACE)}"
    _say(options, f"{said}, by algorithm {given['algorithm']} and scheduler {given['scheduler']}")
    code = _searched(search, DEMO, SPACE, given, options)
    page = "" if options.report else "jaxhpt demo --report demo.html  makes a page of it; "
    _say(options, f"next: {page}jaxhpt run FILE.py:TASK  tunes what is yours, see jaxhpt run --help")
    return code


def _say(options: argparse.Namespace, text: str) -> None:
    """Tell a person something beside the result."""
    if not (options.quiet or options.json):
        sys.stdout.flush()
        print(f"jaxhpt {options.command}: {text}", file=sys.stderr)


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
    """Print a result, and write what was asked for, and say where."""
    try:
        if options.save is not None:
            result.save(options.save)
            _wrote(options, f"{options.save}: the result, for jaxhpt show and jaxhpt.load")
        if options.report is not None:
            result.report(options.report)
            _wrote(options, f"{options.report}: a page to look at, in a browser")
        if options.run_dir is not None:
            _wrote(options, f"{options.run_dir}: the run; the same command goes on with it, jaxhpt show looks at it")
        if options.optuna:
            _wrote(options, f"{pathlib.Path(options.run_dir) / 'optuna.journal'}: for optuna-dashboard")
    finally:  # last, as whoever reads it may close the pipe
        tell([Found(result)], options.json, options.top)


def _wrote(options: argparse.Namespace, text: str) -> None:
    """Say what was written, and where, also to those who want no progress."""
    if not options.json:
        print(f"wrote {text}", file=sys.stderr)
