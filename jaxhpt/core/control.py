"""Control flow: the one place where a program branches on what it computes."""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from jaxhpt.core.typing import Array

REPLICA = "replica"  # name of the axis that many searches in one program are mapped over

T = TypeVar("T")


def when(predicate: Array, then: Callable[[], T], otherwise: Callable[[], T]) -> T:
    """Branch: `jax.lax.cond` with operands by closure, which stays a real branch where many searches are one program.

    `vmap` turns a `cond` whose predicate it maps over into "compute both, select", so that what one search skips would
    be paid by all. Under a `vmap` of axis name "replica" the predicate is therefore reduced over it first: where no
    replica wants `then`, it is not run; where any does, it is, and each replica selects its own.

    Args:
      predicate: bool[].
      then: () -> pytree, run where the predicate is true; the dear one of the two.
      otherwise: () -> a pytree of the same structure, shapes and dtypes; the cheap one, which may run beside `then`.

    Returns:
      What the one or the other returned.

    Example:
      >>> import jax.numpy as jnp
      >>> int(when(jnp.bool_(True), lambda: jnp.int32(1), lambda: jnp.int32(2)))
      1
    """
    if not _mapped():
        return jax.lax.cond(predicate, then, otherwise)

    def both() -> T:
        return jax.tree.map(lambda a, b: jnp.where(predicate, a, b), then(), otherwise())

    some = jax.lax.pmax(predicate.astype(jnp.int32), REPLICA) > 0
    return jax.lax.cond(some, both, otherwise)


def most(count: Array) -> Array:
    """Return the largest of a whole number i32[] in many searches that are one program, so that all loop as often."""
    return jax.lax.pmax(count, REPLICA) if _mapped() else count


def _mapped() -> bool:
    """Tell whether this is traced under an axis of replicas."""
    try:
        jax.lax.axis_size(REPLICA)
    except NameError:
        return False
    return True
