"""The model behind Bayesian optimisation: a Gaussian process for each output.

Outputs are the objectives, then the constraints, then the costs if wanted; each has hyperparameters of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.model_based.dataset import Aim, TrainingData, aim, inputs, owners
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array
from jaxhpt.surrogates import gp
from jaxhpt.surrogates.config import CONFIG
from jaxhpt.surrogates.gp_fit import Fit, fit


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


def num_rows(limit: int, problem: Problem) -> int:
    """Return how many rows a model of a search has, a power of two of at most `limit` that holds all trials.

    One size a search, the one it ends in: each further one would cost seconds to compile, and time at the beginning is
    what it saves.
    """
    return min(limit, max(16, 1 << (problem.capacity - 1).bit_length()))


def refitted(before: Fit, data: TrainingData, problem: Problem, steps: Array) -> Fit:
    """Fit each output's hyperparameters, from where they are.

    Args:
      before: leaves [J, D + 2], D + 3 where trials are judged before their end.
      data: the rows; a few hundred of them, evenly spread, are enough.
      problem: static.
      steps: i32[].
    """
    about = owners(problem)
    size, ended = data.observed.shape[0], jnp.sum(data.observed, dtype=jnp.int32)
    index = jnp.arange(min(size, CONFIG.fit_rows), dtype=jnp.int32)
    rows = jnp.where(ended > index.shape[0], (index * ended) // index.shape[0], index)
    x, observed, middle = data.x[rows], data.observed[rows], centre(data)

    def one(before: Fit, y: Array, noise: Array | None) -> Fit:
        return fit(before, steps, x, y, observed, about, middle, noise)

    return each(one, before, data.y[:, rows], None if data.noise is None else data.noise[:, rows])


def centre(data: TrainingData) -> Array:
    """Return the features of the best row, near which precision matters: f32[F]."""
    return data.x[jax.lax.argmin(jnp.where(data.observed, data.y[0], jnp.inf), 0, jnp.int32)]


def surrogate(theta: Array, data: TrainingData, history: History, problem: Problem) -> Surrogate:
    """Let processes of given hyperparameters f32[J, D + 2] see the data."""
    about, middle = owners(problem), centre(data)

    def one(theta: Array, y: Array, noise: Array | None) -> gp.Model:
        return gp.condition(theta, data.x, y, data.observed, data.mask, about, middle, noise)

    processes = each(one, theta, data.y, data.noise)
    first, noise = jax.tree.map(lambda a: a[0], (processes, data.noise))
    return Surrogate(data, processes, aim(history, problem, data, gp.smoothed(first, data.y[0], noise)))


def posterior(model: Surrogate, unit: Array, problem: Problem) -> gp.Posterior:
    """Return what is believed of settings f32[P, D] after whole trainings, leaves [J, ...]."""
    about, x = owners(problem), inputs(unit, jnp.ones((), jnp.float32), problem)
    return each(lambda process: gp.posterior(process, x, about), model.processes)


def each(function: Callable[..., Any], *outputs: Any) -> Any:
    """Map over the J outputs, leading axes. One alone goes without a loop: it compiles to less."""
    if jax.tree.leaves(outputs)[0].shape[0] == 1:
        alone = function(*jax.tree.map(lambda a: a[0], outputs))
        return jax.tree.map(lambda a: a[None], alone)
    return jax.lax.map(lambda one: function(*one), outputs)
