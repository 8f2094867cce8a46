"""How children differ from their parents in a mixed space: what fits each dimension, `When`, and no repeats.

The operators themselves are in `operators.py`; here they are put together gene by gene.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.algorithms import operators
from jaxhpt.core.arrays import leave_bin, reflect
from jaxhpt.core.history import History, repeated
from jaxhpt.core.keys import words
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key

TRIES = 4  # against a child that was tried before
HALF_WORD = 2**16


class Halves(NamedTuple):
    """Two uniforms f32 in (0, 1) for the price of one: a random word cut in two, steps of 1 / 65,536."""

    high: Array
    low: Array


def halves(drawn: Array) -> Halves:
    """Cut u32[...] into two uniforms."""
    share = jnp.float32(1 / HALF_WORD)
    high, low = (drawn >> 16), (drawn & 0xFFFF)
    return Halves((high.astype(jnp.float32) + 0.5) * share, (low.astype(jnp.float32) + 0.5) * share)


class Genes(NamedTuple):
    """What is known of each dimension: unordered, bool[D]; levels, f32[D], +inf where continuous."""

    unordered: np.ndarray
    levels: np.ndarray


@functools.cache
def genes(space: Space) -> Genes:
    """Describe the dimensions of a space."""
    return Genes(np.array([not d.ordered for d in space.dimensions]), space.levels.astype(np.float32))


@dataclasses.dataclass(frozen=True)
class Mutation:
    """How a gene is mutated: `kind` "polynomial" or "gaussian", and its parameter.

    Attributes:
      kind: of ordered dimensions; of an unordered Choice another value is taken.
      eta: of polynomial steps.
      sigma: of Gaussian steps, in units of the range.
    """

    kind: str = "polynomial"
    eta: float = 20.0
    sigma: float = 0.1

    def __call__(self, uniform: Array, x: Array, space: Space) -> Array:
        """Mutate every gene: uniform f32[Q, D] in (0, 1), x f32[Q, D] in [0, 1] -> f32[Q, D] in [0, 1]."""
        unordered, levels = genes(space)
        if unordered.all():
            return operators.resample(uniform, x, levels)
        moved = self._step(uniform, x)
        if np.isfinite(levels).any():
            moved = leave_bin(moved, x, *space.bins(x))  # last: what is cut off may be in its bin again
        if not unordered.any():
            return moved
        return jnp.where(unordered, operators.resample(uniform, x, np.where(unordered, levels, 1.0)), moved)

    def _step(self, uniform: Array, x: Array) -> Array:
        if self.kind == "gaussian":
            return reflect(operators.gaussian_mutation(jax.scipy.special.ndtri(uniform), x, self.sigma))
        return operators.polynomial_mutation(uniform, x, self.eta)


class Focus(NamedTuple):
    """Where mutations go.

    Attributes:
      weight: f32[D], of mean 1: how often each dimension is mutated beside the others.
      low: f32[D] in [0, 1]: the ranges that are searched.
      high: f32[D] in [0, 1].
    """

    weight: Array
    low: Array
    high: Array

    def within(self, mutated: Array, x: Array, space: Space) -> Array:
        """Shorten continuous mutations of x f32[Q, D] in proportion to the ranges, and keep others inside them."""
        shorter = x + (mutated - x) * (self.high - self.low)[None]
        return jnp.where(np.isinf(genes(space).levels), shorter, jnp.clip(mutated, self.low[None], self.high[None]))


class Parents(NamedTuple):
    """Two rows that cross; genes that exist in one of them only are taken from it.

    Attributes:
      a: f32[Q, D].
      b: f32[Q, D].
      known: bool[Q, D] whether the gene exists in either; None where all always do.
    """

    a: Array
    b: Array
    known: Array | None


def meet(a: Array, b: Array, space: Space) -> Parents:
    """Let rows meet: snapped f32[Q, D] each."""
    if not any(space.conditions):
        return Parents(a, b, None)
    in_a, in_b = space.active(a), space.active(b)
    return Parents(jnp.where(in_a, a, b), jnp.where(in_b, b, a), in_a | in_b)


def existing(rows: Array, space: Space) -> Array | None:
    """Tell which genes of rows, snapped f32[Q, D], exist: bool[Q, D]; None where all always do."""
    return space.active(rows) if any(space.conditions) else None


def settle(child: Array, known: Array | None, uniform: Array, space: Space) -> Array:
    """Snap children, after drawing anew the genes that exist in them and in no parent.

    Args:
      child: f32[Q, D] in [0, 1].
      known: bool[Q, D] of `Parents`; None where there are no conditions.
      uniform: f32[Q, D].
      space: static.
    """
    return space.snap(child if known is None else jnp.where(known, child, uniform))


def distinct(key: Key, child: Array, history: History, problem: Problem, count: Array, mutation: Mutation) -> Array:
    """Mutate the children again that equal a past trial or one another, at most 4 times.

    Args:
      key: consumed.
      child: f32[Q, D] snapped.
      history: all trials.
      problem: static.
      count: i32[] children that will be used, the first.
      mutation: of one or more genes of a repeated child.

    Returns:
      f32[Q, D] snapped. Still repeated where 4 tries found nothing new; see `untried` for what becomes of those.
    """
    used = jnp.arange(child.shape[0], dtype=jnp.int32) < count
    return renewed(key, child, lambda child: used & repeated(history, child), problem.space, mutation, TRIES)


def renewed(
    key: Key, child: Array, is_repeated: Callable[[Array], Array], space: Space, mutation: Mutation, tries: int
) -> Array:
    """Mutate children again, and again from where that led, as long as they are repeated and there are tries left.

    Args:
      key: consumed.
      child: f32[Q, D] snapped.
      is_repeated: f32[Q, D] -> bool[Q] which are.
      space: static.
      mutation: of one or more genes of a repeated child.
      tries: static; at most.

    Returns:
      f32[Q, D] snapped.
    """

    def mutate(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        child, again, tried = carry
        drawn = words(jax.random.fold_in(key, tried), (child.shape[0], child.shape[1] + 1))
        other = _mutate_some(drawn, child, space, mutation)
        child = jnp.where(again[:, None], other, child)
        return child, is_repeated(child), tried + 1

    def going(carry: tuple[Array, Array, Array]) -> Array:
        return jnp.any(carry[1]) & (carry[2] < tries)

    child, _, _ = jax.lax.while_loop(going, mutate, (child, is_repeated(child), jnp.zeros((), jnp.int32)))
    return child


def _mutate_some(drawn: Array, child: Array, space: Space, mutation: Mutation) -> Array:
    """Mutate one gene for certain and each other with chance 1 / D: u32[Q, D + 1], child snapped [Q, D]."""
    num = child.shape[1]
    amount, chance = halves(drawn[:, :num])
    mask = pick(chance, 1.0 / num, halves(drawn[:, num]).high)
    return settle(jnp.where(mask, mutation(amount, child, space), child), existing(child, space), amount, space)


def pick(chance: Array, rate: Array | float, forced: Array | None = None, weight: Array | None = None) -> Array:
    """Choose genes: chance f32[Q, D] below `rate`, and where `forced` f32[Q] is given one of each row for certain.

    All genes alike, or by `weight` f32[D], of mean 1.
    """
    mask = chance < (rate if weight is None else rate * weight[None])
    if forced is None:
        return mask
    num = chance.shape[1]
    place = jnp.floor(forced * num)
    if weight is not None:
        found = jnp.searchsorted(jnp.cumsum(weight)[:-1], forced * num, side="right").astype(jnp.float32)
        place = jnp.where(forced < 1, found, num)
    return mask | (jnp.arange(num, dtype=jnp.float32)[None] == place[:, None])
