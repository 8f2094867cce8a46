"""From a task, a space and settings to a program and its data: the one place where a search is put together."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Algorithm, Chooses
from jaxhpt.core.encoded import encoded
from jaxhpt.core.history import Known
from jaxhpt.core.metrics import MetricSpec, choose
from jaxhpt.core.problem import Problem, bucket
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space
from jaxhpt.core.typing import PyTree
from jaxhpt.engine.state import Program, Study
from jaxhpt.schedulers.base import Scheduler, num_parked
from jaxhpt.training.batches import Batch, Batches, batches_of, check_data
from jaxhpt.training.budget import budget_of, plan
from jaxhpt.training.devices import cut_by_xla, require_no_mesh, together, usable
from jaxhpt.training.hosts import alone, require_alike
from jaxhpt.training.layout import AUTO, Layout, Settled
from jaxhpt.training.pool import Data, Pool
from jaxhpt.training.ragged import Ragged
from jaxhpt.training.sharded import ShardedPool, partitioned
from jaxhpt.training.structures import Structures, first_unit
from jaxhpt.training.task import Task
from jaxhpt.training.user_functions import UserFunctions


class Given(NamedTuple):
    """The data of one of many searches, where these are not those of the task.

    Attributes:
      train: arrays [rows, ...], or `Ragged`; None for none.
      valid: arrays [rows, ...], or a `Batch` of which not all rows count; None for none.
      lengths: rows of the training data of all searches, each number once; empty where there is one.
    """

    train: PyTree
    valid: PyTree
    lengths: tuple[int, ...] = ()


class Built(NamedTuple):
    """A search that is ready to run.

    Attributes:
      program: all that is static.
      data: on device.
      structures: of the space, by which `program.pool` is made anew for each.
      known: what was known before.
    """

    program: Program
    data: Data
    structures: Structures
    known: Known

    @property
    def problem(self) -> Problem:
        """The search in the user's own space."""
        return dataclasses.replace(self.program.problem, space=self.structures.space)


def build(
    task: Task,
    space: Space,
    trials: int,
    algorithm: Algorithm,
    scheduler: Scheduler,
    layout: Layout | None = None,
    interval: int | str = "auto",
    known: Callable[[MetricSpec], Known] | None = None,
    given: Given | None = None,
) -> Built:
    """Check a task against a space, on shapes alone; put the data on device; decide the schedule and the layout.

    Args:
      task: what is trained.
      space: what is searched.
      trials: to open, at least 1.
      algorithm: where to look.
      scheduler: how long to train.
      layout: wishes for how the trials are laid out on the device; None leaves all to the rules.
      interval: steps between events, or "auto".
      known: metrics -> what was known before; None for nothing.
      given: the data; None for those of the task.

    Raises:
      ValueError, TypeError: anything wrong with the arguments, before anything is compiled.
    """
    require_no_mesh()
    train, valid, lengths = given or Given(task.train_data, task.valid_data)
    rows = train.data if isinstance(train, Ragged) else train
    batches = batches_of(space, rows, task.batches, task.batch_size, min(lengths, default=None))
    check_data("valid_data", valid.data if isinstance(valid, Batch) else valid)
    cut = (batches.rows, batches.size, batches.column, task.batches is not None)
    budget = budget_of(space, task.steps, task.steps_per_epoch, *cut, lengths)
    train, valid = jax.tree.map(_on_device, (train, valid))
    layout = layout or Layout()
    structures = Structures(task, space, batches, budget, train, valid, layout)
    functions = structures.of(first_unit(space)).functions
    wanted = (task.objective, task.direction, task.objectives, task.constraints)
    metrics = choose(functions.metrics, *wanted, functions.unnamed, functions.derived, functions.spreads)
    before = _nothing(space, metrics) if known is None else known(metrics)
    begun = () if before.begun is None else tuple(map(int, before.begun))
    schedule = plan(budget, interval, scheduler.event_interval, scheduler.report_interval, begun)
    learns, several = getattr(algorithm, "learns", True), bool(space.structural)
    data = Data(train, valid, structures.first.captured)
    devices, data = usable(layout.mesh, data) if layout.searches is None else (None, together(data))
    apart = num_parked(scheduler, 0)
    parked = num_parked(scheduler, 1) - apart, apart
    laid = layout.settled(functions, trials, schedule.steps, learns, several, devices, parked)
    most = bucket(trials)
    sizes = {"prior": before.unit.shape[0], "copies": scheduler.num_copies(schedule, most)}
    problem = Problem(space.bare(), metrics, trials, laid.lanes, schedule, **sizes)
    chosen = algorithm.chosen(problem) if isinstance(algorithm, Chooses) else algorithm
    specs = partitioned(laid.devices, task.partition, structures.first.state)
    pool = _pool(functions, batches, metrics, schedule, laid, specs)
    study = Study(dataclasses.replace(problem, space=encoded(space), trials=most), chosen, scheduler)
    program = Program(study, problem, pool, laid.pools, laid.fused, layout.lanes == AUTO, laid.devices)
    if not alone():
        settings = repr((study, space.beliefs, dataclasses.replace(laid, devices=None), laid.devices is None))
        require_alike(task=functions.fingerprint, settings=settings, data=data, prior=before)
    return Built(program, data, structures, before)


def _pool(
    functions: UserFunctions, batches: Batches, metrics: MetricSpec, schedule: Schedule, laid: Settled, specs: tuple
) -> Pool:
    parts = laid.devices.parts if laid.devices else 1
    lanes = laid.lanes // (laid.pools * parts)
    shape = (functions, batches, metrics, lanes, schedule.interval, schedule.exact, laid.microbatch, laid.scored)
    return ShardedPool(*shape, parts, specs) if laid.devices else Pool(*shape)


def _nothing(space: Space, metrics: MetricSpec) -> Known:
    none = jnp.zeros((0, space.num_dimensions), jnp.float32)
    return Known(none, jnp.zeros((0, len(metrics.names)), jnp.float32), none)


def _on_device(array: Any) -> jax.Array:
    """Put an array on the device; copied, as its owner may change it in place."""
    return cut_by_xla(array) if isinstance(array, jax.Array) else jnp.array(array)
