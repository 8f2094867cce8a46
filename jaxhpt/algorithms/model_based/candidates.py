"""Where a model is asked: points all over the space, and steps of all sizes from the best trials."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxhpt.algorithms import operators
from jaxhpt.algorithms.beliefs import leaned
from jaxhpt.algorithms.variation import existing, genes, pick, settle
from jaxhpt.core.arrays import leave_bin, reflect
from jaxhpt.core.keys import Draws
from jaxhpt.core.qmc import scrambled_sobol
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array
from jaxhpt.surrogates.config import CONFIG


def local_candidates(draws: Draws, best: Array, space: Space, num: int) -> Array:
    """Draw settings around the best: f32[num, D], snapped.

    Each differs from one of them in some dimensions, from one to all, by normal steps of all sizes; unordered choices
    are drawn anew.

    Args:
      draws: what to draw from.
      best: f32[B, D] snapped, the places to start from.
      space: static.
      num: static.
    """
    size = space.num_dimensions
    chance = draws.uniforms((num, size + 3))
    base = best[(chance[:, 0] * best.shape[0]).astype(jnp.int32)]
    rate = jnp.maximum(chance[:, 1:2], 1.0 / size)
    mask = pick(chance[:, 3:], rate, chance[:, 2])
    least, most = map(math.log, CONFIG.local_steps)
    far = jnp.exp(least + draws.uniforms((num, 1)) * (most - least))
    moved = perturb(draws.normals((num, size)), base, far, space)
    return settle(jnp.where(mask, moved, base), existing(base, space), chance[:, 3:], space)


def perturb(normal: Array, base: Array, lengths: Array, space: Space) -> Array:
    """Step from places; choices are drawn anew.

    Args:
      normal: f32[num, D].
      base: f32[num, D] in [0, 1].
      lengths: f32[num, D or 1] of the steps.
      space: static.

    Returns:
      f32[num, D] in [0, 1].
    """
    unordered, levels = genes(space)
    moved = reflect(base + lengths * normal)
    if np.isfinite(levels).any():
        moved = leave_bin(moved, base, *space.bins(base))
    if not unordered.any():
        return moved
    uniform = jax.scipy.special.ndtr(normal)
    return jnp.where(unordered, operators.resample(uniform, base, np.where(unordered, levels, 1.0)), moved)


def ascend(start: Array, score: Callable[[Array], Array], scale: Array, space: Space, steps: int) -> Array:
    """Follow the gradient of a score from each start: f32[R, D] -> the best places met, f32[R, D], snapped.

    Only numbers move, continuous or of many levels. Steps go by the sign of the gradient, so that no score is too
    flat or too steep.

    Args:
      start: f32[R, D].
      score: f32[R, D] -> f32[R], each of its own place, smaller is better.
      scale: f32[D] length-scales of the model.
      space: static.
      steps: static.
    """
    unordered, levels = genes(space)
    free = (levels >= CONFIG.ascent_levels) & ~unordered
    if not free.any() or steps == 0:
        return start
    first_step, most = CONFIG.ascent_steps
    rule = optax.rprop(first_step, max_step_size=most)
    unit = jnp.where(free, jnp.minimum(scale, 1.0), 0.0)

    def total(x: Array) -> tuple[Array, Array]:
        value = score(x)
        return jnp.sum(value), value

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        x, memory, best, least = carry
        (_, value), gradient = jax.value_and_grad(total, has_aux=True)(x)
        better = value < least
        best, least = jnp.where(better[:, None], x, best), jnp.where(better, value, least)
        moved, memory = rule.update(jnp.where(jnp.isfinite(gradient), gradient, 0.0), memory, x)
        return (jnp.clip(x + moved * unit[None], 0.0, 1.0), memory, best, least), None

    first = (start, rule.init(start), start, jnp.full(start.shape[0], jnp.inf, jnp.float32))
    (_, _, best, _), _ = jax.lax.scan(step, first, None, length=steps)
    return space.snap(best)


def global_candidates(draws: Draws, space: Space, num: int) -> Array:
    """Draw settings evenly over the space: f32[num, D], snapped; a share of them where the best is believed to be."""
    index = jnp.arange(num, dtype=jnp.int32)
    even = scrambled_sobol(draws.words((1, space.num_dimensions)), index)
    if space.beliefs:
        even = leaned(even, index.astype(jnp.float32) / num, space)
    return space.snap(even)
