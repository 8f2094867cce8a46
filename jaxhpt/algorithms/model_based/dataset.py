"""What a model learns from: a view on the history of fixed size, whatever the number of trials.

Up to its size it is all of them; beyond, the best, the latest, and others spread evenly over the search.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms.base import by_fitness, by_fronts
from jaxhpt.core import pareto
from jaxhpt.core.arrays import compact
from jaxhpt.core.history import History, Status
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Array
from jaxhpt.surrogates.config import CONFIG
from jaxhpt.surrogates.features import embed, features, with_column, with_owner
from jaxhpt.surrogates.outcome_transforms import constraint_slack, log_cost, noise_variance, standardize

WHOLE = (Status.DONE, Status.PRIOR, Status.RUNNING)  # trained for the whole budget, or to be
ENDED = (Status.DONE, Status.FAILED, Status.PRIOR)  # of themselves, so that their scores compare


class Aim(NamedTuple):
    """What is to be beaten, in standardised units.

    Attributes:
      least: f32[] what is believed of the best feasible trial, noise taken off; +inf for none.
      nadir: f32[M] what a Pareto front should be better than.
      front: f32[2, S + 1] the front of two objectives; see `pareto_front`.
    """

    least: Array
    nadir: Array
    front: Array


class TrainingData(NamedTuple):
    """Rows of a model, those that have ended first.

    Attributes:
      row: i32[N] row ids; NONE for none.
      unit: f32[N, D].
      x: f32[N, F] features; the last is how far the trials were trained, where that differs.
      y: f32[J, N] standardised objectives, then slacks of the constraints, then costs; 0 where not `observed`.
      observed: bool[N] trials that have ended.
      mask: bool[N] these, and those that run.
      noise: f32[J, N] variances of `y` that are known from replicas, 0 for those of which none is; None where all are.
    """

    row: Array
    unit: Array
    x: Array
    y: Array
    observed: Array
    mask: Array
    noise: Array | None = None


def num_outputs(problem: Problem, costs: bool = False) -> int:
    """Return J: objectives, constraints and, if wanted, the costs."""
    return len(problem.objectives) + len(problem.metrics.constraints) + costs


def in_initial_design(index: Array, best: Array, initial: int | None, problem: Problem) -> Array:
    """Tell which proposals are of the initial design: the first ones, and all while a model knows too few trials.

    Args:
      index: i32[Q] places in the order of all proposals.
      best: i32[B] rows, best first; NONE for none.
      initial: static; size of the design; None is 2 D, from 8 to 64.
      problem: static.
    """
    return (index < (initial or design_size(problem.space))) | ~enough(best, problem)


def design_size(space: Space) -> int:
    """Return how many trials the initial design of a model has, where nothing else is asked for: 2 D, from 8 to 64."""
    return max(8, min(2 * space.num_dimensions, 64))


def enough(best: Array, problem: Problem) -> Array:
    """Tell whether there are trials enough for a model: bool[]."""
    return jnp.sum(best < NONE, dtype=jnp.int32) >= CONFIG.least_trials


def chosen(history: History, problem: Problem, best: Array, size: int) -> Array:
    """Choose the rows to learn from.

    Args:
      history: all trials.
      problem: static.
      best: i32[B] rows, best first; NONE for none.
      size: N, static.

    Returns:
      i32[N] distinct rows in rising order, then NONE for none.
    """
    index = jnp.arange(size, dtype=jnp.int32)
    if size >= problem.capacity:
        return jnp.where(index < history.num_rows, index, NONE)
    kept = best[: size // 2]
    recent = history.num_rows - 1 - jnp.arange(size // 4, dtype=jnp.int32)
    others = size - kept.shape[0] - recent.shape[0]
    share = history.num_rows.astype(jnp.float32) / others
    spread = jnp.minimum((jnp.arange(others, dtype=jnp.float32) * share).astype(jnp.int32), history.num_rows - 1)
    rows = jnp.sort(jnp.where(history.num_rows > size, jnp.concatenate([kept, recent, spread]), index))
    first = jnp.concatenate([jnp.ones(1, bool), rows[1:] != rows[:-1]]) & (rows < history.num_rows)
    return jnp.where(first, rows, NONE)[compact(first)]


def training_data(history: History, problem: Problem, rows: Array, costs: bool = False) -> TrainingData:
    """Read rows of the history.

    Args:
      history: all trials.
      problem: static.
      rows: i32[N], NONE for none.
      costs: static; whether the steps of trials are an output, too, the last one.
    """
    there = rows < NONE
    ended = there & (history.status[rows] >= Status.DONE)
    order = compact(ended)
    rows, observed = rows[order], ended[order]
    unit, scores = history.unit[rows], history.metrics[rows]
    columns = problem.metrics
    y = [standardize(scores[:, i], observed) for i in range(len(columns.objectives))]
    for constraint in columns.constraints:
        column = columns.names.index(constraint.name)
        excess = constraint.excess(scores[:, column] * columns.signs[column])
        y.append(constraint_slack(jnp.where(jnp.isfinite(scores[:, column]), excess, jnp.inf), observed))
    if costs:
        y.append(log_cost(history.steps[rows], observed))
    x = inputs(unit, trained(history, problem, rows), problem)
    return TrainingData(rows, unit, x, jnp.stack(y), observed, rows < NONE, _noise(scores, observed, columns, len(y)))


def _noise(scores: Array, observed: Array, columns: MetricSpec, outputs: int) -> Array | None:
    """Return the noise of standardised objectives, as spreads over replicas tell it: f32[J, N]; None for none."""
    spreads = [columns.spread_of(objective.name) for objective in columns.objectives]
    if not any(spreads):
        return None
    none = jnp.zeros(scores.shape[0], jnp.float32)
    told = [
        none if spread is None else noise_variance(scores[:, i], jnp.abs(scores[:, spread[0]]), spread[1], observed)
        for i, spread in enumerate(spreads)
    ]
    return jnp.stack([*told, *[none] * (outputs - len(told))])


def partial(problem: Problem) -> bool:
    """Tell whether trials may be judged before their end, so that a model must know how far each was trained."""
    return problem.schedule.reports > 1


def num_inputs(problem: Problem) -> int:
    """Return how many length-scales a model has: D, and one for how far trials are trained, if it differs."""
    return problem.num_dimensions + partial(problem)


def trained(history: History, problem: Problem, rows: Array) -> Array:
    """Return how far rows i32[N] were trained, by the logarithm of their steps: f32[N], 1 for a whole training."""
    longest = max(math.log(problem.schedule.steps), 1e-6)
    share = jnp.log(jnp.maximum(history.steps[rows], 1).astype(jnp.float32)) / longest
    return jnp.where(jnp.isin(history.status[rows], jnp.array(WHOLE, jnp.int8)), 1.0, jnp.minimum(share, 1.0))


def far_enough(history: History, problem: Problem, best: Array) -> tuple[Array, Array]:
    """Keep of the best rows those that can be compared: trained as far as D + 1 trials were, at least.

    Args:
      history: all trials.
      problem: static.
      best: i32[B] rows, best first; NONE for none.

    Returns:
      i32[B] rows, best first, NONE for none; and i32[] how many trials of the history were trained as far.
    """
    if not partial(problem):
        return best, history.num_rows
    steps = jnp.where(history.status == jnp.int8(Status.PRIOR), problem.schedule.steps, history.steps)
    steps = jnp.where(history.ok, steps, 0)
    wanted = min(problem.num_dimensions + 1, problem.capacity)
    least = jax.lax.top_k(steps, wanted)[0][-1]
    far = (best < NONE) & (steps[best] >= least)
    kept = jnp.where(far, best, NONE)[compact(far)]
    return kept, jnp.sum(history.ok & (steps >= least), dtype=jnp.int32)


def inputs(unit: Array, far: Array, problem: Problem) -> Array:
    """Return what a model is shown of settings f32[N, D] trained so far, f32[N] or f32[]: f32[N, F]."""
    x = embed(unit, problem.space)
    return with_column(x, far) if partial(problem) else x


def owners(problem: Problem) -> np.ndarray:
    """Return the dimension that each feature belongs to, i32[F]."""
    return with_owner(problem.space) if partial(problem) else features(problem.space).owner


def best_first(history: History, problem: Problem, rows: Array, num: int) -> Array:
    """Return the best of rows i32[n], NONE for none: i32[num], best first; failed ones and gaps are NONE.

    Of several objectives, by front and crowding.
    """
    ordered = by_fitness if len(problem.objectives) == 1 else by_fronts
    return ordered(history, problem, rows, num)[:num]


def incumbent(history: History, problem: Problem, data: TrainingData, value: Array) -> Array:
    """Return the least of values f32[N] among the trials that keep all constraints; +inf where there is none: f32[]."""
    scores = history.metrics[data.row]
    good = data.observed & jnp.isfinite(scores[:, 0]) & problem.metrics.feasible(scores)
    return jnp.min(jnp.where(good, value, jnp.inf))


def aim(history: History, problem: Problem, data: TrainingData, believed: Array) -> Aim:
    """Say what is to be beaten, where f32[N] `believed` is what is believed of the first objective of the rows."""
    least = incumbent(history, problem, data, believed)
    return Aim(least, nadir(problem, data), pareto_front(problem, data))


def pareto_front(problem: Problem, data: TrainingData) -> Array:
    """Return the front of two objectives, f32[2, S + 1], by the first; the reference point fills it up.

    That is half way from the worst of the front to the worst of all, so that the ends of the front can be moved. Of a
    front that is longer, points evenly spread along it.
    """
    size = CONFIG.front_size
    if len(problem.objectives) != 2:
        return jnp.zeros((2, size + 1), jnp.float32)
    worst = jnp.max(jnp.where(data.observed, data.y[:2], -jnp.inf), axis=1)
    corner = 0.5 * (nadir(problem, data) + worst)
    y, good = data.y[:2], _unbeaten(problem, data) & (_broken(problem, data) <= 0)
    good &= jnp.all(y < corner[:, None], axis=0)
    order = jnp.argsort(jnp.where(good, y[0], jnp.inf)).astype(jnp.int32)
    count = jnp.sum(good, dtype=jnp.int32)
    index = jnp.arange(size + 1, dtype=jnp.int32)
    place = jnp.where(count > size, (index * count) // size, index)
    row = order[jnp.minimum(place, order.shape[0] - 1)]
    return jnp.where(index < jnp.minimum(count, size), y[:, row], corner[:, None])


def _unbeaten(problem: Problem, data: TrainingData) -> Array:
    """Tell which rows no other beats in all objectives, constraints first: bool[N]."""
    dominance = pareto.dominates(data.y[: len(problem.objectives)].T, _broken(problem, data))
    return data.observed & ~jnp.any(dominance & data.observed[:, None], axis=0)


def _broken(problem: Problem, data: TrainingData) -> Array:
    """Measure by how much constraints are broken: f32[N]."""
    return jnp.sum(jnp.maximum(data.y[len(problem.objectives) : num_outputs(problem)], 0.0), axis=0)


def nadir(problem: Problem, data: TrainingData) -> Array:
    """Return what a Pareto front should be better than, f32[M]: its worst values, and some of its range more."""
    num = len(problem.objectives)
    y = data.y[:num]
    if num == 1:
        return jnp.zeros(1, jnp.float32)
    first = _unbeaten(problem, data)
    worst = jnp.max(jnp.where(first, y, -jnp.inf), axis=1)
    ideal = jnp.min(jnp.where(first, y, jnp.inf), axis=1)
    return jnp.where(jnp.any(first), worst + CONFIG.front_margin * jnp.maximum(worst - ideal, 0.1), 0.0)
