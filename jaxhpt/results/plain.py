"""Trials as plain data: what a log, a file and a command line say of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxhpt.core.plain_data import plain_value
from jaxhpt.core.space import Space
from jaxhpt.results.trial import Trial


def plain_trials(trials: Sequence[Trial], unit: Any, space: Space) -> list[dict[str, Any]]:
    """Return trials as JSON has them.

    Args:
      trials: of one search.
      unit: f32[C, D] settings of all its trials.
      space: the user's own.

    Returns:
      For each its id, status and steps, its metrics by name, None where they are not finite, its hyperparameters by
      name, None where they do not exist, and its learning curve as pairs of steps and value.
    """
    settings = space.label_rows(unit[[trial.id for trial in trials]]) if trials else []
    return [_plain(trial, row, space.names) for trial, row in zip(trials, settings, strict=True)]


def _plain(trial: Trial, values: Sequence[Any], names: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"trial": trial.id, "status": trial.status, "steps": trial.steps}
    found["metrics"] = {name: value if np.isfinite(value) else None for name, value in trial.metrics.items()}
    found["hparams"] = {name: plain_value(value) for name, value in zip(names, values, strict=True)}
    found["curve"] = [list(point) for point in zip(trial.curve.steps, trial.curve.values, strict=True)]
    return found
