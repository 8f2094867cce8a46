"""What a compiled program costs: the compiler's own count of its work, and how long it takes when warm.

Here alone, beside the engine, something is compiled: a user's function, as he would compile it himself.
"""

import math
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval

from jaxhpt.core.jaxprs import Traced, primitives, trace
from jaxhpt.core.typing import PyTree

WARM_UP, ROUNDS, RUNS, SECONDS = 3, 5, 100, 0.05  # runs before; rounds; runs and seconds of each, at most
_measured: dict[Any, float] = {}  # seconds, by program and device: one figure a process, whoever asks and how often
_analysed: dict[Any, tuple[float, float]] = {}
_lock = threading.RLock()  # one measurement at a time


class Cost(NamedTuple):
    """What one call of a program takes, by the compiler's own analysis.

    Attributes:
      flops: floating-point operations: a multiplication and an addition are two.
      bytes_moved: read and written by the operations of the compiled program; what is kept in between does not count.
      parameters: numbers in the weights, and in what is kept with them, such as a batch norm's averages.
      weight_bytes: bytes of the weights, as they are in memory.
    """

    flops: float
    bytes_moved: float
    parameters: int
    weight_bytes: int


def analyse(function: Callable, weights: PyTree, *inputs: PyTree) -> Cost:
    """Return what a call takes, by the analysis of the program that it compiles to; nothing is run.

    A loop of known length, such as `scan`, counts as often as it runs. Of a `while` nobody knows that: it counts once,
    and a warning says so. Work inside a custom call, such as a kernel of one's own, is not seen by the compiler.

    Args:
      function: (weights, *inputs) -> outputs, traceable: a prediction, or a step of training.
      weights: pytree of arrays, traced ones or `ShapeDtypeStruct`.
      *inputs: pytrees of the same.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxhpt.models import cost
      >>> cost.analyse(lambda w, x: x @ w, jnp.zeros((4, 3)), jnp.zeros((8, 4))).flops
      192.0
    """
    shapes = shapes_of((weights, *inputs))
    traced, constants = trace(function, *shapes)
    with _lock:
        name = (traced, _device())
        if name not in _analysed:
            _analysed[name] = _totals(traced, constants, shapes)
        return Cost(*_analysed[name], **sizes(weights))


def latency(function: Callable, weights: PyTree, *inputs: PyTree) -> float:
    """Measure how long a call takes when warm, in milliseconds: the median of the quietest of five rounds.

    It is compiled alone, and run with random numbers for the weights and the inputs, also where it is called inside of
    a trace. The same program on the same device is measured once a process; later calls return the same figure.

    Args:
      function: (weights, *inputs) -> outputs, traceable: a prediction, or a step of training.
      weights: pytree of arrays, traced ones or `ShapeDtypeStruct`.
      *inputs: pytrees of the same.

    Example:
      >>> import jax.numpy as jnp
      >>> from jaxhpt.models import cost
      >>> cost.latency(lambda w, x: x @ w, jnp.zeros((4, 3)), jnp.zeros((8, 4))) < 1000
      True
    """
    shapes = shapes_of((weights, *inputs))
    traced, constants = trace(function, *shapes)
    with _lock:
        name = (traced, _device())
        if name not in _measured:
            program = _compiled(traced.jaxpr, shapes_of(constants), jax.tree.leaves(shapes))
            with jax.ensure_compile_time_eval():
                known = [_drawn(shapes_of(c)) if isinstance(c, jax.core.Tracer) else jnp.asarray(c) for c in constants]
                _measured[name] = _median(program, tuple(known), tuple(map(_drawn, jax.tree.leaves(shapes))))
        return 1000.0 * _measured[name]


def forget() -> None:
    """Forget what was measured, so that it is measured afresh."""
    with _lock:
        _measured.clear()


def sizes(weights: PyTree) -> dict[str, int]:
    """Count the numbers and the bytes of weights, name to int."""
    leaves = jax.tree.leaves(shapes_of(weights))
    counts = [math.prod(leaf.shape) for leaf in leaves]
    held = [count * leaf.dtype.itemsize for count, leaf in zip(counts, leaves, strict=True)]
    return {"parameters": sum(counts), "weight_bytes": sum(held)}


def shapes_of(tree: PyTree) -> PyTree:
    """Return shapes and dtypes of arrays, traced ones or shapes, as JAX keeps them."""

    def shape(leaf: Any) -> jax.ShapeDtypeStruct:
        dtype = leaf.dtype if hasattr(leaf, "dtype") else jnp.result_type(leaf)
        return jax.ShapeDtypeStruct(np.shape(leaf), jax.dtypes.canonicalize_dtype(dtype, allow_extended_dtype=True))

    return jax.tree.map(shape, tree)


def _device() -> tuple[str, str]:
    device = jax.config.values["jax_default_device"] or jax.local_devices()[0]
    return str(device), getattr(device, "device_kind", "")


def _compiled(jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> Any:
    """Compile a jaxpr as a user would, on the default device."""
    run = jax.jit(lambda constants, arguments: core.jaxpr_as_fun(core.ClosedJaxpr(jaxpr, constants))(*arguments))
    return run.lower(tuple(constants), tuple(arguments)).compile()


def _totals(traced: Traced, constants: Sequence[Any], shapes: PyTree) -> tuple[float, float]:
    """Return FLOPs and bytes: the compiler's, who counts the body of a loop once, and of loops what is missing."""
    jaxpr = partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars), instantiate=True)[0]
    if "while" in primitives(jaxpr):
        warnings.warn("analyse: nobody knows how often a while loop runs before it does; it counts once", stacklevel=3)
    total = _own(traced.jaxpr, shapes_of(constants), jax.tree.leaves(shapes)) + _missing(jaxpr)
    return float(total[0]), float(total[1])


def _own(jaxpr: core.Jaxpr, constants: Sequence[Any], arguments: Sequence[Any]) -> np.ndarray:
    """Return what the compiler counts: FLOPs and bytes, f64[2]."""
    found = _compiled(jaxpr, constants, arguments).cost_analysis() or {}
    return np.array([max(0.0, found.get(name, 0.0)) for name in ("flops", "bytes accessed")])


def _missing(jaxpr: core.Jaxpr) -> np.ndarray:
    """Return what the compiler does not count of loops of known length, f64[2]."""
    total = np.zeros(2)
    for equation in jaxpr.eqns:
        for inner in core.jaxprs_in_params(equation.params):
            again = _missing(inner)
            if equation.primitive.name == "scan":
                length, unroll = equation.params["length"], int(equation.params["unroll"])
                counted = length if unroll >= length else unroll + length % unroll
                avals: list[Any] = [v.aval for v in inner.invars]
                again = length * again + (length - counted) * _own(inner, (), shapes_of(avals))
            total = total + again
    return total


def _drawn(shape: jax.ShapeDtypeStruct) -> Any:
    """Return numbers of a shape: small normal ones, zeros where they are whole."""
    if jax.dtypes.issubdtype(shape.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0), math.prod(shape.shape)).reshape(shape.shape)
    if not jax.dtypes.issubdtype(shape.dtype, np.inexact):
        return jnp.zeros(shape.shape, shape.dtype)
    values = 0.1 * np.random.default_rng(0).standard_normal(shape.shape, np.float32)
    return jnp.asarray(values.astype(shape.dtype))


def _median(program: Callable, *arguments: Any) -> float:
    """Return seconds of a call: the median of the quietest round."""
    for _ in range(WARM_UP):
        jax.block_until_ready(program(*arguments))
    return min(_round(program, arguments) for _ in range(ROUNDS))


def _round(program: Callable, arguments: tuple) -> float:
    seconds: list[float] = []
    while len(seconds) < RUNS and sum(seconds) < SECONDS:
        begun = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        seconds.append(time.perf_counter() - begun)
    return float(np.median(seconds))
