"""Key streams: each use of randomness draws from its own stream of one root key.

A key is `fold_in(fold_in(root, stream), n)`. Two folds, because a single `fold_in(root, n)` would give
trial 7 and event 7 the same key.

Algorithms that need many numbers in every event take them from `words`: on a CPU threefry would be most of their time.
"""

import enum
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.typing import Array, Key


class Stream(enum.IntEnum):
    """What a key is for, and what counts it."""

    ALGORITHM = 0  # set-up of the algorithm's state
    SCHEDULER = 1  # set-up of the scheduler's state
    EPOCH = 2  # shuffle of one epoch
    BATCH = 3  # generated batch, by tick
    TRIAL = 4  # a trial's own randomness, by row
    ASK = 5  # proposals, by event
    TELL = 6  # learning, by event
    DECIDE = 7  # scheduling, by event
    PRIOR = 8  # learning from what was known before
    EVALUATE = 9  # a trial's evaluation, by row
    WAVE = 10  # what trials share that begin at one event, by its tick
    CONFIRM = 11  # the root of the trainings that confirm a search


def root_of(seed: int, prior: int = 0) -> Key:
    """Return the root of a search's keys: another one where trials are known, so that a second search is no repeat."""
    root = jax.random.key(seed)
    return jax.random.fold_in(root, prior) if prior else root


def key_of(root: Key, stream: Stream, n: Array | int = 0) -> Key:
    """Return the `n`-th key of a stream."""
    return jax.random.fold_in(jax.random.fold_in(root, int(stream)), n)


def words(key: Key, shape: tuple[int, ...], first: int = 0) -> Array:
    """Draw random words cheaply: a mixing hash of a counter, keyed.

    Good for operators and sampling, not for cryptography; a sixth of the time of `jax.random.bits` on a CPU.

    Args:
      key: consumed.
      shape: static, of up to 2^32 words.
      first: static; place of the first of them in the key's stream.

    Returns:
      u32 of that shape.

    References:
      Wellons, "Prospecting for hash functions", https://nullprogram.com/blog/2018/07/31/ (2018).
    """
    one, two = jax.random.key_data(key).ravel()[:2]
    counter = jnp.arange(first, first + math.prod(shape), dtype=jnp.uint32).reshape(shape)
    return _mixed(_mixed(counter ^ one) + two)


def _mixed(value: Array) -> Array:
    value = (value ^ (value >> 16)) * jnp.uint32(0x7FEB352D)
    value = (value ^ (value >> 15)) * jnp.uint32(0x846CA68B)
    return value ^ (value >> 16)


def uniforms(key: Key, shape: tuple[int, ...]) -> Array:
    """Draw uniforms in (0, 1) from `words`: f32 of a static shape."""
    return _uniform(words(key, shape))


def normals(key: Key, shape: tuple[int, ...]) -> Array:
    """Draw standard normals from `words`: f32 of a static shape."""
    return _normal(uniforms(key, shape))


def _uniform(word: Array) -> Array:
    return ((word >> 9).astype(jnp.float32) + 0.5) * jnp.float32(2**-23)


def _normal(uniform: Array) -> Array:
    return jnp.float32(math.sqrt(2)) * jax.lax.erf_inv(2.0 * uniform - 1.0)


class Draws:
    """The stream of `words` of one key, from which each draw takes the next ones.

    Choose it where one piece of work draws many times: to split a key costs a quarter of a second to compile, each
    time. Not for the bodies of loops, which would draw the same words in every turn.

    Args:
      key: consumed.

    Example:
      >>> import jax
      >>> draws = Draws(jax.random.key(0))
      >>> bool((draws.uniforms((3,)) == draws.uniforms((3,))).any())
      False
    """

    def __init__(self, key: Key) -> None:
        self._key, self._used = key, 0

    def words(self, shape: tuple[int, ...]) -> Array:
        """Take random words: u32 of a static shape."""
        first, self._used = self._used, self._used + math.prod(shape)
        return words(self._key, shape, first)

    def uniforms(self, shape: tuple[int, ...]) -> Array:
        """Take uniforms in (0, 1): f32 of a static shape."""
        return _uniform(self.words(shape))

    def normals(self, shape: tuple[int, ...]) -> Array:
        """Take standard normals: f32 of a static shape."""
        return _normal(self.uniforms(shape))


def is_key(leaf: Any) -> bool:
    """Tell whether an array, or its shape, is of typed keys."""
    return bool(jax.dtypes.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key))


def bare(leaf: Any) -> Any:
    """Return the data of typed keys, and anything else as it is."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf
