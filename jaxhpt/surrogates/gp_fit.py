"""Finding the hyperparameters of a Gaussian process: a few safe steps, on from where the last fit ended.

Blum and Riedmiller, "Optimization of Gaussian process hyperparameters using Rprop",
https://www.esann.org/sites/default/files/proceedings/legacy/es2013-118.pdf (2013).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxhpt.core.typing import Array
from jaxhpt.surrogates import gp

STEP = 0.2  # first step of each logarithm
LARGEST_STEP = 1.0
LEAST_STEP = 0.1  # to go on with: what the last fit closed in on has moved since


class Fit(NamedTuple):
    """Where fits have come to.

    Attributes:
      theta: f32[..., 2 D + 2].
      stride: f32[..., 2 D + 2] how far each goes in its next step.
    """

    theta: Array
    stride: Array


def start(dimensions: int) -> np.ndarray:
    """Return where a fit begins that knows nothing, f32[2 D + 2]: short length-scales, which are well conditioned."""
    scale = np.log(0.3) + 0.25 * np.log(dimensions)
    return np.array([scale] * dimensions + [0.0] * dimensions + [0.0, -4.0], np.float32)


def begin(theta: Array | np.ndarray) -> Fit:
    """Begin fits at theta f32[..., 2 D + 2], with no idea how far to go."""
    return Fit(jnp.asarray(theta, jnp.float32), jnp.full(theta.shape, STEP, jnp.float32))


def fit(first: Fit, steps: Array, x: Array, y: Array, mask: Array, axes: gp.Axes, centre: Array) -> Fit:
    """Take steps towards the maximum of likelihood and prior from each start, by the sign of the gradient alone.

    Args:
      first: where to begin, leaves [S, 2 D + 2].
      steps: i32[S] how far to go from each; 0 leaves a start out.
      x: f32[N, F].
      y: f32[N].
      mask: bool[N].
      axes: of the features, static.
      centre: f32[F], where the best is: log-warps stay within its reach.

    Returns:
      The best theta met, f32[2 D + 2], and the strides that its start has come to; the first start where none could be
      factorised.
    """
    size = gp.num_dimensions(first.theta)
    low, high = gp.bounds(axes, centre, size)
    first = first._replace(theta=jnp.clip(first.theta, low[None], high[None]))
    rule = optax.rprop(STEP, max_step_size=LARGEST_STEP)

    def step(_: Array, carry: tuple) -> tuple:
        now, memory, best, least = carry
        loss, gradient = gp.loss_and_gradient(now, x, y, mask, axes, centre)
        sound = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        better = sound & (loss < least)
        best, least = jnp.where(better, now, best), jnp.where(better, loss, least)
        moves, after = rule.update(jnp.where(sound, gradient, 0.0), memory, now)
        back = 0.5 * (now + jnp.where(jnp.isfinite(least), best, start(size)))
        return jnp.where(sound, jnp.clip(now + moves, low, high), back), after, best, least

    def climb(before: tuple[Fit, Array], given: tuple[Fit, Array]) -> tuple[tuple[Fit, Array], None]:
        (best, so_far), (origin, far) = before, given
        memory = optax.tree.set(rule.init(origin.theta), step_sizes=jnp.maximum(origin.stride, LEAST_STEP))
        _, memory, theta, least = jax.lax.fori_loop(0, far, step, (origin.theta, memory, best.theta, so_far))
        stride = jnp.where(least < so_far, optax.tree.get(memory, "step_sizes"), best.stride)
        return (Fit(theta, stride), least), None

    none = jnp.full((), jnp.inf, jnp.float32)
    (best, _), _ = jax.lax.scan(climb, (jax.tree.map(lambda a: a[0], first), none), (first, steps))
    return best
