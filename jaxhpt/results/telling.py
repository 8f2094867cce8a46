"""What a `Tuner` hands out and is told: settings, and the values they came to."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxhpt.core.metrics import SCALAR, MetricSpec, choose
from jaxhpt.core.showing import Shown
from jaxhpt.core.typing import Hparams

Value = float | Mapping[str, float] | None


@dataclasses.dataclass(frozen=True, repr=False)
class Asked(Shown):
    """A setting to evaluate.

    Attributes:
      id: number of the trial; `Tuner.tell` wants it back.
      hparams: the setting, in the structure of the space; None where a dimension does not exist.
    """

    id: int
    hparams: Hparams


def metrics_of(
    objective: str | None,
    direction: str | None,
    objectives: Mapping[str, str] | None,
    constraints: Mapping[str, tuple[str, float]] | None,
    metrics: Sequence[str],
) -> MetricSpec:
    """Decide what is told of a trial, and which way it is optimised."""
    if isinstance(metrics, str) or not isinstance(metrics, Iterable):
        raise TypeError(f"metrics={metrics!r}: must be a list of names")
    chosen = (SCALAR if objective is None else objective,) if objectives is None else tuple(objectives)
    names = tuple(dict.fromkeys([*chosen, *(constraints or {}), *metrics]))
    return choose(names, chosen[0] if chosen else None, direction, objectives, constraints, objective is None)


def pairs_of(trials: Any, values: Any) -> tuple[list[int], list[Value]]:
    """Return ids, and a value for each."""
    if isinstance(trials, (Asked, int, np.integer)):
        return [_id(trials)], [values]
    if not isinstance(trials, Iterable) or isinstance(trials, (str, Mapping)):
        raise TypeError(f"trials={trials!r}: must be what `ask` returned, one or several, or their ids")
    rows = [_id(trial) for trial in trials]
    remedy = f"{len(rows)} trials need a list with a value for each, None where one failed"
    if isinstance(values, (str, Mapping)) or not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        raise ValueError(f"values={values!r}: {remedy}")
    given = list(values)
    if len(given) != len(rows):
        raise ValueError(f"values: {len(given)} for {len(rows)} trials; give one for each, None where it failed")
    return rows, given


def _id(trial: Any) -> int:
    if isinstance(trial, Asked):
        return trial.id
    if isinstance(trial, bool) or not isinstance(trial, (int, np.integer)):
        raise TypeError(f"trials: {trial!r} must be a trial that was asked for, or its id")
    return int(trial)


def scored(value: Value, spec: MetricSpec) -> np.ndarray:
    """Return one trial's scores f64[K], all +inf where it failed."""
    if value is not None:
        given, needed = spec.named(value), set(spec.names)
        if set(given) != needed:
            missing, extra = sorted(needed - set(given)), sorted(map(str, set(given) - needed))
            faults = [f"{missing} missing"] * bool(missing) + [f"{extra} unknown"] * bool(extra)
            raise ValueError(f"values: {value!r} where each must hold {sorted(needed)}: {' and '.join(faults)}")
    return spec.host_scores(value)
