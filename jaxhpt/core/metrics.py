"""What is optimised: the columns of metrics, their direction, constraints, and scores that are always minimised.

Inside, every score is minimised, and a failed trial's is `+inf`, never NaN. A user sees his own metric in its
own sign.
"""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import suggest
from jaxhpt.core.constraints import Constraint
from jaxhpt.core.ranges import LARGEST
from jaxhpt.core.spread import Spread
from jaxhpt.core.typing import Array, Metrics

SCALAR = "score"  # the name of a metric that came without one
SPLITS = ("", "train_", "val_", "valid_", "validation_", "test_")
DIRECTIONS = {  # the whole names that tell the direction; nothing is guessed from a part of a name
    **{split + name: "min" for split in SPLITS for name in ("loss", "error", "mae", "mse", "rmse", "nll")},
    **{split + name: "max" for split in SPLITS for name in ("accuracy", "acc", "auc", "recall", "precision")},
    **{"perplexity": "min", "f1": "max", "r2": "max", "reward": "max", "return": "max", "episode_return": "max"},
}
_CLOSE = np.int32((96 + 127) << 23)  # the bits of 2^96: scores from there on stand half as far apart in the fitness
_BROKEN = np.int32((112 + 127) << 23)  # the bits of 2^112: the fitness of rows that break a constraint begins here


@dataclasses.dataclass(frozen=True)
class Objective:
    """One metric to optimise.

    Attributes:
      name: the metric's name.
      direction: "min" or "max".
    """

    name: str
    direction: str

    def __post_init__(self) -> None:
        if self.direction not in ("min", "max"):
            raise ValueError(f"direction={self.direction!r}: must be 'min' or 'max'")

    @property
    def sign(self) -> float:
        """What turns the metric into a score, and back."""
        return -1.0 if self.direction == "max" else 1.0


@dataclasses.dataclass(frozen=True)
class MetricSpec:
    """The K columns of scores: the objectives first, the other metrics after them as they are.

    Attributes:
      objectives: the metrics to optimise.
      extra_metrics: names of the metrics that are only kept, or only bounded.
      constraints: bounds that a solution must keep.
      spreads: what is known of the noise of metrics.
    """

    objectives: tuple[Objective, ...]
    extra_metrics: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    spreads: tuple[Spread, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the K columns."""
        return tuple(o.name for o in self.objectives) + self.extra_metrics

    @property
    def signs(self) -> tuple[float, ...]:
        """Signs of the K columns."""
        return tuple(o.sign for o in self.objectives) + (1.0,) * len(self.extra_metrics)

    def spread_of(self, name: str) -> tuple[int, int] | None:
        """Return the column of a metric's spread, and over how many models it is; None where it is not known."""
        found = [spread for spread in self.spreads if spread.metric == name]
        return (self.names.index(found[0].column), found[0].models) if found else None

    def scores(self, metrics: Metrics) -> tuple[Array, Array]:
        """Turn what the user's function returned into scores.

        Args:
          metrics: a scalar, or a dict of scalars, of floats, whole numbers or booleans.

        Returns:
          scores f32[K], +inf where not finite, and ok bool[]: whether every objective is finite.
        """
        named = metrics if isinstance(metrics, Mapping) else {SCALAR: metrics}
        raw = jnp.stack([jnp.asarray(named[n], jnp.float32) * s for n, s in zip(self.names, self.signs, strict=True)])
        finite = jnp.isfinite(raw)
        ok = jnp.all(finite[: len(self.objectives)])
        return jnp.where(finite & ok, raw, jnp.inf), ok

    def host_scores(self, value: float | Mapping[str, float] | None) -> np.ndarray:
        """Turn what a person says of one trial into scores, as `scores` does on device.

        Args:
          value: a number for the first metric, or a dict; None for a trial that failed. What is left out is unknown.

        Returns:
          f64[K], +inf where not finite, and all of it where an objective is not.
        """
        named = self.named(value) if value is not None else {}
        raw = np.array([_number(name, named.get(name, np.nan)) for name in self.names]) * self.signs
        finite = np.isfinite(raw)
        return np.where(finite & finite[: len(self.objectives)].all(), raw, np.inf)

    def named(self, value: float | Mapping[str, float]) -> Mapping[str, float]:
        """Give a number the name of the first metric; a dict is as it is."""
        return value if isinstance(value, Mapping) else {self.names[0]: value}

    def violation(self, scores: Array) -> Array:
        """Add up by how much constraints are broken.

        Args:
          scores: f32[..., K].

        Returns:
          f32[...]: 0 where all are kept, finite where all bounded metrics are known, else +inf.
        """
        total, unknown = jnp.zeros(scores.shape[:-1], jnp.float32), jnp.zeros(scores.shape[:-1], bool)
        for constraint in self.constraints:
            column = self.names.index(constraint.name)
            score = scores[..., column]
            broken = constraint.violation(score * jnp.float32(self.signs[column]))
            total = jnp.minimum(total + jnp.where(jnp.isfinite(score), broken, 0.0), LARGEST)
            unknown |= ~jnp.isfinite(score)
        return jnp.where(unknown, jnp.inf, total)

    def feasible(self, scores: Array) -> Array:
        """Tell which rows keep all constraints: f32[..., K] -> bool[...]; all of them where there are none."""
        return self.violation(scores) <= 0

    def fitness(self, scores: Array) -> Array:
        """Fold the first objective and the constraints into one number to minimise.

        Rows that keep all constraints come first, by their score; then the others, by their violation; failed ones are
        +inf. Without constraints it is the score. With them it is the score up to 2^96; of what is larger, neighbours
        in float32 may share one place, so that all of it stays below the first row that breaks a constraint.

        Args:
          scores: f32[..., K].

        Returns:
          f32[...]; to be compared, not to be shown.

        References:
          Deb, "An efficient constraint handling method for genetic algorithms",
          https://doi.org/10.1016/S0045-7825(99)00389-8 (2000).
        """
        score = scores[..., 0]
        if not self.constraints:
            return score
        violation, bits = self.violation(scores), _bits(score)
        kept = jnp.where(bits > _CLOSE, _float(_CLOSE + ((bits - _CLOSE) >> 1)), score)
        folded = jnp.where(violation > 0, _float(_BROKEN + (_bits(violation) >> 4)), kept)
        return jnp.where(jnp.isfinite(score), folded, jnp.inf)

    def standing(self, scores: np.ndarray) -> np.ndarray:
        """Rank rows on the host, in float64, by what `fitness` says of them.

        Args:
          scores: f64[C, K].

        Returns:
          f64[C]: 0 for the best, the same for equals; +inf for failed ones.
        """
        broken = self.broken(scores)
        keys = np.stack([broken, np.where(broken > 0, 0.0, scores[:, 0])], axis=1)
        _, place = np.unique(keys, axis=0, return_inverse=True)
        return np.where(np.isfinite(scores[:, 0]), place.reshape(-1), np.inf)

    def broken(self, scores: np.ndarray) -> np.ndarray:
        """Measure what `violation` does, on the host: f64[C, K] -> f64[C]."""
        total = np.zeros(scores.shape[0])
        for constraint in self.constraints:
            column = self.names.index(constraint.name)
            score = scores[:, column]
            broken = constraint.broken(np.where(np.isfinite(score), score, 0.0) * self.signs[column])
            total = np.minimum(total, np.finfo(np.float64).max - broken) + broken
            total = np.where(np.isfinite(score), total, np.inf)
        return total


def _bits(value: Array) -> Array:
    """Return the bits of f32 as i32, which of positive numbers have the same order."""
    return jax.lax.bitcast_convert_type(value, jnp.int32)


def _float(bits: Array) -> Array:
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _number(name: str, value: Any) -> float:
    """Read what a person gives as a number, None and NaN for a failure."""
    value = getattr(value, "item", lambda: value)() if getattr(value, "ndim", 0) == 0 else value
    if value is None:
        return math.nan
    if not isinstance(value, numbers.Real):
        raise TypeError(f"values: {name!r} is {value!r}: must be a number; None or NaN where the trial failed")
    try:
        return float(value)
    except OverflowError:  # a whole number beyond float64
        return math.inf


def choose(
    names: tuple[str, ...],
    objective: str | None = None,
    direction: str | None = None,
    objectives: Mapping[str, str] | None = None,
    constraints: Mapping[str, tuple[str, float]] | None = None,
    unnamed: bool = False,
    derived: tuple[str, ...] = (),
    spreads: tuple[Spread, ...] = (),
) -> MetricSpec:
    """Decide which of the metrics are optimised, which way, and which are bounded.

    Args:
      names: the metrics that `evaluate` returns.
      objective: the one to optimise; None where there is only one.
      direction: "min" or "max"; None where the whole name tells, see `DIRECTIONS`.
      objectives: several to optimise, name to direction; instead of the two above.
      constraints: name to (relation, bound), such as {"params": ("<=", 50_000)}.
      unnamed: whether the only metric is a bare scalar: it is a loss, minimised unless `direction` says otherwise.
      derived: those of the metrics that only tell of others, such as their spread: none is optimised unasked.
      spreads: those that tell how noisy others are.

    Raises:
      ValueError: a name that is not among the metrics, or a choice that is not clear.
    """
    chosen = _several(objectives) if objectives is not None else (_one(names, objective, direction, unnamed, derived),)
    for wanted in chosen:
        require_known("objective", wanted.name, names)
    optimised = [o.name for o in chosen]
    extra = tuple(n for n in names if n not in optimised)
    return MetricSpec(chosen, extra, _bounds(constraints or {}, names), spreads)


def require_known(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise unless `evaluate` returns the metric."""
    if name not in names:
        raise ValueError(f"{kind}={name!r}: evaluate does not return it; {suggest(name, names)}")


def _one(
    names: tuple[str, ...], objective: str | None, direction: str | None, unnamed: bool, derived: tuple[str, ...]
) -> Objective:
    own = [name for name in names if name not in derived]
    if objective is None and len(own) > 1:
        raise ValueError(f"objective=None: evaluate returns several metrics; choose one of {sorted(own)}")
    name = own[0] if objective is None else objective
    require_known("objective", name, names)
    if direction is None:
        direction = "min" if unnamed and name == SCALAR else _direction(name)
    return Objective(name, direction)


def _several(objectives: Mapping[str, str]) -> tuple[Objective, ...]:
    if not isinstance(objectives, Mapping) or not objectives:
        raise ValueError(f'objectives={objectives!r}: must be a dict such as {{"accuracy": "max", "params": "min"}}')
    return tuple(Objective(name, direction) for name, direction in objectives.items())


def _bounds(constraints: Mapping[str, tuple[str, float]], names: tuple[str, ...]) -> tuple[Constraint, ...]:
    remedy = 'must be a dict such as {"params": ("<=", 50_000)}'
    if not isinstance(constraints, Mapping):
        raise ValueError(f"constraints={constraints!r}: {remedy}")
    for name, bound in constraints.items():
        require_known("constraint", name, names)
        if not (isinstance(bound, (tuple, list)) and len(bound) == 2):
            raise ValueError(f"constraints={constraints!r}: {remedy}")
    return tuple(Constraint(name, *bound) for name, bound in constraints.items())


def _direction(name: str) -> str:
    if name.lower() not in DIRECTIONS:
        remedy = 'say direction="min" if less is better, or direction="max" if more is better'
        raise ValueError(f"direction=None: the objective's name {name!r} does not tell; {remedy}")
    return DIRECTIONS[name.lower()]
