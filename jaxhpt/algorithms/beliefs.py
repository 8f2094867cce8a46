"""What a person believes of a space, as a density: proposals are drawn from it, and acquisitions are weighed by it.

Along an ordered dimension the density is normal around the place believed in, cut at the ends of the range; of a
choice, the value itself with most of the mass. With a share of the mass all believed dimensions are so, with more those
that are trusted much, and with the rest none: nothing is impossible, and a wrong belief costs some of the first trials.

Hvarfner, Stoll, Souza, Lindauer, Hutter and Nardi, "piBO: augmenting acquisition functions with user beliefs for
Bayesian optimization", https://arxiv.org/abs/2204.11051 (2022), for the density to the power of beta / n.
Mallik, Bergman, Hvarfner, Stoll, Janowski, Lindauer, Nardi and Hutter, "PriorBand: practical hyperparameter
optimization in the age of deep learning", https://arxiv.org/abs/2306.12370 (2023), for shares that become less.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri

from jaxhpt.core.dimension import Dimension
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key

SHARES = (0.5, 0.75)  # of the first proposals, for low trust and for high
WIDTHS = (0.2, 0.1)  # deviations, in units of the range
MASSES = (0.5, 0.8)  # of the value of an unordered choice; the rest is as without belief
HALF = 32.0  # proposals after which shares are a half of what they were
BETA = 10.0  # of piBO, for acquisitions that are logarithms: the weight of the density's logarithm after one trial
BETA_OF_BOUNDS = 2.5  # for those in deviations of the trials' scores
GOLDEN = np.uint32(0x9E3779B9)  # 2^32 over the golden ratio: multiples are spread evenly


def fading(index: Array) -> Array:
    """Return what is left of a belief at places in the order of proposals: i32[...] -> f32[...] in (0, 1]."""
    return HALF / (HALF + index.astype(jnp.float32))


def designed(unit: Array, index: Array, space: Space) -> Array:
    """Let points of a design lean to what is believed; the first one is there.

    Args:
      unit: f32[Q, D] uniform in [0, 1).
      index: i32[Q] places in the order of all proposals.
      space: static.

    Returns:
      f32[Q, D]; as it was where nothing is believed.
    """
    if not space.beliefs:
        return unit
    chance = (index.astype(jnp.uint32) * GOLDEN >> 8).astype(jnp.float32) / np.float32(2**24)
    leaning = leaned(unit, chance / fading(index), space)
    there = np.array([np.nan if belief is None else belief.unit for belief in space.beliefs], np.float32)
    return jnp.where((index == 0)[:, None] & np.isfinite(there)[None], np.nan_to_num(there)[None], leaning)


def start_of(space: Space) -> np.ndarray:
    """Return where the best is believed to be, and the middle of what nothing is believed of: f32[D]."""
    beliefs = space.beliefs or (None,) * space.num_dimensions
    return np.array([0.5 if belief is None else belief.unit for belief in beliefs], np.float32)


def drawn(key: Key, unit: Array, index: Array, space: Space) -> Array:
    """Do as `designed` with settings that are independent of each other; the key is consumed."""
    if not space.beliefs:
        return unit
    return leaned(unit, jax.random.uniform(key, index.shape, jnp.float32) / fading(index), space)


def leaned(unit: Array, chance: Array, space: Space) -> Array:
    """Warp uniform settings to the density that is believed in, by its inverse distribution function.

    Args:
      unit: f32[Q, D] uniform in [0, 1).
      chance: f32[Q] of each setting; below the share of a dimension, it leans there.
      space: static.
    """
    columns = [unit[:, i] for i in range(space.num_dimensions)]
    for i, belief in enumerate(space.beliefs):
        if belief is not None:
            warped = _warped(columns[i], np.float32(belief.unit), belief.high, space.dimensions[i])
            columns[i] = jnp.where(chance < SHARES[belief.high], warped, columns[i])
    return jnp.stack(columns, axis=1)


def _warped(uniform: Array, centre: np.float32, high: bool, dimension: Dimension) -> Array:
    if not dimension.ordered:
        mass = MASSES[high]
        return jnp.where(uniform < mass, centre, (uniform - mass) / (1.0 - mass))
    width, (low, top) = WIDTHS[high], _ends(centre, WIDTHS[high])
    return jnp.clip(centre + width * ndtri(low + uniform * (top - low)), 0.0, 1.0)


def weighed(unit: Array, trials: Array, beta: float, space: Space) -> Array:
    """Return what piBO takes from an acquisition that is minimised: the more, the more is believed in settings.

    Args:
      unit: f32[..., D].
      trials: i32[] how many ended.
      beta: weight after one trial.
      space: static; something is believed of it.

    Returns:
      f32[...].
    """
    share = beta / jnp.maximum(trials, 1).astype(jnp.float32)
    return share * log_belief(unit, jnp.ones((), jnp.float32), space)


def log_belief(unit: Array, left: Array, space: Space) -> Array:
    """Return the logarithm of the density of what is believed, over that of uniform settings.

    Args:
      unit: f32[..., D] snapped.
      left: f32[], what is left of the belief, in [0, 1]; see `fading`.
      space: static; something is believed of it.

    Returns:
      f32[...].
    """
    active = space.active(unit)
    every = much = jnp.zeros(unit.shape[:-1], jnp.float32)
    for i, belief in enumerate(space.beliefs):
        if belief is not None:
            value = _log_kernel(unit[..., i], np.float32(belief.unit), belief.high, space.dimensions[i])
            value = jnp.where(active[..., i], value, 0.0)
            every, much = every + value, much + value * float(belief.high)
    low, high = SHARES
    near = jnp.logaddexp(every + math.log(low), much + math.log(high - low)) + jnp.log(left)
    return jnp.logaddexp(near, jnp.log1p(-high * left))


def _log_kernel(unit: Array, centre: np.float32, high: bool, dimension: Dimension) -> Array:
    if not dimension.ordered:
        mass, levels = MASSES[high], dimension.levels or 1
        same = dimension.level(unit) == dimension.level(centre, np)
        return jnp.where(same, np.float32(np.log(mass * levels + 1 - mass)), np.float32(np.log(1 - mass)))
    width, (low, top) = WIDTHS[high], _ends(centre, WIDTHS[high])
    return -0.5 * ((unit - centre) / width) ** 2 - np.float32(math.log(width * (top - low) * math.sqrt(2 * math.pi)))


def _ends(centre: np.float32, width: float) -> tuple[float, float]:
    """Return the normal distribution function at both ends of the range."""
    low, top = (0.5 * math.erfc((float(centre) - end) / (width * math.sqrt(2.0))) for end in (0.0, 1.0))
    return low, top
