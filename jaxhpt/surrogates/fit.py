"""Finding the hyperparameters of a Gaussian process: a few safe steps from where the last fit ended.

Blum and Riedmiller, "Optimization of Gaussian process hyperparameters using Rprop",
https://www.esann.org/sites/default/files/proceedings/legacy/es2013-118.pdf (2013).
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxhpt.surrogates import gp
from jaxhpt.typing import Array

STEP = 0.2  # first step of each logarithm
LARGEST_STEP = 1.0


def start(dimensions: int) -> np.ndarray:
    """Return where a fit begins that knows nothing, f32[D + 2]: length-scales short enough to be well conditioned."""
    scale = np.log(0.3) + 0.25 * np.log(dimensions)
    return np.array([scale] * dimensions + [0.0, -4.0], np.float32)


def fit(first: Array, steps: Array, x: Array, y: Array, mask: Array, owner: np.ndarray, centre: Array) -> Array:
    """Take steps towards the maximum of likelihood and prior from each start, by the sign of the gradient alone.

    Args:
      first: f32[S, D + 2] where to begin.
      steps: i32[S] how far to go from each; 0 leaves a start out.
      x: f32[N, F].
      y: f32[N].
      mask: bool[N].
      owner: i32[F], static.
      centre: f32[F].

    Returns:
      f32[D + 2] the best theta met; the first start where none could be factorised.
    """
    low, high = gp.bounds(first.shape[1] - 2)
    rule = optax.rprop(STEP, max_step_size=LARGEST_STEP)

    def step(_: Array, carry: tuple) -> tuple:
        now, memory, best, least = carry
        loss, gradient = gp.loss_and_gradient(now, x, y, mask, owner, centre)
        sound = jnp.isfinite(loss) & jnp.all(jnp.isfinite(gradient))
        better = sound & (loss < least)
        best, least = jnp.where(better, now, best), jnp.where(better, loss, least)
        moves, after = rule.update(jnp.where(sound, gradient, 0.0), memory, now)
        back = 0.5 * (now + jnp.where(jnp.isfinite(least), best, start(low.shape[0] - 2)))
        return jnp.where(sound, jnp.clip(now + moves, low, high), back), after, best, least

    def climb(best: tuple[Array, Array], begin: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        where, far = begin
        _, _, met, least = jax.lax.fori_loop(0, far, step, (where, rule.init(where), *best))
        return (met, least), None

    worst = jnp.full((), jnp.inf, jnp.float32)
    (best, _), _ = jax.lax.scan(climb, (first[0], worst), (first, steps))
    return best
