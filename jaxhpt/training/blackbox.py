"""A black-box function as a task of one step: the step calls it, the score is what it returned."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxhpt.space import Space
from jaxhpt.training.contract import KEY_SHAPE, calling, metric_names, value_shapes
from jaxhpt.training.identity import Pinned
from jaxhpt.training.task import Task
from jaxhpt.typing import Hparams, Key, Metrics, PyTree


@dataclasses.dataclass(frozen=True)
class _BlackBox:
    function: Pinned
    scalar: bool
    names: tuple[str, ...]

    def init(self, key: Key, hparams: Hparams) -> Metrics:
        """Hold a place for what the function will return."""
        zero = jnp.zeros((), jnp.float32)
        return zero if self.scalar else dict.fromkeys(self.names, zero)

    def step(self, state: Metrics, batch: PyTree, hparams: Hparams, key: Key) -> Metrics:
        """Call the function."""
        return jax.tree.map(lambda m: jnp.asarray(m, jnp.float32), self.function(hparams, key))

    def evaluate(self, state: Metrics, data: PyTree, hparams: Hparams) -> Metrics:
        """Return what the function returned."""
        return state


def blackbox_task(function: Callable[[Hparams, Key], Metrics], space: Space) -> Task:
    """Make a task of a pure function (hparams, key) -> a float scalar, or a dict of them.

    Raises:
      TypeError: not callable, or another kind of answer.
    """
    if not callable(function):
        raise TypeError(
            f"function={function!r}: must be a function (hparams, key) -> a float scalar, or a dict of them"
        )
    with calling("function"):
        shape = jax.eval_shape(lambda v, k: function(space.assemble(v), k), value_shapes(space), KEY_SHAPE)
    names = metric_names(shape, "function")
    box = _BlackBox(Pinned(function), not isinstance(shape, dict), names)
    return Task(init=box.init, step=box.step, evaluate=box.evaluate, steps=1)
