"""Which places are tried: a shortlist of a pool by what a model promises of them, and picks from it one by one.

Every pick of a batch is bolder or more careful than its neighbours, and counts those before it as certain.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.beliefs import BETA, BETA_OF_BOUNDS, weighed
from jaxhpt.algorithms.model_based import candidates
from jaxhpt.algorithms.model_based.dataset import Aim
from jaxhpt.algorithms.model_based.model import Surrogate, each, posterior
from jaxhpt.core.arrays import least_places
from jaxhpt.core.history import History, repeated
from jaxhpt.core.keys import Draws
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array
from jaxhpt.surrogates import acquisition, gp
from jaxhpt.surrogates.acquisition import PickParams
from jaxhpt.surrogates.config import CONFIG

ACQUISITIONS = ("bounds", "log_ei", "log_ei_per_step", "log_ehvi", "thompson")
OBJECTIVES = {"log_ei": 1, "log_ei_per_step": 1, "log_ehvi": 2}  # how many it takes; others take any number


class Shortlist(NamedTuple):
    """Places to pick from.

    Attributes:
      unit: f32[S, D] snapped.
      origin: i32[S] the place of the pool that each is, or was refined from.
      mean: f32[J, S].
      covariance: f32[J, S, S].
      noise: f32[J].
      aim: what is to be beaten.
      belief: f32[S] what is taken from their scores, because they are believed in; None where nothing is believed.
    """

    unit: Array
    origin: Array
    mean: Array
    covariance: Array
    noise: Array
    aim: Aim
    belief: Array | None


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
        self, draws: Draws, pool: Array, model: Surrogate, history: History, problem: Problem, num: int
    ) -> Shortlist:
        """Keep the best of a pool f32[P, D], and what following the gradient from the most promising leads to.

        Of a finite space, what was tried does not crowd out what was not.
        """
        theta = model.processes.theta
        scale = jnp.exp(theta[0, : problem.num_dimensions])
        there = posterior(model, pool, problem)
        params = self._params(draws, model.aim.nadir.shape[0], self.num_ascents)
        score = self._score(there.mean[:, None], jnp.sqrt(there.variance)[:, None], params, model.aim)
        believed = self._believed(history, problem)
        if believed:
            score = score - believed(pool)[None]

        def at(x: Array) -> Array:
            found = posterior(model, x, problem)
            mean, deviation = found.mean[:, :, None], jnp.sqrt(found.variance)[:, :, None]
            value = self._score(mean, deviation, params, model.aim)[:, 0]
            return value - believed(x) if believed else value

        tried = repeated(history, pool) if problem.space.size is not None else jnp.zeros(pool.shape[0], bool)
        most, apiece = CONFIG.shortlist
        places = max(min(most, apiece * num), 2 * num, self.num_ascents)
        kept = _promising(score, tried, min(places, pool.shape[0]))
        # Ascents begin where their own parameters hope for most, or, where there are none, at the best places.
        alike = self.acquisition in OBJECTIVES
        first = kept[: self.num_ascents] if alike else least_places(jnp.where(tried[None], jnp.inf, score))
        better = candidates.ascend(pool[first], at, scale, problem.space, CONFIG.num_ascent_steps)
        unit = jnp.concatenate([better, pool[kept]])
        found = posterior(model, unit, problem)
        again = repeated(history, unit).astype(jnp.float32)
        covariance, noise = each(_covariance, model.processes, found), each(gp.noise, theta)
        return Shortlist(
            unit,
            jnp.concatenate([first, kept]),
            found.mean + CONFIG.repeat_cost * again[None],
            covariance,
            noise,
            model.aim,
            believed(unit) if believed else None,
        )

    def _believed(self, history: History, problem: Problem) -> Callable[[Array], Array] | None:
        """Return what is taken from the scores of settings, f32[P, D] -> f32[P]; None where nothing is believed."""
        if not problem.space.beliefs:
            return None
        beta = BETA if self.acquisition in OBJECTIVES else BETA_OF_BOUNDS
        trials = jnp.sum(history.ok, dtype=jnp.int32)
        return lambda unit: weighed(unit, trials, beta, problem.space)

    def pick(self, draws: Draws, found: Shortlist, num: int, count: Array) -> Array:
        """Pick places of the shortlist: i32[Q]."""
        params = self._params(draws, found.aim.nadir.shape[0], num)
        if self.acquisition == "thompson":
            normal = draws.normals((found.mean.shape[0], num, found.mean.shape[1]))
            functions = acquisition.sampled(normal, found.mean, found.covariance)

        def score(i: Array, mean: Array, deviation: Array) -> Array:
            own = jax.tree.map(lambda a: a[i][None], params)
            if self.acquisition == "thompson":
                draw = functions[:, i]
                value = acquisition.lower_bound(draw[:, None], jnp.zeros_like(draw)[:, None], own, found.aim.nadir)[0]
            else:
                value = self._score(mean[:, None], deviation[:, None], own, found.aim)[0]
            return value if found.belief is None else value - found.belief

        return acquisition.pick_one_by_one(score, found.mean, found.covariance, found.noise, num, count)

    def _params(self, draws: Draws, objectives: int, num: int) -> PickParams:
        """Draw what each of `num` picks is after."""
        low, high = map(math.log, self.ucb_beta)
        beta = jnp.exp(low + draws.uniforms((num,)) * (high - low))
        if objectives == 1:
            return PickParams(beta, jnp.ones((num, 1), jnp.float32))
        direction = jnp.abs(draws.normals((num, objectives)))
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


def _promising(score: Array, tried: Array, num: int) -> Array:
    """Return the places that rank best for the average parameters or for any of a few, those that were tried last.

    With several objectives the parameters are directions, whose average alone would be the middle of a front.

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
