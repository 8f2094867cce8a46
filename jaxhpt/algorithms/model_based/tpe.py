"""Tree-structured Parzen estimator: draw from where the good trials lie, and try what the others have least of.

Two densities stand for the model, so a proposal costs microseconds, after a hundred trials and after a million.

Bergstra et al., "Algorithms for hyper-parameter optimization",
https://papers.nips.cc/paper/4443-algorithms-for-hyper-parameter-optimization (2011).
Falkner, Klein and Hutter, "BOHB: robust and efficient hyperparameter optimization at scale",
https://arxiv.org/abs/1807.01774 (2018), for one density over all dimensions.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Proposals, proposals
from jaxhpt.algorithms.beliefs import BETA, SHARES, fading, leaned, weighed
from jaxhpt.algorithms.enumeration import settings
from jaxhpt.algorithms.initial_design import initial_design
from jaxhpt.algorithms.model_based.base import ModelBased
from jaxhpt.algorithms.model_based.dataset import chosen, far_enough, in_initial_design
from jaxhpt.core.checks import require, settle_counts
from jaxhpt.core.history import History, is_tried, repeated
from jaxhpt.core.keys import uniforms
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE, Array, Key
from jaxhpt.surrogates.kde import Density, draw, estimate, log_density

SHARE = 0.15  # of all trials, at most, are good while there are few
GROWTH = 0.3  # later, so many times their root
MOST = 64
FEW = 1024  # settings of a space of which only the untried are drawn from
VAGUE = 25.0  # trials until which the good ones may lie together by chance


class TPEState(NamedTuple):
    """What the history does not tell.

    Attributes:
      scramble: key of the initial design.
      best: i32[B] rows, best first; NONE for none.
    """

    scramble: Key
    best: Array


@dataclasses.dataclass(frozen=True)
class TPE(ModelBased):
    """Tree-structured Parzen estimator. Choose it for more trials than `Bayesian` has time for: 1,000 to millions.

    It takes mixed and conditional spaces, any batch size, failures, several objectives and constraints. Where a
    scheduler stops trials, those that count as good were trained as far as D + 1 trials at least: with `Hyperband` it
    is like BOHB.

    Args:
      initial: trials of a quasi-random design before the model is asked, at least 1; None is 2 D, from 8 to 64.
      num_good: trials that count as good, at least 2, once there are enough; their number grows as the root of the
        trials, to 64. Fewer close in on a place sooner.
      candidates: draws that each proposal is the best of, at least 1. More are greedier.
      limit: other trials that are compared with, a power of two from 64 to 2048: beyond it the best, the latest and
        evenly spread ones.

    Raises:
      ValueError, TypeError: a value out of its range.

    Example:
      >>> import jaxhpt
      >>> hartmann6 = jaxhpt.problems.hartmann6
      >>> result = jaxhpt.minimize(hartmann6, hartmann6.space(), algorithm="tpe", trials=1024, lanes=32,
      ...                          progress=False)
      >>> result.best.value < -3.1
      True

    References:
      See the module, and `surrogates.density`.
    """

    initial: int | None = None
    num_good: int = 8
    candidates: int = 16
    limit: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_counts(self, "num_good", "candidates")
        require(2 <= self.num_good <= MOST, "num_good", self.num_good, f"from 2 to {MOST}")

    def init(self, key: Key, problem: Problem) -> TPEState:
        """Start without a model."""
        best = jnp.full(max(MOST, self.limit // 2), NONE, jnp.int32)
        return TPEState(key, best)

    def ask(
        self, key: Key, state: TPEState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, TPEState]:
        """Draw and compare, or follow the initial design; see `Algorithm.ask`."""
        index = history.next_rows(num)
        fresh = in_initial_design(index, state.best, self.initial, problem)
        child = self._promising(key, state, history, problem, num)
        child = initial_design(state.scramble, index, fresh, child, problem.space)
        return proposals(child), state

    def _promising(self, key: Key, state: TPEState, history: History, problem: Problem, num: int) -> Array:
        """Return for each proposal the draw that is likeliest good beside the others: f32[Q, D]."""
        space = problem.space
        best, count = far_enough(history, problem, state.best)
        top = best[:MOST]
        good = (jnp.arange(top.shape[0], dtype=jnp.int32) < self._num_good(count)) & (top < NONE)
        rows = chosen(history, problem, best, self.limit)
        others = (rows < NONE) & ~jnp.isin(rows, jnp.where(good, top, NONE))
        vague = (VAGUE / jnp.maximum(count, 1).astype(jnp.float32)) ** 2
        ours = estimate(history.unit[top], good, space, vague)
        theirs = estimate(history.unit[rows], others, space)
        few = settings(space, FEW)
        many, left = num * self.candidates, fading(history.num_rows)
        if few is None:
            unit = _leaned(key, draw(key, ours, many, space), left, space)
        else:
            unit = _untried(key, ours, history, few, many, space, count)
        score = _log_good(ours, unit, count, space) - log_density(theirs, unit, space)
        score = jnp.where(repeated(history, unit), -jnp.inf, score)
        pick = jax.lax.argmax(score.reshape(num, self.candidates), 1, jnp.int32)
        return unit.reshape(num, self.candidates, -1)[jnp.arange(num, dtype=jnp.int32), pick]

    def _num_good(self, count: Array) -> Array:
        trials = count.astype(jnp.float32)
        num = jnp.maximum(jnp.minimum(SHARE * trials, float(self.num_good)), GROWTH * jnp.sqrt(trials))
        return jnp.maximum(jnp.ceil(num), 2.0).astype(jnp.int32)


def _log_good(density: Density, unit: Array, trials: Array, space: Space) -> Array:
    """Return the logarithm of the density of good settings, and what is believed of them: f32[P, D] -> f32[P]."""
    learned = log_density(density, unit, space)
    return learned + weighed(unit, trials, BETA, space) if space.beliefs else learned


def _leaned(key: Key, unit: Array, left: Array, space: Space) -> Array:
    """Draw a share of settings anew, where the best is believed to be: f32[P, D] snapped -> f32[P, D] snapped."""
    if not space.beliefs:
        return unit
    k = jax.random.split(jax.random.fold_in(key, 0), 2)
    chance = jax.random.uniform(k[0], (2, unit.shape[0]), jnp.float32)
    anew = leaned(jax.random.uniform(k[1], unit.shape, jnp.float32), chance[0], space)
    return jnp.where((chance[1] < SHARES[0] * left)[:, None], space.snap(anew), unit)


def _untried(
    key: Key, density: Density, history: History, table: Array, num: int, space: Space, trials: Array
) -> Array:
    """Draw from a density among those settings of a table f32[S, D] that are untried: f32[num, D].

    Otherwise all draws of a proposal might be settings that were tried, where the good trials lie close together.
    """
    chance = jnp.where(is_tried(history, table), -jnp.inf, _log_good(density, table, trials, space))
    largest = jnp.max(chance)
    sums = jnp.cumsum(jnp.exp(chance - jnp.where(jnp.isfinite(largest), largest, 0.0)))
    place = jnp.searchsorted(sums, uniforms(key, (num,)) * sums[-1], side="right")
    return table[jnp.minimum(place, table.shape[0] - 1)]
