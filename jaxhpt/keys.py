"""Key streams: each use of randomness draws from its own stream of one root key.

A key is `fold_in(fold_in(root, stream), n)`. Two folds, because a single `fold_in(root, n)` would give
trial 7 and event 7 the same key.
"""

import enum

import jax

from jaxhpt.typing import Array, Key


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


def key_of(root: Key, stream: Stream, n: Array | int = 0) -> Key:
    """Return the `n`-th key of a stream."""
    return jax.random.fold_in(jax.random.fold_in(root, int(stream)), n)
