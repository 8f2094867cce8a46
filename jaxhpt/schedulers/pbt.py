"""Population-based training: settings change while models train; the worst go on from the best's weights.

Jaderberg, Dalibard, Osindero, Czarnecki, Donahue, Razavi, Vinyals, Green, Dunning, Simonyan, Fernando and Kavukcuoglu,
"Population based training of neural networks", https://arxiv.org/abs/1711.09846 (2017).
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.checks import require, suggest
from jaxhpt.core.history import History
from jaxhpt.core.keys import uniforms
from jaxhpt.core.lanes import Copies, Lanes
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE, Array, Key
from jaxhpt.schedulers import archive, pairs
from jaxhpt.schedulers.base import Periodic, Verdict, require_to_act, scores_of
from jaxhpt.schedulers.explore import perturbed

EXPLOITS = ("truncation", "tournament")


class PBTState(NamedTuple):
    """Nothing: the lanes are the population."""


@dataclasses.dataclass(frozen=True)
class PBT(Periodic):
    """Population-based training (PBT): the worst of a population go on from the best's weights, under moved settings.

    Choose it where the best setting changes while a model trains, as learning rates do. The lanes are the population:
    give as many `trials` as `lanes`, and all train from the beginning to the end. Every so many steps they are scored;
    the worst end, and their lanes go on from the weights, optimiser state and step count of some of the best, with
    settings moved a little. Each copy is a trial of its own, with its `parent`, beyond `trials`; `Result.lineage` tells
    the whole schedule. One that failed is replaced likewise. No trial goes on from one that has trained less. What is
    read at the start of a training only, such as the scale of its first weights, no longer has an effect in a copy; nor
    has a hyperparameter that sets the length, as a copy has its parent's budget.

    Of several objectives, the best are the first fronts of non-dominated sorting, and in a front those that lie
    farthest apart. Constraints come before objectives.

    Args:
      perturbation_interval: steps between two comparisons, at least 1; None is a twentieth of the longest trial.
      exploit: "truncation", the worst `quantile_fraction` copies from the best; "tournament", each copies from another
        one drawn by chance if that is better.
      quantile_fraction: of the population, above 0 and at most 1/2; for truncation.
      perturbation: how far a setting moves, in units of its range on its own scale, above 0 and at most 1/2: on a
        logarithmic scale from 1e-5 to 1e-1, 0.1 is a factor of 2.5.
      resample: chance of each dimension to be drawn anew instead, in [0, 1]; unordered choices change only so.

    Raises:
      ValueError, TypeError: an argument out of range.

    Example:
      >>> import jaxhpt, jax.numpy as jnp
      >>> result = jaxhpt.search(
      ...     lambda w, batch, h, key: w - h["lr"] * 2 * w, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)},
      ...     init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: {"loss": w**2},
      ...     steps=40, trials=16, lanes=16, scheduler=jaxhpt.PBT(perturbation_interval=5), progress=False,
      ... )
      >>> len(result.lineage(result.best)) >= 1
      True

    References:
      See the module.
    """

    perturbation_interval: int | None = None
    exploit: str = "truncation"
    quantile_fraction: float = 0.2
    perturbation: float = 0.1
    resample: float = 0.1

    period_name: ClassVar[str] = "perturbation_interval"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = self.exploit in EXPLOITS
        require(known, "exploit", self.exploit, f"known; {suggest(str(self.exploit), EXPLOITS)}")
        require(
            0 < self.quantile_fraction <= 0.5, "quantile_fraction", self.quantile_fraction, "above 0 and at most 1/2"
        )
        require(0 < self.perturbation <= 0.5, "perturbation", self.perturbation, "above 0 and at most 1/2")
        require(0 <= self.resample <= 1, "resample", self.resample, "in [0, 1]")

    def num_copies(self, schedule: Schedule, trials: int) -> int:
        """Return one for each comparison in each trial's life."""
        return trials * max(0, -(-schedule.steps // self.period(schedule)) - 1)

    def init(self, key: Key, problem: Problem) -> Any:
        """Return the empty state."""
        require_to_act(self, problem, self.period_name, self.period(problem.schedule))
        return PBTState()

    def decide(
        self, key: Key, state: Any, lane_notes: Any, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Verdict, Any, Any]:
        """Let the worst go on from the best."""
        exploit_key, explore_key = jax.random.split(key)
        ready = self._ready(lanes, problem)
        score = self._standing(ready, lanes, history, problem)
        source, target = self._pairs(exploit_key, ready, score, lanes, history, problem)
        num = lanes.trial.shape[0]
        better = (source < NONE) & (target < NONE) & jnp.isfinite(score[source]) & (score[source] < score[target])
        better &= lanes.steps[source] >= lanes.steps[target]
        old = history.unit[lanes.trial[source]]
        unit, state = self.explored(explore_key, state, old, jnp.any(better), lanes, problem)
        copies = Copies(jnp.where(better, source, NONE), jnp.where(better, target, NONE), unit)
        return Verdict(jnp.zeros(num, bool), lanes.budget, copies), state, lane_notes

    def explored(
        self, key: Key, state: Any, unit: Array, wanted: Array, lanes: Lanes, problem: Problem
    ) -> tuple[Array, Any]:
        """Return settings for copies of f32[N, D], and the state; nothing of worth where bool[] `wanted` is False."""
        return perturbed(key, unit, problem.space, self.perturbation, self.resample), state

    def _standing(self, ready: Array, lanes: Lanes, history: History, problem: Problem) -> Array:
        """Return what lanes are compared by, f32[L], minimised; of several objectives among bool[L] `ready` alone."""
        if len(problem.objectives) == 1:
            return scores_of(lanes, history, problem)
        points = archive.points_of(lanes, history, problem)
        return archive.standing_of(jnp.where(ready[:, None], points, jnp.inf), len(problem.objectives))

    def _pairs(
        self, key: Key, ready: Array, score: Array, lanes: Lanes, history: History, problem: Problem
    ) -> tuple[Array, Array]:
        """Say which lanes are copied from and to: i32[N] each; NONE for none."""
        if not problem.space.structural:
            return (self._truncated if self.exploit == "truncation" else self._tournament)(key, ready, score)
        unit = history.unit[jnp.minimum(lanes.trial, problem.capacity - 1)]
        together = pairs.alike(unit, ready, problem.space.structural)
        if self.exploit == "truncation":
            return pairs.truncated(key, together, score, self.quantile_fraction)
        return pairs.tournament(key, together)

    def _ready(self, lanes: Lanes, problem: Problem) -> Array:
        """Tell which lanes are compared in this event: bool[L]."""
        return self.looked_at(lanes, problem) & ~lanes.spent

    def _truncated(self, key: Key, ready: Array, score: Array) -> tuple[Array, Array]:
        """Pair the worst with some of the best: lanes copied from and to, i32[N] each; NONE for none."""
        num = score.shape[0]
        order = jnp.lexsort((score, ~ready)).astype(jnp.int32)
        compared = jnp.sum(ready, dtype=jnp.int32)
        few = jnp.minimum(
            jnp.maximum((self.quantile_fraction * compared.astype(jnp.float32)).astype(jnp.int32), 1), compared // 2
        )
        index = jnp.arange(max(1, int(self.quantile_fraction * num)), dtype=jnp.int32)
        drawn = (uniforms(key, index.shape) * few.astype(jnp.float32)).astype(jnp.int32)
        used = index < few
        return jnp.where(used, order[drawn], NONE), jnp.where(used, order[compared - 1 - index], NONE)

    def _tournament(self, key: Key, ready: Array, score: Array) -> tuple[Array, Array]:
        """Pair each with another one: as `_truncated`."""
        num = score.shape[0]
        order = jnp.lexsort((~ready,)).astype(jnp.int32)
        compared = jnp.sum(ready, dtype=jnp.int32)
        index = jnp.arange(num, dtype=jnp.int32)
        away = 1 + (uniforms(key, index.shape) * (compared - 1).astype(jnp.float32)).astype(jnp.int32)
        rival = order[(index + away) % jnp.maximum(compared, 1)]
        used = (index < compared) & (compared > 1)
        return jnp.where(used, rival, NONE), jnp.where(used, order, NONE)
