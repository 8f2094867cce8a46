"""Optuna, both ways: its dashboard on a search that runs, its trials as what was known before, and a sampler for it."""

from jaxhpt.integrations.optuna.journal import Journal
from jaxhpt.integrations.optuna.prior import from_optuna
from jaxhpt.integrations.optuna.sampler import Sampler
from jaxhpt.integrations.optuna.study import to_optuna

__all__ = ["Journal", "Sampler", "from_optuna", "to_optuna"]
