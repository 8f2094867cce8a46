"""Where a model is asked: points all over the space, steps of all sizes from the best trials, and their children.

All are drawn as the model sees the space: steps follow its length-scales, long where it is flat and short where it is
steep, and its log-warps, short in absolute terms where it looks closely at an end of a range.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxhpt.algorithms import operators
from jaxhpt.algorithms.initial_design import on_faces
from jaxhpt.algorithms.variation import genes, meet, pick, settle
from jaxhpt.core.arrays import leave_bin, reflect
from jaxhpt.core.keys import normals, uniforms, words
from jaxhpt.core.qmc import sobol
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key
from jaxhpt.surrogates import gp, input_warp

STEPS = (5e-3, 0.5)  # least and largest deviation of a step, in units of the range
STRETCH = 3.0  # by how much a dimension's steps may be longer or shorter than the others'
CROSSED = 0.25  # share of the local points that have two parents
MANY = 10  # levels of a number that is refined as if it were continuous
FIRST_MOVE, LARGEST_MOVE = 0.1, 0.5  # of the refinement, in length-scales


class View(NamedTuple):
    """How a model sees a space: f32[D] length-scales, and f32[D] log-warps."""

    scale: Array
    log_warp: Array


def view_of(theta: Array, space: Space) -> View:
    """Return how the first of some models sees a space: theta f32[J, ...], see `gp`."""
    size, first = space.num_dimensions, gp.num_dimensions(theta)
    return View(jnp.exp(theta[0, :size]), theta[0, first : first + size])


def local_candidates(key: Key, best: Array, view: View, space: Space, num: int) -> Array:
    """Draw settings around the best: f32[num, D], snapped.

    A quarter are children of two of them; the others differ from one in some dimensions, from one to all, by normal
    steps of all sizes; unordered choices are drawn anew.

    Args:
      key: consumed.
      best: f32[B, D] snapped, the places to start from.
      view: how the model sees the space.
      space: static.
      num: static.
    """
    size = space.num_dimensions
    k = jax.random.split(key, 4)
    chance = uniforms(k[0], (num, size + 4))
    a, b = (best[(chance[:, i] * best.shape[0]).astype(jnp.int32)] for i in (0, 1))
    parents = meet(a, b, space)
    crossed = jnp.where(words(k[3], (num, size)) & 1 == 1, parents.a, parents.b)
    base = jnp.where(jnp.arange(num, dtype=jnp.float32)[:, None] < CROSSED * num, crossed, parents.a)
    rate = jnp.maximum(chance[:, 2:3], 1.0 / size)
    mask = pick(chance[:, 4:], rate, chance[:, 3])
    far = jnp.exp(math.log(STEPS[0]) + uniforms(k[1], (num, 1)) * math.log(STEPS[1] / STEPS[0]))
    lengths = stretch(view.scale)[None] * far
    moved = perturb(normals(k[2], (num, size)), base, lengths, space, view.log_warp)
    return settle(jnp.where(mask, moved, base), parents.known, chance[:, 4:], space)


def stretch(scale: Array) -> Array:
    """Return how long the steps of each dimension are beside the others', f32[D]."""
    return jnp.clip(scale / jnp.exp(jnp.mean(jnp.log(scale))), 1.0 / STRETCH, STRETCH)


def perturb(normal: Array, base: Array, lengths: Array, space: Space, log_warp: Array | float = 0.0) -> Array:
    """Step from places, as the model sees them; choices are drawn anew.

    Args:
      normal: f32[num, D].
      base: f32[num, D] in [0, 1].
      lengths: f32[num, D] of the steps.
      space: static.
      log_warp: f32[D]; 0 where ranges are seen as they are given.

    Returns:
      f32[num, D] in [0, 1].
    """
    unordered, levels = genes(space)
    moved = input_warp.backward(reflect(input_warp.forward(base, log_warp) + lengths * normal), log_warp)
    if np.isfinite(levels).any():
        moved = leave_bin(moved, base, *space.bins(base))
    if not unordered.any():
        return moved
    uniform = jax.scipy.special.ndtr(normal)
    return jnp.where(unordered, operators.resample(uniform, base, np.where(unordered, levels, 1.0)), moved)


def ascend(start: Array, score: Callable[[Array], Array], view: View, space: Space, steps: int) -> Array:
    """Follow the gradient of a score from each start: f32[R, D] -> the best places met, f32[R, D], snapped.

    Only numbers move, continuous or of `MANY` levels. Steps go by the sign of the gradient, so that no score is too
    flat or too steep.

    Args:
      start: f32[R, D].
      score: f32[R, D] -> f32[R], each of its own place, smaller is better.
      view: how the model sees the space.
      space: static.
      steps: static.
    """
    unordered, levels = genes(space)
    free = (levels >= MANY) & ~unordered
    if not free.any() or steps == 0:
        return start
    rule = optax.rprop(FIRST_MOVE, max_step_size=LARGEST_MOVE)
    unit = jnp.where(free, jnp.minimum(view.scale, 1.0), 0.0)

    def total(x: Array) -> tuple[Array, Array]:
        value = score(input_warp.backward(x, view.log_warp))
        return jnp.sum(value), value

    def step(carry: tuple, _: None) -> tuple[tuple, None]:
        x, memory, best, least = carry
        (_, value), gradient = jax.value_and_grad(total, has_aux=True)(x)
        better = value < least
        best, least = jnp.where(better[:, None], x, best), jnp.where(better, value, least)
        moved, memory = rule.update(jnp.where(jnp.isfinite(gradient), gradient, 0.0), memory, x)
        return (jnp.clip(x + moved * unit[None], 0.0, 1.0), memory, best, least), None

    begin = input_warp.forward(start, view.log_warp)
    first = (begin, rule.init(begin), begin, jnp.full(start.shape[0], jnp.inf, jnp.float32))
    (_, _, best, _), _ = jax.lax.scan(step, first, None, length=steps)
    ended = space.snap(input_warp.backward(best, view.log_warp))
    return jnp.where(best == begin, start, ended)  # unmoved ones keep their bits


def global_candidates(key: Key, view: View, space: Space, num: int) -> Array:
    """Draw settings evenly over the space as seen, and half of them on its faces: f32[num, D], snapped."""
    inside, outside = jax.random.split(key)
    half = jnp.arange((num + 1) // 2, dtype=jnp.int32)
    even = sobol(inside, half, space.num_dimensions)
    both = jnp.concatenate([even, on_faces(outside, half[: num // 2], space)])
    return space.snap(input_warp.backward(both, view.log_warp))
