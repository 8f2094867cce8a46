"""A run, or a result that was saved, read back: nothing of it is executed."""

import pathlib
import warnings
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.history import History, Status
from jaxhpt.core.host_scores import nearest
from jaxhpt.core.plain_problem import problem_of
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE
from jaxhpt.engine.carrying import Carried
from jaxhpt.results.columns import COLUMNS, begun_steps, empty_columns, filled, with_begun
from jaxhpt.results.kept import NO_EXPORT, NO_STATE, Kept
from jaxhpt.results.lineage import births
from jaxhpt.results.loose import Loose
from jaxhpt.results.result import Result
from jaxhpt.results.saved import read
from jaxhpt.results.stats import Ran, Stats, counted
from jaxhpt.store import log
from jaxhpt.store.checkpoints import Checkpoints
from jaxhpt.store.files import CHECKPOINTS, CONFIRMED, LOG, MANIFEST, RunError, read_json
from jaxhpt.store.run import checked, mover


def load(path: str | pathlib.Path, task: Any = None, *, space: Any = None) -> Result | list[Result]:
    """Read a run directory, or what `Result.save` wrote: of a run that has ended, was killed, or runs now.

    What a run has found is in its latest checkpoint and, newer by up to half a minute, in its log. Nothing is executed:
    `best_state` needs the task where the state is not made of plain dicts of arrays, or is exported.

    Args:
      path: of the directory or the file.
      task: the `Task` or `FlaxTask` that was tuned, made anew; None where `best_state` is not needed.
      space: that was searched, where it holds functions, classes or the like: these are written by their names alone.

    Returns:
      A `Result`, without `replay`; of many searches a list of them.

    Raises:
      FileNotFoundError: nothing is there.
      ValueError: it is damaged, or nothing was written yet; another space; a task whose functions get some of the
        space, and no space.

    Example:
      >>> import jaxhpt, tempfile
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     result = jaxhpt.minimize(lambda h, key: h["x"], space, trials=8, run_dir=folder, progress=False)
      ...     again = jaxhpt.load(folder)
      >>> again.best == result.best
      True
    """
    where = pathlib.Path(path)
    if not where.exists():
        raise FileNotFoundError(f"path={str(path)!r}: there is no such run and no such file")
    single = where if where.is_file() else where / CONFIRMED
    if single.exists():
        return _whole(read(single), task, space)
    try:
        results = _of_run(where)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise RunError(f"{where}: damaged: {type(error).__name__}: {error}") from error
    results = [_whole(result, task, space) for result in results]
    return results if read_json(where / MANIFEST).get("searches") is not None else results[0]


def _whole(result: Result, task: Any, space: Any) -> Result:
    """Give back to a result what no file holds."""
    result = result if space is None else result.with_space(space)
    return result if task is None else result.with_task(task)


def _of_run(folder: pathlib.Path) -> list[Result]:
    path = folder / MANIFEST
    if not path.exists():
        raise RunError(f"{folder}: no run, without a {MANIFEST}")
    manifest = checked(read_json(path), path)
    problem, searches = problem_of(manifest), manifest.get("searches")
    checkpoints = Checkpoints(folder / CHECKPOINTS, readonly=True)
    try:
        last = checkpoints.latest()
    except RunError as error:
        warnings.warn(f"{error}; what the log says is there", stacklevel=3)
        last = None
    finally:
        checkpoints.close()
    mine: dict[int, list[dict[str, Any]]] = {}
    for line in log.read(folder / LOG)[0]:
        mine.setdefault(line.get("search", 0), []).append(line)
    every = range(searches or 1)
    return [_one(problem, manifest, last, mine.get(search, []), search, searches) for search in every]


def _one(
    problem: Problem,
    manifest: dict[str, Any],
    last: Carried | None,
    lines: list[dict[str, Any]],
    search: int,
    searches: int | None,
) -> Result:
    """Put one search together from the latest checkpoint, and from what the log says beyond it."""
    history, row, kept, facts = empty_columns(problem), NONE, Kept(None, NO_STATE), {} if last is None else last.facts
    if last is not None:
        mine = [array if searches is None else array[search] for array in last.arrays[: len(COLUMNS)]]
        columns, move = dict(zip(COLUMNS, mine, strict=True)), mover(facts["space"], problem.space)
        if move is not None:  # it was widened, and no checkpoint was written since
            columns |= {name: move(columns[name]) for name in ("unit", "first")}
        history = with_begun(filled(history, columns), facts.get("begun"))
        row, kept = _best(last, search, searches)
    history, fresh = _newer(history, problem, lines)
    better = _better(history, problem, row, fresh)
    if better != row:  # the log knows it, and its weights were not written yet
        row, kept = better, Kept(None, NO_STATE)
    numbers = manifest.get("numbers") or facts.get("numbers", {})
    each = {n: v[search] if isinstance(v, list) and n != "memory" else v for n, v in numbers.items()}
    ran = Ran(manifest.get("ended") or "unfinished", **{**each, "memory": tuple(each.get("memory", ()))})
    ran = _later(ran, history, problem, lines) if fresh else ran
    if manifest.get("way") == "Tuner":
        return _told(counted(problem, history, ran), history, problem, row, lines)
    return Result(counted(problem, history, ran), history, problem, row, kept)


def _later(ran: Ran, history: History, problem: Problem, lines: list[dict[str, Any]]) -> Ran:
    """Return how a run ran until the latest trial that its log knows, which its checkpoint does not."""
    rows = np.arange(int(history.num_rows))
    ticks = history.start[rows] + history.steps[rows] - births(history, problem.schedule.interval)[rows]
    seconds = max([ran.seconds, *(float(line.get("seconds", 0.0)) for line in lines)])
    return ran._replace(seconds=seconds, steps=max([ran.steps, *ticks.tolist()]), trained=0)


def _told(stats: Stats, history: Any, problem: Problem, row: int, lines: list[dict[str, Any]]) -> Result:
    """Return what a person told, as exactly as he did."""
    exact = np.full(history.metrics.shape, np.inf)
    for line in lines:
        exact[line["trial"]] = _scores(line, problem)
    done = history.status == Status.DONE
    history = history._replace(curve=nearest(np.where(done[:, None], exact[:, :1], np.inf)))
    return Result(stats, history, problem, row, _exact=exact)


def _best(last: Carried, search: int, searches: int | None) -> tuple[int, Kept]:
    """Return the row of the winner in a checkpoint, and its weights."""
    about = last.facts["best"]
    row = int(about["row"] if searches is None else about["row"][search])
    leaves = last.arrays[len(COLUMNS) + last.facts["engine_arrays"] :]
    if row == NONE or not leaves:
        return row, Kept(None, NO_STATE)
    mine = leaves if searches is None else [leaf[search] for leaf in leaves]
    state = Loose(tuple(mine), tuple(tuple(map(str, path)) for path in about["paths"]), bool(about["plain"]))
    task = last.facts["task"]
    plain = about["plain"] and not task["exports"]
    return row, Kept(state, "" if plain else NO_EXPORT, replicas=int(task["replicas"]))


def _newer(history: Any, problem: Problem, lines: list[dict[str, Any]]) -> tuple[Any, list[int]]:
    """Enter trials that a log knows to have ended, and a history does not; return their rows, too."""
    rows, num, schedule, tag = [], int(history.num_rows), problem.schedule, log.tag_of(problem.space)
    begun = begun_steps(history)
    for line in lines:
        row = line["trial"]
        if row >= problem.capacity or history.status[row] >= Status.DONE:
            continue
        history.metrics[row], history.unit[row] = nearest(_scores(line, problem)), log.unit_of(line, problem.space, tag)
        history.status[row], history.steps[row] = log.CODES[line["status"]], int(line["steps"])
        history.start[row], history.parent[row] = int(line["start"]), line.get("parent", NONE)
        for steps, value in line["curve"]:
            place = min((steps - 1) // schedule.report_steps, schedule.reports - 1)
            history.curve[row, place] = nearest(np.array(value * problem.objectives[0].sign))
        rows.append(row)
        num = max(num, row + 1)
        begun |= {row: line["begun"]} if "begun" in line else {}
    told = {"row": list(begun), "steps": list(begun.values())} if begun else None
    return with_begun(history._replace(num_rows=np.int32(num)), told), rows


def _scores(line: dict[str, Any], problem: Problem) -> np.ndarray:
    """Return what a trial came to, minimised: f64[K], +inf where it is not known."""
    columns = problem.metrics
    told = [line["metrics"].get(name) for name in columns.names]
    return np.array([np.inf if v is None else v * sign for v, sign in zip(told, columns.signs, strict=True)])


def _better(history: History, problem: Problem, best: int, rows: list[int]) -> int:
    """Return the best of the winner and of rows: who trained for his whole budget, the longest, comes first."""

    def standing(row: int) -> tuple:
        done = history.status[row] == Status.DONE
        return not done, 0 if done else -int(history.steps[row]), float(fitness[row]), row

    fitness = np.asarray(problem.metrics.fitness(jnp.asarray(history.metrics)))
    rivals = [row for row in rows if np.isfinite(fitness[row]) and history.status[row] != Status.PRIOR]
    return min([*rivals, *([] if best == NONE else [best])], key=standing, default=NONE)
