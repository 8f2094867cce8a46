"""Many searches at once: one for each data set or seed, in one program."""

import dataclasses
import reprlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms import ALGORITHMS, DEFAULT_ALGORITHM, Algorithm
from jaxhpt.arguments import limits_of, or_raise, shown_by, task_of, trials_of
from jaxhpt.core.checks import named, require, require_count, require_seed
from jaxhpt.core.keys import root_of
from jaxhpt.core.space import Space
from jaxhpt.core.typing import PyTree, StepFn
from jaxhpt.engine.build import Built, build
from jaxhpt.engine.driver import Callback, Outcome, drive
from jaxhpt.engine.many import Many
from jaxhpt.results.result import Result
from jaxhpt.schedulers import SCHEDULERS, Scheduler
from jaxhpt.training.layout import AUTO, Layout
from jaxhpt.training.task import Task

ALONE = frozenset({"prior", "first", "folds", "reshuffle", "confirm", "reduce", "execution", "microbatch"})
LEAST_LANES = 8  # of a search, where "auto" shares them out: an algorithm needs a few results to learn from at once


def search_many(
    train_step: Task | StepFn,
    space: Any,
    *,
    train_data: PyTree = None,
    valid_data: PyTree = None,
    seeds: Sequence[int] | None = None,
    trials: int | None = None,
    algorithm: str | Algorithm = DEFAULT_ALGORITHM,
    scheduler: str | Scheduler = "run_to_end",
    lanes: int | str = AUTO,
    interval: int | str = AUTO,
    cores: int | str = AUTO,
    events_per_dispatch: int | str = AUTO,
    timeout: float | None = None,
    seed: int = 0,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **task: Any,
) -> list[Result]:
    """Tune one model for each of many data sets, or with each of many seeds, all in one program.

    Choose it where the same kind of model is trained for every customer, sensor or series: each gets settings of its
    own, found by a search of its own. The searches are those that `search` would run one after the other with the same
    lanes: the same proposals, to the bit where no model proposes.

    Args:
      train_step: as in `search`, with arrays of one data set.
      space: as in `search`, without structural dimensions.
      train_data: arrays of R data sets, stacked: leaves [R, rows, ...]; None where the task makes its own.
      valid_data: the same, [R, ...].
      seeds: of the searches, R of them; by default `seed`, `seed + 1` and so on, one a data set. Without data here, the
        searches share those of the task, and differ by their seeds alone.
      trials: of each search; as in `search`.
      algorithm: as in `search`.
      scheduler: as in `search`.
      lanes: of each search; "auto" shares out those of one search, at least 8 each.
      interval: as in `search`.
      cores: of a CPU that run searches, each a part of them where it divides their number.
      events_per_dispatch: as in `search`.
      timeout: seconds for all, compilation not included.
      seed: of the first search.
      progress: whether to show a live line, of all searches together.
      callbacks: called with a `Snapshot` of all searches together, without a best value.
      **task: other fields of `Task`.

    Returns:
      R `Result`s, in the order of the data.

    Raises:
      ValueError, TypeError: anything wrong with the arguments, before anything is compiled.
      SearchError: a callback, the display, or the searches failed; its `result` is a list.

    Example:
      >>> import jax.numpy as jnp, jaxhpt
      >>> centres = jnp.array([[0.5], [2.0], [-1.0]])
      >>> results = jaxhpt.search_many(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * (w - batch[0]),
      ...     {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0),
      ...     evaluate=lambda w, valid, h: {"loss": (w - valid[0]) ** 2},
      ...     train_data=centres, valid_data=centres, batch_size=1, steps=20, trials=32, progress=False,
      ... )
      >>> [round(float(result.best_state), 2) for result in results]
      [0.5, 2.0, -1.0]
    """
    space, stacked = Space.of(space), {"train_data": train_data, "valid_data": valid_data}
    named_so = [space.names[column] for column in space.structural]
    require(not named_so, "space", named_so, "without structural=True, as all run one program; or take jaxhpt.search")
    if alone := ALONE & task.keys():
        raise TypeError(f"search_many: {', '.join(sorted(alone))}: not for many searches at once; take jaxhpt.search")
    each = {name: _arrays(data) for name, data in stacked.items() if data is not None}
    if seeds is not None and not isinstance(seeds, Sequence | np.ndarray):
        raise TypeError(f"seeds={seeds!r}: must be a list with the seed of each search, such as range(3)")
    num = _number(each, seeds)
    roots = [require_seed(s) for s in (seeds if seeds is not None else range(seed, seed + num))]
    job = task_of(train_step, {**task, **{name: _one(data, 0) for name, data in each.items()}}, search_many)
    _check_shared(each, job)
    searcher = named("algorithm", algorithm, ALGORITHMS, Algorithm, {"scheduler": SCHEDULERS})
    trainer = named("scheduler", scheduler, SCHEDULERS, Scheduler, {"algorithm": ALGORITHMS})
    limits, shown = limits_of(events_per_dispatch, timeout, callbacks), shown_by(progress)
    many = trials_of(trials, searcher, space, 0)
    layout = Layout(lanes, cores, AUTO, "fused")
    built = build(job, space, many, searcher, trainer, layout, interval)
    if lanes == AUTO and built.program.problem.lanes > LEAST_LANES:
        fewer = dataclasses.replace(layout, lanes=max(LEAST_LANES, built.program.problem.lanes // num))
        built = build(job, space, many, searcher, trainer, fewer, interval)
    width = layout.num_cores if jax.default_backend() == "cpu" else 1
    each = jax.tree.map(jnp.asarray, each)
    whole = built.data._replace(**_fields(each))
    keys, program = jnp.stack([root_of(s) for s in roots]), built.program
    outcome = drive(program, keys, whole, limits, shown, lambda p: Many(p, keys, whole, bool(each), width))
    return _results(built, outcome, each)


def _arrays(data: PyTree) -> PyTree:
    return jax.tree.map(lambda a: a if isinstance(a, jax.Array) else np.asarray(a), data)


def _one(data: PyTree, index: int) -> PyTree:
    return jax.tree.map(lambda a: a[index], data)


def _fields(given: dict[str, PyTree]) -> dict[str, PyTree]:
    """Name parts of the data as `Data` does."""
    return {name.removesuffix("_data"): part for name, part in given.items()}


def _number(each: dict[str, PyTree], seeds: Any) -> int:
    """Return how many searches there are, R; raise where the data and the seeds do not agree."""
    sizes = {f"{name}{jax.tree_util.keystr(path)}": np.shape(leaf)[:1] for name, data in each.items()
             for path, leaf in jax.tree_util.tree_leaves_with_path(data)}  # fmt: skip
    shared = set(sizes.values())
    if len(shared) > 1 or () in shared:
        remedy = "one entry for each search; stack data sets by jax.tree.map(lambda *a: np.stack(a), *sets)"
        raise ValueError(f"train_data, valid_data: leading axes {reprlib.repr(sizes)}; must agree: {remedy}")
    if not sizes and seeds is None:
        raise ValueError("search_many: give train_data and valid_data with a leading axis of searches, or seeds=[...]")
    num = next(iter(shared))[0] if sizes else len(seeds)
    num = require_count("number of searches", num)
    if seeds is not None:
        require(len(seeds) == num, "seeds", list(seeds), f"{num} seeds, one for each search")
    return num


def _check_shared(each: dict[str, PyTree], job: Task) -> None:
    """Refuse data of which one part is stacked and the other is not."""
    for name, other in (("train_data", "valid_data"), ("valid_data", "train_data")):
        if name in each and other not in each and getattr(job, other) is not None:
            raise ValueError(f"{other}: must be given to search_many, too, with a leading axis of searches as {name}")


def _results(built: Built, outcome: Outcome, each: dict[str, PyTree]) -> list[Result]:
    """Part the outcome into one of each search."""
    found = []
    for i in range(outcome.summary.finished.shape[0]):
        summary, best = _one(outcome.summary, i), _one(outcome.best, i)
        mine = dataclasses.replace(outcome, summary=summary, best=best, key=outcome.key[i])
        own = {name: _one(data, i) for name, data in each.items()}
        task, parts = dataclasses.replace(built.structures.task, **own), _fields(own)
        structures = dataclasses.replace(built.structures, **parts, task=task)
        found.append(Result.of(outcome.program, built.data._replace(**parts), mine, structures))
    return or_raise(found, outcome.error)
