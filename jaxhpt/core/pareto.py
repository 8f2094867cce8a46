"""Several objectives at once: who dominates whom, fronts, crowding, spread, and exact hypervolume in two and three.

All functions take scores, which are minimised, and are written for one device program: fixed shapes, masks for what
is absent.
"""

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array


def dominates(scores: Array, violation: Array | None = None) -> Array:
    """Tell which rows dominate which: no worse in any objective and better in one.

    With violations, the row that violates less dominates, whatever the scores (Deb's rule).

    Args:
      scores: f32[N, M] minimised.
      violation: f32[N] >= 0; 0 is feasible; None where there are no constraints.

    Returns:
      bool[N, N]; entry (i, j): i dominates j.

    References:
      Deb, "An efficient constraint handling method for genetic algorithms",
      https://doi.org/10.1016/S0045-7825(99)00389-8 (2000).
    """
    worse = better = jnp.zeros((scores.shape[0],) * 2, bool)
    for column in scores.T:  # an objective at a time: [N, N, M] would be read from memory
        worse |= column[:, None] > column[None, :]
        better |= column[:, None] < column[None, :]
    ahead = ~worse & better
    if violation is None:
        return ahead
    same = violation[:, None] == violation[None, :]
    return (violation[:, None] < violation[None, :]) | (same & ahead)


def fronts(dominance: Array, alive: Array, enough: int | Array | None = None) -> Array:
    """Rank rows by non-dominated sorting: peel off the rows that nothing left dominates, again and again.

    Args:
      dominance: bool[N, N] as `dominates` returns it.
      alive: bool[N] rows that take part.
      enough: stop when so many rows are ranked, an int or i32[]; the rest share one rank behind them. None ranks all.

    Returns:
      i32[N] 0 for the first front; N for rows that take no part.

    References:
      Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II",
      https://doi.org/10.1109/4235.996017 (2002).
    """
    num = alive.shape[0]
    wanted = jnp.minimum(num if enough is None else enough, jnp.sum(alive, dtype=jnp.int32))

    def going(carry: tuple[Array, Array, Array]) -> Array:
        _, left, _ = carry
        return jnp.sum(alive & ~left, dtype=jnp.int32) < wanted

    def peel(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        rank, left, front = carry
        first = left & ~jnp.any(dominance & left[:, None], axis=0)
        return jnp.where(left & ~first, front + 1, rank), left & ~first, front + 1

    none = jnp.zeros((), jnp.int32)
    rank, _, _ = jax.lax.while_loop(going, peel, (jnp.where(alive, none, num), alive, none))
    return rank


def crowding(scores: Array, rank: Array) -> Array:
    """Measure how alone each row is in its front: the sum over objectives of the gap between its neighbours.

    Args:
      scores: f32[N, M] minimised.
      rank: i32[N] front of each row.

    Returns:
      f32[N]; +inf at the ends of a front. Each objective counts in units of its range within the front.

    References:
      As `fronts`.
    """
    num = scores.shape[0]
    total = jnp.zeros(num, jnp.float32)
    for column in scores.T:
        order = jnp.lexsort((column, rank)).astype(jnp.int32)
        value, front = column[order], rank[order]
        new = front[1:] != front[:-1]
        first = jnp.concatenate([jnp.ones(1, bool), new])
        last = jnp.concatenate([new, jnp.ones(1, bool)])
        least = jax.ops.segment_min(value, front, num + 1, indices_are_sorted=True)
        most = jax.ops.segment_max(value, front, num + 1, indices_are_sorted=True)
        width = (most - least)[front]
        gap = (jnp.roll(value, -1) - jnp.roll(value, 1)) / jnp.where(width > 0, width, 1.0)
        total = total.at[order].add(jnp.where(first | last, jnp.inf, gap))
    return total


def places(scores: Array, violation: Array | None, alive: Array) -> Array:
    """Order rows by non-dominated sorting with an epsilon-net: by front, and in a front so that any beginning spreads.

    A front begins with its lowest row in the first objective; next comes, again and again, the row that is farthest
    from all that came. Each objective counts in units of its range within the front. Of rows that are alike in this,
    the earlier one comes first.

    Args:
      scores: f32[N, M] minimised.
      violation: f32[N] as of `dominates`.
      alive: bool[N] rows that take part, with finite scores.

    Returns:
      i32[N] in [0, N), each once among the rows that take part; N for others.

    References:
      Schmucker, Donini, Zafar, Salinas and Archambeau, "Multi-objective asynchronous successive halving",
      https://arxiv.org/abs/2106.12639 (2021).
    """
    rank, ahead = _ranked(scores, alive, violation, None)
    return _spread(scores, rank, ahead, alive, jnp.zeros((), jnp.int32), jnp.sum(alive, dtype=jnp.int32))


def among_best(scores: Array, violation: Array | None, alive: Array, num: Array) -> Array:
    """Tell which rows have one of the first i32[] `num` of their `places`, arguments as there: bool[N].

    Only the front that is cut is put in order.
    """
    rank, ahead = _ranked(scores, alive, violation, num)
    cut = jnp.max(jnp.where(alive & (ahead < num), ahead, 0))
    end = jnp.minimum(num, jnp.sum(alive, dtype=jnp.int32))
    place = _spread(scores, rank, ahead, alive & (ahead == cut), cut, end)
    return alive & ((ahead < cut) | (place < num))


def _ranked(scores: Array, alive: Array, violation: Array | None, enough: Array | None) -> tuple[Array, Array]:
    """Return the front of each row, and how many rows are in those before it: i32[N] each; arguments as of `places`."""
    rank = fronts(dominates(scores, violation) & alive[:, None], alive, enough)
    size = jax.ops.segment_sum(alive.astype(jnp.int32), rank, scores.shape[0] + 1)
    return rank, (jnp.cumsum(size, dtype=jnp.int32) - size)[rank]


def _spread(scores: Array, rank: Array, ahead: Array, alive: Array, first: Array, end: Array) -> Array:
    """Give the places from i32[] `first` to `end` to the rows bool[N] `alive`, front by front: i32[N]; N for none."""
    num, objectives = scores.shape
    unit = _within_front(scores, rank)

    def take(turn: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        place, alone = carry
        waiting = alive & (place == num)
        front = jnp.min(jnp.where(waiting, ahead, num))
        row = jax.lax.argmax(jnp.where(waiting & (ahead == front), alone, -1.0), 0, jnp.int32)
        distance = jnp.sum((unit - unit[row][None]) ** 2, axis=1)
        alone = jnp.where(rank == rank[row], jnp.minimum(alone, distance), alone)
        return place.at[row].set(turn), alone

    farther_than_any = objectives + 2.0 - unit[:, 0]  # a front's first row: the lowest in the first objective
    place, _ = jax.lax.fori_loop(first, end, take, (jnp.full(num, num, jnp.int32), farther_than_any))
    return place


def _within_front(scores: Array, rank: Array) -> Array:
    """Scale each objective to its range in [0, 1] within each front: f32[N, M]."""
    num = scores.shape[0]
    half = jnp.where((rank < num)[:, None], scores, 0.0) / 2  # the width of what float32 holds would overflow
    least, most = (extreme(half, rank, num + 1)[rank] for extreme in (jax.ops.segment_min, jax.ops.segment_max))
    width = most - least
    return jnp.where(width > 0, (half - least) / jnp.where(width > 0, width, 1.0), 0.0)


def nondominated(scores: Array, alive: Array) -> Array:
    """Tell which rows no other dominates: scores f32[N, M], alive bool[N] -> bool[N].

    One row at a time, so that N may be large.
    """

    def beaten(row: Array) -> Array:
        return jnp.any(alive & jnp.all(scores <= row[None], axis=1) & jnp.any(scores < row[None], axis=1))

    return alive & ~jax.lax.map(beaten, scores, batch_size=256)


def hypervolume(scores: Array, reference: Array, alive: Array | None = None) -> Array:
    """Measure the region that rows dominate, up to a reference point; exact.

    Args:
      scores: f32[N, M] minimised, M of 1, 2 or 3.
      reference: f32[M]; rows that are not better in every objective count for nothing.
      alive: bool[N] rows that take part; None for all.

    Returns:
      f32[].

    Raises:
      ValueError: more than three objectives.

    References:
      Fonseca, Paquete and Lopez-Ibanez, "An improved dimension-sweep algorithm for the hypervolume indicator",
      https://doi.org/10.1109/CEC.2006.1688440 (2006).
    """
    inside = jnp.all(scores < reference[None], axis=1)
    inside = inside if alive is None else inside & alive
    points = jnp.where(inside[:, None], scores, reference)  # a point on the reference adds nothing
    measures = {1: _length, 2: _area, 3: _volume}
    if scores.shape[1] not in measures:
        raise ValueError(f"objectives={scores.shape[1]}: the exact hypervolume is offered for 1, 2 and 3")
    return measures[scores.shape[1]](points, reference)


def _length(points: Array, reference: Array) -> Array:
    return reference[0] - jnp.min(points[:, 0])


def _area(points: Array, reference: Array) -> Array:
    return _sweep(points[jnp.argsort(points[:, 0]).astype(jnp.int32)], reference)


def _sweep(points: Array, reference: Array) -> Array:
    """Add up the strips between one point and the next: points f32[N, 2], ordered by the first column."""
    lowest = jax.lax.cummin(points[:, 1])
    right = jnp.concatenate([points[1:, 0], reference[:1]])
    return jnp.sum((right - points[:, 0]) * (reference[1] - lowest))


def _volume(points: Array, reference: Array) -> Array:
    """Stack slabs between one height and the next, each the area of the points below it."""
    points = points[jnp.argsort(points[:, 0]).astype(jnp.int32)]
    heights = jnp.sort(points[:, 2])
    thickness = jnp.diff(jnp.concatenate([heights, reference[2:]]))

    def area(height: Array) -> Array:
        below = points[:, 2] <= height
        second = jnp.where(below, points[:, 1], reference[1])
        return _sweep(jnp.stack([points[:, 0], second], axis=1), reference[:2])

    return jnp.sum(jax.lax.map(area, heights, batch_size=64) * thickness)
