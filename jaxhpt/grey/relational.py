"""Grey relational analysis: how near sequences come to a reference sequence, without a model of either.

Notations. All arrays are float32.

  N  places of a sequence, D sequences
  x       [N, D]  sequences that are compared, columns
  y       [N]     the reference
  weight  [N]     >= 0 how much a place counts, or bool; places of weight 0 change nothing

An *image* brings sequences to one scale; a *grade* in (0, 1] tells how near an image comes to that of the reference.
Grades rank, they do not test: between sequences that have nothing to do with each other Deng's is .6 to .7, more for
smooth ones, and it depends on which are compared together. For factors in random order see `surrogates/influence.py`.

Deng, "Control problems of grey systems", https://doi.org/10.1016/S0167-6911(82)80025-X (1982).
Deng, "Introduction to grey system theory", Journal of Grey System 1(1), 1-24 (1989).
Liu and Lin, "Grey systems: theory and applications", https://doi.org/10.1007/978-3-642-16158-2 (2010).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import beside, compact
from jaxhpt.core.typing import Array

RHO = 0.5  # the usual distinguishing coefficient

Grade = Callable[[Array, Array, Array], Array]


def larger_is_better(x: Array, weight: Array) -> Array:
    """Map each sequence to [0, 1], its largest value to 1: (x - min x) / (max x - min x).

    Args:
      x: f32[N, D].
      weight: f32[N] or bool[N] places that count.

    Returns:
      f32[N, D]; 0 in constant sequences and where the weight is 0.

    References:
      Deng (1989). Limit: one outlier presses all other values together.
    """
    low, high = _ends(x, weight)
    return _over(jnp.where(_present(weight), x - low[None], 0.0), high - low)


def smaller_is_better(x: Array, weight: Array) -> Array:
    """Map each sequence to [0, 1], its least value to 1: (max x - x) / (max x - min x); else as `larger_is_better`."""
    return larger_is_better(-x, weight)


def nominal_is_best(x: Array, nominal: Array, weight: Array) -> Array:
    """Map each sequence to [0, 1], a wanted value to 1: 1 - |x - nominal| / max |x - nominal|.

    Choose it for a factor whose optimum lies inside its range and is known.

    Args:
      x: f32[N, D].
      nominal: f32[D] wanted values.
      weight: f32[N] or bool[N] places that count.

    Returns:
      f32[N, D]; 1 in sequences that are nominal everywhere, 0 where the weight is 0.

    References:
      Deng (1989). Limit: the image is as wrong as the nominal value.
    """
    away = jnp.where(_present(weight), jnp.abs(x - nominal[None]), 0.0)
    return jnp.where(_present(weight), 1.0 - _over(away, jnp.max(away, axis=0)), 0.0)


def initial_image(x: Array, weight: Array) -> Array:
    """Divide each sequence by its first value: x(k) / x(1).

    Args:
      x: f32[N, D].
      weight: f32[N] or bool[N] places that count.

    Returns:
      f32[N, D]; 0 in sequences that begin with 0, for which it is not defined, and where the weight is 0.

    References:
      Liu and Lin (2010). Limit: for sequences of one sign, far from 0.
    """
    return _over(jnp.where(_present(weight), x, 0.0), x[_first(_counts(weight))])


def mean_image(x: Array, weight: Array) -> Array:
    """Divide each sequence by its mean, and else as `initial_image`: x(k) / mean x."""
    return _over(jnp.where(_present(weight), x, 0.0), _mean(x, weight))


def coefficients(x: Array, y: Array, weight: Array, rho: Array | float = RHO) -> Array:
    """Return Deng's grey relational coefficients of images.

    With d(i, k) = |y(k) - x(i, k)|, and least and largest over all places of all sequences,
    xi(i, k) = (min d + rho max d) / (d(i, k) + rho max d).

    Args:
      x: f32[N, D] images.
      y: f32[N] image of the reference.
      weight: f32[N] or bool[N] places that count.
      rho: in (0, 1]; smaller tells near values better apart, larger is calmer. Static or f32[].

    Returns:
      f32[N, D] in (0, 1]; 1 everywhere if all differences are equal, 0 where the weight is 0.

    References:
      Deng (1982, 1989). Limit: min and max belong to the company a sequence keeps: another one may change all grades.
    """
    apart, there = jnp.abs(y[:, None] - x), _present(weight)
    largest = jnp.max(jnp.where(there, apart, 0.0))
    least = jnp.min(jnp.where(there, apart, largest))
    near = (least + rho * largest) / jnp.where(largest > 0, apart + rho * largest, 1.0)
    return jnp.where(there, jnp.where(largest > 0, near, 1.0), 0.0)


def grade(x: Array, y: Array, weight: Array, rho: Array | float = RHO) -> Array:
    """Return Deng's grey relational grade, the weighted mean of the coefficients: sum w(k) xi(i, k) / sum w(k).

    Choose it to rank alternatives by nearness to an ideal. To rank factors take `influence.importance`.

    Args:
      x: f32[N, D] images.
      y: f32[N] image of the reference.
      weight: f32[N] or bool[N] how much each place counts.
      rho: as in `coefficients`.

    Returns:
      f32[D] in (0, 1]; 0 where no place counts.

    Example:
      >>> import jax.numpy as jnp
      >>> grade(jnp.array([[1.0, 0.0], [0.5, 1.0]]), jnp.array([1.0, 1.0]), jnp.ones(2))
      Array([0.75     , 0.6666667], dtype=float32)

    References:
      Deng (1982, 1989). Limits: a sequence that falls where the reference rises comes out as unrelated, see
      `undirected`; so does one with an effect that is not monotone.
    """
    return _mean(coefficients(x, y, weight, rho), weight)


def undirected(grade: Grade, x: Array, y: Array, weight: Array) -> Array:
    """Grade each sequence and its mirror image, min x + max x - x, and take the better: direction does not count.

    Args:
      grade: (x f32[N, E], y f32[N], weight) -> f32[E].
      x: f32[N, D].
      y: f32[N].
      weight: f32[N] or bool[N].

    Returns:
      f32[D], the same for a sequence and its mirror image.

    References:
      In place of the separate negative grades in Liu and Lin (2010). Limit: the better of two is higher by chance.
    """
    low, high = _ends(x, weight)
    both = grade(jnp.concatenate([x, (low + high)[None] - x], axis=1), y, weight)
    return jnp.maximum(both[: x.shape[1]], both[x.shape[1] :])


def absolute_grade(x: Array, y: Array, weight: Array) -> Array:
    """Return Liu's absolute grade: how alike the areas are between sequences and their own beginnings.

    With x0(k) = x(k) - x(1) and s(x) = x0(2) + ... + x0(N - 1) + x0(N) / 2,
    epsilon = (1 + |s(y)| + |s(x)|) / (1 + |s(y)| + |s(x)| + |s(x) - s(y)|).

    Args:
      x: f32[N, D], in order of time, evenly spaced.
      y: f32[N].
      weight: f32[N] or bool[N] places that count: those of weight 0 are left out, and the others move together.

    Returns:
      f32[D] in (0, 1]; shifts do not matter, scales do.

    References:
      Liu and Lin (2010). Limits: the order of places matters, so it is for series, not for random settings; areas above
      and below cancel; units matter.
    """
    return _alike(_area(x, weight), _area(y[:, None], weight))


def relative_grade(x: Array, y: Array, weight: Array) -> Array:
    """Return Liu's relative grade: the absolute grade of initial images, which compares rates of change.

    Args, limits and source: as `absolute_grade`; for sequences of one sign. Scales do not matter, shifts do.
    """
    return absolute_grade(initial_image(x, weight), initial_image(y[:, None], weight)[:, 0], weight)


def similitude_grade(x: Array, y: Array, weight: Array) -> Array:
    """Return the grade of similar shape: 1 / (1 + |s(x) - s(y)|), with s as in `absolute_grade`.

    Args and limits: as `absolute_grade`, to which it is an alternative that does not rise with the areas themselves.

    References:
      Liu, Xie and Forrest, "Novel models of grey relational analysis based on visual angle of similarity and
      nearness", https://doi.org/10.1108/20439371111106696 (2011).
    """
    return 1.0 / (1.0 + jnp.abs(_area(x, weight) - _area(y[:, None], weight)))


def closeness_grade(x: Array, y: Array, weight: Array) -> Array:
    """Return the grade of nearness in space: 1 / (1 + |S(x) - S(y)|), with S the area below x, not below x - x(1).

    Args, limits and source: as `similitude_grade`; only for sequences of one unit.
    """
    return 1.0 / (1.0 + jnp.abs(_area(x, weight, level=True) - _area(y[:, None], weight, level=True)))


def slope_grade(x: Array, y: Array, weight: Array) -> Array:
    """Return the slope grade: how alike the steps are, each in units of its sequence's mean.

    With a(k) = (y(k + 1) - y(k)) / mean y and b(k) likewise of x, the mean over k of
    (1 + |a|) / (1 + |a| + |a - b|).

    Args:
      x: f32[N, D], in order of time, evenly spaced.
      y: f32[N].
      weight: f32[N] or bool[N] places that count; a step leads from one that counts to the next.

    Returns:
      f32[D] in (0, 1]; scales do not matter, shifts do; 0 with fewer than two places.

    References:
      Dang, Liu, Liu and Mi, "The improvement on degree of grey slope incidence", Engineering Science 6(3), 41-44
      (2004). Limits: for series of one sign, not for random settings; it follows noise more than areas do.
    """
    order = compact(_present(weight)[:, 0])
    inner = _counts(weight[order][1:])
    a, b = (jnp.diff(mean_image(v, weight)[order], axis=0) for v in (y[:, None], x))
    return _mean((1.0 + jnp.abs(a)) / (1.0 + jnp.abs(a) + jnp.abs(a - b)), inner)


def compromise(scores: Array, weight: Array) -> Array:
    """Grade the members of a Pareto front by nearness to the ideal point: the best value of every objective at once.

    Each objective becomes `smaller_is_better` over the front, so the ideal is (1, ..., 1), and `grade` compares.

    Args:
      scores: f32[F, M] members of a front, minimised.
      weight: f32[M] >= 0, of the objectives.

    Returns:
      f32[F] in (0, 1]; units of the objectives do not matter.

    Example:
      >>> import jax.numpy as jnp
      >>> compromise(jnp.array([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]]), jnp.array([3.0, 1.0]))
      Array([0.8333333, 0.6      , 0.5      ], dtype=float32)

    References:
      Deng (1989). Limits: the ranges of the front set the scale, so one extreme member moves the choice.
    """
    ones = jnp.ones(scores.shape[0], bool)
    low, high = _ends(scores, ones)
    ideal = jnp.where(high > low, smaller_is_better(scores, ones), 1.0)
    return grade(ideal.T, jnp.ones(scores.shape[1], jnp.float32), weight)


def _counts(weight: Array) -> Array:
    return weight.astype(jnp.float32) > 0


def _present(weight: Array) -> Array:
    return _counts(weight)[:, None]


def _ends(x: Array, weight: Array) -> tuple[Array, Array]:
    """Return the least and the largest value of each sequence, f32[D] twice; 0 where there is none."""
    there = _present(weight)
    low = jnp.min(jnp.where(there, x, jnp.inf), axis=0)
    high = jnp.max(jnp.where(there, x, -jnp.inf), axis=0)
    some = jnp.any(there)
    return jnp.where(some, low, 0.0), jnp.where(some, high, 0.0)


def _mean(x: Array, weight: Array) -> Array:
    share = weight.astype(jnp.float32)[:, None]
    return _over(jnp.sum(jnp.where(share > 0, share * x, 0.0), axis=0), jnp.sum(share))


def _over(a: Array, b: Array) -> Array:
    """Divide; 0 where the divisor is."""
    b = beside(b, a)
    return jnp.where(b == 0, 0.0, a / jnp.where(b == 0, 1.0, b))


def _area(x: Array, weight: Array, level: bool = False) -> Array:
    """Return the area below each sequence, or below its rise since its beginning, by trapezia: f32[D]."""
    there = _present(weight)
    start, end = x[_first(_counts(weight))], x[x.shape[0] - 1 - _first(_counts(weight)[::-1])]
    base = jnp.zeros_like(start) if level else start
    area = jnp.sum(jnp.where(there, x - base[None], 0.0), axis=0) - 0.5 * (start - base) - 0.5 * (end - base)
    return jnp.where(jnp.any(there), area, 0.0)


def _first(mask: Array) -> Array:
    return jax.lax.argmax(mask, 0, jnp.int32)


def _alike(a: Array, b: Array) -> Array:
    both = 1.0 + jnp.abs(a) + jnp.abs(b)
    return both / (both + jnp.abs(a - b))
