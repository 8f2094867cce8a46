"""Population-based bandits: population-based training whose settings a Gaussian process chooses.

Parker-Holder, Nguyen and Roberts, "Provably efficient online hyperparameter optimization with population-based
bandits", https://arxiv.org/abs/2002.02518 (2020).
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import exclusive_count
from jaxhpt.core.checks import require
from jaxhpt.core.control import when
from jaxhpt.core.history import History, behind
from jaxhpt.core.keys import uniforms
from jaxhpt.core.lanes import Copies, Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key
from jaxhpt.schedulers.base import Verdict, require_one_objective, scores_of
from jaxhpt.schedulers.explore import perturbed
from jaxhpt.schedulers.pbt import PBT
from jaxhpt.surrogates import gp
from jaxhpt.surrogates.acquisition import pick_one_by_one
from jaxhpt.surrogates.features import embed, with_column, with_owner
from jaxhpt.surrogates.gp_fit import begin, fit, start
from jaxhpt.surrogates.outcome_transforms import standardize

MEMORY = 256  # latest observations that are learned from
ENOUGH = 8  # observations that a model needs
POOL = 512  # settings that it is asked about
FIT_STEPS = 10


class PB2State(NamedTuple):
    """What the population has seen.

    Attributes:
      unit: f32[W, D] settings that lanes trained under from one comparison to the next.
      when: f32[W] steps at the end of that, over those of the longest trial.
      gain: f32[W] what their scores changed by; below 0 where they became better.
      num_seen: i32[] observations so far; beyond W they replace the earliest.
      theta: f32[D + 3] hyperparameters of the process; time has a length-scale of its own.
    """

    unit: Array
    when: Array
    gain: Array
    num_seen: Array
    theta: Array


@dataclasses.dataclass(frozen=True)
class PB2(PBT):
    """Population-based bandits (PB2): `PBT` whose settings a Gaussian process chooses.

    Choose it in place of `PBT` for populations of 4 to 32, where chance is a bad guide. As `PBT`, but the settings of
    copies come from a Gaussian process, which learns from all the population has seen how much a setting improves a
    model at which time of its training, and is asked where it hopes for most.

    Args:
      perturbation_interval: as of `PBT`.
      exploit: as of `PBT`.
      quantile_fraction: as of `PBT`.
      perturbation: as of `PBT`; while there is no model, and for a half of the settings that it is asked about.
      resample: as of `PBT`; likewise.
      ucb_beta: deviations of the model that are hoped for, above 0; more explores more.

    Raises:
      ValueError, TypeError: an argument out of range; at the start of a search, several objectives.

    Example:
      >>> import jaxhpt, jax.numpy as jnp
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=40, trials=8, lanes=8, scheduler=jaxhpt.PB2(perturbation_interval=5), progress=False,
      ... )
      >>> result.stats.copies > 0
      True

    References:
      See the module, and `surrogates.gp`.
    """

    ucb_beta: float = 1.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.ucb_beta > 0, "ucb_beta", self.ucb_beta, "above 0")

    def init(self, key: Key, problem: Problem) -> Any:
        """Begin without observations."""
        require_one_objective(self, problem)
        super().init(key, problem)
        none, size = jnp.zeros(MEMORY, jnp.float32), problem.num_dimensions
        unit = jnp.zeros((MEMORY, size), jnp.float32)
        return PB2State(unit, none, none, jnp.zeros((), jnp.int32), jnp.asarray(start(size + 1)))

    def lane_init(self, problem: Problem) -> Array:
        """Return the score of each lane's weights at the last comparison, f32[L]: +inf, as there was none."""
        return jnp.full(problem.lanes, jnp.inf, jnp.float32)

    def decide(
        self, key: Key, state: Any, lane_notes: Array, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, Any, Array]:
        """Learn from what the lanes gained, then let the worst go on from the best."""
        score = scores_of(lanes, history, problem)
        state = self._observed(state, lane_notes, score, lanes, history, problem)
        before = jnp.where(self._ready(lanes, problem), score, lane_notes)
        verdict, state, before = super().decide(key, state, before, lanes, history, problem)
        return verdict, state, _inherited(before, score, verdict.copies)

    def explored(
        self, key: Key, state: Any, unit: Array, wanted: Array, lanes: Lanes, problem: Problem
    ) -> tuple[Array, Any]:
        """Ask the model for as many settings as there may be copies, if it knows enough."""
        moved, _ = super().explored(key, state, unit, wanted, lanes, problem)
        latest = jnp.max(jnp.where(self._ready(lanes, problem), lanes.steps, 0))
        now = latest.astype(jnp.float32) / problem.schedule.steps

        def ask() -> tuple[Array, Any]:
            return self._chosen(key, state, unit, now, problem)

        return when(wanted & (state.num_seen >= ENOUGH), ask, lambda: (moved, state))

    def _observed(
        self, state: PB2State, before: Array, score: Array, lanes: Lanes, history: History, problem: Problem
    ) -> PB2State:
        """Enter what the lanes that are compared gained since the last time, when their scores were f32[L] `before`."""
        ready = self._ready(lanes, problem)
        trained = lanes.steps if history.begun is None else lanes.steps - behind(history, lanes.trial)
        first = trained <= self.period(problem.schedule)  # another trial was here before, or none
        gain = score - jnp.where(first, jnp.inf, before)
        known = ready & jnp.isfinite(gain)
        kept = known & (exclusive_count(known) < MEMORY)
        place = jnp.where(kept, (state.num_seen + exclusive_count(known)) % MEMORY, MEMORY)
        unit = history.unit[lanes.trial]
        return state._replace(
            unit=state.unit.at[place].set(unit, mode="drop"),
            when=state.when.at[place].set(lanes.steps.astype(jnp.float32) / problem.schedule.steps, mode="drop"),
            gain=state.gain.at[place].set(gain, mode="drop"),
            num_seen=state.num_seen + jnp.sum(kept, dtype=jnp.int32),
        )

    def _chosen(self, key: Key, state: PB2State, unit: Array, now: Array, problem: Problem) -> tuple[Array, PB2State]:
        """Fit the model, and pick the settings it hopes most of, one by one: f32[N, D]."""
        k, num, space = jax.random.split(key, 2), unit.shape[0], problem.space
        owner = with_owner(space)

        def inputs(unit: Array, when: Array) -> Array:
            return with_column(embed(unit, space), when)

        known = jnp.arange(MEMORY, dtype=jnp.int32) < state.num_seen
        x, y = inputs(state.unit, state.when), standardize(state.gain, known)
        centre = inputs(unit[:1], now)[0]
        theta = fit(begin(state.theta), jnp.int32(FIT_STEPS), x, y, known, owner, centre).theta
        model = gp.condition(theta, x, y, known, known, owner, centre)
        near = perturbed(
            k[0], unit[jnp.arange(POOL // 2, dtype=jnp.int32) % num], space, self.perturbation, self.resample
        )
        pool = jnp.concatenate([near, space.snap(uniforms(k[1], (POOL // 2, unit.shape[1])))])
        predicted = gp.posterior(model, inputs(pool, now), owner)
        covariance = gp.covariance(model, predicted.x, predicted.x) - predicted.root.T @ predicted.root

        def hope(i: Array, mean: Array, deviation: Array) -> Array:
            return mean[0] - self.ucb_beta * deviation[0]

        noise = gp.noise(theta)[None]
        picked = pick_one_by_one(hope, predicted.mean[None], covariance[None], noise, num, jnp.int32(num))
        return pool[picked], state._replace(theta=theta)


def _inherited(before: Array, score: Array, copies: Copies | None) -> Array:
    """Give lanes that take over another's weights its score, too."""
    assert copies is not None
    source = score[copies.source]
    return before.at[copies.target].set(source, mode="drop")
