"""Where a learning curve will end, from a few reports of it: a grey model of what each report gained.

A grey model of the curve itself fails: an exponential, or a logistic curve, flattens far from where learning curves
do. But what a report gains over the one before falls about geometrically, and is positive, which is what GM(1,1) is
for. What it says is tempered in three ways, each without a number to tune. A fit of three gains is wild, so its rate is
averaged with that of gains which fall like 1/t, as power laws have them. Nothing is believed to gain without end, so
the sum of the gains to come is held below what the curve would gain if it rose with the logarithm of time. And a curve
that goes up and down has less to gain than one that goes one way.

Deng, "Control problems of grey systems", https://doi.org/10.1016/S0167-6911(82)80025-X (1982), for GM(1,1).
Viering and Loog, "The shape of learning curves: a review", https://doi.org/10.1109/TPAMI.2022.3220744 (2022), for
power laws.
"""

import jax.numpy as jnp

from jaxhpt.core.typing import Array
from jaxhpt.grey.models import GM11, accumulate
from jaxhpt.grey.sequences import counted, each, growth, known, positive

SLOWEST, FASTEST = 0.02, 2.0  # rates of gains, a report


def gain_to_come(curve: Array, count: Array | int | None, total: Array | int) -> Array:
    """Learning-curve extrapolation by GM(1,1) of the gains: how much a curve will change from its last report on.

    Choose it from four reports on, to judge a training early; `GreyStop` does. Limits: it knows nothing of steps, such
    as those of a learning rate that is cut, or of a model that begins to learn late; with noise as large as the gains
    it is near 0, and the last report is all.

    Args:
      curve: f32[..., R] reports, rising or falling, in any unit; `curve` times any number gives as much times the gain.
      count: i32[...] or one number, reports that are known, the first ones; None for all.
      total: i32[...] or one number, reports of a whole training.

    Returns:
      f32[...]; below 0 where the curve falls, and 0 for fewer than 3 reports or at the end.

    Raises:
      ValueError: shapes that do not fit.

    Example:
      >>> import jax.numpy as jnp
      >>> curve = jnp.array([0.5, 0.7, 0.8, 0.85])
      >>> round(float(curve[3] + gain_to_come(curve, None, 12)), 3)
      0.912

    References:
      Deng (1982); Viering and Loog (2022).
    """
    curve, count = counted(curve, count, "curve")
    total = each(total, curve, "total")
    if curve.shape[-1] < 3:
        return jnp.zeros(count.shape, jnp.float32)
    last = jnp.take_along_axis(curve, jnp.clip(count - 1, 0, curve.shape[-1] - 1)[..., None], axis=-1)
    curve = jnp.where(known(curve, count), curve, last)  # flat after the last report
    change = jnp.diff(curve, axis=-1)
    size = jnp.max(jnp.abs(change), axis=-1, keepdims=True)
    change = change / positive(size)
    left = jnp.maximum(total - count, 0).astype(curve.dtype)
    ahead, most = _geometric(jnp.abs(change), count - 1, left), _logarithmic(change, count, total)
    pooled = ahead * most / positive(ahead + most)
    trusted = (count >= 3) & (left > 0) & (size[..., 0] > 0)
    return jnp.where(trusted, size[..., 0] * pooled * _one_way(change) * _smoothness(change, count), 0.0)


def _geometric(gain: Array, count: Array, left: Array) -> Array:
    """Return the sum of the next f32[...] `left` of gains f32[..., N], by GM(1,1) at a tempered rate: f32[...]."""
    model, number = GM11.fit(gain, count), jnp.maximum(count, 2).astype(gain.dtype)
    rate = jnp.clip(0.5 * (model.rate + 1.0 / number), SLOWEST, FASTEST)
    sums = accumulate(gain)
    middle = jnp.where(known(gain, count), 0.5 * (sums + jnp.roll(sums, 1, axis=-1)), 0.0)[..., 1:]
    fitted = (jnp.sum(gain[..., 1:], axis=-1) + rate * jnp.sum(middle, axis=-1)) / (number - 1.0)
    next_gain = (fitted - rate * gain[..., 0]) * jnp.exp(-rate * (number - 1.0))
    return jnp.maximum(next_gain * left * growth(-rate * left), 0.0)


def _logarithmic(change: Array, count: Array, total: Array) -> Array:
    """Return what a curve of changes f32[..., N] would gain that rises with the logarithm of time: f32[...]."""
    number = jnp.maximum(count, 2).astype(change.dtype)
    longer = jnp.log(jnp.maximum(total.astype(change.dtype) / number, 1.0)) / jnp.log(number)
    return jnp.abs(jnp.sum(change, axis=-1)) * longer


def _one_way(change: Array) -> Array:
    """Return how far changes f32[..., N] agree, squared and with the sign of their sum: f32[...] from -1 to 1."""
    share = jnp.sum(change, axis=-1) / positive(jnp.sum(jnp.abs(change), axis=-1))
    return share * jnp.abs(share)


def _smoothness(change: Array, count: Array) -> Array:
    """Return the share of the whole change f32[..., N] that is no noise, by what its bends are like: f32[...]."""
    bends = jnp.where(known(change, count - 1), change, 0.0)
    bends = jnp.where(known(change[..., 1:], count - 2), jnp.diff(bends, axis=-1), 0.0)
    noise = jnp.sum(bends**2, axis=-1) / jnp.maximum(count - 2, 1).astype(change.dtype)
    whole = jnp.sum(change, axis=-1) ** 2
    return jnp.maximum(whole - noise, 0.0) / positive(whole)
