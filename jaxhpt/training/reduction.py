"""How the metrics of R models become those of one trial: a mean, the worst or a bound, and the spread beside it."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from jaxhpt.core.metrics import choose
from jaxhpt.core.spread import Spread
from jaxhpt.core.typing import Array
from jaxhpt.training.returned import Reduced

MEAN, WORST, BOUND = "mean", "worst", "bound"
REDUCE = (MEAN, WORST, BOUND)
STD = "_std"  # ending of the spread of a metric, over replicas
MEANS = "_mean"  # ending of the mean of a metric that is itself the worst, or a bound


@dataclasses.dataclass(frozen=True)
class Reduction:
    """Metrics of R models to those of a trial.

    What is optimised or bounded is reduced as `how` says; the other metrics are means.

    Attributes:
      how: "mean"; "worst"; or "bound", the mean moved to the worse by its standard error, std / sqrt(R).
      wanted: objective, direction, objectives and constraints of the task.
      noisy: whether the spread is chance alone: folds that all trials share differ for all of them alike.
    """

    how: str
    wanted: tuple[Any, Any, Any, Any]
    noisy: bool = True

    def __call__(self, found: Mapping[str, Array], unnamed: bool) -> Reduced:
        """Reduce f32[R] each to f32[] each, and add the spreads: standard deviations, where there are R > 1 models."""
        num = next(iter(found.values())).shape[0]
        means = {name: jnp.mean(values) for name, values in found.items()}
        spreads = {name: jnp.std(values, ddof=1) for name, values in found.items()} if num > 1 else {}
        derived = {name + STD: spread for name, spread in spreads.items()}
        signs = {} if self.how == MEAN else self._signs(tuple(found), unnamed)
        reduced = dict(means)
        for name, sign in signs.items():
            derived[name + MEANS] = means[name]
            reduced[name] = self._pessimistic(found[name], means[name], spreads[name], sign)
        _refuse_taken(reduced, derived)
        known = tuple(Spread(name, name + STD, num) for name in spreads) if self.noisy else ()
        return Reduced(reduced, derived, unnamed, num, known)

    def _pessimistic(self, values: Array, mean: Array, spread: Array, sign: float) -> Array:
        """Return what is worse than the mean; less is better where `sign` is 1."""
        if self.how == WORST:
            return sign * jnp.max(sign * values)
        return mean + sign * spread / math.sqrt(values.shape[0])

    def _signs(self, names: tuple[str, ...], unnamed: bool) -> dict[str, float]:
        """Return what is optimised or bounded, and 1 where less is better, -1 where more is."""
        objective, direction, objectives, constraints = self.wanted
        own = _without(objectives, names), _without(constraints, names)
        spec = choose(names, objective, direction, own[0], own[1], unnamed)
        bounds = {bound.name: 1.0 if bound.relation.startswith("<") else -1.0 for bound in spec.constraints}
        return {**bounds, **{wanted.name: wanted.sign for wanted in spec.objectives}}


def _without(wanted: Any, names: tuple[str, ...]) -> Any:
    """Leave out what is wanted of derived metrics, such as a bound on the spread."""
    if not isinstance(wanted, Mapping):
        return wanted
    known = {name + ending for name in names for ending in (STD, MEANS)}
    return {name: value for name, value in wanted.items() if name in names or name not in known}


def _refuse_taken(metrics: Mapping[str, Array], derived: Mapping[str, Array]) -> None:
    for name in derived:
        if name in metrics:
            raise ValueError(f"evaluate metric {name!r}: is the name of what replicas tell of another; rename it")
