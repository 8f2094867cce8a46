"""A black-box function as a task of one step: the step calls it, the score is what it returned."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import zeros
from jaxhpt.core.jaxprs import trace
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Hparams, Key, Metrics
from jaxhpt.training.calling import calling, hparams_of
from jaxhpt.training.returned import named_metrics
from jaxhpt.training.signatures import require_arguments
from jaxhpt.training.task import Task
from jaxhpt.training.user_functions import key_shape


def blackbox_task(function: Callable[[Hparams, Key], Metrics], space: Space) -> Task:
    """Make a task of a pure function (hparams, key) -> a scalar, or a dict of them; the key may be left out.

    Raises:
      TypeError: not callable, other arguments, or another kind of answer.
    """
    words = ("hparams", "key")
    if not callable(function):
        raise TypeError(
            f"function={function!r}: must be a function (hparams, key) -> a float scalar, or a dict of them"
        )
    taken = require_arguments("function", function, 1, words, most=2)

    def measured(hparams: Hparams, key: Key) -> dict[str, Array]:
        return named_metrics(function(*(hparams, key)[:taken]), "function")

    def call(values: tuple[Array, ...], key: Key) -> dict[str, Array]:
        return measured(hparams_of(space, values), key)

    if space.structural:  # traced with the plain values of each structure, as any other task
        return Task(
            init=lambda key, hparams: zeros(jax.eval_shape(lambda: measured(hparams, key))),
            step=lambda state, batch, hparams, key: measured(hparams, key),
            evaluate=lambda state, data, hparams: state,
            steps=1,
            fail_on_nan=False,
        )
    with calling("function", space):
        traced, constants = trace(call, space.value_shapes, key_shape())
    names = tuple(traced.shapes)
    return Task(
        init=lambda key, hparams: {name: jnp.zeros((), jnp.float32) for name in names},
        step=lambda state, batch, hparams, key: traced(constants, space.values_of(hparams), key),
        evaluate=lambda state, data, hparams: state,
        steps=1,
        fail_on_nan=False,  # the state is the metrics, of which some may be NaN
    )
