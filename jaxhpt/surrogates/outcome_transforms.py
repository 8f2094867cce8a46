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
    ok = observed & jnp.isfinite(score)
    worst = jnp.max(jnp.where(ok, score, -jnp.inf))
    value = jnp.where(ok, score, jnp.where(jnp.isfinite(worst), worst, 0.0))
    count = jnp.maximum(jnp.sum(observed, dtype=jnp.int32), 1)
    return _scaled(log_tail(value, observed, count), observed, count)


def log_tail(value: Array, observed: Array, count: Array) -> Array:
    """Bend the worse part of values by a logarithm: finite f32[N] -> f32[N], in the same order.

    Args:
      value: f32[N].
      observed: bool[N] rows that count.
      count: i32[] how many, at least 1.
    """
    ordered = jnp.sort(jnp.where(observed, value, jnp.inf))
    bend = ordered[count // CONFIG.tail_from]
    width = jnp.maximum(bend - ordered[0], 1e-6 * jnp.abs(bend) + 1e-30)
    return jnp.where(value > bend, bend + width * jnp.log1p((value - bend) / width), value)


def _scaled(value: Array, observed: Array, count: Array) -> Array:
    count = count.astype(jnp.float32)
    mean = jnp.sum(jnp.where(observed, value, 0.0)) / count
    away = jnp.where(observed, value - mean, 0.0)
    largest = jnp.max(jnp.abs(away))
    unit = away / jnp.where(largest > 0, largest, 1.0)  # first, so that no square overflows
    return unit / jnp.sqrt(jnp.maximum(jnp.sum(unit**2) / count, 1e-12))


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
