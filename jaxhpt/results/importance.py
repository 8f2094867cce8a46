"""What matters in a finished search: the work behind `Result.importance` and `Result.compromise`."""

import contextlib
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular

from jaxhpt.algorithms.model_based.dataset import (
    ENDED,
    TrainingData,
    chosen,
    inputs,
    num_inputs,
    owners,
    trained,
    training_data,
)
from jaxhpt.algorithms.model_based.model import centre, refitted
from jaxhpt.core.arrays import compact, full_precision
from jaxhpt.core.checks import require, suggest
from jaxhpt.core.encoded import encoded
from jaxhpt.core.history import History, Status
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array
from jaxhpt.engine.compiling import SOON, Function
from jaxhpt.surrogates import gp, influence
from jaxhpt.surrogates.gp_fit import begin, start

LEAST = 8  # trials with a finite objective
LIMIT = 512  # rows of the process
GREY_LIMIT = 4096  # rows of the grades
FIT_STEPS = 60
SHUFFLES = 8
SEED = 0
PAIRS_OF_HALVES = 4


def importance_of(history: History, problem: Problem, method: str, objective: str | None) -> dict[str, float]:
    """Share out importance among the dimensions: name to share, of sum 1, most important first.

    Args:
      history: of a search, numpy.
      problem: its problem.
      method: "permutation" or "grey".
      objective: name of one of the objectives; None for the first.

    Raises:
      ValueError: an unknown method or objective, or fewer than 8 trials that count.
    """
    if method not in METHODS:
        raise ValueError(f"method={method!r}: unknown; {suggest(str(method), METHODS)}")
    column = _column(problem, objective)
    measure, limit, statuses = METHODS[method]
    counts = np.isin(history.status, statuses)
    num = int((counts & np.isfinite(history.metrics[:, column])).sum())
    if num < LEAST:
        remedy = "method='permutation' counts stopped trials, too" if method == "grey" else "run more trials"
        raise ValueError(f"importance: {num} trials ended with a finite objective, {LEAST} are needed; {remedy}")
    share = _measured(measure, limit, history, problem, counts, column)
    order = np.argsort(-share, kind="stable")
    return {problem.space.names[i]: float(share[i]) for i in order}


def importance_errors(
    history: History, problem: Problem, method: str, objective: str | None = None
) -> dict[str, tuple[float, float]]:
    """Share out importance with standard errors: name to both, in the order and by the arguments of `importance_of`.

    An error is the deviation of the shares that half of the trials give, again and again: a half-sample varies about
    the whole as the whole does about the truth. It is NaN where half of the trials are too few.

    References:
      Shao and Wu, "A general theory for jackknife variance estimation", https://doi.org/10.1214/aos/1176347263 (1989).
    """
    shares = importance_of(history, problem, method, objective)
    apart = []
    for left in _halves(np.flatnonzero(history.status >= Status.DONE)):
        status: Any = np.array(history.status)
        status[left] = Status.EMPTY
        with contextlib.suppress(ValueError):  # too few
            half = importance_of(history._replace(status=status), problem, method, objective)
            apart.append([(half[name] - share) ** 2 for name, share in shares.items()])
    errors = np.sqrt(np.mean(apart, axis=0)) if apart else np.full(len(shares), np.nan)
    return {name: (share, float(error)) for (name, share), error in zip(shares.items(), errors, strict=True)}


def _halves(rows: np.ndarray) -> list[np.ndarray]:
    """Return halves of rows that are left out, each with the other half beside it."""
    generator, found = np.random.default_rng(SEED), []
    for _ in range(PAIRS_OF_HALVES):
        order = generator.permutation(rows)
        found += [order[: len(order) // 2], order[len(order) // 2 :]]
    return found


def weights_of(names: Sequence[str], weights: Mapping[str, float] | None) -> np.ndarray:
    """Return a weight for each name, f32[n] of sum 1; those left out have none.

    Raises:
      ValueError: an unknown name, a weight that is negative or not finite, or none above 0.
    """
    given = dict.fromkeys(names, 1.0) if weights is None else dict(weights)
    for name, weight in given.items():
        if name not in names:
            raise ValueError(f"weights: {name!r} is no objective; {suggest(str(name), names)}")
        require(math.isfinite(weight) and weight >= 0, f"weights[{name!r}]", weight, "a finite number, at least 0")
    largest = max(given.values(), default=0.0)
    require(largest > 0, "weights", given, "above 0 for one objective at least")
    shares = np.array([given.get(name, 0.0) / largest for name in names])
    return (shares / shares.sum()).astype(np.float32)


def _column(problem: Problem, objective: str | None) -> int:
    names = [o.name for o in problem.objectives]
    if objective is None:
        return 0
    if objective not in names:
        raise ValueError(f"objective={objective!r}: unknown; {suggest(str(objective), names)}")
    return names.index(objective)


def _measured(
    measure: Callable, limit: int, history: History, problem: Problem, counts: np.ndarray, column: int
) -> np.ndarray:
    """Measure on at most `limit` rows: shares f64[D]."""
    size = min(limit, max(16, 1 << (int(history.num_rows) - 1).bit_length()))
    score = np.where(counts, history.metrics[:, column], np.inf)
    best = np.full(size // 2, NONE, np.int32)
    order = np.argsort(score, kind="stable")[: size // 2]
    best[: len(order)] = np.where(np.isfinite(score[order]), order, NONE)

    searched = dataclasses.replace(problem, space=encoded(problem.space))
    given = jax.tree.map(jnp.asarray, (history, best, counts))
    rise = np.maximum(np.asarray(measure(searched, size, column, *given), np.float64), 0.0)
    total = rise.sum()
    return rise / total if total > 0 else np.full(len(rise), 1.0 / len(rise))


@full_precision
def _grey(problem: Problem, size: int, column: int, history: History, best: Array, counts: Array) -> Array:
    """Grade the dimensions, f32[D]."""
    rows = chosen(history, problem, best, size)
    there = (rows < NONE) & counts[rows]
    return influence.importance(history.unit[rows], history.metrics[rows, column], there, problem.space)


@full_precision
def _permutation(problem: Problem, size: int, column: int, history: History, best: Array, counts: Array) -> Array:
    """Return by how much the squared error of a process rises when a dimension is shuffled: f32[D]."""
    rows = chosen(history, problem, best, size)
    data = training_data(history, problem, rows)
    data = data._replace(y=data.y[column : column + 1], noise=None)
    first = begin(start(num_inputs(problem))[None])
    theta = refitted(first, data, problem, jnp.int32(FIT_STEPS)).theta[0]
    about, far = owners(problem), trained(history, problem, data.row)
    model = gp.condition(theta, data.x, data.y[0], data.observed, data.observed, about, centre(data))
    weight = solve_triangular(model.chol.T, model.white, lower=False)

    def error(unit: Array) -> Array:
        scaled = gp.scaled(inputs(unit, far, problem), theta, about, model.centre)
        guess = model.mean + jnp.where(data.observed, weight, 0.0) @ gp.covariance(model, model.x, scaled)
        return jnp.sum(jnp.where(data.observed, (guess - data.y[0]) ** 2, 0.0))

    there = problem.space.active(data.unit) & data.observed[:, None]
    keys = np.random.default_rng(SEED).random((SHUFFLES, rows.shape[0])).astype(np.float32)

    def shuffled(dimension: Array, key: Array) -> Array:
        return error(problem.space.snap(_shuffled(data, there, dimension, key)))

    def rise(dimension: Array) -> Array:
        return jnp.mean(jax.lax.map(lambda key: shuffled(dimension, key), jnp.asarray(keys)))

    return jax.lax.map(rise, jnp.arange(problem.num_dimensions, dtype=jnp.int32)) - error(data.unit)


def _shuffled(data: TrainingData, there: Array, dimension: Array, key: Array) -> Array:
    """Shuffle one column among the rows that have the dimension, by keys f32[N]: f32[N, D]."""
    order = compact(there[:, dimension])
    index, many = jnp.arange(key.shape[0], dtype=jnp.int32), jnp.sum(there[:, dimension], dtype=jnp.int32)
    last = jnp.where(index < many, key, 2.0)
    value = data.unit[:, dimension]
    return data.unit.at[order, dimension].set(value[order[jnp.argsort(last).astype(jnp.int32)]])


GREY = Function(_grey, 3, options=SOON)
PERMUTATION = Function(_permutation, 3, options=SOON)
METHODS: dict[str, tuple[Callable, int, tuple[Status, ...]]] = {
    "grey": (GREY, GREY_LIMIT, ENDED),
    "permutation": (PERMUTATION, LIMIT, (*ENDED, Status.STOPPED)),
}
