"""Grey models: forecasts from a handful of numbers, by fitting an exponential to their running sums.

Notations. Every function works on the last axis, N numbers of which the first `count` are known, and on any leading
axes: sequences of different lengths share one program. Places are counted from 0 and may be fractions. float32.

Each model forecasts well what its own curve describes, and nothing else; what is made of them for learning curves is
in `forecast.py`. All answers are finite where the known numbers are: with fewer than three known numbers, or with
numbers that do not vary, a fit is a constant.

Deng, "Control problems of grey systems", https://doi.org/10.1016/S0167-6911(82)80025-X (1982).
Deng, "Introduction to grey system theory", The Journal of Grey System 1(1), pages 1-24 (1989).
Liu and Lin, "Grey systems: theory and applications", https://doi.org/10.1007/978-3-642-16158-2 (2010).
Xie and Liu, "Discrete grey forecasting model and its optimization",
https://doi.org/10.1016/j.apm.2008.01.011 (2009).
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxhpt.core.checks import require
from jaxhpt.core.typing import Array
from jaxhpt.grey.sequences import STEEPEST, accumulate, at_places, counted, growth, known, line, positive

TINY = 1e-12  # the least rate or ratio


class GM11(NamedTuple):
    """GM(1,1), the grey model of first order in one variable: an exponential through running sums.

    Choose it for numbers that rise or fall about geometrically. Limits: the curve cannot bend to a ceiling other than
    0, so it must not be used for accuracies; |a| must be well below 2, and is best below 0.3, as a mean stands for an
    integral; of mixed signs the sums do not rise, and the fit means little: shift the numbers first.

    Attributes:
      rate: f32[...] development coefficient a; above 0 where the numbers fall.
      source: f32[...] grey input b, in units of the numbers.
      first: f32[...] the first number, through which the curve goes.

    Example:
      >>> import jax.numpy as jnp
      >>> model = GM11.fit(jnp.array([8.0, 4.0, 2.0, 1.0]))
      >>> round(float(model.rate), 4), round(float(model.source), 4)
      (0.6667, 10.6667)
      >>> round(float(model.at(4.0)[0]), 2)
      0.53

    References:
      Deng (1982); Liu and Lin (2010).
    """

    rate: Array
    source: Array
    first: Array

    @classmethod
    def fit(cls, x: Array, count: Array | int | None = None, times: Array | None = None) -> "GM11":
        """Fit x(k) + a z(k) = b by least squares, where z(k) = (x1(k) + x1(k-1)) / 2, and x1 are the running sums.

        At unequal times the sums are x1(k) = x1(k-1) + (t(k) - t(k-1)) x(k), from x1(0) = x(0).

        Args:
          x: f32[..., N] numbers of one sign.
          count: i32[...] or one number, how many of the first are known, at least 4 for a forecast of worth; None for
            all.
          times: f32[..., N] rising; None for 0, 1, 2 ...

        Returns:
          The model; a = 0 and b the mean of all but the first where the numbers say no more.

        Raises:
          ValueError: shapes that do not fit.
        """
        x, count = counted(x, count)
        there = known(x, count)
        x = jnp.where(there, x, 0.0)
        width = jnp.ones_like(x) if times is None else _widths(times, there)
        sums = accumulate(x * width)
        middle = 0.5 * (sums[..., 1:] + sums[..., :-1])
        slope, level = line(middle, x[..., 1:], there[..., 1:].astype(jnp.float32))
        return cls(-slope, level, x[..., 0])

    def at(self, place: Array | float, width: Array | float = 1.0) -> Array:
        """Return the numbers of the curve, fitted and forecast: f32[..., P].

        x1(k) = (x(0) - b / a) exp(-a k) + b / a, of which x(k) = (x1(k) - x1(k - w)) / w; written so that a = 0 is no
        exception. Limit: with a below 0 a forecast grows without end.

        Args:
          place: f32[P], f32[..., P] or a number: times since the first number, which is given back at 0.
          width: as `place`: time since the number before; 1 where times are equal.
        """
        rate, source, first = (part[..., None] for part in self)
        place, width = at_places(place, rate), at_places(width, rate)
        begin = jnp.exp(jnp.minimum(-rate * (place - width), STEEPEST))
        return jnp.where(place <= 0, first, (source - rate * first) * begin * growth(-rate * width))


class DGM11(NamedTuple):
    """DGM(1,1), the discrete grey model: it gives geometric numbers back exactly, however steep.

    Choose it in place of `GM11` for steep numbers. Limits: those of an exponential; a ratio below 0 alternates.

    Attributes:
      ratio: f32[...] b1, of each number to the one before.
      source: f32[...] b2, in units of the numbers.
      first: f32[...] the first number.

    Example:
      >>> import jax.numpy as jnp
      >>> model = DGM11.fit(jnp.array([8.0, 4.0, 2.0, 1.0]))
      >>> model.at(jnp.array([4.0, 5.0])).round(2)
      Array([0.5 , 0.25], dtype=float32)

    References:
      Xie and Liu (2009).
    """

    ratio: Array
    source: Array
    first: Array

    @classmethod
    def fit(cls, x: Array, count: Array | int | None = None) -> "DGM11":
        """Fit x1(k + 1) = b1 x1(k) + b2 by least squares, where x1 are the running sums.

        Args:
          x: f32[..., N] numbers of one sign.
          count: i32[...] or one number, how many of the first are known, at least 4 for a forecast of worth; None for
            all.

        Raises:
          ValueError: shapes that do not fit.
        """
        x, count = counted(x, count)
        there = known(x, count)
        x = jnp.where(there, x, 0.0)
        sums = accumulate(x)
        # The next sum is the sum and the next number: fitting the latter keeps the digits.
        slope, level = line(sums[..., :-1], x[..., 1:], there[..., 1:].astype(jnp.float32))
        return cls(1.0 + slope, level, x[..., 0])

    def at(self, place: Array | float) -> Array:
        """Return the numbers of the curve, x(k) = b1^(k - 1) ((b1 - 1) x(0) + b2): f32[..., P].

        Limit: with b1 above 1 a forecast grows without end.

        Args:
          place: f32[P], f32[..., P] or a number: places counted from 0.
        """
        ratio, source, first = (part[..., None] for part in self)
        place = at_places(place, ratio)
        power = jnp.maximum(place - 1.0, 0.0)
        size = jnp.exp(jnp.minimum(power * jnp.log(jnp.maximum(jnp.abs(ratio), TINY)), STEEPEST))
        odd = (ratio < 0) & (jnp.mod(jnp.round(power), 2.0) == 1)
        step = jnp.where(odd, -size, size)
        return jnp.where(place <= 0, first, step * ((ratio - 1.0) * first + source))


class Verhulst(NamedTuple):
    """Grey Verhulst model: an S-shaped curve to a ceiling.

    Choose it for growth that saturates. Limits: the numbers must be of one sign and rise or fall towards the ceiling
    a / b; what is steepest at its beginning, as learning curves are, it flattens too early.

    Attributes:
      rate: f32[...] a; below 0 where the curve grows to its ceiling a / b.
      bend: f32[...] b, in units of one over the numbers.
      first: f32[...] the first number.

    Example:
      >>> import jax.numpy as jnp
      >>> model = Verhulst.fit(5.0 / (1.0 + 6.0 * jnp.exp(-0.4 * jnp.arange(9.0))))
      >>> model.at(100.0).round(1)
      Array([5.], dtype=float32)

    References:
      Deng (1989); Liu and Lin (2010).
    """

    rate: Array
    bend: Array
    first: Array

    @classmethod
    def fit(cls, x: Array, count: Array | int | None = None) -> "Verhulst":
        """Fit x(k) - x(k-1) + a z(k) = b z(k)^2 by least squares, where z(k) = (x(k) + x(k-1)) / 2.

        The numbers themselves take the place of the sums.

        Args:
          x: f32[..., N] numbers of one sign.
          count: i32[...] or one number, how many of the first are known, at least 4 for a forecast of worth; None for
            all.

        Raises:
          ValueError: shapes that do not fit.
        """
        x, count = counted(x, count)
        there = known(x, count)
        x = jnp.where(there, x, 0.0)
        middle = 0.5 * (x[..., 1:] + x[..., :-1])
        size = positive(jnp.max(jnp.abs(middle), axis=-1, keepdims=True, initial=0.0))
        weight = jnp.where(there[..., 1:], (middle / size) ** 2, 0.0)
        gain = jnp.diff(x, axis=-1) / jnp.where(weight > 0, middle, 1.0)
        slope, level = line(middle, gain, weight)
        return cls(-level, slope, x[..., 0])

    def at(self, place: Array | float) -> Array:
        """Return the numbers of the curve: f32[..., P].

        x(k) = a x(0) / (b x(0) + (a - b x(0)) exp(a k)), written so that a = 0 is no exception. Limit: it has a pole
        where the denominator comes to 0; from there on the answer is 1e6 times the first number.

        Args:
          place: f32[P], f32[..., P] or a number: places counted from 0.
        """
        rate, bend, first = (part[..., None] for part in self)
        place = at_places(place, rate)
        place = jnp.minimum(place, STEEPEST / jnp.maximum(jnp.abs(rate), TINY))  # nothing moves any more beyond it
        below = jnp.exp(rate * place) - bend * first * place * growth(rate * place)
        return first / jnp.maximum(below, 1e-6)


def _widths(times: Array, there: Array) -> Array:
    """Return the time before each number, f32[..., N]: 1 for the first."""
    times = jnp.asarray(times, jnp.float32)
    require(times.shape == there.shape, "times.shape", times.shape, f"{there.shape}, that of x")
    width = jnp.diff(times, axis=-1, prepend=times[..., :1] - 1.0)
    return jnp.where(there, width, 1.0)
