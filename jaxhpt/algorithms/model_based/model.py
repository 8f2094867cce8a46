"""The model behind Bayesian optimisation: a Gaussian process for each output, in the smallest size that holds the data.

Outputs are the objectives, then the constraints, then the costs if wanted; each has hyperparameters of its own.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.model_based.dataset import Aim, TrainingData, aim, axes, chosen, inputs, num_inputs
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array
from jaxhpt.surrogates import gp
from jaxhpt.surrogates.gp_fit import Fit, begin, fit, start

SMALLEST = 128  # rows of the smallest model; they double up to the limit
FITTED = 256  # rows that the hyperparameters are fitted to
FRESH_STEPS = 25


class Surrogate(NamedTuple):
    """What is known in one event.

    Attributes:
      data: the rows learned from.
      processes: one process an output, leaves [J, ...].
      aim: what is to be beaten.
    """

    data: TrainingData
    processes: gp.Model
    aim: Aim


def sized(limit: int, history: History, problem: Problem, best: Array, use: Callable[[Array], Any]) -> Any:
    """Choose rows of the history, in the smallest size that holds it, and use them.

    Each size is compiled: time grows with the cube of the size, not of the trials in it.

    Args:
      limit: static; most rows, a power of two.
      history: all trials.
      problem: static.
      best: i32[B] rows, best first; NONE for none.
      use: rows i32[N], NONE for none -> a pytree of the same shapes for every size.
    """
    sizes = [min(SMALLEST, limit, max(16, 1 << (problem.capacity - 1).bit_length()))]
    while sizes[-1] < min(limit, problem.capacity):
        sizes.append(2 * sizes[-1])

    def at(size: int) -> Any:
        return use(chosen(history, problem, best, size))

    which = jnp.minimum(jnp.sum(history.count > jnp.array(sizes, jnp.int32), dtype=jnp.int32), len(sizes) - 1)
    return jax.lax.switch(which, [functools.partial(at, size) for size in sizes])


def refitted(before: Fit, fresh: Array, data: TrainingData, problem: Problem, steps: int) -> Fit:
    """Fit each output's hyperparameters, from where they are and, where bool[] `fresh`, also from the beginning.

    Args:
      before: leaves [J, 2 D + 2], 2 D + 4 where trials are judged before their end.
      fresh: bool[].
      data: the rows; a few hundred of them, evenly spread, are enough.
      problem: static.
      steps: static.
    """
    about = axes(problem)
    size, ended = data.observed.shape[0], jnp.sum(data.observed, dtype=jnp.int32)
    index = jnp.arange(min(size, FITTED), dtype=jnp.int32)
    rows = jnp.where(ended > index.shape[0], (index * ended) // index.shape[0], index)
    x, observed, middle = data.x[rows], data.observed[rows], centre(data)
    far = jnp.stack([jnp.int32(steps), jnp.where(fresh, jnp.int32(FRESH_STEPS), 0)])

    new = begin(start(num_inputs(problem)))

    def one(before: Fit, y: Array) -> Fit:
        both = jax.tree.map(lambda *a: jnp.stack(a), before, new)
        return fit(both, far, x, y, observed, about, middle)

    return each(one, before, data.y[:, rows])


def centre(data: TrainingData) -> Array:
    """Return the features of the best row, near which precision matters: f32[F]."""
    return data.x[jax.lax.argmin(jnp.where(data.observed, data.y[0], jnp.inf), 0, jnp.int32)]


def surrogate(theta: Array, data: TrainingData, history: History, problem: Problem) -> Surrogate:
    """Let processes of given hyperparameters f32[J, 2 D + 2] see the data."""
    about, middle = axes(problem), centre(data)

    def one(theta: Array, y: Array) -> gp.Model:
        return gp.condition(theta, data.x, y, data.observed, data.mask, about, middle)

    processes = each(one, theta, data.y)
    first = jax.tree.map(lambda a: a[0], processes)
    return Surrogate(data, processes, aim(history, problem, data, gp.smoothed(first, data.y[0])))


def posterior(model: Surrogate, unit: Array, problem: Problem) -> gp.Posterior:
    """Return what is believed of settings f32[P, D] after whole trainings, leaves [J, ...]."""
    about, x = axes(problem), inputs(unit, jnp.ones((), jnp.float32), problem)
    return each(lambda process: gp.posterior(process, x, about), model.processes)


def each(function: Callable[..., Any], *outputs: Any) -> Any:
    """Map over the J outputs, leading axes. One alone goes without a loop: it compiles to less."""
    if jax.tree.leaves(outputs)[0].shape[0] == 1:
        alone = function(*jax.tree.map(lambda a: a[0], outputs))
        return jax.tree.map(lambda a: a[None], alone)
    return jax.lax.map(lambda one: function(*one), outputs)
