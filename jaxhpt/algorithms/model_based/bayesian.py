"""Bayesian optimisation: a Gaussian process says where the next trials are worth most, a whole batch at a time.

Every pick of a batch is bolder or more careful than its neighbours, and counts those before it, and the trials that
run, as certain; one search of the acquisition serves all.

Garnett, "Bayesian optimization", https://bayesoptbook.com (2023).
Hvarfner, Hellsten and Nardi, "Vanilla Bayesian optimization performs great in high dimensions",
https://arxiv.org/abs/2402.02229 (2024).
"""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from jaxhpt.algorithms.base import Proposals, proposals
from jaxhpt.algorithms.enumeration import settings
from jaxhpt.algorithms.initial_design import initial_design
from jaxhpt.algorithms.model_based import candidates
from jaxhpt.algorithms.model_based.base import ModelBased
from jaxhpt.algorithms.model_based.batch import ACQUISITIONS, OBJECTIVES, BatchSelector
from jaxhpt.algorithms.model_based.dataset import (
    TrainingData,
    chosen,
    design_size,
    enough,
    in_initial_design,
    num_inputs,
    num_outputs,
    training_data,
)
from jaxhpt.algorithms.model_based.model import num_rows, posterior, refitted, surrogate
from jaxhpt.core.checks import require, settle_counts, suggest
from jaxhpt.core.control import when
from jaxhpt.core.history import History
from jaxhpt.core.keys import Draws
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array, Key
from jaxhpt.surrogates import acquisition
from jaxhpt.surrogates.config import CONFIG
from jaxhpt.surrogates.gp_fit import Fit, begin, start

AUTO = "auto"  # the acquisition that fits


class BayesianState(NamedTuple):
    """What the history does not tell.

    Attributes:
      scramble: key of the initial design.
      best: i32[B] rows, best first; NONE for none.
      fit: hyperparameters of each output's process, leaves [J, D + 2]; see `surrogate.refitted`.
      fitted: bool[] whether there was a fit already.
    """

    scramble: Key
    best: Array
    fit: Fit
    fitted: Array


@dataclasses.dataclass(frozen=True)
class Bayesian(ModelBased):
    """Bayesian optimisation. Choose it where a trial costs more than a millisecond and there are up to 5,000.

    It takes mixed and conditional spaces, any batch size, failures, several objectives and constraints. Where a
    scheduler stops trials, the model learns what training longer brings, and is asked about whole trainings.

    Args:
      initial: trials of a quasi-random design before the model is asked, at least 1; None is 2 D, from 8 to 64.
      acquisition: "auto", which is "log_ei" for one objective of more than 20 dimensions and else "bounds";
        "bounds", lower bounds from careful to bold; "log_ei", the logarithm of expected improvement on what is
        believed of the best, for one objective; "log_ei_per_step", the same over the steps that a trial takes, where
        trials differ in length; "log_ehvi", the logarithm of the expected gain in hypervolume, for two objectives;
        "thompson", each pick the best place of one function drawn from the posterior.
      ucb_beta: deviations below the mean that bounds hope for, least and largest; each pick draws its own.
      candidates: places that the model is asked about in each event, half around the best trials; all settings of a
        space that has no more.
      num_ascents: how many of them follow the gradient.
      refit_steps: steps of the fit in each event, from where the last one ended; below 10 lanes at most 6 to 14.
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
    acquisition: str = AUTO
    ucb_beta: tuple[float, float] = (1.0, 3.0)
    candidates: int = 2048
    num_ascents: int = 64
    refit_steps: int = 15
    limit: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        names = (AUTO, *ACQUISITIONS)
        exists = self.acquisition in names
        require(exists, "acquisition", self.acquisition, f"known; {suggest(str(self.acquisition), names)}")
        pair = isinstance(self.ucb_beta, tuple) and len(self.ucb_beta) == 2
        require(pair and 0 < self.ucb_beta[0] <= self.ucb_beta[1], "ucb_beta", self.ucb_beta, "two rising numbers > 0")
        settle_counts(self, "candidates", "num_ascents", "refit_steps")
        require(self.candidates >= 64, "candidates", self.candidates, "at least 64")
        require(
            self.num_ascents <= self.candidates // 2, "num_ascents", self.num_ascents, "at most half of the candidates"
        )

    def init(self, key: Key, problem: Problem) -> BayesianState:
        """Start without a model."""
        wanted, num = OBJECTIVES.get(self.acquisition), len(problem.objectives)
        remedy = f"'bounds' or 'thompson' for {num} objectives; this one takes {wanted}"
        require(wanted in (None, num), "acquisition", self.acquisition, remedy)
        best = jnp.full(self.limit // 2, NONE, jnp.int32)
        outputs = num_outputs(problem, self._selector(problem).costs)
        theta = jnp.tile(jnp.asarray(start(num_inputs(problem)), jnp.float32), (outputs, 1))
        return BayesianState(key, best, begin(theta), jnp.zeros((), bool))

    def ask(
        self, key: Key, state: BayesianState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, BayesianState]:
        """Fit, search and pick, or follow the initial design; see `Algorithm.ask`."""
        index = history.next_rows(num)
        fresh = in_initial_design(index, state.best, self.initial, problem)
        used = jnp.arange(num, dtype=jnp.int32) < count

        def search() -> tuple[Array, BayesianState]:
            child, _, after = self.choose(key, state, history, problem, num, count)
            return child, after

        none = jnp.zeros((num, problem.num_dimensions), jnp.float32)
        child, state = when(jnp.any(used & ~fresh), search, lambda: (none, state))
        return proposals(initial_design(state.scramble, index, fresh, child, problem.space)), state

    def in_design(self, problem: Problem, last: int, none_ended: bool) -> bool:
        """Tell whether the first `last` rows all are of the design; see `Designed`."""
        return none_ended or last <= (self.initial or design_size(problem.space))

    def design(
        self, key: Key, state: BayesianState, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, BayesianState]:
        """Propose the initial design; see `Designed`."""
        index, fresh = history.next_rows(num), jnp.ones(num, bool)
        none = jnp.zeros((num, problem.num_dimensions), jnp.float32)
        return proposals(initial_design(state.scramble, index, fresh, none, problem.space)), state

    def acquire(self, state: BayesianState, history: History, problem: Problem, unit: Array) -> Array:
        """Score settings by what they promise: snapped f32[n, D] -> f32[n], smaller is better.

        Minus the logarithm of the constrained expected improvement of the first objective, by the model of the
        latest fit; all 0 while there are too few trials.
        """
        outputs = jnp.array([0, *range(len(problem.objectives), num_outputs(problem))], jnp.int32)

        def score() -> Array:
            rows = chosen(history, problem, state.best, num_rows(self.limit, problem))
            data = training_data(history, problem, rows, self._selector(problem).costs)
            model = surrogate(state.fit.theta, data, history, problem)
            predicted = posterior(model, unit, problem)
            mean, deviation = predicted.mean[outputs], jnp.sqrt(predicted.variance)[outputs]
            return acquisition.constrained_improvement(mean, deviation, model.aim.least)

        none = jnp.zeros(unit.shape[0], jnp.float32)
        return when(enough(state.best, problem), score, lambda: none)

    def _selector(self, problem: Problem) -> BatchSelector:
        wide = problem.num_dimensions > CONFIG.wide_dimensions and len(problem.objectives) == 1
        fitting = "log_ei" if wide else "bounds"  # in wide spaces bounds hope for what is far from everything
        return BatchSelector(fitting if self.acquisition == AUTO else self.acquisition, self.ucb_beta, self.num_ascents)

    def choose(
        self,
        key: Key,
        state: BayesianState,
        history: History,
        problem: Problem,
        num: int,
        count: Array,
        local: Array | None = None,
    ) -> tuple[Array, Array, BayesianState]:
        """Fit the model, and choose a batch.

        Args:
          key: consumed.
          state: of this algorithm; there must be trials `enough` for a model.
          history: all trials.
          problem: static.
          num: Q, static.
          count: i32[] how many will be used.
          local: f32[P, D] snapped places to choose from, besides steps around the best trials and as many as both all
            over the space, or all settings of a small one; None for none.

        Returns:
          Settings f32[Q, D]; the places in `local` that they are or were refined from, i32[Q], P and more for those
          from elsewhere; and the state with the model that found them.
        """
        draws, selector = Draws(key), self._selector(problem)
        best = history.unit[_filled(state.best[: CONFIG.num_local_starts])]

        rows = chosen(history, problem, state.best, num_rows(self.limit, problem))
        data = training_data(history, problem, rows, selector.costs)
        state = self._refitted(state, data, problem, num)
        model = surrogate(state.fit.theta, data, history, problem)
        pool = self._pool(draws, best, problem, local)
        found = selector.shortlist(draws, pool, model, history, problem, num)
        picked = selector.pick(draws, found, num, count)
        return found.unit[picked], found.origin[picked], state

    def _refitted(self, state: BayesianState, data: TrainingData, problem: Problem, num: int) -> BayesianState:
        """Fit the hyperparameters to the data."""
        later = min(self.refit_steps, CONFIG.least_fit_steps + num - 1)
        steps = jnp.where(state.fitted, jnp.int32(later), jnp.int32(max(CONFIG.first_fit_steps, later)))
        return state._replace(fit=refitted(state.fit, data, problem, steps), fitted=jnp.ones((), bool))

    def _pool(self, draws: Draws, best: Array, problem: Problem, local: Array | None) -> Array:
        """Return the local places, others around the best, and as many all over the space; or all that there are."""
        space = problem.space
        few = settings(space, self.candidates)
        if few is not None:
            return few if local is None else jnp.concatenate([local, few])
        near = candidates.local_candidates(draws, best, space, self.candidates // 2)
        near = near if local is None else jnp.concatenate([local, near])
        return jnp.concatenate([near, candidates.global_candidates(draws, space, near.shape[0])])


def _filled(rows: Array) -> Array:
    """Repeat the rows there are in the places of those that are none."""
    return rows[jnp.arange(rows.shape[0], dtype=jnp.int32) % jnp.maximum(jnp.sum(rows < NONE, dtype=jnp.int32), 1)]
