"""Grey stopping: what is forecast to end far behind the best ends now.

How the rest of a curve is forecast stands in `grey/forecast.py`. How far a forecast is to be trusted is learnt
in the search itself, from the trials that have trained to their end: for each age, by what factor the gains to come
were misjudged, and how wrong the forecasts still were. It takes five numbers an age, however many trials there are.

Deng, "Control problems of grey systems", https://doi.org/10.1016/S0167-6911(82)80025-X (1982), for the model of gains.
Domhan, Springenberg and Hutter, "Speeding up automatic hyperparameter optimization of deep neural networks by
extrapolation of learning curves", https://www.ijcai.org/Proceedings/15/Papers/487.pdf (2015), for stopping what is
forecast not to reach the best.
Maron and Moore, "Hoeffding races", https://papers.nips.cc/paper/841 (1993), for comparing the ends of bands.
"""

import dataclasses
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.checks import require, settle_counts
from jaxhpt.core.control import when
from jaxhpt.core.history import History
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import Array, Key
from jaxhpt.grey.forecast import gain_to_come
from jaxhpt.grey.sequences import positive
from jaxhpt.schedulers.base import Reporting, Verdict, curves_of, require_one_objective, require_to_act, scores_of

LOOKS = 40  # at the longest trial, where nothing else is asked for: four of them are a tenth of it
MOST_TRUST = 2.0  # a gain to come is never taken for more than twice what the curve says
TO_DEVIATION = math.sqrt(math.pi / 2)  # of a mean absolute error, were errors normal


class GreyStopState(NamedTuple):
    """What forecasts were like, at R ages of a trial.

    Attributes:
      best: f32[T] the best final scores, rising; +inf where there are none.
      judged: i32[] trials that came as far as the first look that judges.
      ended: f32[R] trials that trained to their end, and were forecast at an age.
      said: f32[R] sum of the sizes of the gains that were forecast.
      came: f32[R] sum of the gains that came, in the direction of the forecast.
      wrong: f32[R] sum of absolute errors of the forecasts of final scores.
    """

    best: Array
    judged: Array
    ended: Array
    said: Array
    came: Array
    wrong: Array


@dataclasses.dataclass(frozen=True)
class GreyStop(Reporting):
    """Grey forecast stopping: end a trial whose learning curve is forecast to end behind the best.

    Choose it where curves are smooth and trials many.

    From a few reports on, a grey model of the gains forecasts each trial's final score, in a band as wide as such
    forecasts proved wrong in this search so far. A trial ends when the better end of its band is behind the worse end
    of the `top` best: finished trials, whose band has no width, and live ones. Losers end at the first look that
    judges, those in doubt later, and what climbs late is kept for as long as it can still arrive. The best forecast is
    never stopped. Unlike rungs it keeps no share: with few good trials it stops nearly all.

    Args:
      eval_interval: steps between reports, at least 1; None is a fortieth of the longest trial.
      min_reports: reports before a trial is judged, at least 3; fewer are cheaper, and the forecasts worse.
      min_trials: trials that must have come as far as `min_reports` before any is stopped, at least 1.
      top: finished or live trials that must be out of reach, at least 1. More keep more, as an algorithm that learns
        from whole trainings, or one that wants several good settings, likes it.
      band: half the width of a band, in deviations of the forecasts' errors, at least 0; 0 believes the forecasts, 3
        stops little.

    Raises:
      ValueError, TypeError: an argument out of range; at the start of a search, several objectives.

    Example:
      >>> import jaxhpt, jax.numpy as jnp
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=40, trials=256, algorithm="random", scheduler=jaxhpt.GreyStop(eval_interval=1), progress=False,
      ... )
      >>> sum(trial.status == "stopped" for trial in result.trials) > 100
      True

    References:
      See the module.
    """

    eval_interval: int | None = None
    min_reports: int = 4
    min_trials: int = 3
    top: int = 2
    band: float = 2.0

    looks: ClassVar[int] = LOOKS

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_counts(self, "min_reports", "min_trials", "top")
        require(self.min_reports >= 3, "min_reports", self.min_reports, "at least 3: two gains are the least")
        sound = isinstance(self.band, int | float) and math.isfinite(self.band)
        require(sound and self.band >= 0, "band", self.band, "a finite number, at least 0")

    def init(self, key: Key, problem: Problem) -> GreyStopState:
        """Begin without any trial to learn from."""
        require_one_objective(self, problem)
        require_to_act(self, problem, "eval_interval", self.period(problem.schedule))
        require_to_act(self, problem, "min_reports", self.min_reports * self.period(problem.schedule))
        nothing = jnp.zeros(problem.schedule.reports, jnp.float32)
        best = jnp.full(self.top, jnp.inf, jnp.float32)
        return GreyStopState(best, jnp.zeros((), jnp.int32), *(nothing,) * 4)

    def lane_init(self, problem: Problem) -> Array:
        """Return what is forecast to come for each lane's trial after each of its reports, f32[L, R]: 0, as none."""
        return jnp.zeros((problem.lanes, problem.schedule.reports), jnp.float32)

    def decide(
        self, key: Key, state: GreyStopState, lane_notes: Array, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, GreyStopState, Array]:
        """Stop what is out of reach."""
        score = scores_of(lanes, history, problem)
        ends, sound = lanes.spent & jnp.isfinite(score), lanes.live & ~lanes.spent & jnp.isfinite(score)
        learns = ends
        if history.begun is not None:  # of a trial from an earlier search the first reports are not known
            whole = jnp.isfinite(curves_of(lanes, history, problem)[:, 0])
            sound, learns = sound & whole, ends & whole
        looked, count = sound & self.looked_at(lanes, problem), lanes.steps // self.period(problem.schedule)
        curve, total = curves_of(lanes, history, problem), self._reports(lanes.budget, problem)
        first = jnp.sum(looked & (count == self.min_reports), dtype=jnp.int32)
        state = self._learnt(state, lane_notes, curve, score, total, ends, learns)._replace(judged=state.judged + first)
        gain = _entered(lane_notes, curve, count, total, looked)
        ready = sound & (count >= self.min_reports)
        ahead, width = self._forecast(state, gain, score, count, total)
        ends_of_bands = jnp.concatenate([state.best, jnp.where(ready, ahead + width, jnp.inf)])
        reach = jnp.sort(ends_of_bands)[self.top - 1]
        stop = looked & ready & (ahead - width > reach) & (state.judged >= self.min_trials)
        return Verdict(stop, lanes.budget, None), state, gain

    def _reports(self, steps: Array, problem: Problem) -> Array:
        """Return how many reports a training of i32[L] steps makes: i32[L]."""
        return jnp.clip(-(-steps // self.period(problem.schedule)), 1, problem.schedule.reports)

    def _forecast(
        self, state: GreyStopState, gain: Array, score: Array, count: Array, total: Array
    ) -> tuple[Array, Array]:
        """Return the final score that is forecast for each lane, f32[L], and half the width of its band, f32[L]."""
        place = jnp.clip(count - 1, 0, state.ended.shape[0] - 1)
        gain = jnp.take_along_axis(gain, place[:, None], axis=1)[:, 0]
        age = jnp.clip(count * state.ended.shape[0] // total - 1, 0, state.ended.shape[0] - 1)
        trust = _trust(state.came[age], state.said[age], jnp.abs(gain))
        # One trial more than there were, whose forecast gain did not come: so there is a band before anything is known.
        error = (state.wrong[age] + jnp.abs(gain)) / (state.ended[age] + 1.0)
        return score + trust * gain, self.band * TO_DEVIATION * error

    def _learnt(
        self,
        state: GreyStopState,
        gains: Array,
        curve: Array,
        score: Array,
        total: Array,
        ends: Array,
        learns: Array,
    ) -> GreyStopState:
        """Learn from the lanes that end, bool[L], and what forecasts were worth from those that have been forecast."""

        def learn() -> GreyStopState:
            count, met = _counts(total, state.ended.shape[0])
            used = learns[:, None] & met & (count >= self.min_reports) & (count < total[:, None])
            gain, then = (jnp.take_along_axis(a, jnp.maximum(count - 1, 0), axis=1) for a in (gains, curve))
            came = jnp.where(used, score[:, None] - then, 0.0)
            said, gain = jnp.where(used, jnp.abs(gain), 0.0), jnp.where(used, gain, 0.0)
            wrong = jnp.abs(came - _trust(state.came[None], state.said[None], said) * gain)
            best = jnp.sort(jnp.concatenate([state.best, jnp.where(ends, score, jnp.inf)]))[: self.top]
            return state._replace(
                best=best,
                ended=state.ended + jnp.sum(used, axis=0, dtype=jnp.float32),
                said=state.said + jnp.sum(said, axis=0),
                came=state.came + jnp.sum(jnp.sign(gain) * came, axis=0),
                wrong=state.wrong + jnp.sum(wrong, axis=0),
            )

        return when(jnp.any(ends), learn, lambda: state)


def _entered(gain: Array, curve: Array, count: Array, total: Array, looked: Array) -> Array:
    """Enter forecasts of the curves f32[L, R] of bool[L] lanes that are looked at: f32[L, R]."""

    def enter() -> Array:
        here = jax.lax.broadcasted_iota(jnp.int32, gain.shape, 1) == count[:, None] - 1
        return jnp.where(here & looked[:, None], gain_to_come(curve, count, total)[:, None], gain)

    return when(jnp.any(looked), enter, lambda: gain)


def _trust(came: Array, said: Array, mine: Array) -> Array:
    """Return by what factor to believe a forecast gain of size f32[...] `mine`, that of one trial that was right."""
    return jnp.clip((came + mine) / positive(said + mine), 0.0, MOST_TRUST)


def _counts(total: Array, ages: int) -> tuple[Array, Array]:
    """Return at which report trials of i32[L] reports come to each age, i32[L, R], and whether they do, bool[L, R].

    Ages are shares of the training, so that trials of different lengths have them in common; the longest has them all.
    """
    age = 1 + jax.lax.broadcasted_iota(jnp.int32, (total.shape[0], ages), 1)
    count = -(-age * total[:, None] // ages)
    return count, count * ages // total[:, None] == age
