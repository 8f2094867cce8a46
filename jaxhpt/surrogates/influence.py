"""Which dimensions of a space the scores follow: a grey relational grade made for random settings.

Settings come in no order, an optimum may lie anywhere in a range, and what has no effect should get nothing. So three
things differ from the grades of `grey/relational.py`:

1. *The image.* Each dimension is replaced by its response curve, the mean score of the rows near each value, read at
   every row: a sequence that follows the reference whatever the shape of the effect. Choices have the means of their
   values.
2. *The distance.* An image is compared with the reference by squares, in place of Deng's coefficients, and its grade
   is counted from that of a sequence that says nothing, the mean. This is the correlation ratio.
   `benchmarks/importance.py` has Deng's coefficients beside it, of plain values and of the same images: they tell apart
   less.
3. *Chance.* Curves follow noise, too. What they gain on average if the scores are shuffled among the rows is known
   exactly, without shuffling; it is taken off, and one deviation more.

Kelley, "An unbiased correlation ratio measure", https://doi.org/10.1073/pnas.21.9.554 (1935).
Buja, Hastie and Tibshirani, "Linear smoothers and additive models", https://doi.org/10.1214/aos/1176347115 (1989).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array
from jaxhpt.surrogates.features import features
from jaxhpt.surrogates.outcome_transforms import standardize

BINS = 16  # along an ordered dimension
WIDTH = 0.3  # of a kernel over one row, in units of the range; falls with the fifth root of the rows
PULL = 1.0  # rows' worth of belief in the mean
CAUTION = 1.0  # deviations of chance that are taken off
LEAST = 4  # rows that a curve needs
ROUNDING = 1e-5  # shares below it may be that of float32


class _Curves(NamedTuple):
    """What is known along d dimensions of one kind, in B bins."""

    size: Array  # f32[d, B] rows
    total: Array  # f32[d, B] sums of their scores, from the mean
    varied: Array  # f32[d] sum of squares, from the mean
    near: Array  # f32[d or 1, B, B] how much bins count for each other


def importance(unit: Array, score: Array, mask: Array, space: Space) -> Array:
    """Share out importance among the dimensions of a space.

    Choose it inside an algorithm, at every event: it costs a few passes over N x D x 16 numbers, and no key.

    Args:
      unit: f32[N, D] snapped.
      score: f32[N] minimised; +inf where failed, which counts as the worst of the others.
      mask: bool[N] rows that count.
      space: static.

    Returns:
      f32[D] >= 0 of sum 1; all equal where nothing is known, or nothing but chance.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> from jaxhpt import Float, Space
      >>> space = Space.of({"x": Float(0, 1), "y": Float(0, 1)})
      >>> unit = jax.random.uniform(jax.random.key(0), (64, 2))
      >>> shares = jax.jit(importance, static_argnames="space")
      >>> shares(unit, (unit[:, 0] - 0.5) ** 2, jnp.ones(64, bool), space).round(1)
      Array([1., 0.], dtype=float32)

    References:
      See the module, and `explained` for its limits.
    """
    share = explained(unit, score, mask, space)
    total = jnp.sum(share)
    return jnp.where(total > 0, share / jnp.where(total > 0, total, 1.0), 1.0 / share.shape[0])


def explained(unit: Array, score: Array, mask: Array, space: Space) -> Array:
    """Grade each dimension by the share of the scores' variance that it explains alone, beyond chance.

    With y the score, bent as for a Gaussian process, from its mean; r = S y the response curve at each row, S the
    matrix that smooths; and M = S + S' - S'S: the gain over the mean is g = sum y^2 - sum (y - r)^2 = y' M y. Over all
    orders of y it has the mean m sum y^2, with m = (tr M - 1' M 1 / N) / (N - 1). With v = 2 m (1 - m) / (N + 1), the
    variance of a beta distribution of that mean, the grade is max(0, g / sum y^2 - m - sqrt v) / (1 - m).

    Rows without a dimension do not count for it, and its grade is a share of what all rows vary: a dimension that is
    rarely there explains little.

    Args:
      unit: f32[N, D] snapped.
      score: f32[N] minimised; +inf where failed, which counts as the worst of the others.
      mask: bool[N] rows that count.
      space: static.

    Returns:
      f32[D] in [0, 1]; 0 where nothing is known. Direction, affine scale of the score and order of the rows do not
      matter.

    References:
      See the module. Limits: effects that show only together with another dimension, such as a best y that depends on
      x, are not seen; of dimensions that go together, as late in a search, each gets what they share; effects finer
      than a sixteenth of the range are smoothed away.
    """
    y, there = standardize(score, mask), space.active(unit) & mask[:, None]
    curves = [_graded(_sorted(unit, there, y, space, columns)) for columns in _kinds(space)]
    order = np.argsort(np.concatenate(_kinds(space))).astype(np.int32)
    gain, varied, chance, rows = (jnp.concatenate(part)[order] for part in zip(*curves, strict=True))
    deviation = jnp.sqrt(2.0 * chance * (1.0 - chance) / (rows + 1.0))
    beyond = jnp.maximum(gain - (chance + CAUTION * deviation) * varied, 0.0) / (1.0 - chance)
    share = beyond / jnp.maximum(jnp.sum(y**2), 1e-6)
    return jnp.where((rows >= LEAST) & (share > ROUNDING), jnp.minimum(share, 1.0), 0.0)


def _kinds(space: Space) -> list[np.ndarray]:
    """Return the ordered dimensions, and the unordered ones, each if there are any."""
    onehot = features(space).onehot
    return [columns for kind in (False, True) if (columns := np.flatnonzero(onehot == kind).astype(np.int32)).size]


def _kernel(rows: Array) -> Array:
    """Return how much the bins of ordered dimensions count for each other: f32[d] rows -> f32[d, B, B]."""
    width = jnp.maximum(WIDTH * jnp.maximum(rows, 1.0) ** -0.2, 0.5 / BINS)
    middle = (np.arange(BINS, dtype=np.float32) + 0.5) / BINS
    return jnp.exp(-0.5 * ((middle[:, None] - middle[None])[None] / width[:, None, None]) ** 2)


def _sorted(unit: Array, there: Array, y: Array, space: Space, columns: np.ndarray) -> _Curves:
    """Sort the rows of dimensions of one kind into bins, choices into their values."""
    kind = features(space).onehot[columns[0]]
    size = space.levels[columns].astype(np.float32) if kind else np.full(len(columns), BINS, np.float32)
    bins = int(size.max())
    place = jnp.where(there[:, columns], jnp.clip(jnp.floor(unit[:, columns] * size[None]), 0, size[None] - 1), -1)
    member = (place[:, :, None] == np.arange(bins, dtype=np.float32)[None, None]).astype(jnp.float32)
    sums = jnp.stack([jnp.ones_like(y), y, y**2]) @ member.reshape(y.shape[0], -1)
    count, total, square = sums.reshape(3, len(columns), bins)
    rows = jnp.sum(count, axis=1, keepdims=True)
    mean = jnp.sum(total, axis=1, keepdims=True) / jnp.maximum(rows, 1.0)
    varied = jnp.maximum(jnp.sum(square, axis=1) - rows[:, 0] * mean[:, 0] ** 2, 0.0)
    near = jnp.eye(bins, dtype=jnp.float32)[None] if kind else _kernel(rows[:, 0])
    return _Curves(count, total - mean * count, varied, near)


def _graded(curves: _Curves) -> tuple[Array, Array, Array, Array]:
    """Return y' M y, sum y^2, the share of it that the former has by chance, and the rows: f32[d] each."""
    count, total, varied, near = curves
    rows = jnp.sum(count, axis=1)
    support = jnp.sum(near * count[:, None, :], axis=2)
    weight = near / (support + PULL)[:, :, None]  # S, from bin to bin
    curve = jnp.sum(weight * total[:, None, :], axis=2)
    gain = jnp.sum(2.0 * curve * total - count * curve**2, axis=1)
    flat = support / (support + PULL)  # S 1
    own = jnp.sum(count * jnp.diagonal(weight, axis1=1, axis2=2), axis=1)
    squares = jnp.sum(count[:, :, None] * count[:, None, :] * weight**2, axis=(1, 2))
    ones = jnp.sum(count * (2.0 * flat - flat**2), axis=1)
    chance = (2.0 * own - squares - ones / jnp.maximum(rows, 1.0)) / jnp.maximum(rows - 1.0, 1.0)
    return gain, varied, jnp.clip(chance, 0.0, 0.99), rows
