"""Archives: rungs of several objectives, where a trial is compared with all that came so far.

Of one objective a rung keeps the best scores in order; of several there is no order without the others, so that an
archive keeps the scores themselves. Beyond `MOST` trials the latest stand for all, and a comparison costs no more.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import exclusive_count
from jaxhpt.core.control import when
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.pareto import among_best, dominates, fronts, places
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array

MOST = 512  # trials that a rung remembers


class Archive(NamedTuple):
    """What is known of G rungs.

    Attributes:
      points: f32[G, W, J] the latest that came, see `points_of`.
      num_arrived: i32[G] trials that came; beyond W they replace the earliest.
    """

    points: Array
    num_arrived: Array


class Gathering(NamedTuple):
    """Who is compared at a rung in an event: those it remembers, W, then those of the lanes, L.

    Attributes:
      points: f32[W + L, J] scores, see `points_of`.
      present: bool[W + L] who came; the others' points mean nothing.
    """

    points: Array
    present: Array

    @property
    def sound(self) -> Array:
        """bool[W + L]: who came and did not fail."""
        return self.present & jnp.isfinite(self.points[:, 0])

    @property
    def size(self) -> Array:
        """i32[]: how many came."""
        return jnp.sum(self.present, dtype=jnp.int32)


def width_of(problem: Problem) -> int:
    """Return how many numbers trials are compared by, J."""
    return len(problem.objectives) + bool(problem.metrics.constraints)


def points_of(lanes: Lanes, history: History, problem: Problem) -> Array:
    """Return what trials are compared by: the objectives of their latest reports, and the violation of constraints.

    Returns:
      f32[L, J]: M objectives, minimised, and where there are constraints by how much they are broken; +inf where a
      trial failed or has no report yet.
    """
    scores = history.metrics[lanes.trial]
    points = scores[:, : len(problem.objectives)]
    if problem.metrics.constraints:
        points = jnp.concatenate([points, problem.metrics.violation(scores)[:, None]], axis=1)
    return jnp.where(lanes.live[:, None], points, jnp.inf)


def empty(groups: int, problem: Problem, width: int) -> Archive:
    """Make archives of as many trials as there may be, or of as many as are remembered, each of J `width` numbers."""
    kept = min(problem.trials, MOST)
    return Archive(jnp.full((groups, kept, width), jnp.inf, jnp.float32), jnp.zeros(groups, jnp.int32))


def enter(archive: Archive, which: Array, points: Array, judge: Callable[[Gathering], Array]) -> tuple[Archive, Array]:
    """Enter trials, and judge them among all that came to their rung, those of this event included.

    Args:
      archive: what is known.
      which: i32[L] the rung each trial came to; G for none.
      points: f32[L, J] as `points_of` returns them.
      judge: what is to be told of a rung's lanes, -> bool[L].

    Returns:
      The archive, and bool[L] what was told; False for those that came to no rung.
    """
    size, num = archive.points.shape[1], which.shape[0]

    def one(told: Array, rung: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        index, kept, arrived = rung
        mine = which == index
        came = jnp.sum(mine, dtype=jnp.int32)

        def come() -> tuple[Array, tuple[Array, Array]]:
            present = jnp.concatenate([jnp.arange(size, dtype=jnp.int32) < arrived, mine])
            found = judge(Gathering(jnp.concatenate([kept, points]), present))
            turn = exclusive_count(mine)
            place = jnp.where(mine & (turn >= came - size), (arrived + turn) % size, size)
            return jnp.where(mine, found, told), (kept.at[place].set(points, mode="drop"), arrived + came)

        return when(came > 0, come, lambda: (told, (kept, arrived)))

    groups = jnp.arange(archive.num_arrived.shape[0], dtype=jnp.int32)
    told, known = jax.lax.scan(one, jnp.zeros(num, bool), (groups, *archive))
    return Archive(*known), told


def place_of(archive: Archive, which: Array, number: Array, objectives: int) -> Array:
    """Return the places of some of those that came, by `pareto.places`, among those that their rungs remember.

    Args:
      archive: what is known.
      which: i32[P] the rung each came to; G for none.
      number: i32[P] how many had come before it.
      objectives: how many there are, M.

    Returns:
      i32[P] the number of better ones; W where there is no rung, or it has forgotten the trial.
    """
    size = archive.points.shape[1]

    def one(found: Array, rung: tuple[Array, Array, Array]) -> tuple[Array, None]:
        index, kept, arrived = rung
        mine = (which == index) & (arrived - number <= size)

        def look() -> Array:
            there = Gathering(kept, jnp.arange(size, dtype=jnp.int32) < arrived)
            place = places(*scores_and_violation(kept, objectives), there.sound)
            return jnp.where(mine, place[number % size], found)

        return when(jnp.any(mine), look, lambda: found), None

    groups = jnp.arange(archive.num_arrived.shape[0], dtype=jnp.int32)
    place, _ = jax.lax.scan(one, jnp.full(which.shape, size, jnp.int32), (groups, *archive))
    return place


def in_best(gathering: Gathering, share: int, objectives: int, lanes: int, least: int = 1) -> Array:
    """Tell which of the L `lanes` are among the best one of `share` that came, by `pareto.places`: bool[L].

    The best `least` always are.
    """
    num = jnp.maximum(gathering.size // share, least)
    return among_best(*scores_and_violation(gathering.points, objectives), gathering.sound, num)[-lanes:]


def behind_half(gathering: Gathering, asked: Array) -> Array:
    """Tell which points f32[L, M] of objectives are in a later front than more than half of those that came: bool[L].

    A point comes behind the last of those that dominate it; it need not have come itself.
    """
    points, sound = gathering.points, gathering.sound
    rank = fronts(dominates(points) & sound[:, None], sound)
    worse = jnp.any(points[:, None] > asked[None], axis=2)
    above = ~worse & jnp.any(points[:, None] < asked[None], axis=2) & sound[:, None]
    front = jnp.max(jnp.where(above, rank[:, None] + 1, 0), axis=0)
    ahead = jnp.sum((rank[:, None] < front[None]) & sound[:, None], axis=0, dtype=jnp.int32)
    return 2 * ahead > gathering.size


def standing_of(points: Array, objectives: int) -> Array:
    """Put lanes in order, by `pareto.places`: equals have the same standing.

    Args:
      points: f32[L, J] as `points_of` returns them.
      objectives: how many there are, M.

    Returns:
      f32[L], minimised; +inf for failed ones.
    """
    sound = jnp.isfinite(points[:, 0])
    place = places(*scores_and_violation(points, objectives), sound)
    equal = jnp.all(points[:, None] == points[None], axis=2)
    place = jnp.min(jnp.where(equal, place[None], points.shape[0]), axis=1)
    return jnp.where(sound, place.astype(jnp.float32), jnp.inf)


def scores_and_violation(points: Array, objectives: int) -> tuple[Array, Array | None]:
    """Take points f32[N, J] apart: objectives, f32[N, M], and violation, f32[N], or None without constraints."""
    return points[:, :objectives], points[:, objectives] if points.shape[1] > objectives else None
