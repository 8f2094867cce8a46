"""Which places are tried: a shortlist of a pool by what a model promises of them, and picks from it one by one.

Every pick of a batch is bolder or more careful than its neighbours, and counts those before it as certain.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.model_based import candidates
from jaxhpt.algorithms.model_based.dataset import Aim
from jaxhpt.algorithms.model_based.model import Surrogate, each, posterior
from jaxhpt.algorithms.model_based.phase import Phase
from jaxhpt.core.arrays import least_places
from jaxhpt.core.history import History, repeated
from jaxhpt.core.keys import normals, uniforms
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key
from jaxhpt.surrogates import acquisition, gp
from jaxhpt.surrogates.acquisition import PickParams

ACQUISITIONS = ("bounds", "log_ei", "log_ei_per_step", "log_ehvi", "thompson")
OBJECTIVES = {"log_ei": 1, "log_ei_per_step": 1, "log_ehvi": 2}  # how many it takes; others take any number
APART = 0.3  # share of the pool that each refinement may begin at
MOVES = 10  # of a refinement
SHORTLIST, APIECE = 448, 128  # places picked from besides the refined ones, at most and for each pick
EXPLORE_REACH = 2.0  # how many times as wide the range of the hopes is, by logarithm, where they go further afield
EXPLOIT_LOW = 0.2  # times its lower end, where the range begins that closes in on what was found
TAKEN = 1e6  # what a setting that was tried before costs
SURE = (1e-5, 1e-2)  # variance below which a place is as good as tried: each event draws its own


class Shortlist(NamedTuple):
    """Places to pick from.

    Attributes:
      unit: f32[S, D] snapped.
      origin: i32[S] the place of the pool that each is, or was refined from.
      mean: f32[J, S].
      covariance: f32[J, S, S].
      noise: f32[J].
      aim: what is to be beaten.
    """

    unit: Array
    origin: Array
    mean: Array
    covariance: Array
    noise: Array
    aim: Aim


@dataclasses.dataclass(frozen=True)
class BatchSelector:
    """How places are told apart: settings of `Bayesian`.

    Attributes:
      acquisition: one of `ACQUISITIONS`.
      ucb_beta: least and largest.
      num_ascents: places that follow the gradient.
    """

    acquisition: str
    ucb_beta: tuple[float, float]
    num_ascents: int

    @property
    def costs(self) -> bool:
        """Whether the steps of trials are an output of the model, the last one."""
        return self.acquisition == "log_ei_per_step"

    def shortlist(
        self, key: Key, pool: Array, model: Surrogate, history: History, problem: Problem, num: int, phase: Phase
    ) -> Shortlist:
        """Keep the best of a pool f32[P, D], and what following the gradient from the most promising leads to.

        Of a finite space, what was tried does not crowd out what was not.

        The `phase` tells how bold the hopes are, here and in `pick`, and whether places beside what is known well
        still count.
        """
        k = jax.random.split(key, 3)
        theta = model.processes.theta
        there = posterior(model, pool, problem)
        params = self._params(k[0], model.aim.nadir.shape[0], self.num_ascents, phase)
        score = self._score(there.mean[:, None], jnp.sqrt(there.variance)[:, None], params, model.aim)

        def at(x: Array) -> Array:
            found = posterior(model, x, problem)
            mean, deviation = found.mean[:, :, None], jnp.sqrt(found.variance)[:, :, None]
            return self._score(mean, deviation, params, model.aim)[:, 0]

        # Each begins at the best of a share of its own, so that they do not all climb the same hill.
        tried = repeated(history, pool) if problem.space.size is not None else jnp.zeros(pool.shape[0], bool)
        first = least_places(jnp.where((uniforms(k[1], score.shape) < APART) & ~tried[None], score, jnp.inf))
        better = candidates.ascend(pool[first], at, candidates.view_of(theta, problem.space), problem.space, MOVES)
        places = max(min(SHORTLIST, APIECE * num), 2 * num)
        kept = _promising(score, tried, min(places, pool.shape[0]))
        found = _joined(posterior(model, better, problem), _taken(there, kept))
        unit = jnp.concatenate([better, pool[kept]])
        # On a front there is something to find beside every place that is known, at a best trial not for long.
        known_well = SURE[0] if len(problem.objectives) > 1 else _between(k[2], (), SURE)
        sure = jnp.all(found.variance < known_well, axis=0) & ~phase.exploit
        # Where all is known well, what was not tried still goes first.
        again = 2.0 * repeated(history, unit).astype(jnp.float32) + sure.astype(jnp.float32)
        covariance, noise = each(_covariance, model.processes, found), each(gp.noise, theta)
        return Shortlist(
            unit, jnp.concatenate([first, kept]), found.mean + TAKEN * again[None], covariance, noise, model.aim
        )

    def pick(self, key: Key, found: Shortlist, num: int, count: Array, phase: Phase) -> Array:
        """Pick places of the shortlist: i32[Q]."""
        params = self._params(key, found.aim.nadir.shape[0], num, phase)
        functions = acquisition.sampled(jax.random.fold_in(key, 2), found.mean, found.covariance, num)

        def score(i: Array, mean: Array, deviation: Array) -> Array:
            own = jax.tree.map(lambda a: a[i][None], params)
            if self.acquisition == "thompson":
                draw = functions[:, i]
                return acquisition.lower_bound(draw[:, None], jnp.zeros_like(draw)[:, None], own, found.aim.nadir)[0]
            return self._score(mean[:, None], deviation[:, None], own, found.aim)[0]

        return acquisition.pick_one_by_one(score, found.mean, found.covariance, found.noise, num, count)

    def _params(self, key: Key, objectives: int, num: int, phase: Phase) -> PickParams:
        """Draw what each of `num` picks is after."""
        low, high = self.ucb_beta
        usual = _between(key, (num,), (low, high), jnp.where(phase.explore, jnp.float32(EXPLORE_REACH), 1.0))
        beta = jnp.where(phase.exploit, _between(key, (num,), (EXPLOIT_LOW * low, high)), usual)
        direction = jnp.abs(normals(jax.random.fold_in(key, 1), (num, objectives)))
        length = jnp.sqrt(jnp.sum(direction**2, axis=1, keepdims=True))
        return PickParams(beta, length / jnp.maximum(direction, 1e-3 * length))

    def _score(self, mean: Array, deviation: Array, params: PickParams, aim: Aim) -> Array:
        """Score places for each of n params: f32[J, n or 1, P] -> f32[n, P]."""
        if self.acquisition not in OBJECTIVES:
            return acquisition.lower_bound(mean, deviation, params, aim.nadir)
        own = mean.shape[0] - self.costs
        if self.acquisition == "log_ehvi":
            value = acquisition.constrained_hypervolume_improvement(mean, deviation, aim.front)
        else:
            value = acquisition.constrained_improvement(mean[:own], deviation[:own], aim.least)
        value = value + mean[-1] if self.costs else value
        return jnp.broadcast_to(value, (params.beta.shape[0], value.shape[1]))


def _between(key: Key, shape: tuple[int, ...], ends: tuple[float, float], reach: Array | float = 1.0) -> Array:
    """Draw from a range, evenly by logarithm, or from one that goes on so many times as far above its lower end."""
    low, high = map(math.log, ends)
    return jnp.exp(low + uniforms(key, shape) * reach * (high - low))


def _promising(score: Array, tried: Array, num: int) -> Array:
    """Return the places that rank best for the average parameters or for any of a few, those that were tried last.

    Args:
      score: f32[n, P].
      tried: bool[P].
      num: static.

    Returns:
      i32[num].
    """
    few = jnp.concatenate([score[:: max(score.shape[0] // 4, 1)], jnp.mean(score, axis=0, keepdims=True)])
    least = -jax.lax.top_k(-few, score.shape[1] // 4 + 1)[0]  # up to the quartile: a whole sort takes longer
    best, spread = least[:, :1], least[:, -1:] - least[:, :1]
    rank = jnp.min((few - best) / jnp.maximum(spread, 1e-12), axis=0)
    return jax.lax.top_k(-jnp.where(tried, jnp.inf, rank), num)[1]


def _covariance(model: gp.Model, predicted: gp.Posterior) -> Array:
    return gp.covariance(model, predicted.x, predicted.x) - predicted.root.T @ predicted.root


def _taken(predicted: gp.Posterior, places: Array) -> gp.Posterior:
    """Take some of the places: leaves [J, ...], i32[S]."""
    mean, variance, root, x = predicted
    return gp.Posterior(mean[:, places], variance[:, places], root[..., places], x[:, places])


def _joined(a: gp.Posterior, b: gp.Posterior) -> gp.Posterior:
    """Put places beside places: leaves [J, ...]."""
    root = jnp.concatenate([a.root, b.root], axis=2)
    mean, variance, x = (
        jnp.concatenate([m, n], axis=1) for m, n in ((a.mean, b.mean), (a.variance, b.variance), (a.x, b.x))
    )
    return gp.Posterior(mean, variance, root, x)
