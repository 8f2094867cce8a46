"""Pieces of Flax and optax that take a traced hyperparameter where the originals test it with Python's `if`.

Dropout rates, and the lengths and rates of learning-rate schedules. With plain numbers each is equal to its
original.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen, nnx

from jaxhpt.core.typing import Array, Key

Number = Array | float | int
Schedule = Callable[[Number], Array]


def dropout(key: Key, x: Array, rate: Number, broadcast_dims: Sequence[int] = ()) -> Array:
    """Set entries to 0 with probability `rate`, and scale the rest to keep the mean.

    Args:
      key: consumed.
      x: [...] any shape.
      rate: f32[] in [0, 1]; may be traced; held to 1 / 65,536, which halves the random bits. 1 gives zeros.
      broadcast_dims: axes that share one mask.

    Returns:
      [...] as `x`.

    References:
      Srivastava et al., "Dropout", https://jmlr.org/papers/v15/srivastava14a.html (2014).

    Example:
      >>> float(dropout(jax.random.key(0), jnp.ones(10_000), 0.25).mean().round(1))
      1.0
    """
    shape = tuple(1 if axis in broadcast_dims else size for axis, size in enumerate(x.shape))
    keep = 1.0 - _f32(rate)
    bits = jax.random.bits(key, shape, jnp.uint16).astype(jnp.int32)
    # the barrier keeps the random numbers from being made again wherever the mask is used
    mask = jax.lax.optimization_barrier(bits < jnp.round(keep * 2**16).astype(jnp.int32))
    mask = jnp.broadcast_to(mask, x.shape)
    scale = (1.0 / jnp.where(keep > 0, keep, 1.0)).astype(x.dtype)
    return jnp.where(mask, x * scale, jnp.zeros_like(x))


class LinenDropout(linen.Module):
    """Dropout for linen whose rate may be a hyperparameter; otherwise as `flax.linen.Dropout`.

    Attributes:
      rate: probability of a zero; may be traced.
      broadcast_dims: axes that share one mask.
      deterministic: whether to do nothing; here or at the call.
      rng_collection: name of the random stream.
    """

    rate: Any
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @linen.compact
    def __call__(self, inputs: Array, deterministic: bool | None = None) -> Array:
        """Apply dropout to [...] inputs."""
        if linen.merge_param("deterministic", self.deterministic, deterministic):
            return inputs
        return dropout(self.make_rng(self.rng_collection), inputs, self.rate, self.broadcast_dims)


class NnxDropout(nnx.Dropout):
    """Dropout for nnx whose rate may be a hyperparameter; otherwise as `flax.nnx.Dropout`."""

    def __call__(self, inputs: Array, *, deterministic: bool | None = None, rngs: Any = None) -> Array:
        """Apply dropout to [...] inputs."""
        chosen = self.deterministic if deterministic is None else deterministic
        if chosen is None:
            raise ValueError(
                "deterministic=None: say it here or in the constructor, or call model.train() or model.eval()"
            )
        if chosen:
            return inputs
        source = self.rngs if rngs is None else rngs
        if source is None:
            raise ValueError("rngs=None: dropout needs a random stream; pass rngs here or in the constructor")
        source = source[self.rng_collection] if isinstance(source, nnx.Rngs) else source
        key = source() if isinstance(source, nnx.RngStream) else source
        return dropout(key, inputs, self.rate, self.broadcast_dims)


def _f32(value: Number) -> Array:
    """Take a plain or traced number of any dtype as f32[], whatever JAX's rules of promotion are set to."""
    return jnp.asarray(value).astype(jnp.float32)


def linear_schedule(
    init_value: Number, end_value: Number, transition_steps: Number, transition_begin: Number = 0
) -> Schedule:
    """Go from one value to another in a straight line; as `optax.linear_schedule`.

    Args:
      init_value: at the start.
      end_value: at the end, and after it.
      transition_steps: steps the change takes; below 1 keeps `init_value`.
      transition_begin: steps before it begins.

    Example:
      >>> float(linear_schedule(1.0, 0.0, 10)(5))
      0.5
    """

    def schedule(count: Number) -> Array:
        start, end, steps = _f32(init_value), _f32(end_value), _f32(transition_steps)
        done = jnp.clip((_f32(count) - jnp.maximum(_f32(transition_begin), 0.0)) / jnp.maximum(steps, 1.0), 0.0, 1.0)
        return start + (end - start) * jnp.where(steps > 0, done, 0.0)

    return schedule


def cosine_decay_schedule(
    init_value: Number, decay_steps: Number, alpha: Number = 0.0, exponent: Number = 1.0
) -> Schedule:
    """Fall along half a cosine; as `optax.cosine_decay_schedule`.

    Args:
      init_value: at the start.
      decay_steps: steps of the fall; values below 1 count as 1.
      alpha: least value, as a share of `init_value`.
      exponent: power of the cosine.

    References:
      Loshchilov and Hutter, "SGDR", https://arxiv.org/abs/1608.03983 (2017).

    Example:
      >>> round(float(cosine_decay_schedule(1.0, 10)(5)), 4)
      0.5
    """

    def schedule(count: Number) -> Array:
        share = jnp.clip(_f32(count) / jnp.maximum(_f32(decay_steps), 1.0), 0.0, 1.0)
        cosine = 0.5 * (1.0 + jnp.cos(jnp.pi * share))
        return _f32(init_value) * ((1.0 - _f32(alpha)) * cosine ** _f32(exponent) + _f32(alpha))

    return schedule


def warmup_cosine_decay_schedule(
    init_value: Number,
    peak_value: Number,
    warmup_steps: Number,
    decay_steps: Number,
    end_value: Number = 0.0,
    exponent: Number = 1.0,
) -> Schedule:
    """Rise in a line, then fall along half a cosine; as `optax.warmup_cosine_decay_schedule`.

    Args:
      init_value: at the start.
      peak_value: at the end of the rise.
      warmup_steps: steps of the rise.
      decay_steps: steps of the rise and the fall together.
      end_value: at the end, and after it.
      exponent: power of the cosine.

    Example:
      >>> float(warmup_cosine_decay_schedule(0.0, 1.0, 10, 100)(10))
      1.0
    """
    peak, steps = _f32(peak_value), _f32(warmup_steps)
    alpha = jnp.where(peak == 0.0, 0.0, _f32(end_value) / jnp.where(peak == 0.0, 1.0, peak))
    rise = linear_schedule(init_value, peak, steps)
    fall = cosine_decay_schedule(peak, _f32(decay_steps) - steps, alpha, exponent)
    return lambda count: jnp.where(_f32(count) < steps, rise(count), fall(_f32(count) - steps))


def exponential_decay(
    init_value: Number,
    transition_steps: Number,
    decay_rate: Number,
    transition_begin: Number = 0,
    staircase: bool = False,
    end_value: Number | None = None,
) -> Schedule:
    """Multiply by `decay_rate` every `transition_steps`; as `optax.exponential_decay`.

    Args:
      init_value: at the start.
      transition_steps: steps of one decay; values below 1 count as 1.
      decay_rate: factor, above 0.
      transition_begin: steps before it begins.
      staircase: whether to decay at whole multiples only.
      end_value: bound that the value does not pass; None for none.

    Example:
      >>> float(exponential_decay(1.0, 10, 0.5)(20))
      0.25
    """

    def schedule(count: Number) -> Array:
        passed = jnp.maximum(_f32(count) - jnp.maximum(_f32(transition_begin), 0.0), 0.0)
        power = passed / jnp.maximum(_f32(transition_steps), 1.0)
        value = _f32(init_value) * jnp.power(_f32(decay_rate), jnp.floor(power) if staircase else power)
        if end_value is None:
            return value
        bound = _f32(end_value)
        return jnp.where(_f32(decay_rate) < 1.0, jnp.maximum(value, bound), jnp.minimum(value, bound))

    return schedule
