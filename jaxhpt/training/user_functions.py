"""The user's functions: traced once, checked on that trace, and known by what they trace to.

What is compiled holds their jaxprs alone. The arrays that they captured are arguments of the program, so a changed
array, attribute or global is seen, an equal closure compiles nothing, and nothing of the user's outlives his result.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.jaxprs import Traced, trace
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.core.space import Space
from jaxhpt.core.spread import Spread
from jaxhpt.core.typing import Array, PyTree
from jaxhpt.training.batches import Batch, Batches
from jaxhpt.training.calling import calling, hparams_of
from jaxhpt.training.ragged import Ragged
from jaxhpt.training.returned import Reduced, made_state, named_metrics, stepped_state
from jaxhpt.training.signatures import require_arguments
from jaxhpt.training.task import Task

TICK = jax.ShapeDtypeStruct((), jnp.int32)


class Captured(NamedTuple):
    """The arrays that the user's functions captured: a tuple for each of `UserFunctions`, copies on the device."""

    init: tuple[Array, ...] = ()
    step: tuple[Array, ...] = ()
    evaluate: tuple[Array, ...] = ()
    generate: tuple[Array, ...] = ()
    steps: tuple[Array, ...] = ()


@dataclasses.dataclass(frozen=True)
class UserFunctions:
    """What a trial does, as traced functions of decoded dimensions. Static; equal where the programs are equal.

    Attributes:
      init: (values, key, wave) -> the leaves of a state, of strong types; their structure is the user's affair.
      step: (values, leaves, batch, key) -> leaves.
      evaluate: (values, leaves, valid_data, key) -> metrics, name to f32[], and bool[] whether the weights are healthy.
      generate: (key, tick) -> batch; None where batches are cut from data.
      steps: values -> i32[], the training steps of a trial.
      unnamed: whether `evaluate` returns a bare number.
      derived: metrics that tell of others, such as their spread over replicas.
      spreads: those that tell how noisy others are.
      models: that a trial trains.
    """

    init: Traced
    step: Traced
    evaluate: Traced
    generate: Traced | None
    steps: Traced
    unnamed: bool = False
    derived: tuple[str, ...] = ()
    spreads: tuple[Spread, ...] = ()
    models: int = 1

    @property
    def state(self) -> PyTree:
        """Shapes of the leaves of one trial's state."""
        return self.init.shapes

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, sorted."""
        return tuple(self.evaluate.shapes[0])

    @property
    def fingerprint(self) -> str:
        """Name what is trained, the same in every process. Host callbacks count by name only."""
        parts = (self.init, self.step, self.evaluate, self.generate, self.steps)
        digests = "".join(part.digest if part is not None else "-" for part in parts)
        return hashlib.sha256(digests.encode()).hexdigest()


def key_shape() -> jax.ShapeDtypeStruct:
    """Return the shape of a key, of whichever implementation is the default now."""
    shape: jax.ShapeDtypeStruct = jax.eval_shape(lambda: jax.random.key(0))
    return shape


def user_functions(
    task: Task, space: Space, batches: Batches, length: Callable, train_data: PyTree, valid_data: PyTree
) -> tuple[UserFunctions, Captured, Any]:
    """Trace the functions of a task, and check what they take and return.

    Args:
      task: whose functions.
      space: of the search.
      batches: gives each trial its part of a batch.
      length: values -> i32[], the training steps of a trial.
      train_data: arrays on the device.
      valid_data: arrays on the device.

    Returns:
      The functions, the arrays they captured, and the structure of a state.

    Raises:
      TypeError: a state that changes its structure, a shape or a dtype; metrics that are no scalars; a traced value
        used where Python needs a plain one; other arguments than are given.
    """
    values, key = space.value_shapes, key_shape()
    begin = _Init(task, space)
    with calling("init", space):
        init, from_init = trace(begin, values, key, key)
    step_function, measure = _step(task, space, batches, begin.structure), _Evaluate(task, space, begin.structure)
    generate, from_generate = _generate(task, space)
    batch = generate.shapes if generate is not None else _cut(batches, train_data)
    with calling("train_step", space):
        step, from_step = trace(step_function, values, init.shapes, batch, key)
    with calling("evaluate", space):
        evaluate, from_evaluate = trace(measure, values, init.shapes, valid_data, key)
    with calling("steps", space):
        steps, from_steps = trace(length, values)
    captured = _copies(Captured(from_init, from_step, from_evaluate, from_generate, from_steps))
    told = (measure.unnamed, measure.derived, measure.spreads, measure.models)
    functions = UserFunctions(init, step, evaluate, generate, steps, *told)
    return functions, captured, begin.structure


def unchanged(functions: UserFunctions, task: Task, space: Space, structure: Any, valid_data: PyTree) -> bool:
    """Tell whether the evaluation of a task, its model with it, is still what was traced before the search."""
    with calling("evaluate", space):
        measure = _Evaluate(task, space, structure)
        now, _ = trace(measure, space.value_shapes, functions.state, valid_data, key_shape())
    return now == functions.evaluate


def measured(
    task: Task, space: Space, values: tuple, state: PyTree, data: PyTree, root: Array, row: int
) -> dict[str, Array]:
    """Evaluate one trial on data of any number of rows, outside of a search: its metrics, name to f32[]."""
    measure = _Evaluate(task, space, jax.tree.structure(state))
    arrays = jax.tree.map(jnp.asarray, (values, data))
    with calling("evaluate", space):
        return measure(arrays[0], tuple(jax.tree.leaves(state)), arrays[1], key_of(root, Stream.EVALUATE, row))[0]


class _Init:
    """The start of one trial, which notes the structure of its state."""

    def __init__(self, task: Task, space: Space) -> None:
        self.task, self.space = task, space
        self.taken = require_arguments("init", task.init, 2, ("key", "hparams", "wave"))
        self.structure: Any = None

    def __call__(self, values: tuple, key: Array, wave: Array) -> tuple[Array, ...]:
        arguments = (key, hparams_of(self.space, values), wave)[: self.taken]
        leaves, self.structure = jax.tree.flatten(made_state(self.task.init(*arguments)))
        return tuple(leaves)


def _step(task: Task, space: Space, batches: Batches, structure: Any) -> Callable:
    require_arguments("train_step", task.step, 4, ("state", "batch", "hparams", "key"))

    def step(values: tuple, leaves: tuple, batch: PyTree, key: Array) -> tuple[Array, ...]:
        state = jax.tree.unflatten(structure, leaves)
        out = task.step(state, batches.share(batch, values), hparams_of(space, values), key)
        return tuple(jax.tree.leaves(stepped_state(state, out)))

    return step


class _Evaluate:
    """The evaluation of one trial, which notes whether the metric came without a name, and what stands for several."""

    def __init__(self, task: Task, space: Space, structure: Any) -> None:
        words = ("state", "valid_data", "hparams", "key")
        self.task, self.space, self.structure, self.unnamed = task, space, structure, False
        self.derived: tuple[str, ...] = ()
        self.spreads: tuple[Spread, ...] = ()
        self.models = 1
        self.taken = require_arguments("evaluate", task.evaluate, 3, words)

    def __call__(self, values: tuple, leaves: tuple, data: PyTree, key: Array) -> tuple[dict[str, Array], Array]:
        state = jax.tree.unflatten(self.structure, leaves)
        arguments = (state, data, hparams_of(self.space, values), key)[: self.taken]
        metrics = self.task.evaluate(*arguments)
        if isinstance(metrics, Reduced):
            self.unnamed, self.derived = metrics.unnamed, tuple(sorted(metrics.derived))
            self.spreads, self.models = metrics.spreads, metrics.models
            metrics = {**metrics.metrics, **metrics.derived}
        else:
            self.unnamed = not isinstance(metrics, Mapping)
        return named_metrics(metrics, "evaluate"), _healthy(self.task, state)


def _generate(task: Task, space: Space) -> tuple[Traced | None, tuple]:
    if task.batches is None:
        return None, ()
    make = task.batches
    require_arguments("batches", make, 2, ("key", "tick"))
    with calling("batches", space):
        return trace(lambda key, tick: make(key, tick), key_shape(), TICK)


def _cut(batches: Batches, train_data: PyTree) -> PyTree:
    data = train_data.data if isinstance(train_data, Ragged) else train_data
    rows = jax.tree.map(lambda a: jax.ShapeDtypeStruct((batches.size, *a.shape[1:]), a.dtype), data)
    return Batch(rows, jax.ShapeDtypeStruct((batches.size,), jnp.float32)) if batches.partial else rows  # type: ignore[arg-type]


def _copies(captured: Captured) -> Captured:
    """Put the arrays on the device, each once; copied, as the user may change his own in place."""
    made: dict[int, Array] = {}

    def copy(constant: Any) -> Array:
        if id(constant) not in made:
            own = isinstance(constant, jax.Array)
            made[id(constant)] = constant if own else jnp.array(constant, dtype=constant.dtype)
        return made[id(constant)]

    return Captured(*(tuple(copy(c) for c in part) for part in captured))


def _healthy(task: Task, state: PyTree) -> Array:
    """Tell whether a state may be scored: weights that are not finite are a failure, whatever a metric says."""
    if not task.fail_on_nan:
        return jnp.ones((), bool)
    bad = jnp.isnan if task.weights is None else (lambda leaf: ~jnp.isfinite(leaf))
    part = state if task.weights is None else task.weights(state)
    leaves = [leaf for leaf in jax.tree.leaves(part) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    healthy = jnp.ones((), bool)
    for leaf in leaves:
        healthy &= ~jnp.any(bad(leaf))
    return healthy
