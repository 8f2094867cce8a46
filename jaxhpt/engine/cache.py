"""Compiled programs on disk, for the next process: on by default, for our own programs alone.

Where: `JAXHPT_CACHE_DIR`, else a folder `jaxhpt` in the user's cache folder; `JAXHPT_CACHE=off` turns it off. Where the
user has given JAX a compilation cache, that one serves, and this one rests. What is loaded is executed: the folder is
trusted as installed code is, is the user's own, and is never put into a shared place by us.

A key is everything that a program depends on, in words, so that a hit needs no tracing: its static parts, the shapes of
its arguments, JAX's settings, versions, our own sources, flags, and the processor. What cannot be spelled, such as a
user's own algorithm, is not kept.
"""

import contextlib
import dataclasses
import functools
import hashlib
import os
import pathlib
import pickle
import platform
import re
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax.experimental import serialize_executable

from jaxhpt.core.jaxprs import Traced

MOST_BYTES = 1 << 30  # in the folder; the programs that were not used for longest go first
UNRELATED = re.compile("cache|log|traceback|debug_key|profiler|dump|coordination|distributed|_guard")  # in no program
OURS = re.compile(r"lapack_\w+|TopK|__.+")  # called by programs that another process can run; a callback is not
DIGEST = hashlib.sha256().digest_size
UNFINISHED = ".jaxhpt-"
KEPT = re.compile(rf"[0-9a-f]{{{2 * DIGEST}}}|{re.escape(UNFINISHED)}.*")
CALLED = re.compile(r'custom_call_target="([^"]+)"')


class NotPortableError(Exception):
    """A value that has no spelling which another process would share."""


def folder() -> pathlib.Path | None:
    """Return where programs are kept; None where they are not."""
    if os.environ.get("JAXHPT_CACHE", "on").lower() in ("off", "0", "false", "no"):
        return None
    if (
        jax.config.values["jax_compilation_cache_dir"] or jax.default_backend() != "cpu"
    ):  # loading was only ever tried on CPUs
        return None
    given = os.environ.get("JAXHPT_CACHE_DIR")
    try:
        return pathlib.Path(given).expanduser() if given else _users() / "jaxhpt"
    except RuntimeError:  # a user without a home
        return None


def _users() -> pathlib.Path:
    """Return the user's cache folder, as his system names it."""
    if sys.platform == "darwin":
        return pathlib.Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return pathlib.Path(os.environ.get("LOCALAPPDATA") or pathlib.Path.home() / "AppData" / "Local")
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")


def key_of(*parts: Any) -> str | None:
    """Return the name of a program made of these parts, in this environment; None where one cannot be spelled."""
    try:
        return hashlib.sha256(
            "\n".join([*map(spelled, parts), _environment(), repr(_related()), settings()]).encode()
        ).hexdigest()
    except NotPortableError:
        return None


def load(name: str) -> Callable | None:
    """Return a program that was kept; None where there is none, or it does not load."""
    home = folder()
    if home is None or not (path := home / name).exists():
        return None
    try:
        content = path.read_bytes()
        digest, content = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(content).digest() != digest:  # what is damaged would be run
            raise ValueError(path)
        called, program = pickle.loads(content)
        _awake(called)
        found: Callable = serialize_executable.deserialize_and_load(*program)
    except Exception:  # whatever is wrong with it: it is compiled again
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    with contextlib.suppress(OSError):  # a folder that is read only
        path.touch()
    return found


def save(name: str, program: Any) -> None:
    """Keep a program, whole or not at all; a folder that cannot be written to keeps nothing."""
    home = folder()
    if home is None:
        return
    called = sorted(set(CALLED.findall(program.as_text() or "")))
    if not all(OURS.fullmatch(target) for target in called):
        return
    with contextlib.suppress(Exception):  # a full disk, a folder that is read only, a program that does not pickle
        content = pickle.dumps((called, serialize_executable.serialize(program)))
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        _write(home, name, hashlib.sha256(content).digest() + content)
        _prune(home)


def _write(home: pathlib.Path, name: str, content: bytes) -> None:
    """Write a file, whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=home, delete=False, prefix=UNFINISHED) as file:
        try:
            file.write(content)
            file.close()
            os.replace(file.name, home / name)
        except BaseException:
            os.unlink(file.name)
            raise


def _prune(home: pathlib.Path) -> None:
    """Drop the programs not used for longest, beyond the size of the folder; other files in it are not ours."""
    ours = [path for path in home.iterdir() if KEPT.fullmatch(path.name)]
    files = sorted(((p.stat().st_mtime, p.stat().st_size, p) for p in ours), reverse=True)
    total = 0
    for _, size, path in files:
        total += size
        if total > MOST_BYTES:
            path.unlink(missing_ok=True)


@functools.cache
def _lapack() -> None:
    """Let JAX load LAPACK, as it does when it lowers what uses it; without that such a program would crash."""
    jax.jit(jnp.linalg.cholesky).lower(jax.ShapeDtypeStruct((2, 2), jnp.float32))


def _awake(called: list[str]) -> None:
    if any("lapack" in target for target in called):
        _lapack()


@functools.cache
def _environment() -> str:
    """Spell what does not change within a process: versions, our sources, flags, the processor."""
    root = pathlib.Path(__file__).parents[1]
    sources = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(root.rglob("*.py"))))
    device, versions = jax.devices()[0], (sys.version, jax.__version__, jaxlib.__version__, np.__version__)
    flags = [os.environ.get(name, "") for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS")]
    machine = (platform.machine(), _processor(), device.platform, device.device_kind, jax.device_count())
    return repr((versions, sources.hexdigest(), flags, machine, device.client.platform_version))


def _processor() -> str:
    """Return what the processor can do, as far as the system tells."""
    with contextlib.suppress(OSError):
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return repr(sorted({line for line in lines if line.startswith(("flags", "model name", "Features"))}))
    return platform.processor()


def settings() -> str:
    """Spell JAX's settings, those of this thread too, that may change what a program is."""
    values = jax.config.values
    return repr([values[name] for name in _related()])


@functools.cache
def _related() -> tuple[str, ...]:
    return tuple(sorted(name for name in jax.config.values if not UNRELATED.search(name)))


def spelled(value: Any) -> str:
    """Spell a static value: equal values alike, in every process.

    Raises:
      NotPortableError: it holds something that is not ours, or has no such spelling.
    """
    if isinstance(value, Traced):
        if not value.portable:
            raise NotPortableError(value)
        return value.digest
    if value is None or isinstance(value, (bool, int, float, str, bytes, np.dtype, np.generic)):
        return repr(value)
    if isinstance(value, (jax.ShapeDtypeStruct, type(jax.tree.structure(0)))):
        return str(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{hashlib.sha256(value.tobytes()).hexdigest()}"
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({','.join(map(spelled, value))})"
    if isinstance(value, dict):
        return f"{{{','.join(f'{spelled(k)}:{spelled(v)}' for k, v in value.items())}}}"
    if isinstance(value, type):
        return _named(value)
    if dataclasses.is_dataclass(value):
        fields = (f"{field.name}={spelled(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{_named(type(value))}({','.join(fields)})"
    raise NotPortableError(value)


def _named(kind: type) -> str:
    if kind.__module__.split(".")[0] not in ("jaxhpt", "builtins", "numpy"):
        raise NotPortableError(kind)
    return f"{kind.__module__}.{kind.__qualname__}"
