"""Importances: what mattered, with standard errors."""

import dataclasses

import numpy as np

from jaxhpt.report.figures.base import Missing
from jaxhpt.report.findings import Findings


@dataclasses.dataclass(frozen=True)
class Importance:
    """The share of each dimension in what is known of an objective.

    Attributes:
      objective: its name.
      method: as of `Result.importance`.
      names: of the dimensions, the most important first, [D].
      share: f64[D] of sum 1.
      error: f64[D] standard errors, by halves of the trials.
    """

    objective: str
    method: str
    names: tuple[str, ...]
    share: np.ndarray
    error: np.ndarray


def importance(findings: Findings, column: int = 0) -> Importance | Missing:
    """Return the importances for one of the objectives."""
    if column >= len(findings.shares):
        return Missing("fewer than 8 trials ended with a finite value, or it was not asked for")
    shares = findings.shares[column]
    return Importance(shares.objective, shares.method, shares.names, shares.share, shares.error)
