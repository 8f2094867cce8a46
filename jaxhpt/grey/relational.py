"""Grey relational analysis: how near sequences come to a reference sequence, without a model of either.

Notations. N places of a sequence, D sequences: x f32[N, D], columns; y f32[N], the reference; weights f32[N] or bool[N]
say how much a place counts, and places of weight 0 change nothing.

An image (`images.py`) brings sequences to one scale; a grade in (0, 1] tells how near an image comes to that of the
reference. Grades rank, they do not test: between sequences that have nothing to do with each other Deng's is about two
thirds, more for smooth ones, and it depends on which are compared together. For factors in random order see
`surrogates/influence.py`.

Deng, "Control problems of grey systems", https://doi.org/10.1016/S0167-6911(82)80025-X (1982).
Deng, "Introduction to grey system theory", The Journal of Grey System 1(1), pages 1-24 (1989).
Liu and Lin, "Grey systems: theory and applications", https://doi.org/10.1007/978-3-642-16158-2 (2010).
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxhpt.core.checks import require
from jaxhpt.core.typing import Array
from jaxhpt.grey.images import initial_image, smaller_is_better
from jaxhpt.grey.weights import columns, ends, first, mean, present, reference

RHO = 0.5  # the usual distinguishing coefficient

Grade = Callable[[Array, Array, Array], Array]


def relational_coefficients(x: Array, y: Array, weight: Array | None = None, rho: Array | float = RHO) -> Array:
    """Grey relational coefficients of images: how near each place of each sequence comes to the reference.

    With d(i, k) = |y(k) - x(i, k)|, and least and largest over all places of all sequences,
    xi(i, k) = (min d + rho max d) / (d(i, k) + rho max d). Choose it to see where sequences differ;
    `relational_grade` is their mean. Limit: min and max belong to the company a sequence keeps: another one may change
    all grades.

    Args:
      x: f32[N, D] images.
      y: f32[N] image of the reference.
      weight: f32[N] or bool[N] places that count, those above 0; None for all.
      rho: distinguishing coefficient in (0, 1]; smaller tells near values better apart, larger is calmer. A number or
        f32[].

    Returns:
      f32[N, D] in (0, 1]; 1 everywhere if all differences are equal, 0 where the weight is 0.

    Raises:
      ValueError: arrays whose shapes do not fit, or a number `rho` out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> relational_coefficients(jnp.array([[1.0, 0.0], [0.5, 1.0]]), jnp.array([1.0, 1.0]))
      Array([[1.        , 0.33333334],
             [0.5       , 1.        ]], dtype=float32)

    References:
      Deng (1982, 1989).
    """
    x, weight = columns(x, weight)
    y, there = reference(y, x), present(weight)
    if isinstance(rho, int | float):
        require(0 < rho <= 1, "rho", rho, "above 0 and at most 1")
    apart = jnp.abs(y[:, None] - x)
    largest = jnp.max(jnp.where(there, apart, 0.0))
    least = jnp.min(jnp.where(there, apart, largest))
    near = (least + rho * largest) / jnp.where(largest > 0, apart + rho * largest, 1.0)
    return jnp.where(there, jnp.where(largest > 0, near, 1.0), 0.0)


def relational_grade(x: Array, y: Array, weight: Array | None = None, rho: Array | float = RHO) -> Array:
    """Grey relational grade, Deng's: the weighted mean of the coefficients, sum w(k) xi(i, k) / sum w(k).

    Choose it to rank alternatives by nearness to an ideal; to rank hyperparameters take `Result.importance`. Limits: a
    sequence that falls where the reference rises comes out as unrelated, see `undirected`; so does one with an effect
    that is not monotone.

    Args:
      x: f32[N, D] images.
      y: f32[N] image of the reference.
      weight: f32[N] or bool[N] how much each place counts; None for all alike.
      rho: as in `relational_coefficients`.

    Returns:
      f32[D] in (0, 1]; 0 where no place counts.

    Raises:
      ValueError: arrays whose shapes do not fit, or a number `rho` out of range.

    Example:
      >>> import jax.numpy as jnp
      >>> relational_grade(jnp.array([[1.0, 0.0], [0.5, 1.0]]), jnp.array([1.0, 1.0]))
      Array([0.75     , 0.6666667], dtype=float32)

    References:
      Deng (1982, 1989).
    """
    _, weight = columns(x, weight)
    return mean(relational_coefficients(x, y, weight, rho), weight)


def undirected(grade: Grade, x: Array, y: Array, weight: Array | None = None) -> Array:
    """Grey relational grade of either direction: the better of a sequence and its mirror image, min x + max x - x.

    Choose it where a sequence that falls as the reference rises is related, too, in place of the separate negative
    grades in Liu and Lin (2010). Limit: the better of two is higher by chance.

    Args:
      grade: (x f32[N, E], y f32[N], weight f32[N]) -> f32[E], such as `relational_grade`.
      x: f32[N, D].
      y: f32[N].
      weight: f32[N] or bool[N] how much each place counts; None for all alike.

    Returns:
      f32[D], the same for a sequence and its mirror image.

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> undirected(relational_grade, jnp.array([[0.0], [0.5], [1.0]]), jnp.array([1.0, 0.5, 0.0]))
      Array([1.], dtype=float32)

    References:
      Liu and Lin (2010).
    """
    x, weight = columns(x, weight)
    low, high = ends(x, weight)
    both = grade(jnp.concatenate([x, (low + high)[None] - x], axis=1), y, weight)
    return jnp.maximum(both[: x.shape[1]], both[x.shape[1] :])


def absolute_grade(x: Array, y: Array, weight: Array | None = None) -> Array:
    """Absolute grade, Liu's: how alike the areas are between sequences and their own beginnings.

    With x0(k) = x(k) - x(1) and s(x) = x0(2) + ... + x0(N - 1) + x0(N) / 2,
    epsilon = (1 + |s(y)| + |s(x)|) / (1 + |s(y)| + |s(x)| + |s(x) - s(y)|). Choose it for series of one unit; shifts do
    not matter, scales do. Limits: the order of places matters, so it is not for random settings; areas above and below
    cancel.

    Args:
      x: f32[N, D], in order of time, evenly spaced.
      y: f32[N].
      weight: f32[N] or bool[N] places that count, those above 0; the others are left out, and the rest move together.
        None for all.

    Returns:
      f32[D] in (0, 1].

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> absolute_grade(jnp.array([[2.0], [4.0], [7.0], [8.0]]), jnp.array([1.0, 3.0, 2.0, 5.0]))
      Array([0.7619048], dtype=float32)

    References:
      Liu and Lin (2010).
    """
    x, weight = columns(x, weight)
    a, b = _area(x, weight), _area(reference(y, x)[:, None], weight)
    both = 1.0 + jnp.abs(a) + jnp.abs(b)
    return both / (both + jnp.abs(a - b))


def relative_grade(x: Array, y: Array, weight: Array | None = None) -> Array:
    """Relative grade, Liu's: the absolute grade of initial images, which compares rates of change.

    Choose it for series of different units; scales do not matter, shifts do. Limits: as of `absolute_grade`, and for
    sequences of one sign.

    Args:
      x: f32[N, D], in order of time, evenly spaced.
      y: f32[N].
      weight: as in `absolute_grade`.

    Returns:
      f32[D] in (0, 1].

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> relative_grade(jnp.array([[2.0], [4.0], [8.0]]), jnp.array([1.0, 2.0, 4.0]))
      Array([1.], dtype=float32)

    References:
      Liu and Lin (2010).
    """
    x, weight = columns(x, weight)
    return absolute_grade(initial_image(x, weight), initial_image(reference(y, x)[:, None], weight)[:, 0], weight)


def compromise(scores: Array, weight: Array | None = None) -> Array:
    """Grey relational compromise: grade the members of a Pareto front by nearness to the best of every objective.

    Each objective becomes `smaller_is_better` over the front, so the ideal is (1, ..., 1), and `relational_grade`
    compares. Choose it where one of a front is wanted, and no more is known than how much each objective counts; of a
    search take `Result.compromise`. Limit: the ranges of the front set the scale, so one extreme member moves the
    choice.

    Args:
      scores: f32[F, M] members of a front, minimised.
      weight: f32[M] >= 0, of the objectives; None for all alike.

    Returns:
      f32[F] in (0, 1]; units of the objectives do not matter.

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> compromise(jnp.array([[0.0, 3.0], [1.0, 1.0], [3.0, 0.0]]), jnp.array([3.0, 1.0]))
      Array([0.8333333, 0.6      , 0.5      ], dtype=float32)

    References:
      Deng (1989).
    """
    scores, ones = columns(scores, None, "scores")
    low, high = ends(scores, ones)
    ideal = jnp.where(high > low, smaller_is_better(scores), 1.0)
    return relational_grade(ideal.T, jnp.ones(scores.shape[1], jnp.float32), weight)


def _area(x: Array, weight: Array) -> Array:
    """Return the area below the rise of each sequence since its beginning, by trapezia: f32[D]."""
    there = weight > 0
    start, end = x[first(there)], x[x.shape[0] - 1 - first(there[::-1])]
    area = jnp.sum(jnp.where(there[:, None], x - start[None], 0.0), axis=0) - 0.5 * (end - start)
    return jnp.where(jnp.any(there), area, 0.0)
