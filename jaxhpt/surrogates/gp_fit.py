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
from jaxhpt.surrogates.config import CONFIG


class Fit(NamedTuple):
    """Where fits have come to.

    Attributes:
      theta: f32[..., D + 2].
      step_size: f32[..., D + 2] how far each goes in its next step.
    """

    theta: Array
    step_size: Array


def start(dimensions: int) -> np.ndarray:
    """Return where a fit begins that knows nothing, f32[D + 2]: short length-scales, which are well conditioned."""
    scale = np.log(CONFIG.fit_start[0]) + 0.25 * np.log(dimensions)
    return np.array([scale] * dimensions + [0.0, CONFIG.fit_start[1]], np.float32)


def begin(theta: Array | np.ndarray) -> Fit:
    """Begin fits at theta f32[..., D + 2], with no idea how far to go."""
    return Fit(jnp.asarray(theta, jnp.float32), jnp.full(theta.shape, CONFIG.fit_steps[0], jnp.float32))


def fit(
    before: Fit,
    steps: Array,
    x: Array,
    y: Array,
    mask: Array,
    owner: np.ndarray,
    centre: Array,
    known: Array | None = None,
) -> Fit:
    """Take steps towards the maximum of likelihood and prior, by the sign of the gradient alone.

    Args:
      before: where to begin, leaves [D + 2].
      steps: i32[] how many.
      x: f32[N, F].
      y: f32[N].
      mask: bool[N].
      owner: i32[F], static.
      centre: f32[F], near which precision matters.
      known: f32[N] noise variances that are known beforehand; None for none.

    Returns:
      The best theta met, f32[D + 2], or where it began if none could be factorised; and the strides come to.
    """
    size = gp.num_dimensions(before.theta)
    low, high = gp.bounds(size)
    origin = jnp.clip(before.theta, low, high)
    first, most, least_step_size = CONFIG.fit_steps
    rule = optax.rprop(first, max_step_size=most)

    def step(_: Array, carry: tuple) -> tuple:
        now, memory, best, least = carry
        loss, gradient = gp.loss_and_gradient(now, x, y, mask, owner, centre, known)
        sound = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        better = sound & (loss < least)
        best, least = jnp.where(better, now, best), jnp.where(better, loss, least)
        moves, after = rule.update(jnp.where(sound, gradient, 0.0), memory, now)
        back = 0.5 * (now + jnp.where(jnp.isfinite(least), best, start(size)))
        return jnp.where(sound, jnp.clip(now + moves, low, high), back), after, best, least

    memory = optax.tree.set(rule.init(origin), step_sizes=jnp.maximum(before.step_size, least_step_size))
    begun = (origin, memory, origin, jnp.full((), jnp.inf, jnp.float32))
    _, memory, theta, least = jax.lax.fori_loop(0, steps, step, begun)
    step_size = optax.tree.get(memory, "step_sizes")
    return Fit(theta, jnp.where(jnp.isfinite(least), step_size, before.step_size))
