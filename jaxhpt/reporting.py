"""Pages of several searches, and of a run that goes on."""

import pathlib
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from jaxhpt.core.checks import number, require
from jaxhpt.report.files import write
from jaxhpt.report.findings import KILLED, RUNNING, Findings
from jaxhpt.report.page import page
from jaxhpt.results.findings import findings_of
from jaxhpt.results.result import Result
from jaxhpt.store.files import LOG, MANIFEST, RunError, held, read_json
from jaxhpt.store.loading import load

EVERY = 2.0  # seconds
QUICK = 24  # searches of which each is measured what mattered
AUTO = "auto"
PATIENCE = 20  # times that a run is looked at which cannot be read, as it is being written


def report(results: Any, path: str | pathlib.Path, title: str = "", importance: str | None = AUTO) -> pathlib.Path:
    """Write one page of one search or of several, for a browser: one file that needs nothing else.

    Choose it to compare searches: a table of them, the best so far and the distributions together, and below, each by
    itself. For one search alone, `result.report(path)` does the same.

    Args:
      results: a `Result`; a list of them, such as `search_many` returns; a dict of them by name; the directory of a
        run; or a file of `Result.save`.
      path: of the file, such as "report.html".
      title: of the page; empty for one that is made of what was searched.
      importance: method of `Result.importance`, or None for none; "auto" is "permutation" for one search, "grey", which
        is quick, for up to 24, and none for more.

    Returns:
      The path.

    Raises:
      TypeError: none of these.
      ValueError: no search at all, an unknown method, or a run that cannot be read.
      OSError: the file cannot be written.

    Example:
      >>> import jaxhpt, pathlib, tempfile
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> runs = {
      ...     name: jaxhpt.minimize(lambda h, key: h["x"], space, trials=8, algorithm=name, progress=False)
      ...     for name in ("random", "genetic")
      ... }
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     text = report(runs, pathlib.Path(folder) / "both.html").read_text()
      >>> ">2 searches<" in text
      True
    """
    if isinstance(results, str | pathlib.Path):
        return write(path, page(_of_run(pathlib.Path(results), importance), title or pathlib.Path(results).name))
    return write(path, page(_searches(named(results), importance), title))


def watch(run_dir: str | pathlib.Path, path: str | pathlib.Path, every: float = EVERY, title: str = "") -> pathlib.Path:
    """Write the page of a run anew whenever its log has grown, until the run ends; open it, and it follows by itself.

    Choose it beside a search that runs in another process. The page looks at itself again every so many seconds, and
    stays where it was scrolled to. What ran between two looks is in the log or the checkpoint, by up to half a minute.

    Args:
      run_dir: of the run; it need not have begun.
      path: of the page.
      every: seconds between two looks, above 0.
      title: of the page; empty for the name of the directory.

    Returns:
      The path, when the run has ended, or the process that it was in is gone.

    Raises:
      ValueError: `every` is not above 0, or it is no directory, or one that stays damaged, or was removed.
      OSError: the page cannot be written.
    """
    seconds = float(number("every", every))
    require(seconds > 0, "every", every, "above 0")
    folder, seen, failed = pathlib.Path(run_dir), None, 0
    require(not folder.is_file(), "run_dir", str(run_dir), "a directory; of a saved result write a report")
    while True:
        now = _sign(folder)
        if now is None and (seen is not None or failed):
            raise RunError(f"run_dir={str(run_dir)!r}: is gone; {path} shows what was there last")
        if now is not None and now != seen:
            going = held(folder)  # until its winner is confirmed, too
            try:
                searches = _read(folder, going)
            except (ValueError, OSError):  # it is being written
                failed += 1
                if failed > PATIENCE:
                    raise
            else:
                write(path, page(searches, title or folder.name, reload=seconds if going else 0.0))
                seen, failed = now, 0
                if not going:
                    return pathlib.Path(path)
        time.sleep(seconds)


def _read(folder: pathlib.Path, going: bool) -> list[Findings]:
    """Read a run; what mattered is measured at its end alone, as that takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if going else "default", UserWarning)  # of a checkpoint that is half written
        return _of_run(folder, None if going else "permutation")


def named(results: Any) -> dict[str, Result]:
    """Return results by name.

    Raises:
      TypeError: no results.
      ValueError: none at all.
    """
    if isinstance(results, Result):
        return {"": results}
    given = results if isinstance(results, Mapping) else None
    if given is None and isinstance(results, Sequence) and not isinstance(results, str | bytes):
        given = {f"search {i}": result for i, result in enumerate(results)}
    if given is None or not all(isinstance(result, Result) for result in given.values()):
        raise TypeError(f"results={results!r:.80}: must be a Result, a list or a dict of them, or a run's directory")
    require(bool(given), "results", results, "at least one")
    found = {str(name): result for name, result in given.items()}
    require(len(found) == len(given), "results", list(given), "of different names")
    return found


def _searches(results: Mapping[str, Result], importance: str | None, **about: Any) -> list[Findings]:
    usual = "permutation" if len(results) == 1 else "grey" if len(results) <= QUICK else None
    method = usual if importance == AUTO else importance
    return [findings_of(result, name, method, **about) for name, result in results.items()]


def _of_run(folder: pathlib.Path, importance: str | None) -> list[Findings]:
    """Return the findings of a run, with what its manifest knows beside, or of a saved result."""
    found = load(folder)
    if isinstance(found, Result) and not folder.is_dir():  # a file of `Result.save` knows itself how it ended
        return _searches(named(found), importance)
    path = folder / MANIFEST
    manifest = read_json(path) if path.exists() else {}
    kinds = {name: manifest.get(name) for name in ("algorithm", "scheduler")}
    about: dict[str, Any] = {
        name: told["kind"] for name, told in kinds.items() if isinstance(told, dict) and "kind" in told
    }
    if isinstance(found, Result) and manifest.get("seed") is not None:
        about["seed"] = manifest["seed"]
    if not manifest.get("ended"):
        about["ended"] = RUNNING if held(folder) else KILLED
    return _searches(named(found), importance, **about)


def _sign(folder: pathlib.Path) -> tuple | None:
    """Return what changes when there is something new in a run; None where it has not begun."""
    if not (folder / MANIFEST).exists():
        return None
    return (
        held(folder),
        _ended(folder),
        *((p.stat().st_size, p.stat().st_mtime_ns) for p in (folder / LOG,) if p.exists()),
    )


def _ended(folder: pathlib.Path) -> bool:
    try:
        return bool(read_json(folder / MANIFEST).get("ended"))
    except (RunError, OSError):
        return False
