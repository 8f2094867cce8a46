"""How many steps a trial trains, and how often events come."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require, require_count, suggest
from jaxhpt.core.jaxprs import inputs_needed, trace
from jaxhpt.core.qmc import sobol
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array
from jaxhpt.training.calling import calling, hparams_of
from jaxhpt.training.signatures import require_arguments

MAX_ENUMERATED = 4096  # settings of the dimensions that decide the budget, up to which all are looked at
PASSES = 10  # over the data, where nobody says how long to train
EPOCHS = "epochs"  # the hyperparameter that counts passes over the data
LONG_EVENT = 64  # steps after which the host should hear of the search again
NEAR = 1.5  # by what factor an interval may differ from the one the scheduler would like
WASTE = 20  # a trial may wait 1/20 of its budget, in the mean, for the event that ends it


@dataclasses.dataclass(frozen=True, eq=False)
class Budget:
    """Training steps of a trial, to be traced.

    Where data sets have several lengths the rows are an array, so that the program takes them as an argument: the one
    array that the trace captures.

    Attributes:
      space: puts dimensions into the user's pytree.
      fixed: steps of every trial; 0 where they differ.
      column: dimension that counts units of `per_unit` steps; None for none.
      units: the number of units, where it is a constant of the space.
      per_unit: steps for each unit; 0 for one pass over the data.
      rows: rows of the training data; i32[] where each data set has its own.
      batch_size: rows of a batch.
      batch_column: dimension that holds the trial's own batch size; None for none.
      function: hparams -> steps.
      lengths: rows of all data sets, each number once; empty where there is one.
    """

    space: Space
    fixed: int = 0
    column: int | None = None
    units: int = 0
    per_unit: int = 1
    rows: int | Array = 0
    batch_size: int = 1
    batch_column: int | None = None
    function: Callable | None = None
    lengths: tuple[int, ...] = ()

    def __call__(self, values: tuple[Array, ...]) -> Array:
        """Return the steps of one trial: i32[]."""
        if self.fixed:
            return jnp.int32(self.fixed)
        if self.function is not None:
            return jnp.round(jnp.asarray(self.function(hparams_of(self.space, values)))).astype(jnp.int32)
        units = jnp.int32(self.units) if self.column is None else values[self.column].astype(jnp.int32)
        return units * self._unit(values)

    @property
    def by_rows(self) -> bool:
        """Whether trials on more rows train for longer."""
        return self.fixed == 0 and self.function is None and self.per_unit == 0

    def _unit(self, values: tuple[Array, ...]) -> Array | int:
        if self.per_unit:
            return self.per_unit
        column = self.batch_column
        size = self.batch_size if column is None else values[column].astype(jnp.int32)
        return -(-self.rows // (jnp.minimum(size, self.rows) if self.lengths else size))


def budget_of(
    space: Space,
    steps: int | str | Callable | None,
    steps_per_epoch: int | None,
    rows: int,
    batch_size: int,
    batch_column: int | None,
    on_the_fly: bool = False,
    lengths: tuple[int, ...] = (),
) -> Budget:
    """Read the argument `steps`: a number, the name of a hyperparameter, a function, or None for a good default.

    Args:
      space: whose `epochs` comes first where `steps` is None.
      steps: as in `Task`.
      steps_per_epoch: as in `Task`.
      rows: of the training data, 0 for none.
      batch_size: rows of the largest batch, 0 for none.
      batch_column: of the dimension `batch_size`, or None.
      on_the_fly: whether a function makes the batches, so that no data tell how long to train.
      lengths: rows of all data sets, each number once, where they are several; `rows` is one of them.

    Raises:
      ValueError: nothing that tells a budget, below 1, the name of no dimension, or a length beside the one that the
        constant `epochs` tells.
      TypeError: none of these kinds.
    """
    common: dict[str, Any] = {"space": space, "batch_column": batch_column, "lengths": lengths}
    common |= {"rows": jnp.asarray(rows, jnp.int32) if lengths else rows, "batch_size": max(1, batch_size)}
    if steps is None and "steps" in space.constants:
        raise ValueError(f"space 'steps'={space.constants['steps']!r}: not used by itself; say steps='steps', too")
    if steps is None:
        named = EPOCHS in space.names or EPOCHS in space.constants
        require(named or not on_the_fly, "steps", None, "a number of steps where `batches` makes the data")
        if not named and lengths:
            return Budget(units=PASSES, per_unit=0, **{**common, "batch_column": None})
        steps = EPOCHS if named else max(1, PASSES * -(-rows // max(1, batch_size)))
    elif steps != EPOCHS and EPOCHS in space.constants:
        told = f"the space tells epochs={space.constants[EPOCHS]!r}; leave one of them out"
        raise ValueError(f"steps={steps!r}: comes before epochs, but {told}")
    if isinstance(steps, str) and steps in space.constants:
        units = require_count(f"space {steps!r}", space.constants[steps])
        return Budget(units=units, per_unit=_per_unit(steps, steps_per_epoch, rows), **common)
    if isinstance(steps, str):
        return Budget(column=_column(space, steps), per_unit=_per_unit(steps, steps_per_epoch, rows), **common)
    if callable(steps):
        require_arguments("steps", steps, 1, ("hparams",))
        return Budget(function=steps, **common)
    return Budget(fixed=require_count("steps", steps), **common)


def plan(
    budget: Budget,
    interval: int | str,
    event_interval: Callable[[int], int | None] = lambda longest: None,
    report_interval: Callable[[Schedule], int] = lambda schedule: 0,
    begun: Sequence[int] = (),
) -> Schedule:
    """Decide how long the longest trial is, the interval between events, and which reports are kept.

    "auto" takes what suits the scheduler, moved a little where that wastes no update. Where any suits it: the greatest
    common divisor of all lengths, where there are few different ones and it is not too small, so that no update is
    wasted; otherwise a twentieth of the middle budget.

    Args:
      budget: of a trial.
      interval: a number, or "auto".
      event_interval: longest trial -> the steps between events that the scheduler would like, None for any.
      report_interval: schedule without reports -> the steps between reports that the scheduler keeps, 0 for one.
      begun: steps behind the trials that begin from weights: with "auto" events come there, too, where that suits.

    Returns:
      The schedule; its length is an estimate where the lengths cannot be enumerated.

    Raises:
      ValueError: a length below 1, an interval below 1.
    """
    lengths, complete = lengths_of(budget)
    require(int(lengths.min()) >= 1, "steps", int(lengths.min()), "at least 1 for every setting in the space")
    common = int(np.gcd.reduce(lengths))
    shared = math.gcd(common, *begun)
    wanted = event_interval(int(lengths.max()))

    def suited(common: int) -> int:
        if wanted is not None:
            return _near(wanted, common) if complete else wanted
        return _interval(common, int(np.median(lengths)), complete)

    if interval == "auto":
        chosen = suited(shared)
        chosen = suited(common) if shared % chosen else chosen
    else:
        chosen = require_count("interval", interval)
    schedule = Schedule(int(lengths.max()), chosen, exact=complete and shared % chosen == 0)
    return dataclasses.replace(schedule, report_interval=report_interval(schedule))


def _interval(common: int, middle: int, complete: bool) -> int:
    wanted = max(1, middle // WASTE)
    if not complete or common < wanted:
        return min(wanted, LONG_EVENT)
    if common <= LONG_EVENT:
        return common
    divisors = [d for d in range(1, LONG_EVENT + 1) if common % d == 0]
    parts = math.ceil(common / LONG_EVENT)
    return divisors[-1] if divisors[-1] >= LONG_EVENT // 4 else math.ceil(common / parts)


def _near(wanted: int, common: int) -> int:
    """Return the divisor of `common` nearest to what is wanted, if there is one near."""
    low, high = math.ceil(wanted / NEAR), math.floor(wanted * NEAR)
    divisors = [d for d in range(low, min(high, common) + 1) if common % d == 0]
    return min(divisors, key=lambda d: abs(math.log(d / wanted)), default=wanted)


def lengths_of(budget: Budget) -> tuple[np.ndarray, bool]:
    """Return the lengths of all settings, or of a sample, and whether it is all."""
    space = budget.space
    with calling("steps", space):
        traced, constants = trace(budget, space.value_shapes)
    read = inputs_needed(traced)
    deciding = [i for i, used in enumerate(read) if used]
    levels = [space.dimensions[i].levels for i in deciding]
    complete = None not in levels and math.prod(n for n in levels if n) <= MAX_ENUMERATED
    if complete:
        axes = [space.dimensions[i].grid(MAX_ENUMERATED) for i in deciding]
        mesh = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes)) if axes else np.zeros((1, 0))
        unit = np.full((len(mesh), space.num_dimensions), 0.5, np.float32)
        unit[:, deciding] = mesh
    else:
        unit = np.asarray(sobol(jax.random.key(0), jnp.arange(1024, dtype=jnp.int32), space.num_dimensions))
    # Not snapped: that would rest what a `When` hides at one value, and its parent is not varied here.
    values = space.values(jnp.asarray(unit))
    found = [np.ravel(jax.vmap(functools.partial(traced, given))(values)) for given in _given(budget, constants)]
    return np.concatenate(found), complete


def _given(budget: Budget, constants: tuple) -> list[tuple]:
    """Return what the trace captures for each length of data sets."""
    each = [(jnp.asarray(rows, jnp.int32),) for rows in budget.lengths]
    return each if each and budget.by_rows else [constants]


def _column(space: Space, name: str) -> int:
    if name not in space.names:
        raise ValueError(f"steps={name!r}: no such hyperparameter; {suggest(name, space.names)}")
    dimension = space.dimensions[space.names.index(name)]
    if dimension.dtype != np.int32 or not getattr(dimension, "numeric", True):
        raise TypeError(f"steps={name!r}: must name a hyperparameter of whole numbers, such as Int")
    return space.names.index(name)


def _per_unit(name: str, steps_per_epoch: Any, rows: int) -> int:
    if steps_per_epoch is not None:
        return require_count("steps_per_epoch", steps_per_epoch)
    by_data = name.split(".")[-1] == EPOCHS
    require(not by_data or rows > 0, "steps_per_epoch", None, "a number where steps='epochs' without train_data")
    return 0 if by_data else 1
