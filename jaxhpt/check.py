"""The dry run: all that can be known of a search before it is paid for."""

import time
from collections.abc import Sequence
from typing import Any

from jax.sharding import Mesh

from jaxhpt.algorithms import DEFAULT_ALGORITHM, Algorithm
from jaxhpt.arguments import knowing, limits_of, methods_of, task_of, trials_of
from jaxhpt.checking.report import Check
from jaxhpt.checking.reporting import report
from jaxhpt.core.checks import require_seed, switch
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Hparams, StepFn
from jaxhpt.engine.build import build
from jaxhpt.engine.driver import Callback
from jaxhpt.results.confirmation import require_confirm
from jaxhpt.results.prior import Prior, settings_of
from jaxhpt.schedulers import Scheduler
from jaxhpt.training.layout import Layout
from jaxhpt.training.replica import Replicas, replicated
from jaxhpt.training.splits import Folds
from jaxhpt.training.task import Task


def check(
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
    seeds: int = 1,
    folds: Folds | None = None,
    reshuffle: bool = False,
    reduce: str = "mean",
    confirm: int = 0,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
    compile: bool = True,
    **task: Any,
) -> Check:
    """Look at a search before it runs: shapes, memory, work, compile time, and what may go wrong.

    The functions are traced as `search` traces them, and what it would refuse is refused. The programs that train are
    compiled, which is kept: the search finds them ready. They then train a few settings at the low, middle and high
    ends of all ranges for a step or two, side by side. What is allowed and seldom meant is a hazard of the report.

    Args:
      train_step: as in `search`.
      space: as in `search`.
      trials: as in `search`, as all that follow; give what the search will be given.
      algorithm: where to look.
      scheduler: how long to train.
      lanes: models that train side by side.
      interval: steps between events.
      cores: of a CPU that train.
      microbatch: lanes that train by one `vmap`.
      execution: "split", "fused" or "auto".
      mesh: of devices.
      max_programs: structures at most.
      compile_share: of the time that may go into compiling structures.
      events_per_dispatch: when the host looks up.
      timeout: seconds of searching.
      prior: what is known before.
      first: settings to try before all others.
      seeds: models of each trial.
      folds: how `train_data` is split.
      reshuffle: whether each trial has a new split.
      reduce: how models become one number.
      confirm: the best settings that are trained again.
      seed: of the settings that are trained.
      callbacks: called between dispatches of a search; not here.
      compile: whether to compile and to train; False is a matter of tracing alone.
      **task: fields of `Task`.

    Returns:
      A `Check`: plain data; `print` shows a short table, and a line for each hazard.

    Raises:
      ValueError, TypeError: what `search` would raise.

    Example:
      >>> import jax.numpy as jnp, jaxhpt
      >>> report = jaxhpt.check(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w,
      ...     {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0),
      ...     evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=20, trials=64,
      ... )
      >>> report.parameters, report.steps, len(report.tried), report.failed, report.hazards
      (1, (20, 20), 3, (), ())
    """
    begun = time.perf_counter()
    space, replicas = Space.of(space), Replicas(seeds, folds, reshuffle, reduce)
    compile = switch("compile", compile, "must be True or False")
    one = task_of(train_step, task, check)
    searcher, trainer = methods_of(algorithm, scheduler)
    first = settings_of(first)
    require_confirm(confirm)
    limits_of(events_per_dispatch, timeout, callbacks)
    seed, num = require_seed(seed), trials_of(trials, searcher, space, len(first))
    layout = Layout(lanes, cores, microbatch, execution, max_programs, compile_share, mesh=mesh)
    job = replicated(one, replicas)
    built = build(job, space, num, searcher, trainer, layout, interval, knowing(prior, first, space, num))
    return report(built, one, replicas, seed, begun, compile)
