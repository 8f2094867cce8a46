"""Images: maps that bring sequences to one scale, so that they may be compared with a reference.

All take x f32[N, D], whose columns are D sequences of N places, and weights f32[N] or bool[N]; places of weight 0
change nothing.

Deng, "Introduction to grey system theory", The Journal of Grey System 1(1), pages 1-24 (1989).
Liu and Lin, "Grey systems: theory and applications", https://doi.org/10.1007/978-3-642-16158-2 (2010).
"""

import jax.numpy as jnp

from jaxhpt.core.checks import require
from jaxhpt.core.typing import Array
from jaxhpt.grey.weights import columns, ends, first, mean, over, present


def larger_is_better(x: Array, weight: Array | None = None) -> Array:
    """Range image, larger is better: map each sequence to [0, 1], its largest value to 1.

    (x - min x) / (max x - min x). Choose it where units differ and more is better. Limit: one outlier presses all other
    values together.

    Args:
      x: f32[N, D].
      weight: f32[N] or bool[N] places that count, those above 0; None for all.

    Returns:
      f32[N, D]; 0 in constant sequences and where the weight is 0.

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> larger_is_better(jnp.array([[2.0], [4.0], [6.0]])).ravel()
      Array([0. , 0.5, 1. ], dtype=float32)

    References:
      Deng (1989).
    """
    x, weight = columns(x, weight)
    low, high = ends(x, weight)
    return over(jnp.where(present(weight), x - low[None], 0.0), high - low)


def smaller_is_better(x: Array, weight: Array | None = None) -> Array:
    """Range image, smaller is better: map each sequence to [0, 1], its least value to 1.

    (max x - x) / (max x - min x). Choose it for costs. Limit: one outlier presses all other values together.

    Args:
      x: f32[N, D].
      weight: f32[N] or bool[N] places that count, those above 0; None for all.

    Returns:
      f32[N, D]; 0 in constant sequences and where the weight is 0.

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> smaller_is_better(jnp.array([[2.0], [4.0], [6.0]])).ravel()
      Array([1. , 0.5, 0. ], dtype=float32)

    References:
      Deng (1989).
    """
    x, weight = columns(x, weight)
    return larger_is_better(-x, weight)


def nominal_is_best(x: Array, nominal: Array, weight: Array | None = None) -> Array:
    """Nominal image: map each sequence to [0, 1], a wanted value to 1.

    1 - |x - nominal| / max |x - nominal|. Choose it for a factor whose optimum lies inside its range and is known.
    Limit: the image is as wrong as the nominal value.

    Args:
      x: f32[N, D].
      nominal: f32[D] wanted values.
      weight: f32[N] or bool[N] places that count, those above 0; None for all.

    Returns:
      f32[N, D]; 1 in sequences that are nominal everywhere, 0 where the weight is 0.

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> nominal_is_best(jnp.array([[2.0], [4.0], [6.0]]), jnp.array([4.0])).ravel()
      Array([0., 1., 0.], dtype=float32)

    References:
      Deng (1989).
    """
    x, weight = columns(x, weight)
    nominal = jnp.asarray(nominal, jnp.float32)
    require(nominal.shape == x.shape[1:], "nominal.shape", nominal.shape, f"{x.shape[1:]}, one for each column of x")
    away = jnp.where(present(weight), jnp.abs(x - nominal[None]), 0.0)
    return jnp.where(present(weight), 1.0 - over(away, jnp.max(away, axis=0)), 0.0)


def initial_image(x: Array, weight: Array | None = None) -> Array:
    """Initial image: divide each sequence by its first value, x(k) / x(1).

    Choose it to compare rates of change. Limit: for sequences of one sign, far from 0.

    Args:
      x: f32[N, D].
      weight: f32[N] or bool[N] places that count, those above 0; None for all.

    Returns:
      f32[N, D]; 0 in sequences that begin with 0, for which it is not defined, and where the weight is 0.

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> initial_image(jnp.array([[2.0], [4.0], [6.0]])).ravel()
      Array([1., 2., 3.], dtype=float32)

    References:
      Liu and Lin (2010).
    """
    x, weight = columns(x, weight)
    return over(jnp.where(present(weight), x, 0.0), x[first(weight > 0)])


def mean_image(x: Array, weight: Array | None = None) -> Array:
    """Mean image: divide each sequence by its mean, x(k) / mean x.

    Choose it in place of `initial_image` where the first value is noise. Limit: for sequences of one sign, far from 0.

    Args:
      x: f32[N, D].
      weight: f32[N] or bool[N], how much each place counts in the mean; None for all alike.

    Returns:
      f32[N, D]; 0 in sequences of mean 0, for which it is not defined, and where the weight is 0.

    Raises:
      ValueError: arrays whose shapes do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> mean_image(jnp.array([[2.0], [4.0], [6.0]])).ravel()
      Array([0.5, 1. , 1.5], dtype=float32)

    References:
      Liu and Lin (2010).
    """
    x, weight = columns(x, weight)
    return over(jnp.where(present(weight), x, 0.0), mean(x, weight))
