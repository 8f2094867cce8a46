"""The way in: check everything, assemble the program, run it."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from jax.sharding import Mesh

from jaxhpt.algorithms import DEFAULT_ALGORITHM, Algorithm
from jaxhpt.arguments import knowing, limits_of, methods_of, or_raise, shown_by, task_of, trials_of
from jaxhpt.checking.of_functions import warn
from jaxhpt.core.checks import require_seed
from jaxhpt.core.history import Known
from jaxhpt.core.keys import root_of
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Hparams, Key, Metrics, StepFn
from jaxhpt.engine.build import build
from jaxhpt.engine.carrying import Carried
from jaxhpt.engine.driver import Callback, drive
from jaxhpt.engine.execution import Execution
from jaxhpt.engine.loop import Fused
from jaxhpt.engine.split import Split
from jaxhpt.engine.state import Program
from jaxhpt.engine.watching import Watchers
from jaxhpt.results.confirmation import Confirm, require_confirm
from jaxhpt.results.prior import Prior, settings_of
from jaxhpt.results.result import Result
from jaxhpt.results.trained_on import extension_of
from jaxhpt.results.trial import Trial
from jaxhpt.schedulers import Scheduler
from jaxhpt.store.run import CHECKPOINT_SECONDS, opened
from jaxhpt.training.blackbox import blackbox_task
from jaxhpt.training.layout import Layout
from jaxhpt.training.pool import Data
from jaxhpt.training.replica import Replicas, replicated
from jaxhpt.training.splits import Folds
from jaxhpt.training.structures import Structures
from jaxhpt.training.task import Task


def search(
    train_step: Task | StepFn,
    space: Any,
    *,
    trials: int | None = None,
    algorithm: str | Algorithm = DEFAULT_ALGORITHM,
    scheduler: str | Scheduler = "run_to_end",
    lanes: int | str = "auto",
    interval: int | str = "auto",
    cores: int | str = "auto",
    microbatch: int | str = "auto",
    execution: str = "auto",
    mesh: Mesh | None = None,
    max_programs: int = 60,
    compile_share: float = 0.25,
    events_per_dispatch: int | str = "auto",
    timeout: float | None = None,
    prior: Prior | None = None,
    first: Sequence[Hparams] = (),
    extend_trials: Sequence[Trial | int] = (),
    seeds: int = 1,
    folds: Folds | None = None,
    reshuffle: bool = False,
    reduce: str = "mean",
    confirm: int = 0,
    seed: int = 0,
    run_dir: str | pathlib.Path | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
    extend: bool = False,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    **task: Any,
) -> Result:
    """Tune a training: many settings side by side, on device.

    Args:
      train_step: a `Task`, a `FlaxTask`, a step decorated with `@jaxhpt.task`, or a plain step
        (state, batch, hparams, key) -> state with the rest of the task in keywords.
      space: a pytree of `Float`, `Int`, `Choice`, `Bool`, lists, `When` and constants.
      trials: settings to train; by default 256, or all points of an algorithm that has an end.
      algorithm: where to look: a name of `jaxhpt.ALGORITHMS`, or an instance with settings of its own; "auto" chooses
        by the space, the trials, the lanes and the objectives, see `Auto`.
      scheduler: how long to train: a name of `jaxhpt.SCHEDULERS`, such as "asha", or an instance with settings of
        its own; by default every trial trains to its end.
      lanes: models that train side by side; "auto" is up to 64 on a CPU and up to 4,096 on an accelerator, as many as
        memory has room for.
      interval: steps between events; "auto" wastes no update where it can.
      cores: of a CPU that train, each a pool of the lanes where these divide by it; "auto" is all that the process may
        use, and one in a process that was started to work beside others. Another accelerator is not concerned.
      microbatch: lanes that train by one `vmap`, groups of them one after the other: 1 is one model after the other.
        "auto" is all that memory has room for; on a CPU 1 for convolutions, and as many as have 64 models where a trial
        has several.
      execution: "split" compiles each part of an event by itself, so that training begins while the algorithm's model
        is being compiled; "fused" runs many events as one program, for very many cheap ones. "auto" is "split", but
        for a function that is cheap to evaluate, and thousands of events.
      mesh: of devices, a `jax.sharding.Mesh` with an axis "lanes" over which the lanes are shared out, a multiple of
        its size; further axes are for models that are cut themselves, see `Task.partition`. None is all devices that
        the process has, or the one where the data has been put; with `jax.distributed`, those of all processes.
      max_programs: structures of a space with `structural=True` whose programs stay in the process, at least 1: they
        take up memory, and are compiled again where they are needed again.
      compile_share: of the work that may go into compiling them, by an estimate, above 0; 1 lets every proposal begin
        another structure.
      events_per_dispatch: a number, "all" for the whole search in one call, or "auto" for about 1/4 s, if need be in
        the middle of an event, after which progress, callbacks, Ctrl-C and the timeout are looked at. The results are
        the same bits for all.
      timeout: seconds of searching, compilation not included; what has ended by then is the result.
      prior: what is known before: an earlier `Result` or several, or pairs of a setting and its value. The algorithm
        learns from these trials, they count as none of `trials`, and have the status "prior" and the first ids.
      first: settings to try before all that the algorithm proposes, written as in results, such as the ones in use
        today; they are among the `trials`, and start before all others.
      extend_trials: trials of `prior`, then one `Result`, or their ids, such as `result.top(5)`, that train on to
        `steps` from the weights that they have; they are among the `trials`, by default all of them, and start before
        all others. Weights other than those of its best are made by training the trial once more: see
        `docs/how_long.md`.
      seeds: models of each trial, of different keys; its metrics are reduced to one number, and `<metric>_std` beside
        it is their spread. `best_state` is then a list of states.
      folds: how `train_data` is split into rows to train on and rows to be scored on, instead of `valid_data`, such as
        `KFold(5)`: a trial trains a model for each seed and fold.
      reshuffle: whether each trial has a new split, the same for all trials that begin at one event.
      reduce: "mean" of the models; "worst"; or "bound", the mean worsened by its standard error.
      confirm: how many settings are trained again at the end, the best of the search, with fresh seeds and folds; the
        winner is the best of these. It comes after the `timeout`, and calls no callback. See `Result.confirmed`.
      seed: of all randomness; the same seed and lanes give the same bits on the same machine.
      run_dir: a directory that the run is written to, and from which the same call goes on where it stood, to the same
        bits: after a crash, a kill or a time limit, or with more `trials`. See `jaxhpt.load`. SIGTERM then ends it in
        order, too.
      checkpoint_seconds: of a run that is written, from one checkpoint to the next, above 0; more where writing would
        take more than a fiftieth of the time. The first comes after five seconds.
      extend: whether the space may have wider ranges and more choices than the run in `run_dir` had: its trials stay,
        and the algorithm learns from them in the wider space.
      progress: whether to show a live line in a terminal, plain lines elsewhere.
      callbacks: called with a `Snapshot` after each dispatch; one that returns True ends the search. Those of
        `jaxhpt.integrations`, such as `optuna.Journal()`, see the trials, too.
      **task: fields of `Task`, such as `init`, `evaluate`, `train_data`, `valid_data`, `batch_size`, `steps`,
        `objective` and `direction`, or `objectives` and `constraints`; they come before those of a given task.

    Returns:
      A `Result`: `best`, `best_state`, `pareto_front()`, `trials`, `to_pandas()`, `replay(trial)`, `stats`.

    Warns:
      UserWarning: where results would mean nothing, as training changes no metric, or reads no data; see `check`.

    Raises:
      ValueError, TypeError: anything wrong with the arguments, before anything is compiled.
      SearchError: a callback, the display, or the search itself failed; its `result` holds all that had ended.

    Example:
      >>> import jax.numpy as jnp, jaxhpt
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w,
      ...     {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0),
      ...     evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=20, trials=64, progress=False,
      ... )
      >>> result.best.metrics["loss"] < 1e-3
      True
    """
    space, replicas = Space.of(space), Replicas(seeds, folds, reshuffle, reduce)
    one, again = task_of(train_step, task, search), require_confirm(confirm)
    job = replicated(one, replicas)
    first = settings_of(first)
    searcher, trainer = methods_of(algorithm, scheduler)
    extension = extension_of(extend_trials, prior)
    own = len(first) + (len(extension.rows) if extension else 0)
    if extension and trials is None:
        trials = own
    seed, limits = require_seed(seed), limits_of(events_per_dispatch, timeout, callbacks)
    shown, num = shown_by(progress), trials_of(trials, searcher, space, own)
    layout = Layout(lanes, cores, microbatch, execution, max_programs, compile_share, mesh=mesh)

    def before(metrics: MetricSpec) -> Known:
        told = knowing(prior, first, space, num)(metrics)
        return extension.known(told, space, num) if extension else told

    with opened(run_dir, checkpoint_seconds, extend) as run, Watchers(callbacks) as watchers:
        layout, interval = run.laid_out(layout, interval)
        num, raised = run.trials(num), True
        confirmation = Confirm(again, one, replicas, layout, interval, functools.partial(shown_by, progress), _begun)
        while raised:  # a run may be told of more trials while it goes on
            built = build(job, space, num, searcher, trainer, layout, interval, before)
            warn(built, replicas)
            if again:
                confirmation.check(built.program.problem, built.program.slots)
            if extension:
                extension.require_to_fit(built)
                built = extension.begun(built)
            built = run.begin(built, searcher, way="search", seed=seed, searches=None)
            limits = dataclasses.replace(limits, record=watchers.beside(run.record, built.problem, run_dir))
            root = root_of(seed, built.program.problem.prior)
            rest = (root, built.known, built.data, built.structures, run.carried)
            outcome = drive(built.program, root, built.data, limits, shown, lambda p: _begun(p, *rest))  # noqa: B023
            raised, num = outcome.ended == "raised", run.record.trials or num
        result = or_raise(Result.of(outcome.program, built.data, outcome, built.structures), outcome.error)
        if again == 0 or outcome.ended in ("interrupted", "terminated", "stopped"):
            return run.keep(result)
        return run.keep(or_raise(*confirmation(result, root, limits.events)))


def minimize(function: Callable[[Hparams, Key], Metrics], space: Any, **options: Any) -> Result:
    """Minimise a pure JAX function, many settings at once.

    Args:
      function: (hparams, key) -> a float scalar, or a dict of them; traced once and batched over the lanes.
      space: as in `search`.
      **options: those of `search`: trials, algorithm, lanes, timeout, seed, progress, callbacks ...; `objective`
        names the metric where the function returns several, `objectives` gives several and their directions.

    Returns:
      A `Result`.

    Raises:
      ValueError, TypeError: as `search`.

    Example:
      >>> import jaxhpt
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> result = jaxhpt.minimize(lambda h, key: (h["x"] - 1) ** 2, space, trials=64, progress=False)
      >>> abs(result.best.hparams["x"] - 1) < 0.05
      True
    """
    if options.get("direction") == "max":
        raise ValueError("direction='max': minimize minimises; take maximize, or objectives={name: direction}")
    space = Space.of(space)
    if "objectives" not in options:
        options = {"direction": "min", **options}
    return search(blackbox_task(function, space), space, **options)


def maximize(function: Callable[[Hparams, Key], Metrics], space: Any, **options: Any) -> Result:
    """Maximise a pure JAX function; in all else as `minimize`.

    Example:
      >>> import jaxhpt
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> result = jaxhpt.maximize(lambda h, key: -((h["x"] - 1) ** 2), space, trials=64, progress=False)
      >>> abs(result.best.hparams["x"] - 1) < 0.05
      True
    """
    if options.get("direction") == "min" or "objectives" in options:
        raise ValueError("direction or objectives: maximize maximises one; take minimize, which takes objectives, too")
    space = Space.of(space)
    return search(blackbox_task(function, space), space, **{**options, "direction": "max"})


def _begun(
    program: Program, root: Key, known: Known, data: Data, structures: Structures, carried: Carried | None = None
) -> Execution:
    if program.fused:
        return Fused(program, root, known, data, carried)
    return Split(program, root, known, data, structures, carried)
