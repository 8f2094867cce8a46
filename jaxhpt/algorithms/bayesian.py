"""Bayesian optimisation: a Gaussian process says where the next trials are worth most, a whole batch at a time.

Every pick of a batch is bolder or more careful than its neighbours, and counts those before it, and the trials that
run, as certain; one search of the acquisition serves all.

Garnett, "Bayesian optimization", https://bayesoptbook.com (2023).
Hvarfner, Hellsten and Nardi, "Vanilla Bayesian optimization performs great in high dimensions",
https://arxiv.org/abs/2402.02229 (2024).
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt import history as columns
from jaxhpt.algorithms import candidates
from jaxhpt.algorithms.base import Proposals, proposals
from jaxhpt.algorithms.evidence import Aim, Evidence, designed, enough, num_inputs, num_outputs
from jaxhpt.algorithms.modelled import Modelled
from jaxhpt.algorithms.surrogate import Surrogate, believe, each, refitted, sized, surrogate
from jaxhpt.algorithms.variation import laid_out
from jaxhpt.checks import require, require_count, suggest
from jaxhpt.history import History
from jaxhpt.keys import normals, uniforms
from jaxhpt.problem import Problem
from jaxhpt.surrogates import acquisition, gp
from jaxhpt.surrogates.acquisition import Taste
from jaxhpt.surrogates.fit import start
from jaxhpt.typing import Array, Key

ACQUISITIONS = ("bounds", "log_ei", "log_ei_per_step", "log_ehvi", "thompson")
OBJECTIVES = {"log_ei": 1, "log_ei_per_step": 1, "log_ehvi": 2}  # how many it takes; others take any number
GROWTH = 1.5  # the fit starts afresh, too, whenever there are so many times more trials
STARTS = 10  # best trials that local candidates begin at
APART = 0.3  # share of the candidates that each refinement may begin at
MOVES = 10  # of a refinement
LEAST_STEPS = 12  # of the fit, where one proposal is asked for and little is new; one more for each further one
SHORTLIST, APIECE = 448, 128  # places picked from besides the refined ones, at most and for each pick
TAKEN = 1e6  # what a setting that was tried before costs
SURE = (1e-5, 1e-2)  # variance below which a place is as good as tried: each event draws its own


class BayesianState(NamedTuple):
    """What the history does not tell.

    Attributes:
      scramble: key of the initial design.
      best: i32[B] rows, best first; C for none.
      theta: f32[J, D + 2] hyperparameters of each output's process; see `surrogate.refitted`.
      fitted: i32[] trials at the latest fit from afresh.
    """

    scramble: Key
    best: Array
    theta: Array
    fitted: Array


class _Shortlist(NamedTuple):
    unit: Array  # f32[S, D]
    mean: Array  # f32[J, S]
    covariance: Array  # f32[J, S, S]
    noise: Array  # f32[J]
    aim: Aim


@dataclasses.dataclass(frozen=True)
class Bayesian(Modelled):
    """Bayesian optimisation. Choose it where a trial costs more than a millisecond and there are up to 5,000.

    It takes mixed and conditional spaces, any batch size, failures, several objectives and constraints. Where a
    scheduler stops trials, the model learns what training longer brings, and is asked about whole trainings.

    Args:
      initial: trials of a quasi-random design before the model is asked, at least 1; None is 2 D, from 8 to 64.
      acquisition: "bounds", lower bounds from careful to bold; "log_ei", the logarithm of expected improvement on what
        is believed of the best, for one objective; "log_ei_per_step", the same over the steps that a trial takes, where
        trials differ in length; "log_ehvi", the logarithm of the expected gain in hypervolume, for two objectives;
        "thompson", each pick the best place of one function drawn from the posterior.
      boldness: deviations below the mean that bounds hope for, least and largest; each pick draws its own.
      candidates: places that the model is asked about in each event, half around the best trials.
      refined: how many of them follow the gradient.
      refit_steps: steps of the fit in each event, from where the last one ended; below 4 lanes at most 12 to 14.
      limit: rows of the largest model, a power of two from 64 to 2048: beyond it the best, the latest and evenly
        spread trials are learned from, so that time stays flat.

    Raises:
      ValueError: a value out of its range or an unknown name; at the start of a search, a number of objectives
        that the acquisition does not take.

    Example:
      >>> import jaxhpt
      >>> hartmann6 = jaxhpt.problems.hartmann6
      >>> result = jaxhpt.minimize(hartmann6, hartmann6.space(), algorithm="bayesian", trials=128, lanes=8,
      ...                          progress=False)
      >>> result.best.value < -3.1
      True

    References:
      See the module, and `surrogates`.
    """

    initial: int | None = None
    acquisition: str = "bounds"
    boldness: tuple[float, float] = (1.0, 3.0)
    candidates: int = 2048
    refined: int = 64
    refit_steps: int = 15
    limit: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.acquisition in ACQUISITIONS
        require(known, "acquisition", self.acquisition, f"known; {suggest(str(self.acquisition), ACQUISITIONS)}")
        pair = isinstance(self.boldness, tuple) and len(self.boldness) == 2
        require(pair and 0 < self.boldness[0] <= self.boldness[1], "boldness", self.boldness, "two rising numbers > 0")
        for field in ("candidates", "refined", "refit_steps"):
            require_count(field, getattr(self, field))
        require(self.candidates >= 64, "candidates", self.candidates, "at least 64")
        require(self.refined <= self.candidates // 2, "refined", self.refined, "at most half of the candidates")

    def init(self, key: Key, problem: Problem) -> BayesianState:
        """Start without a model."""
        wanted, num = OBJECTIVES.get(self.acquisition), len(problem.objectives)
        remedy = f"'bounds' or 'thompson' for {num} objectives; this one takes {wanted}"
        require(wanted in (None, num), "acquisition", self.acquisition, remedy)
        best = jnp.full(self.limit // 2, problem.capacity, jnp.int32)
        theta = jnp.tile(jnp.asarray(start(num_inputs(problem))), (num_outputs(problem, self._costs), 1))
        return BayesianState(key, best, theta, jnp.int32(0))

    def ask(
        self, key: Key, state: BayesianState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, BayesianState]:
        """Fit, search and pick, or lay out the initial design; see `Algorithm.ask`."""
        index = history.next_rows(num)
        fresh = designed(index, state.best, self.initial, problem)
        used = jnp.arange(num) < count

        def search() -> tuple[Array, BayesianState]:
            return self._search(key, state, history, problem, num, count)

        none = jnp.zeros((num, problem.num_dimensions), jnp.float32)
        child, state = jax.lax.cond(jnp.any(used & ~fresh), search, lambda: (none, state))
        child = laid_out(state.scramble, index, fresh, child, problem.space)
        return proposals(child), state

    def acquire(self, state: BayesianState, history: History, problem: Problem, unit: Array) -> Array:
        """Score settings by what they promise: snapped f32[n, D] -> f32[n], smaller is better.

        Minus the logarithm of the constrained expected improvement of the first objective, by the model of the
        latest fit; all 0 while there are too few trials.
        """
        outputs = jnp.array([0, *range(len(problem.objectives), num_outputs(problem))])

        def score(seen: Evidence) -> Array:
            known = surrogate(state.theta, seen, history, problem)
            belief = believe(known, unit, problem)
            mean, deviation = belief.mean[outputs], jnp.sqrt(belief.variance)[outputs]
            return acquisition.constrained_improvement(mean, deviation, known.aim.least)

        def model() -> Array:
            return sized(self.limit, history, problem, state.best, score, self._costs)

        none = jnp.zeros(unit.shape[0], jnp.float32)
        return jax.lax.cond(enough(state.best, problem), model, lambda: none)

    @property
    def _costs(self) -> bool:
        return self.acquisition == "log_ei_per_step"

    def _search(
        self, key: Key, state: BayesianState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Array, BayesianState]:
        """Return settings f32[Q, D], and the state with the model that found them."""
        shortlist_key, pick_key = jax.random.split(key)
        best = history.unit[_filled(state.best[:STARTS], problem.capacity)]

        def shortlist(seen: Evidence) -> tuple[Array, Array, _Shortlist]:
            ended = jnp.sum(seen.known, dtype=jnp.int32)
            fresh = ended >= GROWTH * state.fitted
            steps = min(self.refit_steps, LEAST_STEPS + num - 1)
            theta = refitted(state.theta, fresh, seen, problem, steps)
            known = surrogate(theta, seen, history, problem)
            found = self._shortlist(shortlist_key, best, known, history, problem, num)
            return theta, jnp.where(fresh, ended, state.fitted), found

        theta, fitted, found = sized(self.limit, history, problem, state.best, shortlist, self._costs)
        picked = self._pick(pick_key, found, num, count)
        return found.unit[picked], state._replace(theta=theta, fitted=fitted)

    def _shortlist(
        self, key: Key, best: Array, known: Surrogate, history: History, problem: Problem, num: int
    ) -> _Shortlist:
        """Ask the model everywhere and around the best, follow the gradient from the most promising, keep the best."""
        k = jax.random.split(key, 5)
        space, theta = problem.space, known.models.theta
        scale = jnp.exp(theta[0, : problem.num_dimensions])
        half = self.candidates // 2
        near = candidates.around(k[0], best, scale, space, half)
        pool = jnp.concatenate([near, candidates.everywhere(k[1], space, self.candidates - half)])
        there = believe(known, pool, problem)
        tastes = self._tastes(k[2], known.aim.nadir.shape[0], self.refined)
        score = self._score(there.mean[:, None], jnp.sqrt(there.variance)[:, None], tastes, known.aim)

        def at(x: Array) -> Array:
            found = believe(known, x, problem)
            mean, deviation = found.mean[:, :, None], jnp.sqrt(found.variance)[:, :, None]
            return self._score(mean, deviation, tastes, known.aim)[:, 0]

        # Each begins at the best of a share of its own, so that they do not all climb the same hill.
        first = jnp.argmin(jnp.where(uniforms(k[3], score.shape) < APART, score, jnp.inf), axis=1)
        better = candidates.refined(pool[first], at, scale, space, MOVES)
        places = max(min(SHORTLIST, APIECE * num), 2 * num)
        kept = _promising(score, min(places, self.candidates))
        found = _joined(believe(known, better, problem), _taken(there, kept))
        unit = jnp.concatenate([better, pool[kept]])
        # On a front there is something to find beside every place that is known, at a best trial not for long.
        known_well = SURE[0] if len(problem.objectives) > 1 else _between(k[4], (), SURE)
        sure = jnp.all(found.variance < known_well, axis=0)
        again = columns.repeated(history, unit) | sure
        covariance = each(_covariance, known.models, found)
        return _Shortlist(unit, found.mean + TAKEN * again, covariance, each(gp.noise, theta), known.aim)

    def _tastes(self, key: Key, objectives: int, num: int) -> Taste:
        """Draw what each of `num` picks is after."""
        boldness = _between(key, (num,), self.boldness)
        direction = jnp.abs(normals(jax.random.fold_in(key, 1), (num, objectives)))
        length = jnp.sqrt(jnp.sum(direction**2, axis=1, keepdims=True))
        return Taste(boldness, length / jnp.maximum(direction, 1e-3 * length))

    def _score(self, mean: Array, deviation: Array, tastes: Taste, aim: Aim) -> Array:
        """Score places for each of n tastes: f32[J, n or 1, P] -> f32[n, P]."""
        if self.acquisition not in OBJECTIVES:
            return acquisition.lower_bound(mean, deviation, tastes, aim.nadir)
        own = mean.shape[0] - self._costs
        if self.acquisition == "log_ehvi":
            value = acquisition.constrained_hypervolume_improvement(mean, deviation, aim.front)
        else:
            value = acquisition.constrained_improvement(mean[:own], deviation[:own], aim.least)
        value = value + mean[-1] if self._costs else value
        return jnp.broadcast_to(value, (tastes.boldness.shape[0], value.shape[1]))

    def _pick(self, key: Key, found: _Shortlist, num: int, count: Array) -> Array:
        """Pick places of the shortlist: i32[Q]."""
        tastes = self._tastes(key, found.aim.nadir.shape[0], num)
        functions = acquisition.sampled(jax.random.fold_in(key, 2), found.mean, found.covariance, num)

        def score(i: Array, mean: Array, deviation: Array) -> Array:
            taste = jax.tree.map(lambda a: a[i][None], tastes)
            if self.acquisition == "thompson":
                draw = functions[:, i]
                return acquisition.lower_bound(draw[:, None], jnp.zeros_like(draw)[:, None], taste, found.aim.nadir)[0]
            return self._score(mean[:, None], deviation[:, None], taste, found.aim)[0]

        return acquisition.pick_one_by_one(score, found.mean, found.covariance, found.noise, num, count)


def _between(key: Key, shape: tuple[int, ...], ends: tuple[float, float]) -> Array:
    """Draw from a range, evenly by logarithm."""
    low, high = map(math.log, ends)
    return jnp.exp(low + uniforms(key, shape) * (high - low))


def _filled(rows: Array, none: int) -> Array:
    """Repeat the rows there are in the places of those that are none."""
    return rows[jnp.arange(rows.shape[0]) % jnp.maximum(jnp.sum(rows < none, dtype=jnp.int32), 1)]


def _promising(score: Array, num: int) -> Array:
    """Return the places that rank best for the average taste or for any of a few: f32[n, P] -> i32[num]."""
    few = jnp.concatenate([score[:: max(score.shape[0] // 4, 1)], jnp.mean(score, axis=0, keepdims=True)])
    least = jnp.sort(few, axis=1)
    middle, spread = least[:, :1], least[:, score.shape[1] // 4][:, None] - least[:, :1]
    _, kept = jax.lax.top_k(-jnp.min((few - middle) / jnp.maximum(spread, 1e-12), axis=0), num)
    return kept


def _covariance(model: gp.Model, belief: gp.Belief) -> Array:
    return gp.covariance(model, belief.x, belief.x) - belief.root.T @ belief.root


def _taken(belief: gp.Belief, places: Array) -> gp.Belief:
    """Take some of the places: leaves [J, ...], i32[S]."""
    mean, variance, root, x = belief
    return gp.Belief(mean[:, places], variance[:, places], root[..., places], x[:, places])


def _joined(a: gp.Belief, b: gp.Belief) -> gp.Belief:
    """Put places beside places: leaves [J, ...]."""
    root = jnp.concatenate([a.root, b.root], axis=2)
    mean, variance, x = (
        jnp.concatenate([m, n], axis=1) for m, n in ((a.mean, b.mean), (a.variance, b.variance), (a.x, b.x))
    )
    return gp.Belief(mean, variance, root, x)
