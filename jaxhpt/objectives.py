"""What is optimised: the columns of metrics, their direction, and scores that are always minimised.

Inside, every score is minimised, and a failed trial's is `+inf`, never NaN. A user sees his own metric in its
own sign.
"""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp

from jaxhpt.checks import suggest
from jaxhpt.typing import Array, Metrics

SCALAR = "score"  # the name of a metric that came without one
HIGHER_IS_BETTER = ("accuracy", "acc", "auc", "f1", "precision", "r2", "recall", "return", "reward")
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
class Columns:
    """The K columns of scores: the objectives first, the other metrics after them as they are.

    Attributes:
      objectives: the metrics to optimise.
      others: names of the metrics that are only kept.
    """

    objectives: tuple[Objective, ...]
    others: tuple[str, ...] = ()

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


def choose(names: tuple[str, ...], objective: str | None, direction: str | None) -> Columns:
    """Decide which of the metrics is optimised, and which way.

    Args:
      names: the metrics that `evaluate` returns.
      objective: the one to optimise; None where there is only one.
      direction: "min" or "max"; None where the name tells, as "loss" and "accuracy" do.

    Raises:
      ValueError: an objective that is not among the metrics, or a choice that is not clear.
    """
    if objective is None and len(names) > 1:
        raise ValueError(f"objective=None: evaluate returns several metrics; choose one of {sorted(names)}")
    name = names[0] if objective is None else objective
    if name not in names:
        raise ValueError(f"objective={name!r}: evaluate does not return it; {suggest(name, names)}")
    others = tuple(n for n in names if n != name)
    return Columns((Objective(name, direction or _direction(name)),), others)


def _direction(name: str) -> str:
    word = name.lower().replace("-", "_").split("_")[-1]
    if word in HIGHER_IS_BETTER:
        return "max"
    if word in LOWER_IS_BETTER:
        return "min"
    raise ValueError(f"direction=None: the objective's name {name!r} does not tell; say 'min' or 'max'")
