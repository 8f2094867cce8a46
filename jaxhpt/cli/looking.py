"""Commands for runs that are there: `show`, `report` and `export`."""

import argparse
import contextlib
import csv
import json
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from jaxhpt import reporting
from jaxhpt.cli import telling
from jaxhpt.core.checks import require
from jaxhpt.integrations.extra import extra
from jaxhpt.results.plain import plain_trials
from jaxhpt.results.result import Result
from jaxhpt.results.table import plain_table
from jaxhpt.store.loading import load
from jaxhpt.store.state import state_of

KINDS = ("csv", "json", "parquet", "optuna")
TEXT = ("csv", "json")
SUFFIX = {"csv": ".csv", "json": ".json", "parquet": ".parquet", "optuna": ".journal"}


def show(options: argparse.Namespace) -> int:
    """Print what runs have found so far."""
    telling.tell([one for run in options.run for one in _found(run)], options.json, options.top)
    return telling.FINE


def _found(run: str) -> Iterator[telling.Found]:
    state = state_of(pathlib.Path(run))
    for number, result in _numbered(_results(run)):
        goes_on = result.stats.ended in ("unfinished", "raised")
        yield telling.Found(result, " ".join([run, *map(str, number.values())]), state if goes_on else "")


def report(options: argparse.Namespace) -> int:
    """Write a page to look at, once or for as long as a run goes on."""
    if options.watch:
        require(len(options.run) == 1, "--watch", " ".join(options.run), "for one run")
        begun = "" if pathlib.Path(options.run[0]).exists() else ", which has not begun,"
        print(f"{options.output}: open it; it follows {options.run[0]}{begun} until that ends", file=sys.stderr)
        path = reporting.watch(options.run[0], options.output, options.every)
    elif len(options.run) == 1:
        path = reporting.report(options.run[0], options.output)
    else:
        path = reporting.report(_by_name(options.run), options.output)
    print(json.dumps({"path": str(path)}) if options.json else path)
    return telling.FINE


def _by_name(runs: Sequence[str]) -> dict[str, Result]:
    """Return the results of runs by their names, those of many searches numbered."""
    found: dict[str, Result] = {}
    for run in runs:
        for number, result in _numbered(_results(run)):
            name = " ".join([run, *map(str, number.values())])
            require(name not in found, "run", run, "given once")
            found[name] = result
    return found


def export(options: argparse.Namespace) -> int:
    """Write the trials of a run for other programs."""
    results = _results(options.run)
    require(options.output != "-" or options.to in TEXT, "--output", "-", f"a file: {options.to} is not text")
    named = pathlib.Path(options.run).resolve().name.removesuffix(".npz") + SUFFIX[options.to]  # dots in a name stay
    path = pathlib.Path(options.output or named)
    WRITERS[options.to](results, path)
    if options.output != "-":
        trials = sum(len(result.trials) for result in results)
        print(json.dumps({"path": str(path), "trials": trials}) if options.json else f"{trials} trials: {path}")
    return telling.FINE


def _results(path: str) -> list[Result]:
    found = load(path)
    return found if isinstance(found, list) else [found]


@contextlib.contextmanager
def _text(path: pathlib.Path) -> Iterator[TextIO]:
    """Open a file to write text to; "-" is what the command prints."""
    if str(path) == "-":
        yield sys.stdout
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        yield file


def _numbered(results: list[Result]) -> Iterator[tuple[dict[str, int], Result]]:
    """Return results, each with the number of its search where there are several."""
    yield from (({"search": i} if len(results) > 1 else {}, result) for i, result in enumerate(results))


def _table(result: Result, number: dict[str, int]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of a result, with the number of its search first where there are several."""
    return plain_table(result.trials, result.history.unit, result._problem, number)


def _csv(results: list[Result], path: pathlib.Path) -> None:
    with _text(path) as file:
        writer = None
        for number, result in _numbered(results):
            names, rows = _table(result, number)
            if writer is None:
                writer = csv.writer(file)
                writer.writerow(names)
            writer.writerows(rows)


def _json(results: list[Result], path: pathlib.Path) -> None:
    found = [
        {**number, **trial}
        for number, result in _numbered(results)
        for trial in plain_trials(result.trials, result.history.unit, result.space)
    ]
    with _text(path) as file:
        json.dump(found, file, allow_nan=False)
        file.write("\n")


def _parquet(results: list[Result], path: pathlib.Path) -> None:
    try:
        import pandas
        import pyarrow  # noqa: F401  # by which pandas writes

    except ImportError as error:
        raise ImportError(f"--to parquet: {error}; pip install 'jaxhpt[parquet]'") from error
    tables = [_table(result, number) for number, result in _numbered(results)]
    frames = [pandas.DataFrame(rows, columns=names) for names, rows in tables]
    _of_one_type(pandas.concat(frames, ignore_index=True)).to_parquet(path)


def _of_one_type(frame: Any) -> Any:
    """Return a table whose columns have one type each, as parquet has it: a mixed one is text, as in csv."""
    import pyarrow

    def holds(column: Any) -> bool:
        try:
            pyarrow.array(column, from_pandas=True)
        except (pyarrow.ArrowException, OverflowError):
            return False
        return True

    mixed = [name for name in frame.columns if not holds(frame[name])]
    return frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed})


def _optuna(results: list[Result], path: pathlib.Path) -> None:
    with extra("optuna"):
        from jaxhpt.integrations.optuna.journal import write
    write(path, {" ".join(["jaxhpt", *map(str, number.values())]): result for number, result in _numbered(results)})


WRITERS: dict[str, Any] = {"csv": _csv, "json": _json, "parquet": _parquet, "optuna": _optuna}
