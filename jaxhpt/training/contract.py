"""What the user's functions must obey, checked by `jax.eval_shape` before anything is compiled."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxhpt.checks import leaf_name
from jaxhpt.objectives import SCALAR
from jaxhpt.space import Space
from jaxhpt.training.batches import Batches
from jaxhpt.training.identity import Pinned
from jaxhpt.training.usage import inputs_read
from jaxhpt.typing import Array, Key, Metrics, PyTree, TrainState

KEY_SHAPE = jax.eval_shape(lambda: jax.random.key(0))


@dataclasses.dataclass(frozen=True)
class Functions:
    """The user's three functions for one trial, on decoded dimensions. Static and hashable by value.

    Attributes:
      init: see `Task`.
      step: see `Task`.
      evaluate: see `Task`.
      space: puts dimensions into the user's pytree.
      batches: gives each trial its part of the batch.
    """

    init: Pinned
    step: Pinned
    evaluate: Pinned
    space: Space
    batches: Batches

    def start(self, key: Key, values: tuple[Array, ...]) -> TrainState:
        """Make the state of one trial, its leaves of strong types."""
        return _strong(self.init(key, self.space.assemble(values)))

    def train(self, state: TrainState, batch: PyTree, values: tuple[Array, ...], key: Key) -> TrainState:
        """Train one trial for one step."""
        out = self.call_step(state, batch, values, key)
        return _strong(out if _same_structure(out, state) else out[0])

    def call_step(self, state: TrainState, batch: PyTree, values: tuple[Array, ...], key: Key) -> Any:
        """Call the user's step on what belongs to one trial; return what it returns."""
        return self.step(state, self.batches.share(batch, values), self.space.assemble(values), key)

    def score(self, state: TrainState, valid_data: PyTree, values: tuple[Array, ...]) -> Metrics:
        """Evaluate one trial."""
        return self.evaluate(state, valid_data, self.space.assemble(values))


@dataclasses.dataclass(frozen=True)
class Shapes:
    """What the functions return.

    Attributes:
      state: pytree of `ShapeDtypeStruct` of one trial's state.
      metrics: names of the metrics.
      unnamed: whether `evaluate` returns a bare scalar.
    """

    state: PyTree
    metrics: tuple[str, ...]
    unnamed: bool


def check(functions: Functions, train_data: PyTree, valid_data: PyTree) -> Shapes:
    """Trace the user's functions without running them, and check what they return.

    Raises:
      TypeError: a state that changes its structure, a shape or a dtype; metrics that are not float scalars; a
        traced value used where Python needs a plain one.
    """
    values = value_shapes(functions.space)
    key = KEY_SHAPE
    with calling("init"):
        state = jax.eval_shape(functions.start, key, values)
    batch = _batch_shape(functions.batches, train_data)
    with calling("train_step"):
        out = jax.eval_shape(functions.call_step, state, batch, values, key)
    _check_step(state, out)
    with calling("evaluate"):
        metrics = jax.eval_shape(functions.score, state, valid_data, values)
    return Shapes(state, metric_names(metrics, "evaluate"), not isinstance(metrics, Mapping))


def check_usage(functions: Functions, train_data: PyTree, valid_data: PyTree, steps: Any) -> None:
    """Refuse a hyperparameter that no user function reads.

    Args:
      functions: checked before.
      train_data: arrays or shapes.
      valid_data: arrays or shapes.
      steps: values -> i32[], the training length, which may be the reader.

    Raises:
      ValueError: names the hyperparameters without effect.
    """
    batch = _batch_shape(functions.batches, train_data)

    def everything(values: tuple, key: Key, batch: PyTree, valid_data: PyTree) -> Any:
        state = functions.start(key, values)
        trained = functions.train(state, batch, values, key)
        return trained, functions.score(trained, valid_data, values), steps(values)

    values = value_shapes(functions.space)
    read = inputs_read(everything, values, KEY_SHAPE, batch, valid_data)
    space = functions.space
    unread = [name for name, used in zip(space.names, read[: len(values)], strict=True) if not used]
    parents = {space.names[c.parent] for conditions in space.conditions for c in conditions}
    unread = [name for name in unread if name not in parents]
    if unread:
        remedy = "use it in init, train_step or evaluate, or take it out of the space"
        if "epochs" in unread:
            remedy = "leave steps=... out, which comes before it, or say steps='epochs'"
        if "batch_size" in unread:
            remedy = "average with jaxhpt.batch_mean(values, batch) in train_step, or take it out of the space"
        raise ValueError(
            f"space: no function reads {', '.join(map(repr, unread))}, so tuning it has no effect; {remedy}"
        )


def value_shapes(space: Space) -> tuple[jax.ShapeDtypeStruct, ...]:
    """Return the shapes of one trial's decoded dimensions."""
    return tuple(jax.ShapeDtypeStruct((), d.dtype) for d in space.dimensions)


def _batch_shape(batches: Batches, train_data: PyTree) -> PyTree:
    if batches.generate is not None:
        with calling("batches"):
            return jax.eval_shape(batches.generate, KEY_SHAPE, jax.ShapeDtypeStruct((), jnp.int32))
    return jax.tree.map(lambda a: jax.ShapeDtypeStruct((batches.size, *a.shape[1:]), a.dtype), train_data)


def _same_structure(a: PyTree, b: PyTree) -> bool:
    left: Any = jax.tree.structure(a)
    return bool(left == jax.tree.structure(b))


def _strong(tree: PyTree) -> PyTree:
    """Drop weak types: a Python number in a state would otherwise change the type of the loop's carry."""
    return jax.tree.map(lambda a: jax.lax.convert_element_type(a, jnp.asarray(a).dtype) if _is_weak(a) else a, tree)


def _is_weak(leaf: Any) -> bool:
    return isinstance(leaf, (bool, int, float, complex)) or bool(getattr(leaf, "weak_type", False))


def _check_step(state: PyTree, out: PyTree) -> None:
    if not _same_structure(out, state) and isinstance(out, tuple) and len(out) == 2:
        out = out[0]
    if not _same_structure(out, state):
        raise TypeError(f"train_step must return a state of the structure that init made; {_difference(state, out)}")
    pairs = zip(jax.tree_util.tree_leaves_with_path(state), jax.tree.leaves(out), strict=True)
    for (path, before), after in pairs:
        if before.shape != after.shape or before.dtype != after.dtype:
            change = f"from {before.dtype}{list(before.shape)} to {after.dtype}{list(after.shape)}"
            raise TypeError(
                f"train_step changes the leaf {leaf_name(path)!r} of its state {change}; keep it as init made it"
            )


def _difference(state: PyTree, out: PyTree) -> str:
    before = {leaf_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(state)}
    after = {leaf_name(p) for p, _ in jax.tree_util.tree_leaves_with_path(out)}
    missing, new = sorted(before - after), sorted(after - before)
    if missing or new:
        return f"missing leaves {missing}, new leaves {new}"
    return f"init made {jax.tree.structure(state)}, train_step returned {jax.tree.structure(out)}"


def metric_names(metrics: Any, function: str) -> tuple[str, ...]:
    """Check the shapes of metrics: a float scalar or a dict of them; return their names.

    Args:
      metrics: what `jax.eval_shape` says of them.
      function: the name of what returned them, for the error.
    """
    named = metrics if isinstance(metrics, Mapping) else {SCALAR: metrics}
    if not named:
        raise TypeError(f"{function} returned an empty dict: must return a float scalar, or a dict of them")
    for name, leaf in named.items():
        what = f"{function} metric {name!r}" if isinstance(metrics, Mapping) else function
        shape = getattr(leaf, "shape", type(leaf).__name__)
        if shape != ():
            raise TypeError(f"{what}: must be a scalar, not of shape {shape}; take a mean over the rows")
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(f"{what}: must be a float, not {leaf.dtype}; use .astype(jnp.float32)")
    return tuple(sorted(named))


@contextlib.contextmanager
def calling(name: str) -> Iterator[None]:
    """Explain what JAX refuses in a user's function: traced values in the wrong places, answers that are no arrays."""
    try:
        yield
    except TypeError as error:  # the errors of tracing are TypeErrors, too
        text = str(error).split("\n")[0]
        if isinstance(error, _TRACED) or "concrete values" in text:
            raise TypeError(
                f"{name}: a traced value, such as a hyperparameter, was used where Python needs a plain one: in `if`, "
                "`range`, a shape or a numpy function. Use jnp.where, jax.lax.cond or jax.lax.switch instead of `if`; "
                "jaxhpt.traced has dropout and learning-rate schedules that take traced rates and lengths."
            ) from error
        if "not a valid JAX type" in text:
            raise TypeError(f"{name}: must return arrays, or pytrees of arrays: {text}") from error
        raise


_TRACED = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
