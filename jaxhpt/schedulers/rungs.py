"""Rungs: places in a trial's training where it is compared with all others that came so far.

A rung keeps the best scores in order, and how many came; so a comparison costs the same after a million trials as
after ten.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.control import when
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import Array

SPAN = 27  # how many times as long the longest trial is as the first rung, about, where nothing else is asked for


class Rungs(NamedTuple):
    """What is known of G rungs.

    Attributes:
      best: f32[G, N] the best scores, rising; +inf where there are none.
      num_arrived: i32[G] trials that came.
    """

    best: Array
    num_arrived: Array


def empty(groups: int, problem: Problem, share: int) -> Rungs:
    """Make rungs that keep as many scores as one of `share` of all trials, and one more."""
    kept = problem.trials // share + 1
    return Rungs(jnp.full((groups, kept), jnp.inf, jnp.float32), jnp.zeros(groups, jnp.int32))


def enter(rungs: Rungs, which: Array, score: Array, order: Array) -> tuple[Rungs, Array]:
    """Enter trials, and rank each among all that came to its rung, those of this event included.

    Args:
      rungs: what is known.
      which: i32[L] the rung each trial came to; G for none.
      score: f32[L] minimised.
      order: i32[L] trial ids: of equal scores the one that came earlier is the better, then the smaller id.

    Returns:
      The rungs, and i32[L] the number of better trials; at least the scores that are kept, where there are more of
      them, or where the score is not finite.
    """

    def one(place: Array, rung: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        index, best, arrived = rung
        mine = which == index

        def come() -> tuple[Array, tuple[Array, Array]]:
            found, kept = _merge(best, jnp.where(mine, score, jnp.inf), order)
            return jnp.where(mine, found, place), (kept, arrived + jnp.sum(mine, dtype=jnp.int32))

        return when(jnp.any(mine), come, lambda: (place, (best, arrived)))

    groups = jnp.arange(rungs.num_arrived.shape[0], dtype=jnp.int32)
    place, known = jax.lax.scan(one, jnp.zeros_like(which), (groups, *rungs))
    return Rungs(*known), place


def better_than(rungs: Rungs, which: Array, score: Array) -> Array:
    """Count the scores that are kept at a rung, i32[L] of G or more for none, and below others f32[L]: i32[L]."""
    best = rungs.best[jnp.minimum(which, rungs.num_arrived.shape[0] - 1)]
    return jax.vmap(lambda rising, value: jnp.searchsorted(rising, value, side="left"))(best, score).astype(jnp.int32)


def _merge(best: Array, score: Array, order: Array) -> tuple[Array, Array]:
    """Put scores f32[L] in their places among f32[N] rising ones: the places i32[L], and the best N, rising."""
    size = best.shape[0]
    sequence = jnp.lexsort((order, score)).astype(jnp.int32)
    rising = score[sequence]
    behind = jnp.searchsorted(best, rising, side="right").astype(jnp.int32)
    place = jnp.where(jnp.isfinite(rising), behind + jnp.arange(rising.shape[0], dtype=jnp.int32), size)
    moved = jnp.arange(size, dtype=jnp.int32) + jnp.searchsorted(rising, best, side="left").astype(jnp.int32)
    kept = jnp.full_like(best, jnp.inf).at[moved].set(best, mode="drop").at[place].set(rising, mode="drop")
    return jnp.zeros_like(place).at[sequence].set(place), kept


def levels(first: int | None, eta: int, problem: Problem) -> tuple[int, ...]:
    """Return the steps of the rungs: powers of `eta` apart, at ends of intervals, below the longest trial.

    Args:
      first: steps of the lowest; None for about a 27th of the longest trial.
      eta: at least 2.
      problem: static.
    """
    return levels_of(first, eta, problem.schedule)


def levels_of(first: int | None, eta: int, schedule: Schedule) -> tuple[int, ...]:
    """Return the same from a schedule alone."""
    steps, found = schedule.up_to_interval(first if first is not None else lowest_of(eta, schedule.steps)), []
    while steps < schedule.steps:
        found.append(steps)
        steps *= eta
    return tuple(found)


def first_level(first: int | None, eta: int, problem: Problem) -> int:
    """Return the steps of the lowest rung, at the end of an interval; arguments as of `levels`."""
    return problem.schedule.up_to_interval(first if first is not None else lowest_of(eta, problem.schedule.steps))


def lowest_of(eta: int, longest: int) -> int:
    """Return the steps of the lowest rung where nothing is asked for: the longest over a power of `eta`."""
    power = max(1, int(math.log(SPAN) / math.log(eta) + 1e-9))
    return max(1, -(-longest // eta**power))
