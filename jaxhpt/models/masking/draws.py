"""What an initialiser does beside drawing: it is run with the same bits for every draw, so that only its scale is left.

Each weight of a layer comes to one value then, or to what is no draw at all. Two sizes of a layer differ by a factor,
the ratio of their initial scales, whatever keys and shapes their random numbers had.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval

from jaxhpt.core.checks import leaf_name
from jaxhpt.core.jaxprs import INLINED
from jaxhpt.core.typing import PyTree

BITS = 0x9E3779B97F4A7C15  # of 64; .618 of the range: no middle, no end, no zero of any usual distribution
_CALLS = {**INLINED, "remat": "jaxpr", "checkpoint": "jaxpr"}
_ELEMENTWISE = frozenset(
    {"abs", "add", "and", "asin", "atan", "atan2", "bitcast_convert_type", "ceil", "clamp", "convert_element_type",
     "copy", "cos", "cosh", "div", "eq", "erf", "erf_inv", "erfc", "exp", "exp2", "expm1", "floor", "ge", "gt",
     "integer_pow", "is_finite", "le", "log", "log1p", "logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter",
     "not", "optimization_barrier", "or", "pow", "reduce_precision", "rem", "round", "rsqrt", "select_n", "shift_left",
     "shift_right_arithmetic", "shift_right_logical", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub",
     "tan", "tanh", "xor"}
)  # fmt: skip
_MOVES = frozenset({"broadcast_in_dim", "expand_dims", "reshape", "rev", "slice", "squeeze", "transpose"})


class Uniform(NamedTuple):
    """An array of one value.

    Attributes:
      value: [] it.
      shape: of the array.
    """

    value: Any
    shape: tuple[int, ...]


def closed(function: Callable, *args: Any) -> tuple[core.Jaxpr, list, Any]:
    """Trace a function: its jaxpr, the arrays it captured, and the structure of what it returns.

    What it captured from an outer trace, hyperparameters that are no sizes, is stood in for by ones.
    """
    traced, shapes = jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*args)
    with jax.ensure_compile_time_eval():
        consts = [_stand_in(c) if isinstance(c, jax.core.Tracer) else c for c in traced.consts]
    jaxpr, _ = partial_eval.dce_jaxpr(traced.jaxpr, [True] * len(traced.jaxpr.outvars), instantiate=True)
    return jaxpr, consts, jax.tree.structure(shapes)


def _stand_in(tracer: Any) -> Any:
    """Return an array like a traced one; halves are inside of what rates and shares are."""
    if jnp.issubdtype(tracer.dtype, jax.dtypes.prng_key):
        return jax.random.wrap_key_data(jnp.zeros(jax.eval_shape(jax.random.key_data, tracer).shape, jnp.uint32))
    value = 0.5 if jnp.issubdtype(tracer.dtype, jnp.floating) else 1
    return jnp.full(tracer.shape, value, tracer.dtype)


def drawn(init: Callable[[], PyTree]) -> dict[str, Any]:
    """Return the leaves of what `init` makes, by name, all random bits being the same: `Uniform`s or arrays.

    Args:
      init: () -> pytree of arrays; it may be called within another trace.
    """
    jaxpr, consts, structure = closed(init)
    with jax.ensure_compile_time_eval():
        leaves = _run(jaxpr, consts, [])
    paths = jax.tree_util.tree_flatten_with_path(jax.tree.unflatten(structure, range(len(leaves))))[0]
    return {leaf_name(path): leaves[place] for path, place in paths}


def _run(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list:
    known = dict(zip(jaxpr.constvars, consts, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

    def read(variable: Any) -> Any:
        return jnp.asarray(variable.val, variable.aval.dtype) if hasattr(variable, "val") else known[variable]

    for equation in jaxpr.eqns:
        out = _one(equation, [read(v) for v in equation.invars])
        known.update(zip(equation.outvars, out, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _one(equation: Any, args: list) -> list:
    """Run an equation: on one value instead of an array where that is all there is."""
    name, shapes = equation.primitive.name, [v.aval.shape for v in equation.outvars]
    if name == "random_bits":
        kind: Any = equation.outvars[0].aval.dtype
        return [Uniform(jnp.asarray(BITS >> max(0, 64 - 8 * kind.itemsize), kind), shapes[0])]
    if name in _CALLS:
        inner = equation.params[_CALLS[name]]
        return _run(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), args)
    if name == "scan" and equation.params["length"] > 0:
        return _scan(equation.params, args)
    single = [_single(arg) for arg in args]
    if all(value is not None for value in single):
        if name in _ELEMENTWISE:
            return [Uniform(value, shape) for value, shape in zip(_bind(equation, single), shapes, strict=True)]
        if name in _MOVES:
            return [Uniform(single[0], shapes[0])]
    return _bind(equation, [full(arg) for arg in args])


def _scan(params: dict[str, Any], args: list) -> list:
    """Run a scan step by step: layers that lie side by side are drawn in its body."""
    body, fixed, carried = params["jaxpr"], params["num_consts"], params["num_carry"]
    consts, carry, over = args[:fixed], args[fixed : fixed + carried], args[fixed + carried :]
    steps: list[list] = []
    for i in range(params["length"]):
        place = params["length"] - 1 - i if params["reverse"] else i
        out = _run(body.jaxpr, body.consts, [*consts, *carry, *[_row(x, place) for x in over]])
        carry, steps = out[:carried], [*steps, out[carried:]]
    rows = steps[::-1] if params["reverse"] else steps
    return [*carry, *[_stacked(list(column)) for column in zip(*rows, strict=True)]]


def _row(x: Any, place: int) -> Any:
    return Uniform(x.value, x.shape[1:]) if isinstance(x, Uniform) else x[place]


def _stacked(rows: list) -> Any:
    first = rows[0]
    if all(isinstance(row, Uniform) and bool(row.value == first.value) for row in rows):
        return Uniform(first.value, (len(rows), *first.shape))
    return jnp.stack([full(row) for row in rows])


def _single(arg: Any) -> Any:
    """Return the one value of an array; None where it has more, or is of keys."""
    if isinstance(arg, Uniform):
        return arg.value
    return arg if np.ndim(arg) == 0 and not _is_key(arg) else None


def _is_key(arg: Any) -> bool:
    return isinstance(arg, jax.Array) and jnp.issubdtype(arg.dtype, jax.dtypes.prng_key)


def full(arg: Any) -> Any:
    """Return a `Uniform` as an array; others as they are."""
    return jnp.broadcast_to(arg.value, arg.shape) if isinstance(arg, Uniform) else arg


def _bind(equation: Any, args: list) -> list:
    with equation.ctx.manager:
        bound = equation.primitive.get_bind_params(equation.params)  # a pair where functions come with them
        functions, rest = ((), bound) if isinstance(bound, dict) else bound
        out = equation.primitive.bind(*functions, *args, **rest)
    return list(out) if equation.primitive.multiple_results else [out]


def factor(small: Any, wide: Any) -> float | None:
    """Return what a weight of the small model is as a multiple of that of the wide one, entry by entry.

    Args:
      small: [...] of `drawn`.
      wide: [...] of `drawn`, as large or larger along each axis.

    Returns:
      The factor; None where there is not one for all entries.
    """
    if isinstance(small, Uniform) and isinstance(wide, Uniform):
        return _ratio(np.asarray(small.value, np.float64), np.asarray(wide.value, np.float64))
    part = np.asarray(full(wide))[tuple(slice(0, n) for n in small.shape)]
    return _ratio(np.asarray(full(small), np.float64), part.astype(np.float64))


def _ratio(small: np.ndarray, wide: np.ndarray) -> float | None:
    if np.array_equal(small, wide):
        return 1.0
    at = int(np.argmax(np.abs(wide)))
    if small.size == 0 or wide.flat[at] == 0:
        return None
    found = float(small.flat[at] / wide.flat[at])
    return found if found > 0 and np.allclose(small, found * wide, rtol=1e-4, atol=1e-7 * np.abs(small).max()) else None
