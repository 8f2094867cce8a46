"""How much memory training takes, from what the user's functions trace to, and how much there is.

The first is an estimate, made before anything is compiled: of the values that are alive at once, in the order of the
jaxpr, but for those that a compiler makes where they are read. What is there is read from the device, or from the
system where the device is the CPU.
"""

import contextlib
import math
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend import core

from jaxhpt.core.jaxprs import Traced, inner_jaxprs
from jaxhpt.training.user_functions import UserFunctions

ALIASES = {"reshape", "squeeze", "expand_dims", "copy"}  # which are what they read
REPEATED = {"broadcast_in_dim", "iota", "tile"}  # made where they are read, unless as a whole
POINTWISE = {  # the same, where they are read once
    "abs", "add", "add_any", "and", "ceil", "clamp", "convert_element_type", "cos", "div", "eq", "erf", "exp", "exp2",
    "expm1", "floor", "ge", "gt", "integer_pow", "le", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne",
    "neg", "not", "or", "pow", "rem", "round", "rsqrt", "select_n", "sign", "sin", "sqrt", "square", "sub", "tanh",
    "xor",
}  # fmt: skip
WHOLE = {"dot_general", "conv_general_dilated", "sort", "gather", "scatter", "scatter-add"}  # need what they read
LOOPS = {"scan", "while"}
DATA = 2  # place of the batch among the arguments of a step, and of valid_data among those of an evaluation
UNLIMITED = 1 << 60  # what systems say where there is no limit is beyond it


class Bytes(NamedTuple):
    """Memory of a program.

    Attributes:
      lane: bytes for each lane.
      shared: bytes whatever the number of lanes.
    """

    lane: int
    shared: int


class Footprint(NamedTuple):
    """Memory that a trial takes.

    Attributes:
      state: bytes of its state.
      init: of what is alive at once while it begins.
      step: of the same in a step of training.
      evaluate: of the same while it is scored.
    """

    state: int
    init: Bytes
    step: Bytes
    evaluate: Bytes


def footprint(functions: UserFunctions) -> Footprint:
    """Estimate the memory of a trial from the traced functions; arguments and data are not counted."""
    return Footprint(
        state=sum(map(size_of, jax.tree.leaves(functions.state))),
        init=alive_at_once(functions.init),
        step=alive_at_once(functions.step, DATA),
        evaluate=alive_at_once(functions.evaluate, DATA),
    )


def alive_at_once(traced: Traced, shared: int | None = None) -> Bytes:
    """Estimate the memory of the values that a function makes: the most that is alive at once.

    Args:
      traced: the function of one trial.
      shared: place of the argument that is the same for all lanes, as data are; None for none.
    """
    counts = [tree.num_leaves for tree in traced.tokens[0].children()]
    mine = [i != shared for i, count in enumerate(counts) for _ in range(count)]
    return _peak(traced.jaxpr, [False] * len(traced.jaxpr.constvars) + mine)


def _peak(jaxpr: core.Jaxpr, mine: Sequence[bool]) -> Bytes:
    """Walk a jaxpr whose constants and inputs belong to a lane or to all, bool each."""
    owned = dict(zip([*jaxpr.constvars, *jaxpr.invars], mine, strict=True))
    fused = _fused(jaxpr)
    last = _last_uses(jaxpr, fused)
    alive: dict[Any, int] = {}
    most = [0, 0]
    for place, equation in enumerate(jaxpr.eqns):
        inputs = [not isinstance(v, core.Literal) and owned[v] for v in equation.invars]
        for out in equation.outvars:
            owned[out], alive[out] = any(inputs), 0 if out in fused else size_of(out.aval)
        inner = _inside(equation, inputs)
        for kind, extra in ((True, inner.lane), (False, inner.shared)):
            now = sum(bytes_ for v, bytes_ in alive.items() if owned[v] is kind)
            most[kind] = max(most[kind], now + extra)
        for v in [v for v in alive if last.get(v, place) <= place]:
            del alive[v]
    return Bytes(lane=most[True], shared=most[False])


def _last_uses(jaxpr: core.Jaxpr, fused: set[Any]) -> dict[Any, int]:
    """Return the equation that uses a value last; what is returned is used after all.

    What is fused uses its operands where it is read itself.
    """
    last = dict.fromkeys((v for v in jaxpr.outvars if not isinstance(v, core.Literal)), len(jaxpr.eqns))
    for place, equation in reversed(list(enumerate(jaxpr.eqns))):
        there = max([place, *(last.get(out, place) for out in equation.outvars if out in fused)])
        for v in equation.invars:
            if not isinstance(v, core.Literal):
                last[v] = max(last.get(v, place), there)
    return last


def _fused(jaxpr: core.Jaxpr) -> set[Any]:
    """Return the values that a compiler makes where they are read, so that they take no memory."""
    readers: dict[Any, list[str]] = {v: ["return"] for v in jaxpr.outvars if not isinstance(v, core.Literal)}
    found = set()
    for equation in reversed(jaxpr.eqns):
        name, out = equation.primitive.name, equation.outvars[0] if equation.outvars else None
        read = readers.get(out, [])
        for v in equation.invars:
            if not isinstance(v, core.Literal):
                readers.setdefault(v, []).extend(read if name in ALIASES else [name])
        as_parts = not WHOLE.intersection(read)
        once = name in POINTWISE and len(read) == 1 and read[0] != "return"
        if name in ALIASES or (as_parts and (name in REPEATED or once)):
            found.add(out)
    return found


def _inside(equation: core.JaxprEqn, mine: list[bool]) -> Bytes:
    """Return what the inner programs of an equation take: the most of any."""
    found = [Bytes(0, 0)]
    for inner in inner_jaxprs(equation):
        num = len(inner.constvars) + len(inner.invars)
        fits = equation.primitive.name not in LOOPS and num in (len(mine), len(mine) - 1)
        found.append(_peak(inner, mine[len(mine) - num :] if fits else [any(mine)] * num))
    return Bytes(max(one.lane for one in found), max(one.shared for one in found))


def size_of(shape: Any) -> int:
    """Return the bytes of an array or of its shape; of typed keys, those of their words."""
    dtype, dims = getattr(shape, "dtype", None), getattr(shape, "shape", ())
    if dtype is None:
        return 0
    if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
        words = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0)))
        return math.prod(dims) * math.prod(words.shape) * words.dtype.itemsize
    return math.prod(dims) * np.dtype(dtype).itemsize


def compiled_bytes(program: Any) -> int | None:
    """Return the bytes that a compiled program asks for beside its arguments; None where that is not known.

    Args:
      program: a compiled executable, such as `jax.jit(f).lower(x).compile()`.
    """
    analysis = getattr(program, "memory_analysis", None)
    if analysis is None:
        return None
    with contextlib.suppress(Exception):  # a backend that cannot tell
        found = analysis()
        new = max(0, found.output_size_in_bytes - found.alias_size_in_bytes)
        return int(new + found.temp_size_in_bytes + found.generated_code_size_in_bytes)
    return None


def free_bytes(device: jax.Device) -> int | None:
    """Return the memory that may still be taken on a device; None where nobody tells.

    On a CPU it is the least of what the system has left, what is left to the group of processes (a container's limit),
    and to the process (`ulimit -v`).
    """
    if device.platform != "cpu":
        told = device.memory_stats() or {}
        limit = told.get("bytes_limit")
        return None if limit is None else max(0, limit - told.get("bytes_in_use", 0))
    limits = [_system(), *_groups(), _process()]
    return min((limit for limit in limits if limit is not None), default=None)


def _system() -> int | None:
    """Return what the system has left, that which it can take back from its caches included."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _process() -> int | None:
    """Return what is left of the address space that the process may have."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    taken = _lines("/proc/self/statm")
    if limit == resource.RLIM_INFINITY or not taken:
        return None
    return max(0, limit - int(taken[0].split()[0]) * resource.getpagesize())


def _groups() -> Iterable[int | None]:
    """Yield what is left to the control groups of the process, and to the groups that these are in."""
    for line in _lines("/proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            root = pathlib.Path("/sys/fs/cgroup") / controllers
            own = root / path.lstrip("/")
            for folder in (own, *own.parents):
                if folder.is_relative_to(root):
                    yield _left(folder)


def _left(folder: pathlib.Path) -> int | None:
    """Return what is left to a control group, of version 2 or 1."""
    for names in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
        limit, used = (_lines(folder / name) for name in names)
        if limit and used and limit[0].isdigit() and int(limit[0]) < UNLIMITED:
            return max(0, int(limit[0]) - int(used[0]) + _cached(folder))
    return None


def _cached(folder: pathlib.Path) -> int:
    """Return the memory of a control group that is copies of files, which the system takes back."""
    told = dict(line.split()[:2] for line in _lines(folder / "memory.stat") if len(line.split()) == 2)
    return int(told.get("total_inactive_file", told.get("inactive_file", "0")))


def _lines(path: Any) -> list[str]:
    """Return the lines of a file of the system; none where there is none."""
    with contextlib.suppress(OSError):
        return pathlib.Path(path).read_text().splitlines()
    return []
