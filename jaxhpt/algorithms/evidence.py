"""What a model learns from: a view on the history of fixed size, whatever the number of trials.

Up to its size it is all of them; beyond, the best, the latest, and others spread evenly over the search.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt import pareto
from jaxhpt.algorithms.base import by_fitness, by_fronts, fitness
from jaxhpt.history import History, Status
from jaxhpt.numerics import front
from jaxhpt.objectives import INFEASIBLE
from jaxhpt.problem import Problem
from jaxhpt.surrogates.features import embed
from jaxhpt.surrogates.outcomes import effort, slack, standardised
from jaxhpt.typing import Array

ENOUGH = 3  # trials that a model needs


class Evidence(NamedTuple):
    """Rows of a model, those that have ended first.

    Attributes:
      row: i32[N] row ids; C for none.
      unit: f32[N, D].
      x: f32[N, F] features.
      y: f32[J, N] standardised objectives, then slacks of the constraints, then costs; 0 where not `known`.
      known: bool[N] trials that have ended.
      mask: bool[N] these, and those that run.
    """

    row: Array
    unit: Array
    x: Array
    y: Array
    known: Array
    mask: Array


def num_outputs(problem: Problem, costs: bool = False) -> int:
    """Return J: objectives, constraints and, if wanted, the costs."""
    return len(problem.objectives) + len(problem.columns.constraints) + costs


def designed(index: Array, best: Array, initial: int | None, problem: Problem) -> Array:
    """Tell which proposals are of the initial design: the first ones, and all while a model knows too few trials.

    Args:
      index: i32[Q] places in the order of all proposals.
      best: i32[B] rows, best first; C for none.
      initial: static; size of the design; None is 2 D, from 8 to 64.
      problem: static.
    """
    usual = max(8, min(2 * problem.num_dimensions, 64))
    return (index < (initial or usual)) | ~enough(best, problem)


def enough(best: Array, problem: Problem) -> Array:
    """Tell whether there are trials enough for a model: bool[]."""
    return jnp.sum(best < problem.capacity) >= ENOUGH


def chosen(history: History, problem: Problem, best: Array, size: int) -> Array:
    """Choose the rows to learn from.

    Args:
      history: all trials.
      problem: static.
      best: i32[B] rows, best first; C for none.
      size: N, static.

    Returns:
      i32[N] distinct rows in rising order, then C for none.
    """
    index, none = jnp.arange(size, dtype=jnp.int32), problem.capacity
    everything = jnp.where(index < history.count, index, none)
    if size >= none:
        return everything

    def some() -> Array:
        kept = best[: size // 2]
        recent = history.count - 1 - jnp.arange(size // 4, dtype=jnp.int32)
        others = size - kept.shape[0] - recent.shape[0]
        share = history.count.astype(jnp.float32) / others
        spread = jnp.minimum((jnp.arange(others) * share).astype(jnp.int32), history.count - 1)
        rows = jnp.sort(jnp.concatenate([kept, recent, spread]))
        again = jnp.concatenate([jnp.zeros(1, bool), rows[1:] == rows[:-1]])
        return jnp.sort(jnp.where(again, none, rows))

    return jax.lax.cond(history.count > size, some, lambda: everything)


def evidence(history: History, problem: Problem, rows: Array, costs: bool = False) -> Evidence:
    """Read rows i32[N] of the history, C for none; static `costs`: the steps of trials, too, as the last output."""
    there = rows < problem.capacity
    ended = there & (history.status[rows] >= Status.DONE)
    order = front(ended)
    rows, known = rows[order], ended[order]
    unit, scores = history.unit[rows], history.metrics[rows]
    columns = problem.columns
    y = [standardised(scores[:, i], known) for i in range(len(columns.objectives))]
    for constraint in columns.constraints:
        column = columns.names.index(constraint.name)
        excess = constraint.excess(scores[:, column] * columns.signs[column])
        y.append(slack(jnp.where(jnp.isfinite(scores[:, column]), excess, jnp.inf), known))
    if costs:
        y.append(effort(history.steps[rows], known))
    return Evidence(rows, unit, embed(unit, problem.space), jnp.stack(y), known, rows < problem.capacity)


def best_first(history: History, problem: Problem, rows: Array, num: int) -> Array:
    """Return the best of rows i32[n], C for none: i32[num], best first; failed ones and gaps are C.

    Of several objectives, by front and crowding.
    """
    ordered = by_fitness if len(problem.objectives) == 1 else by_fronts
    return ordered(history, problem, rows, num)[:num]


def incumbent(history: History, problem: Problem, seen: Evidence, value: Array) -> Array:
    """Return the least of values f32[N] among the trials that keep all constraints; +inf where there is none: f32[]."""
    good = seen.known & (fitness(history, problem, seen.row) < INFEASIBLE)
    return jnp.min(jnp.where(good, value, jnp.inf))


def nadir(problem: Problem, seen: Evidence) -> Array:
    """Return what a Pareto front should be better than, f32[M]: its worst values, and a tenth of its range more."""
    num = len(problem.objectives)
    y = seen.y[:num]
    if num == 1:
        return jnp.zeros(1, jnp.float32)
    broken = jnp.sum(jnp.maximum(seen.y[num : num_outputs(problem)], 0.0), axis=0)
    beaten = jnp.any(pareto.dominates(y.T, broken) & seen.known[:, None], axis=0)
    first = seen.known & ~beaten
    worst = jnp.max(jnp.where(first, y, -jnp.inf), axis=1)
    ideal = jnp.min(jnp.where(first, y, jnp.inf), axis=1)
    return jnp.where(jnp.any(first), worst + 0.1 * jnp.maximum(worst - ideal, 0.1), 0.0)
