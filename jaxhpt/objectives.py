"""What is optimised: the columns of metrics, their direction, constraints, and scores that are always minimised.

Inside, every score is minimised, and a failed trial's is `+inf`, never NaN. A user sees his own metric in its
own sign.
"""

import dataclasses
import math
import numbers
from collections.abc import Iterable, Mapping

import jax.numpy as jnp
import numpy as np

from jaxhpt.checks import suggest
from jaxhpt.typing import Array, Metrics

SCALAR = "score"  # the name of a metric that came without one
HIGHER_IS_BETTER = ("accuracy", "acc", "auc", "f1", "precision", "r2", "recall", "return", "reward")
INFEASIBLE = 1e30  # fitness of rows that break a constraint begins here; scores of others must be below
LOWER_IS_BETTER = ("brier", "error", "loss", "mae", "mse", "nll", "perplexity", "rmse", SCALAR)


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
class Constraint:
    """A bound on one metric.

    Attributes:
      name: the metric's name.
      relation: "<=" or ">=".
      bound: the limit, itself allowed; in the metric's own sign.
    """

    name: str
    relation: str
    bound: float

    def __post_init__(self) -> None:
        if self.relation not in ("<=", ">="):
            raise ValueError(f"constraint {self.name!r}: the relation {self.relation!r} must be '<=' or '>='")
        number = isinstance(self.bound, numbers.Real) and not isinstance(self.bound, bool)
        if not (number and math.isfinite(self.bound)):
            raise ValueError(f"constraint {self.name!r}: the bound {self.bound!r} must be a finite number")

    def excess(self, value: Array) -> Array:
        """Measure how far values [...] are beyond the bound, as a share of it where it is not 0; below 0 inside it."""
        sign = 1.0 if self.relation == "<=" else -1.0
        return sign * (value - self.bound) / (abs(self.bound) or 1.0)

    def violation(self, value: Array) -> Array:
        """Measure by how much values [...] break the bound: `excess`, or 0."""
        return jnp.maximum(self.excess(value), 0.0)


@dataclasses.dataclass(frozen=True)
class Columns:
    """The K columns of scores: the objectives first, the other metrics after them as they are.

    Attributes:
      objectives: the metrics to optimise.
      others: names of the metrics that are only kept, or only bounded.
      constraints: bounds that a solution must keep.
    """

    objectives: tuple[Objective, ...]
    others: tuple[str, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the K columns."""
        return tuple(o.name for o in self.objectives) + self.others

    @property
    def signs(self) -> tuple[float, ...]:
        """Signs of the K columns."""
        return tuple(o.sign for o in self.objectives) + (1.0,) * len(self.others)

    def scores(self, metrics: Metrics) -> tuple[Array, Array]:
        """Turn what the user's function returned into scores.

        Args:
          metrics: a scalar, or a dict of scalars; any float dtype.

        Returns:
          scores f32[K], +inf where not finite, and ok bool[]: whether every objective is finite.
        """
        named = metrics if isinstance(metrics, Mapping) else {SCALAR: metrics}
        raw = jnp.stack([jnp.asarray(named[n], jnp.float32) * s for n, s in zip(self.names, self.signs, strict=True)])
        finite = jnp.isfinite(raw)
        ok = jnp.all(finite[: len(self.objectives)])
        return jnp.where(finite & ok, raw, jnp.inf), ok

    def told(self, value: float | Mapping[str, float] | None) -> np.ndarray:
        """Turn what a person says of one trial into scores, as `scores` does on device.

        Args:
          value: a number for the first metric, or a dict; None for a trial that failed. What is left out is unknown.

        Returns:
          f64[K], +inf where not finite, and all of it where an objective is not.
        """
        named = self.named(value) if value is not None else {}
        raw = np.array([float(named.get(name, np.nan)) for name in self.names]) * self.signs
        finite = np.isfinite(raw)
        return np.where(finite & finite[: len(self.objectives)].all(), raw, np.inf)

    def named(self, value: float | Mapping[str, float]) -> Mapping[str, float]:
        """Give a number the name of the first metric; a dict is as it is."""
        return value if isinstance(value, Mapping) else {self.names[0]: value}

    def violation(self, scores: Array) -> Array:
        """Add up by how much constraints are broken: scores f32[..., K] -> f32[...] >= 0, +inf where unknown."""
        total = jnp.zeros(scores.shape[:-1], jnp.float32)
        for constraint in self.constraints:
            column = self.names.index(constraint.name)
            score = scores[..., column]
            broken = constraint.violation(score * self.signs[column])
            total += jnp.where(jnp.isfinite(score), broken, jnp.inf)
        return total

    def fitness(self, scores: Array) -> Array:
        """Fold the first objective and the constraints into one number to minimise: f32[..., K] -> f32[...].

        Rows that keep all constraints come first, by their score; then the others, by their violation; failed
        ones are +inf.

        References:
          Deb, "An efficient constraint handling method for genetic algorithms",
          https://doi.org/10.1016/S0045-7825(99)00389-8 (2000).
        """
        score = scores[..., 0]
        if not self.constraints:
            return score
        violation = self.violation(scores)
        beyond = INFEASIBLE * (1.0 + jnp.minimum(violation, 1e8))  # stays finite
        return jnp.where((violation > 0) & jnp.isfinite(score), beyond, score)


def choose(
    names: tuple[str, ...],
    objective: str | None = None,
    direction: str | None = None,
    objectives: Mapping[str, str] | None = None,
    constraints: Mapping[str, tuple[str, float]] | None = None,
) -> Columns:
    """Decide which of the metrics are optimised, which way, and which are bounded.

    Args:
      names: the metrics that `evaluate` returns.
      objective: the one to optimise; None where there is only one.
      direction: "min" or "max"; None where the name tells, as "loss" and "accuracy" do.
      objectives: several to optimise, name to direction; instead of the two above.
      constraints: name to (relation, bound), such as {"params": ("<=", 50_000)}.

    Raises:
      ValueError: a name that is not among the metrics, or a choice that is not clear.
    """
    chosen = _several(objectives) if objectives is not None else (_one(names, objective, direction),)
    for wanted in chosen:
        require_known("objective", wanted.name, names)
    optimised = [o.name for o in chosen]
    others = tuple(n for n in names if n not in optimised)
    return Columns(chosen, others, _bounds(constraints or {}, names))


def require_known(kind: str, name: str, names: Iterable[str]) -> None:
    """Raise unless `evaluate` returns the metric."""
    if name not in names:
        raise ValueError(f"{kind}={name!r}: evaluate does not return it; {suggest(name, names)}")


def _one(names: tuple[str, ...], objective: str | None, direction: str | None) -> Objective:
    if objective is None and len(names) > 1:
        raise ValueError(f"objective=None: evaluate returns several metrics; choose one of {sorted(names)}")
    name = names[0] if objective is None else objective
    require_known("objective", name, names)
    return Objective(name, direction or _direction(name))


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
    word = name.lower().replace("-", "_").split("_")[-1]
    if word in HIGHER_IS_BETTER:
        return "max"
    if word in LOWER_IS_BETTER:
        return "min"
    raise ValueError(f"direction=None: the objective's name {name!r} does not tell; say 'min' or 'max'")
