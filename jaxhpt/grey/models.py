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

from jaxhpt.core.typing import Array
from jaxhpt.grey.sequences import STEEPEST, growth, known, line, places, positive, tail

TINY = 1e-12  # the least rate or ratio


class Exponential(NamedTuple):
    """A fitted GM(1,1).

    Attributes:
      rate: f32[...] development coefficient a; above 0 where the numbers fall.
      source: f32[...] grey input b, in units of the numbers.
      first: f32[...] the first number, through which the curve goes.
    """

    rate: Array
    source: Array
    first: Array


class Discrete(NamedTuple):
    """A fitted DGM(1,1).

    Attributes:
      ratio: f32[...] b1, of each number to the one before.
      source: f32[...] b2, in units of the numbers.
      first: f32[...] the first number.
    """

    ratio: Array
    source: Array
    first: Array


class Saturating(NamedTuple):
    """A fitted grey Verhulst model.

    Attributes:
      rate: f32[...] a; below 0 where the curve grows to its ceiling a / b.
      bend: f32[...] b, in units of one over the numbers.
      first: f32[...] the first number.
    """

    rate: Array
    bend: Array
    first: Array


def accumulate(x: Array) -> Array:
    """Form running sums, x1(k) = x(0) + ... + x(k): the accumulated generating operation, f32[..., N].

    It smooths noise and makes what is positive rise. Deng (1982). Limit: sums of mixed signs need not rise.
    """
    return jnp.cumsum(x, axis=-1)


def restore(sums: Array) -> Array:
    """Undo `accumulate`: x(0) = x1(0), x(k) = x1(k) - x1(k - 1), f32[..., N].

    Deng (1982). Limit: differences of large sums lose digits in float32.
    """
    return jnp.diff(sums, axis=-1, prepend=jnp.zeros_like(sums[..., :1]))


def class_ratios_hold(x: Array, count: Array) -> Array:
    """Tell whether GM(1,1) suits the numbers: all x(k-1) / x(k) within exp(-2 / (n + 1)) and exp(2 / (n + 1)).

    Liu and Lin (2010). Limit: it bounds how steep the numbers are, not how well an exponential fits them; numbers of
    both signs, or with a 0, are refused.

    Args:
      x: f32[..., N].
      count: i32[...] n; fewer than 2 hold.

    Returns:
      bool[...].
    """
    before, after = x[..., :-1], x[..., 1:]
    ratio = before / jnp.where(after == 0, jnp.inf, after)
    bound = jnp.exp(2.0 / (count.astype(jnp.float32) + 1.0))[..., None]
    return jnp.all(((ratio > 1.0 / bound) & (ratio < bound)) | ~known(after, count - 1), axis=-1)


def fit_exponential(x: Array, count: Array, times: Array | None = None) -> Exponential:
    """Fit GM(1,1): x(k) + a z(k) = b by least squares, z(k) = (x1(k) + x1(k-1)) / 2. Choose it for geometric numbers.

    At unequal times the sums are x1(k) = x1(k-1) + (t(k) - t(k-1)) x(k), from x1(0) = x(0). Deng (1982); Liu and Lin
    (2010) for the unequal times. Limits: the curve is an exponential, so it cannot bend to a ceiling other than 0 and
    must not be used for accuracies; |a| must be well below 2, and is best below 0.3, as z stands for an integral; of
    mixed signs the sums do not rise, and the fit means little: shift the numbers first.

    Args:
      x: f32[..., N] numbers of one sign.
      count: i32[...]; at least 4 for a forecast of worth.
      times: f32[..., N] rising; None for 0, 1, 2 ...

    Returns:
      The model; a = 0 and b the mean of all but the first where the numbers say no more.

    Example:
      >>> import jax.numpy as jnp
      >>> halving = jnp.array([8.0, 4.0, 2.0, 1.0, 0.0])
      >>> model = fit_exponential(halving, jnp.int32(4))
      >>> round(float(model.rate), 4), round(float(model.source), 4)
      (0.6667, 10.6667)
    """
    there = known(x, count)
    x = jnp.where(there, x, 0.0)
    width = jnp.ones_like(x) if times is None else _widths(times, there)
    sums = accumulate(x * width)
    middle = 0.5 * (sums[..., 1:] + sums[..., :-1])
    slope, level = line(middle, x[..., 1:], there[..., 1:].astype(x.dtype))
    return Exponential(-slope, level, x[..., 0])


def _widths(times: Array, there: Array) -> Array:
    """Return the time before each number, f32[..., N]: 1 for the first."""
    width = jnp.diff(times, axis=-1, prepend=times[..., :1] - 1.0)
    return jnp.where(there, width, 1.0)


def exponential_at(model: Exponential, place: Array, width: Array | float = 1.0) -> Array:
    """Return the numbers that GM(1,1) gives, fitted and forecast: f32[..., P].

    x1(k) = (x(0) - b / a) exp(-a k) + b / a, of which x(k) = (x1(k) - x1(k - w)) / w; written so that a = 0 is no
    exception. Deng (1982). Limit: with a below 0 a forecast grows without end.

    Args:
      model: as fitted.
      place: f32[..., P] times since the first number, which is given back at 0.
      width: f32[..., P] time since the number before; 1 where times are equal.
    """
    rate, source, first = (part[..., None] for part in model)
    begin = jnp.exp(jnp.minimum(-rate * (place - width), STEEPEST))
    return jnp.where(place <= 0, first, (source - rate * first) * begin * growth(-rate * width))


def corrected_at(x: Array, count: Array, model: Exponential, place: Array, window: int) -> Array:
    """Return what GM(1,1) gives, corrected by a second one of its last errors: f32[..., P].

    The absolute errors of the last `window` numbers are fitted by GM(1,1), which is added with their sign from the
    place of the first of them on. Deng (1982); Liu and Lin (2010). Limit: errors that change sign in the window say
    nothing of the next one's, and nothing is added then.

    Args:
      x: f32[..., N].
      count: i32[...], at least `window`.
      model: fitted to them.
      place: f32[..., P].
      window: errors to fit, at least 4 for it to be of worth; static.
    """
    fitted = exponential_at(model, places(x).astype(x.dtype))
    error = jnp.where(known(x, count), x - fitted, 0.0)
    last, length = tail(error, count, window)
    of_tail = known(last, length)
    rising, falling = (jnp.all((s * last > 0) | ~of_tail, axis=-1) for s in (1.0, -1.0))
    sign = rising.astype(x.dtype) - falling.astype(x.dtype)
    more = exponential_at(fit_exponential(jnp.abs(last), length), place - (count - length)[..., None].astype(x.dtype))
    covered = place >= (count - length)[..., None].astype(x.dtype)
    return exponential_at(model, place) + jnp.where(covered, sign[..., None] * more, 0.0)


def fit_discrete(x: Array, count: Array) -> Discrete:
    """Fit DGM(1,1): x1(k + 1) = b1 x1(k) + b2 by least squares. Choose it for geometric numbers, however steep.

    Unlike GM(1,1) it gives geometric numbers back exactly. Xie and Liu (2009). Limits: those of an exponential; a b1
    below 0 alternates.

    Args:
      x: f32[..., N] numbers of one sign.
      count: i32[...]; at least 4 for a forecast of worth.
    """
    there = known(x, count)
    x = jnp.where(there, x, 0.0)
    sums = accumulate(x)
    # The next sum is the sum and the next number: fitting the latter keeps the digits.
    slope, level = line(sums[..., :-1], x[..., 1:], there[..., 1:].astype(x.dtype))
    return Discrete(1.0 + slope, level, x[..., 0])


def discrete_at(model: Discrete, place: Array) -> Array:
    """Return the numbers that DGM(1,1) gives: x(k) = b1^(k - 1) ((b1 - 1) x(0) + b2), f32[..., P].

    Xie and Liu (2009). Limit: with b1 above 1 a forecast grows without end.
    """
    ratio, source, first = (part[..., None] for part in model)
    power = jnp.maximum(place - 1.0, 0.0)
    size = jnp.exp(jnp.minimum(power * jnp.log(jnp.maximum(jnp.abs(ratio), TINY)), STEEPEST))
    odd = (ratio < 0) & (jnp.mod(jnp.round(power), 2.0) == 1)
    step = jnp.where(odd, -size, size)
    return jnp.where(place <= 0, first, step * ((ratio - 1.0) * first + source))


def fit_saturating(x: Array, count: Array) -> Saturating:
    """Fit the grey Verhulst model: x(k) - x(k-1) + a z(k) = b z(k)^2. Choose it for S-shaped curves with a ceiling.

    The numbers themselves take the place of the sums, z(k) = (x(k) + x(k-1)) / 2. Deng (1989); Liu and Lin (2010).
    Limits: the numbers must be of one sign and rise or fall towards the ceiling a / b; what is steepest at its
    beginning, as learning curves are, it flattens too early.

    Args:
      x: f32[..., N] numbers of one sign.
      count: i32[...]; at least 4 for a forecast of worth.
    """
    there = known(x, count)
    x = jnp.where(there, x, 0.0)
    middle = 0.5 * (x[..., 1:] + x[..., :-1])
    size = positive(jnp.max(jnp.abs(middle), axis=-1, keepdims=True))
    weight = jnp.where(there[..., 1:], (middle / size) ** 2, 0.0)
    gain = jnp.diff(x, axis=-1) / jnp.where(weight > 0, middle, 1.0)
    slope, level = line(middle, gain, weight)
    return Saturating(-level, slope, x[..., 0])


def saturating_at(model: Saturating, place: Array) -> Array:
    """Return the numbers that the Verhulst model gives: f32[..., P].

    x(k) = a x(0) / (b x(0) + (a - b x(0)) exp(a k)), written so that a = 0 is no exception. Liu and Lin (2010). Limit:
    it has a pole where the denominator comes to 0; from there on the answer is 1e6 times the first number.
    """
    rate, bend, first = (part[..., None] for part in model)
    place = jnp.minimum(place, STEEPEST / jnp.maximum(jnp.abs(rate), TINY))  # nothing moves any more beyond it
    below = jnp.exp(rate * place) - bend * first * place * growth(rate * place)
    return first / jnp.maximum(below, 1e-6)
