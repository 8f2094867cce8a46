"""Several processes of one search, by `jax.distributed`: what each sees for itself is agreed on before it counts.

All run the same programs in the same order, so whatever depends on a clock, a key stroke or free memory must be the
same in all of them.
"""

import re
import zlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxhpt.core.keys import bare

KIB = 1 << 10
ADDRESS = re.compile("0x[0-9a-fA-F]+")
LOST = re.compile("gloo|nccl|heartbeat|unavailable|coordination", re.IGNORECASE)  # in what is raised


def alone() -> bool:
    """Tell whether one process runs the search."""
    return jax.process_count() == 1


def leads() -> bool:
    """Tell whether this process decides, shows and calls back: the first does."""
    return jax.process_index() == 0


def told(*numbers: int) -> np.ndarray:
    """Return what each process says: i64[P, N], of N whole numbers below 2^31."""
    mine = np.array(numbers, np.int32)
    return np.asarray(multihost_utils.process_allgather(mine)).astype(np.int64).reshape(-1, len(numbers))


def agreed(endings: Sequence[str], verdict: str, grains: int) -> tuple[str, int]:
    """Return why the search ends, if any process has a reason, and how far it goes next, as the first one says.

    Args:
      endings: all reasons; where processes differ, the first of these.
      verdict: of this process; empty for none.
      grains: that this process would train next.
    """
    if alone():
        return verdict, grains
    said = told(grains, endings.index(verdict) if verdict else len(endings))
    return [*endings, ""][int(said[:, 1].min())], int(said[0, 0])


def require_alike(**parts: Any) -> None:
    """Raise where processes do not search the same: they would wait for each other for ever, or find nonsense.

    Args:
      **parts: pytrees of arrays, and of values that show what they are, by the names that an error gives them.

    Raises:
      ValueError: some differ.
    """
    if alone():
        return
    said = told(*map(_digest, parts.values()))
    differing = [name for name, each in zip(parts, said.T, strict=True) if len(set(each.tolist())) > 1]
    if differing:
        raise ValueError(
            f"{', '.join(differing)}: differ between the processes of the search; call it with the same arguments, on "
            "the same data, in all of them"
        )


def _digest(tree: Any) -> int:
    """Return a whole number below 2^31 that tells trees apart."""
    leaves, structure = jax.tree.flatten(tree)
    found = zlib.crc32(str(structure).encode())
    for leaf in leaves:
        found = zlib.crc32(_content(leaf), found)
    return found >> 1


def _content(leaf: Any) -> bytes:
    if not isinstance(leaf, (jax.Array, np.ndarray)):
        return ADDRESS.sub("", repr(leaf)).encode()
    leaf = bare(leaf)
    told, here = f"{leaf.dtype}{leaf.shape}".encode(), not isinstance(leaf, jax.Array) or leaf.is_fully_addressable
    return told + np.asarray(leaf).tobytes() if here else told


def elsewhere() -> RuntimeError:
    """Say that another process has raised an error."""
    return RuntimeError("another process of the search raised an error: see what it says")


def lost(error: BaseException) -> BaseException:
    """Say of an error that came from what processes tell each other that one of them is lost."""
    if alone() or not LOST.search(str(error)):
        return error
    reason = str(error).splitlines()[0][:200]
    found = RuntimeError(f"another process of the search has ended or cannot be reached; see what it says ({reason})")
    found.__cause__ = error
    return found


def least(size: int | None) -> int | None:
    """Return the least of what processes have of something, in bytes, to a KiB; None where nobody tells."""
    if alone() or size is None:
        return size
    return int(told(min(size // KIB, np.iinfo(np.int32).max)).min()) * KIB
