"""Genetic operators: selection, crossover and mutation as small pure functions of numbers drawn beforehand.

They take uniforms instead of keys: drawing costs more than anything else here, so whoever uses several operators
draws once for all. Populations are ranked best first, so that a place in them is a rank.
"""

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.arrays import beside
from jaxhpt.core.typing import Array


def truncation(uniform: Array, count: Array, pressure: float) -> Array:
    """Select among the better part of a ranked population, all of it alike.

    Args:
      uniform: f32[...] in [0, 1).
      count: i32[] members there are, at least 1.
      pressure: >= 1; the better 1 / `pressure` of the members are selected from.

    Returns:
      i32[...] ranks, 0 for the best.
    """
    better = jnp.maximum(jnp.ceil(count.astype(jnp.float32) / pressure), 1.0)
    return jnp.minimum(uniform * better, better - 1).astype(jnp.int32)


def tournament(uniform: Array, count: Array, pressure: float) -> Array:
    """Select the best of `pressure` members drawn with replacement from a ranked population.

    The least of n uniforms is 1 - (1 - u)^(1/n), so one number stands for a whole tournament.

    Args:
      uniform: f32[...] in [0, 1).
      count: i32[] members there are, at least 1.
      pressure: >= 1, members of a tournament; need not be whole.

    Returns:
      i32[...] ranks, 0 for the best.

    References:
      Blickle and Thiele, "A comparison of selection schemes used in evolutionary algorithms",
      https://doi.org/10.1162/evco.1996.4.4.361 (1996).
    """
    least, many = 1.0 - (1.0 - uniform) ** (1.0 / pressure), count.astype(jnp.float32)
    return jnp.minimum(least * many, many - 1).astype(jnp.int32)


SELECTIONS = {"truncation": truncation, "tournament": tournament}


def uniform_crossover(uniform: Array, a: Array, b: Array) -> Array:
    """Take each gene from either parent, evenly: uniform f32[Q, D], a and b [Q, D] -> [Q, D].

    References:
      Syswerda, "Uniform crossover in genetic algorithms", https://dl.acm.org/doi/10.5555/645512.657265 (1989).
    """
    return jnp.where(uniform < 0.5, a, b)


def one_point_crossover(uniform: Array, a: Array, b: Array) -> Array:
    """Take the genes before one cut from `a` and the rest from `b`: uniform f32[Q], a and b [Q, D] -> [Q, D].

    Of both parents at least one gene is taken, where there are two.

    References:
      Holland, "Adaptation in natural and artificial systems", https://doi.org/10.7551/mitpress/1090.001.0001 (1975).
    """
    genes = a.shape[1]
    cut = 1 + jnp.floor(uniform * (genes - 1))
    return jnp.where(jnp.arange(genes, dtype=jnp.float32)[None] < cut[:, None], a, b)


def simulated_binary_crossover(uniform: Array, a: Array, b: Array, eta: float) -> Array:
    """Spread a child around its parents as a one-point crossover of binary numbers does, within [0, 1].

    Args:
      uniform: f32[Q, D] in (0, 1).
      a: f32[Q, D] in [0, 1], the parent that the child is near to.
      b: f32[Q, D] in [0, 1].
      eta: >= 0; the larger, the nearer to the parent.

    Returns:
      f32[Q, D].

    References:
      Deb and Agrawal, "Simulated binary crossover for continuous search space", Complex Systems 9,
      https://www.complex-systems.com/abstracts/v09_i02_a02/ (1995).
      Deb and Beyer, "Self-adaptive genetic algorithms with simulated binary crossover",
      https://doi.org/10.1162/106365601750190406 (2001), for the distribution cut off at the ends.
    """
    power = 1.0 / (eta + 1.0)
    room = jnp.where(a < b, a, 1.0 - a)
    farthest = 1.0 + 2.0 * room / jnp.maximum(jnp.abs(b - a), 1e-7)
    share = uniform * (2.0 - farthest ** -(eta + 1.0))
    spread = jnp.where(share <= 1.0, share, 1.0 / jnp.maximum(2.0 - share, 1e-7)) ** power
    return jnp.clip(0.5 * ((1.0 + spread) * a + (1.0 - spread) * b), 0.0, 1.0)


def polynomial_mutation(uniform: Array, x: Array, eta: float) -> Array:
    """Move genes by a step that is mostly small and may span the range, within [0, 1].

    Args:
      uniform: f32[...] in (0, 1).
      x: f32[...] in [0, 1].
      eta: >= 0; the larger, the smaller the steps: about 1 / eta.

    Returns:
      f32[...].

    References:
      Deb and Goyal, "A combined genetic adaptive search (GeneAS) for engineering design" (1996).
      Deb and Deb, "Analysing mutation schemes for real-parameter genetic algorithms",
      https://doi.org/10.1504/IJAISC.2014.059280 (2014), for the distribution cut off at the ends.
    """
    down = uniform < 0.5
    near = jnp.where(down, 2.0 * uniform, 2.0 - 2.0 * uniform)
    rest = jnp.where(down, 1.0 - x, x) ** (eta + 1.0)
    step = 1.0 - (near + (1.0 - near) * rest) ** (1.0 / (eta + 1.0))
    return jnp.clip(jnp.where(down, x - step, x + step), 0.0, 1.0)


def gaussian_mutation(normal: Array, x: Array, sigma: float) -> Array:
    """Move genes by a normal step: normal f32[...], x f32[...], sigma in units of the range -> f32[...]."""
    return x + sigma * normal


def resample(uniform: Array, x: Array, levels: Array | np.ndarray) -> Array:
    """Put another one of `levels` equally good values in a gene's place; the same where there is one only.

    Args:
      uniform: f32[..., D] in [0, 1).
      x: f32[..., D] in [0, 1].
      levels: f32[D], at least 1.

    Returns:
      f32[..., D] the middle of another bin.
    """
    levels = beside(levels, x)
    level = jnp.clip(jnp.floor(x * levels), 0.0, levels - 1.0)
    other = level + 1.0 + jnp.floor(uniform * (levels - 1.0))
    return (jnp.where(other >= levels, other - levels, other) + 0.5) / levels
