"""What a person tells in float64, as a device can hold it in float32: in the same order, and finite."""

import numpy as np

from jaxhpt.core.constraints import SMALLEST, Constraint
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.ranges import LARGEST

NARROW = 2.0**-100  # a range below this is lost in float32, as soon as it is squared or divided
_TOP = np.array(LARGEST, np.float32).view(np.int32)


def in_float32(scores: np.ndarray, metrics: MetricSpec) -> np.ndarray:
    """Return scores for the algorithms: finite where they are, and ordered as they are.

    An objective is counted from its best, so that values that differ late, such as 1,000.0000001 and 1,000.0000002, are
    still told apart; and by rank where float32 cannot hold the range. What is bounded keeps its value, and its side of
    the bound.

    Args:
      scores: f64[C, K] minimised; +inf where failed.
      metrics: what they are.

    Returns:
      f32[C, K].
    """
    found = nearest(scores)
    bounds = {constraint.name: constraint for constraint in metrics.constraints}
    for column, name in enumerate(metrics.names):
        if name in bounds:
            found[:, column] = _bounded(scores[:, column], bounds[name], metrics.signs[column])
        elif column < len(metrics.objectives):
            found[:, column] = _ordered(scores[:, column])
    return found


def nearest(scores: np.ndarray) -> np.ndarray:
    """Return the nearest finite float32 of what is finite: f64[...] -> f32[...]."""
    return np.where(np.isfinite(scores), np.clip(scores, -LARGEST, LARGEST), scores).astype(np.float32)


def _ordered(score: np.ndarray) -> np.ndarray:
    """Return one objective counted from its best, f64[C] -> f32[C]: neighbours that would meet are moved apart."""
    found, there = np.full(score.shape, np.inf, np.float32), np.isfinite(score)
    if not there.any():
        return found
    values, place = np.unique(score[there], return_inverse=True)
    index = np.arange(len(values), dtype=np.int32)
    with np.errstate(over="ignore"):
        away = values - values[0]
    if NARROW <= away[-1] <= LARGEST:
        bits = np.where(index > 0, np.maximum(away, SMALLEST), 0.0).astype(np.float32).view(np.int32)
        bits = index + np.maximum.accumulate(bits - index)  # rising: the order of the bits is that of the numbers
        if bits[-1] <= _TOP:
            found[there] = bits.view(np.float32)[place]
            return found
    found[there] = index.astype(np.float32)[place]
    return found


def _bounded(score: np.ndarray, bound: Constraint, sign: float) -> np.ndarray:
    """Return one bounded metric, f64[C] -> f32[C], beyond the bound where it was so before it was rounded."""
    value, limit = score * sign, np.float32(bound.bound)
    found, less = nearest(value), bound.relation == "<="
    broken = value > bound.bound if less else value < bound.bound
    held = found <= limit if less else found >= limit
    side = 1.0 if less else -1.0
    beyond = np.nextafter(limit, np.float32(side * LARGEST)) if limit else np.float32(side * SMALLEST)
    found = np.where(broken & held, beyond, found) * np.float32(sign)
    return np.where(np.isfinite(score), found, np.float32(np.inf))
