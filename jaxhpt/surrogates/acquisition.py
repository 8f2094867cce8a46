"""What a place is worth trying for, given what a model believes of it; and how to pick many places at once.

Everything is minimised, standardised, and smaller is better, but for the expected improvement.

Ament et al., "Unexpected improvements to expected improvement for Bayesian optimization",
https://arxiv.org/abs/2310.20708 (2023).
Gardner et al., "Bayesian optimization with inequality constraints", https://proceedings.mlr.press/v32/gardner14.html
(2014).
Desautels, Krause and Burdick, "Parallelizing exploration-exploitation tradeoffs in Gaussian process bandit
optimization", https://jmlr.org/papers/v15/desautels14a.html (2014), for picks that change the variance alone.
Zhang and Golovin, "Random hypervolume scalarizations for provable multi-objective black box optimization",
https://proceedings.mlr.press/v119/zhang20i.html (2020).
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import beside
from jaxhpt.core.typing import Array
from jaxhpt.surrogates.config import CONFIG

_HALF_LOG_TAU = 0.5 * math.log(2.0 * math.pi)
_TAIL = -6.0  # below it the asymptotic series is the more precise


class PickParams(NamedTuple):
    """What each of n picks is after.

    Attributes:
      beta: f32[n] deviations below the mean that it hopes for.
      weights: f32[n, M] how steep each of the M objectives is for it; all 1 where there is one.
    """

    beta: Array
    weights: Array


def log_expected_improvement(mean: Array, deviation: Array, least: Array) -> Array:
    """Return the logarithm of the expected improvement below `least`: [...] each -> [...]. Larger is better.

    Finite however small the improvement, so that it can be followed where plain expected improvement is 0.
    """
    return _log_h((least - mean) / deviation) + jnp.log(deviation)


def _log_h(z: Array) -> Array:
    """Return log(phi(z) + z Phi(z)), Eq. (9) of Ament et al."""
    near = jnp.maximum(z, _TAIL)
    density = -0.5 * near**2 - _HALF_LOG_TAU
    middle = jnp.log(jnp.exp(density) + near * jax.scipy.special.ndtr(near))
    left = jnp.minimum(near, -1.0)
    mills = jnp.exp(jax.scipy.special.log_ndtr(left) + 0.5 * left**2 + _HALF_LOG_TAU)
    lower = density + jnp.log(jnp.maximum(1.0 + left * mills, 1e-12))
    far = jnp.minimum(z, _TAIL)
    s = 1.0 / far**2
    series = 1.0 - s * (3.0 - s * (15.0 - s * (105.0 - s * (945.0 - s * 10395.0))))
    tail = -0.5 * far**2 - _HALF_LOG_TAU + jnp.log(s * series)
    return jnp.where(z < _TAIL, tail, jnp.where(z < -1.0, lower, middle))


def log_hypervolume_improvement(mean: Array, deviation: Array, front: Array) -> Array:
    """Return the logarithm of the expected gain in hypervolume, of two objectives: f32[2, ...] -> f32[...].

    Exact: what is gained is a sum over the strips between neighbours on the front, each a product of improvements. The
    two objectives are believed independent.

    Yang et al., "Efficient computation of expected hypervolume improvement using box decomposition algorithms",
    https://arxiv.org/abs/1904.12672 (2019).

    Args:
      mean: f32[2, ...].
      deviation: f32[2, ...].
      front: f32[2, F + 1] values that no other beats, in rising order of the first objective, then, at least once, the
        point that everything should be better than.
    """
    right = front[0]  # of the strips; the first has no left
    above = jnp.roll(front[1], 1)
    mean, deviation = mean[..., None], deviation[..., None]
    wide = log_expected_improvement(mean[0], deviation[0], beside(right, mean[0]))
    # A strip of no width, and its neighbours within rounding, gain nothing.
    less = jnp.minimum(wide[..., :-1] - wide[..., 1:], -1e-6)
    wide = jnp.concatenate([wide[..., :1], wide[..., 1:] + jnp.log(-jnp.expm1(less))], axis=-1)
    high = log_expected_improvement(mean[1], deviation[1], beside(above, mean[1]))
    some = jnp.diff(right, prepend=-jnp.inf) > 0
    return jax.scipy.special.logsumexp(jnp.where(some, wide + high, -jnp.inf), axis=-1)


def log_feasibility(mean: Array, deviation: Array) -> Array:
    """Return the logarithm of the chance that all constraints hold: slacks [J, ...] -> [...], 0 where J is 0."""
    return jnp.sum(jax.scipy.special.log_ndtr(-mean / deviation), axis=0)


def scalarised(objectives: Array, weight: Array, nadir: Array) -> Array:
    """Fold objectives into one: the one that is worst in units of its weight.

    Args:
      objectives: f32[M, ...].
      weight: f32[M, ...], above 0; over all directions, what is minimised adds up to the hypervolume.
      nadir: f32[M] what everything should be better than.
    """
    if objectives.shape[0] == 1:
        return objectives[0]
    shape = (-1,) + (1,) * (objectives.ndim - 1)
    return jnp.max((objectives - nadir.reshape(shape)) * weight, axis=0)


def lower_bound(mean: Array, deviation: Array, params: PickParams, nadir: Array) -> Array:
    """Return the optimist's view: bounds of all objectives, folded into one, with broken constraints dear.

    Args:
      mean: f32[J, n or 1, P] of the M objectives, then of the slacks of the constraints.
      deviation: f32[J, n or 1, P].
      params: of the n picks.
      nadir: f32[M].

    Returns:
      f32[n, P].
    """
    num = nadir.shape[0]
    bound = mean - params.beta[None, :, None] * deviation  # [J, n, P]
    value = scalarised(bound[:num], params.weights.T[:, :, None], nadir)
    return value + CONFIG.broken_cost * jnp.sum(jnp.maximum(bound[num:], 0.0), axis=0)


def constrained_hypervolume_improvement(mean: Array, deviation: Array, front: Array) -> Array:
    """Return minus the logarithm of expected gain in hypervolume times chance of feasibility: f32[J, ...] -> [...]."""
    gain = log_hypervolume_improvement(mean[:2], deviation[:2], front)
    return -(gain + log_feasibility(mean[2:], deviation[2:]))


def constrained_improvement(mean: Array, deviation: Array, least: Array) -> Array:
    """Return minus the logarithm of expected improvement times chance of feasibility: f32[J, ...] -> f32[...].

    Without a feasible trial so far, where `least` is +inf, the chance alone counts.
    """
    chance = log_feasibility(mean[1:], deviation[1:])
    gain = log_expected_improvement(mean[0], deviation[0], jnp.where(jnp.isfinite(least), least, 0.0))
    return -(jnp.where(jnp.isfinite(least), gain, 0.0) + chance)


def sampled(normal: Array, mean: Array, covariance: Array) -> Array:
    """Draw functions at the places of a shortlist from the joint posterior: f32[J, num, S].

    Thompson, "On the likelihood that one unknown probability exceeds another in view of the evidence of two samples",
    https://doi.org/10.1093/biomet/25.3-4.285 (1933).

    Args:
      normal: f32[J, num, S] standard normals.
      mean: f32[J, S].
      covariance: f32[J, S, S].
    """
    size = mean.shape[1]
    scale = jnp.max(jnp.diagonal(covariance, axis1=1, axis2=2), axis=1)[:, None, None]
    # In float32 the covariance of crowded places is definite only with so much more on the diagonal.
    root = jnp.linalg.cholesky(covariance / scale + 1e-4 * jnp.eye(size, dtype=jnp.float32)[None]) * jnp.sqrt(scale)
    return mean[:, None] + jnp.einsum("jst,jqt->jqs", root, normal)


def pick_one_by_one(score, mean: Array, covariance: Array, noise: Array, num: int, count: Array) -> Array:  # type: ignore[no-untyped-def]
    """Pick places of a shortlist, each as if those before it had turned out as expected.

    What is expected changes no mean, so a pick only makes its surroundings certain: one row of a Cholesky factor.

    Args:
      score: (pick i32[], mean f32[J, S], deviation f32[J, S]) -> f32[S], smaller is better.
      mean: f32[J, S].
      covariance: f32[J, S, S].
      noise: f32[J] variance.
      num: Q, static.
      count: i32[] how many to pick.

    Returns:
      i32[Q] places; 0 after the first `count`.
    """
    outputs, size = mean.shape

    def pick(i: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        picked, variance, rows, taken = carry
        value = score(i, mean, jnp.sqrt(jnp.maximum(variance, 1e-10)))
        j = jax.lax.argmin(jnp.where(taken, jnp.inf, value), 0, jnp.int32)
        column = covariance[:, j] - jnp.einsum("jq,jqs->js", rows[:, :, j], rows)
        row = column / jnp.sqrt(jnp.maximum(column[:, j], 1e-10) + noise)[:, None]
        return picked.at[i].set(j), variance - row**2, rows.at[:, i].set(row), taken.at[j].set(True)

    first = jnp.diagonal(covariance, axis1=1, axis2=2)
    rows = jnp.zeros((outputs, num, size), jnp.float32)
    begin = (jnp.zeros(num, jnp.int32), first, rows, jnp.zeros(size, bool))
    return jax.lax.fori_loop(0, count, pick, begin)[0]
