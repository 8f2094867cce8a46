"""What a run is: its space, settings and task as plain data, by which the same call is known again."""

import hashlib
import pathlib
import platform
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jaxlib
import numpy as np

from jaxhpt.core.keys import bare
from jaxhpt.engine.state import Program
from jaxhpt.store.files import RunError
from jaxhpt.version import __version__

FORMAT = 1
SAME = (
    "way",
    "space",
    "metrics",
    "algorithm",
    "scheduler",
    "seed",
    "before",
    "extended",
    "schedule",
    "task",
    "layout",
    "searches",
    "shared_by",
)


def digest_of(tree: Any) -> str:
    """Name arrays, and the structure that they are in, the same in every process."""
    leaves, structure = jax.tree.flatten(tree)
    found = hashlib.blake2b(str(structure).encode(), digest_size=16)
    for leaf in leaves:
        array = np.ascontiguousarray(bare(leaf))
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(array.reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def versions() -> dict[str, str]:
    """Return what the bits of a run may depend on beside itself."""
    device = jax.local_devices()[0]
    return {
        "jaxhpt": __version__,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{device.platform} {device.device_kind}",
    }


def layout_of(program: Program) -> dict[str, Any]:
    """Return what was decided about how trials are laid out, by a rule or by free memory."""
    pool = program.pool
    return {
        "lanes": program.problem.lanes,
        "pools": program.pools,
        "microbatch": pool.microbatch,
        "fused": program.fused,
        "devices": program.num_devices,
    }


DIGESTS = {  # of what is known by a digest alone
    "task.functions": "what the functions of the task compute is not what it was, or what they compute it from",
    "task.data": "other data than it was, or data in another order",
    "before": "other trials in prior=, or other settings in first=, than there were",
    "extended": "other trials in extend_trials= than there were",
}


def require_same(folder: pathlib.Path, then: dict[str, Any], now: dict[str, Any]) -> None:
    """Raise unless a run may go on by a call; warn where it was begun with other versions.

    Raises:
      RunError: it is another run, or has more trials already.
    """
    where = f"run_dir={str(folder)!r}"
    if found := differences(then, now):
        remedy = "take another directory, or call it as before"
        raise RunError(f"{where}: holds another run; {remedy}: {'; '.join(found)}")
    if now["trials"] < then["trials"]:
        raise RunError(f"{where}: trials={now['trials']}: the run has {then['trials']} already; not less")
    pairs = {name: (old, now["versions"].get(name)) for name, old in then["versions"].items()}
    told = [f"{name} {old}, now {new}" for name, (old, new) in pairs.items() if old != new]
    if told:
        warnings.warn(
            f"{where}: was begun with {'; '.join(told)}: what comes may differ in its last bits", stacklevel=5
        )


def differences(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what makes another run of it, each as a line."""
    return [line for name in SAME for line in _differing(name, then.get(name), now.get(name))]


def _differing(name: str, then: Any, now: Any) -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        if then.get("kind") != now.get("kind"):
            then, now = {"kind": then.get("kind")}, {"kind": now.get("kind")}
        for key in dict.fromkeys([*then, *now]):
            yield from _differing(f"{name}.{key}", then.get(key), now.get(key))
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for place, pair in enumerate(zip(then, now, strict=True)):
            yield from _differing(f"{name}[{place}]", *pair)
    elif name in DIGESTS and then != now:  # of which people learn nothing
        yield f"{name}: {DIGESTS[name]}"
    elif then != now or type(then) is not type(now):
        yield f"{name}: {_short(then)} in the run, {_short(now)} now"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
