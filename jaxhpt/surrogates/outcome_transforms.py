"""What a Gaussian process is shown of scores: finite, of one scale, and flat where it does not matter.

A process fits badly what spans many orders of magnitude: a few terrible trials would make all others look alike.
"""

import jax.numpy as jnp

from jaxhpt.core.typing import Array
from jaxhpt.surrogates.config import CONFIG


def standardize(score: Array, observed: Array) -> Array:
    """Prepare an objective: the bad part bent by a logarithm, failures as the worst of the others, then standardised.

    Args:
      score: f32[N] minimised; +inf where failed.
      observed: bool[N] rows that count.

    Returns:
      f32[N] of mean 0 and deviation 1 over `observed`; 0 elsewhere. Rising with `score`, and 0 where all are equal.
    """
    value, count = _filled(score, observed)
    return _scaled(log_tail(value, observed, count), observed, count)[0]


def noise_variance(score: Array, spread: Array, models: int, observed: Array) -> Array:
    """Return how noisy each standardised objective is known to be, from the spread of trainings of which it is a mean.

    The variance of few trainings is itself uncertain, so it is drawn to that of all trials.

    Args:
      score: f32[N] as for `standardize`.
      spread: f32[N] standard deviations over the trainings; +inf where not known.
      models: static; how many trainings there were, at least 2.
      observed: bool[N] rows that count.

    Returns:
      f32[N] variances of the means; 0 where not `observed`.
    """
    value, count = _filled(score, observed)
    bend, width = _tail(value, observed, count)
    _, deviation = _scaled(log_tail(value, observed, count), observed, count)
    slope = jnp.where(value > bend, 1.0 / (1.0 + (value - bend) / width), 1.0)
    known = observed & jnp.isfinite(score) & jnp.isfinite(spread)
    variance = jnp.where(known, jnp.minimum(spread * slope / deviation, CONFIG.most_noise) ** 2, 0.0)
    common = jnp.sum(variance) / jnp.maximum(jnp.sum(known, dtype=jnp.float32), 1.0)
    own, shared = models - 1.0, CONFIG.noise_shared
    drawn = jnp.where(known, (own * variance + shared * common) / (own + shared), common)
    return jnp.where(observed, drawn / models, 0.0)


def _filled(score: Array, observed: Array) -> tuple[Array, Array]:
    """Give failures the worst of the other scores: finite f32[N]; and i32[] how many rows count, at least 1."""
    ok = observed & jnp.isfinite(score)
    worst = jnp.max(jnp.where(ok, score, -jnp.inf))
    value = jnp.where(ok, score, jnp.where(jnp.isfinite(worst), worst, 0.0))
    return value, jnp.maximum(jnp.sum(observed, dtype=jnp.int32), 1)


def log_tail(value: Array, observed: Array, count: Array) -> Array:
    """Bend the worse part of values by a logarithm: finite f32[N] -> f32[N], in the same order.

    Args:
      value: f32[N].
      observed: bool[N] rows that count.
      count: i32[] how many, at least 1.
    """
    bend, width = _tail(value, observed, count)
    return jnp.where(value > bend, bend + width * jnp.log1p((value - bend) / width), value)


def _tail(value: Array, observed: Array, count: Array) -> tuple[Array, Array]:
    """Return where the worse part begins, f32[], and how wide the better one is, f32[]."""
    ordered = jnp.sort(jnp.where(observed, value, jnp.inf))
    bend = ordered[count // CONFIG.tail_from]
    return bend, jnp.maximum(bend - ordered[0], 1e-6 * jnp.abs(bend) + 1e-30)


def _scaled(value: Array, observed: Array, count: Array) -> tuple[Array, Array]:
    """Return values of mean 0 and deviation 1, f32[N], and the deviation that they had, f32[], above 0."""
    count = count.astype(jnp.float32)
    mean = jnp.sum(jnp.where(observed, value, 0.0)) / count
    away = jnp.where(observed, value - mean, 0.0)
    largest = jnp.max(jnp.abs(away))
    unit = away / jnp.where(largest > 0, largest, 1.0)  # first, so that no square overflows
    size = jnp.sqrt(jnp.maximum(jnp.sum(unit**2) / count, 1e-12))
    return unit / size, size * jnp.where(largest > 0, largest, 1.0)


def log_cost(steps: Array, observed: Array) -> Array:
    """Prepare what trials cost: i32[N] steps -> f32[N] logarithms, of mean 0 over bool[N] `observed`; 0 elsewhere."""
    value = jnp.log(jnp.maximum(steps, 1).astype(jnp.float32))
    mean = jnp.sum(jnp.where(observed, value, 0.0)) / jnp.maximum(jnp.sum(observed, dtype=jnp.float32), 1.0)
    return jnp.where(observed, value - mean, 0.0)


def constraint_slack(excess: Array, observed: Array) -> Array:
    """Prepare a constraint: how far beyond its bound, 0 at the bound, bent on both sides.

    Args:
      excess: f32[N] above 0 where the bound is broken; +inf where failed.
      observed: bool[N].

    Returns:
      f32[N] of the same sign; 0 where not `observed`.
    """
    ok = observed & jnp.isfinite(excess)
    size = jnp.sort(jnp.where(ok, jnp.abs(excess), jnp.inf))
    middle = size[jnp.maximum(jnp.sum(ok, dtype=jnp.int32) - 1, 0) // 2]
    value = jnp.arcsinh(excess / jnp.where(jnp.isfinite(middle) & (middle > 0), middle, 1.0))
    worst = jnp.maximum(jnp.max(jnp.where(ok, value, -jnp.inf)), 1.0)
    return jnp.where(observed, jnp.where(ok, value, worst), 0.0)
