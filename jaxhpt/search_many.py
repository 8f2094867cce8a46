"""Many searches at once: one for each data set or seed, in one program."""

import dataclasses
import pathlib
import reprlib
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms import DEFAULT_ALGORITHM, Algorithm
from jaxhpt.arguments import limits_of, methods_of, or_raise, shown_by, task_of, trials_of
from jaxhpt.core.checks import require, require_count, require_seed
from jaxhpt.core.history import Known
from jaxhpt.core.keys import root_of
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Hparams, PyTree, StepFn
from jaxhpt.engine.build import Built, Given, build
from jaxhpt.engine.driver import Callback, Outcome, drive
from jaxhpt.engine.many import Many, Own, Searches, data_of, shared_of, shared_out
from jaxhpt.engine.watching import Watchers
from jaxhpt.results.prior import Prior, first_of, known, settings_of
from jaxhpt.results.result import Result
from jaxhpt.schedulers import Scheduler
from jaxhpt.store.run import CHECKPOINT_SECONDS, opened
from jaxhpt.training.devices import home_of
from jaxhpt.training.hosts import alone
from jaxhpt.training.layout import AUTO, Layout
from jaxhpt.training.replica import Replicas
from jaxhpt.training.sets import Sets, data_sets
from jaxhpt.training.splits import Folds
from jaxhpt.training.task import Task

ALONE = frozenset({"reshuffle", "confirm", "execution", "microbatch", "mesh"})


def search_many(
    train_step: Task | StepFn,
    space: Any,
    *,
    train_data: PyTree = None,
    valid_data: PyTree = None,
    trials: int | None = None,
    algorithm: str | Algorithm = DEFAULT_ALGORITHM,
    scheduler: str | Scheduler = "run_to_end",
    lanes: int | str = AUTO,
    interval: int | str = AUTO,
    cores: int | str = AUTO,
    events_per_dispatch: int | str = AUTO,
    timeout: float | None = None,
    prior: Prior | None = None,
    priors: Sequence[Prior | None] | None = None,
    first: Sequence[Hparams] = (),
    seeds: int = 1,
    folds: Folds | None = None,
    reduce: str = "mean",
    seed: int | Sequence[int] = 0,
    run_dir: str | pathlib.Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **task: Any,
) -> list[Result]:
    """Tune one model for each of many data sets, or with each of many seeds, all in one program.

    Choose it where the same kind of model is trained for every customer, sensor or series: each gets settings of its
    own, found by a search of its own. The searches are those that `search` would run one after the other with the same
    lanes: the same proposals, to the bit where no model proposes.

    Args:
      train_step: as in `search`, with arrays of one data set. Of data sets of several lengths `evaluate` is given a
        `Batch`, as with folds, unless they are as many in `valid_data`; and so is `train_step` where a batch is more
        than the shortest has: average by `batch_mean`. A `FlaxTask` does.
      space: as in `search`, without structural dimensions.
      train_data: arrays of R data sets, stacked: leaves [R, rows, ...] of any pytree but a list; or a list of R
        pytrees with leaves [rows, ...], which may have several lengths. None where the task makes its own.
      valid_data: the same, R data sets.
      trials: of each search; as in `search`.
      algorithm: as in `search`.
      scheduler: as in `search`.
      lanes: of each search; "auto" shares out those of one search, at least 8 each, as far as memory has room for.
      interval: as in `search`.
      cores: of a CPU that run searches, each a part of them where it divides their number. Where the process has
        several devices, these share the searches in the same way, unless the data were put on one.
      events_per_dispatch: as in `search`.
      timeout: seconds for all, compilation not included.
      prior: what is known before, as in `search`, the same for all searches.
      priors: R such, one for each search, of as many trials each; instead of `prior`.
      first: settings that each search tries first, as in `search`.
      seeds: models of each trial, as in `search`.
      folds: how each data set is split, as in `search`, instead of `valid_data`.
      reduce: as in `search`.
      seed: of the first search, the next has the next; or a list of R, one for each search. Without data here, a list
        says how many searches there are: they share the data of the task, and differ by their seeds alone.
      run_dir: as in `search`, for all searches together.
      checkpoint_seconds: as in `search`.
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
    space, replicas = Space.of(space), Replicas(seeds, folds, reduce=reduce)
    _refuse(space, task)
    sets = Sets(data_sets("train_data", train_data), data_sets("valid_data", valid_data))
    num = _number(sets, seed, prior, priors)
    job, own = sets.assembled(task_of(train_step, {**task, **sets.of_all()}, search_many), replicas)
    searcher, trainer = methods_of(algorithm, scheduler)
    each_seed, first = _seeds(seed, num), settings_of(first)
    limits, shown = limits_of(events_per_dispatch, timeout, callbacks), shown_by(progress)
    many, devices = trials_of(trials, searcher, space, len(first)), _devices((own, job.train_data, job.valid_data), num)
    before = _Before(prior, priors, first, space, many)
    sharing = num if jax.default_backend() == "cpu" else -(-num // devices)
    layout = Layout(lanes, cores, execution="fused", searches=sharing)
    given = Given(_one(own.get("train"), 0), _one(own.get("valid"), 0), sets.lengths) if own else None
    with opened(run_dir, checkpoint_seconds) as run, Watchers(callbacks) as watchers:
        layout, interval = run.laid_out(layout, interval)
        many = run.trials(many)
        built = build(job, space, many, searcher, trainer, layout, interval, before, given)
        if sets.train is not None and sets.lengths and built.structures.length.by_rows:
            own["steps"] = (jnp.asarray(sets.train.rows),)
        home = home_of(built.data)
        own, devices = (own, devices) if home is None else (jax.device_put(own, home), 1)
        parts = shared_out(num, layout.num_cores) if devices == 1 and jax.default_backend() == "cpu" else 1
        about = {"seed": each_seed, "searches": num, "shared_by": devices * parts}
        built = run.begin(built, searcher, own, way="search_many", **about)
        roots = jnp.stack([root_of(one, built.program.problem.prior) for one in each_seed])
        record = watchers.beside(run.record, built.problem, run_dir, num)
        shared, limits = shared_of(built.data, own), dataclasses.replace(limits, record=record)
        rest = (roots, before.stacked(num), own, shared, parts, run.carried)
        begun = lambda program: Many(Searches(program, devices), *rest)  # noqa: E731
        return _results(built, drive(built.program, roots, data_of(shared, own), limits, shown, begun), own)


def _refuse(space: Space, task: dict[str, Any]) -> None:
    """Refuse what one program of many searches cannot do."""
    named_so = [space.names[column] for column in space.structural]
    require(not named_so, "space", named_so, "without structural=True, as all run one program; or take jaxhpt.search")
    if single := ALONE & task.keys():
        raise TypeError(f"search_many: {', '.join(sorted(single))}: not for many searches at once; take jaxhpt.search")
    if not alone():
        raise ValueError(
            "search_many: runs in one process; start each with a part of the searches, without jax.distributed"
        )


class _Before:
    """Reads what is known before each search, for the metrics of all.

    Attributes:
      each: of each search, or of all where they share it; empty before it was called.
    """

    def __init__(self, prior: Any, priors: Any, first: Sequence[Any], space: Space, trials: int) -> None:
        self._priors: Sequence[Any] = [prior] if priors is None else priors
        self._first, self._space, self._trials = first, space, trials
        self.each: list[Known] = []

    def __call__(self, metrics: MetricSpec) -> Known:
        """Return what is known before the first search."""
        first = first_of(self._first, self._space, self._trials)
        self.each = [known(one, self._space, metrics)._replace(first=first) for one in self._priors]
        counts = [one.unit.shape[0] for one in self.each]
        if len(set(counts)) > 1:
            remedy = "as many trials for each search, such as priors=[result.top(8) for result in results]"
            raise ValueError(f"priors: trials that count {reprlib.repr(counts)}; must be {remedy}")
        return self.each[0]

    def stacked(self, num: int) -> Known:
        """Return what is known before each of R searches: leaves [R, ...]."""
        each = self.each if len(self.each) == num else self.each * num
        found: Known = jax.tree.map(lambda *a: jnp.stack(a), *each)
        return found


def _one(data: PyTree, index: int) -> PyTree:
    return jax.tree.map(lambda a: a[index], data)


def _seeds(seed: int | Sequence[int], num: int) -> list[int]:
    if isinstance(seed, Sequence | np.ndarray):
        return [require_seed(one) for one in seed]
    least = require_seed(seed)
    return [require_seed(one) for one in range(least, least + num)]


def _number(sets: Sets, seed: Any, prior: Any, priors: Any) -> int:
    """Return how many searches there are, R; raise where the data, the seeds and the priors do not agree."""
    if priors is not None and (isinstance(priors, str) or not isinstance(priors, Sequence)):
        raise TypeError(f"priors={priors!r}: must be a list with what is known before each search; for all, say prior")
    if priors is not None and prior is not None:
        raise ValueError("prior and priors: give one of them: what all searches know, or what each does")
    sizes = {each.name: each.num for each in sets if each is not None}
    sizes |= {"seed": len(seed)} if isinstance(seed, Sequence | np.ndarray) and not isinstance(seed, str) else {}
    sizes |= {"priors": len(priors)} if priors is not None else {}
    if not sizes:
        raise ValueError("search_many: give train_data and valid_data of each search, or seed=[0, 1, 2]")
    if len(set(sizes.values())) > 1:
        spoken = ", ".join(f"{name} of {num}" for name, num in sizes.items())
        raise ValueError(f"number of searches: {spoken}; must agree: one entry for each search")
    return require_count("number of searches", next(iter(sizes.values())))


def _devices(data: Any, num: int) -> int:
    """Return how many devices share R searches: one where the user has chosen it."""
    arrays = [leaf for leaf in jax.tree.leaves(data) if isinstance(leaf, jax.Array)]
    values = jax.config.values  # without jit nothing runs on several
    chosen = values["jax_default_device"] or values["jax_disable_jit"] or home_of(arrays) is not None
    return 1 if chosen else shared_out(num, len(jax.local_devices()))


def _results(built: Built, outcome: Outcome, own: Own) -> list[Result]:
    """Part the outcome into one of each search."""
    found = []
    for i in range(outcome.summary.finished.shape[0]):
        summary, best = _one(outcome.summary, i), _one(outcome.best, i)
        mine = dataclasses.replace(outcome, summary=summary, best=best, key=outcome.key[i])
        data = data_of(built.data, _one(own, i))
        structures = dataclasses.replace(built.structures, train=data.train, valid=data.valid)
        found.append(Result.of(outcome.program, data, mine, structures))
    return or_raise(found, outcome.error)
