"""A function as what it traces to: its jaxpr, the constants it captured, and a key that equal programs share.

Two functions are the same program when they trace to the same text. The constants are kept apart, so that a new array
of the same shape is the same program, given another argument.
"""

import dataclasses
import enum
import functools
import hashlib
import itertools
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.extend import core
from jax.interpreters import partial_eval

from jaxhpt.core.typing import Array, PyTree

# JAX caches what it traced by which object a function is: a changed configuration would give the old jaxpr again, from
# bodies of loops and functions jitted by the user too. Under a context of a new value nothing is found in these caches.
_FRESH = jax.make_user_context(0)
_NUMBERS = itertools.count(1)

INLINED = {
    "jit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",  # nobody differentiates a training step again
    "custom_vjp_call": "call_jaxpr",
}
PLAIN = (int, float, complex, str, bytes, bool, type(None), np.dtype, np.generic, enum.Enum, type)
ARRAYS = (np.ndarray, np.generic, jax.Array, int, float, complex)
CONTAINERS = (functools.partial, tuple, list, dict)
STRUCTURES = ("arguments", "result")  # whose trees are the first tokens
ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


@dataclasses.dataclass(frozen=True, eq=False)
class Traced:
    """A traced function. Equal to another where both are the same program, whatever arrays they captured.

    Attributes:
      jaxpr: what it does; its `constvars` stand for the captured arrays.
      shapes: pytree of `ShapeDtypeStruct`, what it returns.
      constants: shapes of the captured arrays.
      digest: hash of the text, of names and structures, and of what could not be taken out of the text.
      tokens: what has no text: tree structures, host callbacks, which equal themselves alone, and what they hold.
    """

    jaxpr: core.Jaxpr
    shapes: PyTree
    constants: tuple[jax.ShapeDtypeStruct, ...]
    digest: str
    tokens: tuple

    def __call__(self, constants: Sequence[Array], *args: Any) -> Any:
        """Call the function, with the arrays it captured or others of their shapes."""
        out = evaluate(self.jaxpr, constants, jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(self.shapes), out)

    @property
    def portable(self) -> bool:
        """Whether its digest tells it apart in other processes too: it holds no callback that is itself alone."""
        return len(self.tokens) == len(STRUCTURES)

    def __hash__(self) -> int:
        return hash(self.digest)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Traced) or self.digest != other.digest or len(self.tokens) != len(other.tokens):
            return False
        return all(_alike(a, b) for a, b in zip(self.tokens, other.tokens, strict=True))


def trace(function: Callable, *shapes: Any) -> tuple[Traced, tuple[Any, ...]]:
    """Trace a function once.

    Args:
      function: traceable; its Python code runs once.
      *shapes: pytrees of arrays or `ShapeDtypeStruct`.

    Returns:
      What it traced to, and the arrays that it captured, as they are now.
    """
    with _FRESH(next(_NUMBERS)):
        first, out = jax.make_jaxpr(lambda *args: function(*args), return_shape=True)(*shapes)
        flat = _flattened(first.jaxpr, first.consts)
    out = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), out)
    constants = tuple(jax.ShapeDtypeStruct(np.shape(c), c.dtype) for c in flat.consts)
    trees = (jax.tree.structure(shapes), jax.tree.structure(out))
    digest, callbacks = _digest(flat.jaxpr, constants, trees)
    return Traced(flat.jaxpr, out, constants, digest, (*trees, *callbacks)), tuple(flat.consts)


def inputs_needed(traced: Traced, outputs: Sequence[bool] | None = None) -> list[bool]:
    """Tell, for each leaf of its inputs, whether some outputs of a traced function, or its effects, depend on it.

    Exact through calls, scans and branches; all that a `while` is given counts as read.

    Args:
      traced: the function.
      outputs: for each leaf of its outputs, whether it counts; None for all.
    """
    wanted = [True] * len(traced.jaxpr.outvars) if outputs is None else list(outputs)
    return list(partial_eval.dce_jaxpr(traced.jaxpr, wanted)[1])


def primitives(jaxpr: core.Jaxpr) -> set[str]:
    """Return the names of all operations of a jaxpr, those of inner ones too."""
    return {equation.primitive.name for equation in _equations(jaxpr)}


def evaluate(jaxpr: core.Jaxpr, constants: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """Run a jaxpr: calls are inlined, and loops are traced again, so that constants of inner calls rise to the top."""
    known = dict(zip(jaxpr.constvars, constants, strict=True)) | dict(zip(jaxpr.invars, args, strict=True))

    def read(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else known[variable]

    for equation in jaxpr.eqns:
        out = _run(equation, [read(v) for v in equation.invars])
        known.update(zip(equation.outvars, out, strict=True))
    return [read(v) for v in jaxpr.outvars]


def _flattened(jaxpr: core.Jaxpr, constants: Sequence[Any]) -> core.ClosedJaxpr:
    shapes = [v.aval for v in jaxpr.invars]
    return jax.make_jaxpr(lambda *args: evaluate(jaxpr, constants, args))(*shapes)


def _closed(jaxpr: core.ClosedJaxpr) -> Callable:
    return lambda *args: tuple(evaluate(jaxpr.jaxpr, jaxpr.consts, args))


def _run(equation: core.JaxprEqn, args: list[Any]) -> list[Any]:
    params, name = equation.params, equation.primitive.name
    if name in INLINED:
        return list(_closed(params[INLINED[name]])(*args))
    if name in _REWRITTEN and params.get("branches_platforms") is None:
        return list(_REWRITTEN[name](equation, args))
    with equation.ctx.manager:
        bound = equation.primitive.get_bind_params(params)  # a pair where functions come with them
        functions, rest = ((), bound) if isinstance(bound, dict) else bound
        out = equation.primitive.bind(*functions, *args, **rest)
    return out if equation.primitive.multiple_results else [out]


def _scan(equation: core.JaxprEqn, args: list[Any]) -> tuple:
    params = equation.params
    fixed, carried, body = params["num_consts"], params["num_carry"], _closed(params["jaxpr"])

    def step(carry: tuple, x: tuple) -> tuple[tuple, tuple]:
        out = body(*args[:fixed], *carry, *x)
        return out[:carried], out[carried:]

    start, over = tuple(args[fixed : fixed + carried]), tuple(args[fixed + carried :])
    carry, stacked = lax.scan(step, start, over, params["length"], params["reverse"], params["unroll"])
    return (*carry, *stacked)


def _while(equation: core.JaxprEqn, args: list[Any]) -> tuple:
    params = equation.params
    tests, bodies = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    test, body = _closed(params["cond_jaxpr"]), _closed(params["body_jaxpr"])
    return lax.while_loop(
        lambda carry: test(*args[:tests], *carry)[0],
        lambda carry: body(*args[tests:bodies], *carry),
        tuple(args[bodies:]),
    )


def _cond(equation: core.JaxprEqn, args: list[Any]) -> tuple:
    return tuple(lax.switch(args[0], [_closed(branch) for branch in equation.params["branches"]], *args[1:]))


def _checkpoint(equation: core.JaxprEqn, args: list[Any]) -> list[Any]:
    """Keep what must be computed again, but lift the constants of calls inside."""
    inner = equation.params["jaxpr"]
    flat = _flattened(inner, ())
    num = len(flat.consts)
    shapes = [jax.typeof(c) for c in flat.consts] + [v.aval for v in inner.invars]
    lifted = jax.make_jaxpr(lambda *a: evaluate(flat.jaxpr, a[:num], a[num:]))(*shapes)
    anew = equation.params["prevent_cse"]
    anew = anew if isinstance(anew, bool) else (False,) * num + tuple(anew)
    params = {**equation.params, "jaxpr": lifted.jaxpr, "prevent_cse": anew, "policy": None}  # nobody differentiates
    out: list[Any] = equation.primitive.bind(*flat.consts, *args, **params)
    return out


_REWRITTEN: dict[str, Callable] = {"scan": _scan, "while": _while, "cond": _cond, "remat2": _checkpoint}


def _digest(jaxpr: core.Jaxpr, constants: tuple, trees: tuple) -> tuple[str, list[Any]]:
    """Hash what tells two programs apart, the same in every process; return with it what equals itself alone."""
    found, callbacks = hashlib.sha256(), []  # type: tuple[Any, list[Any]]
    # The text holds neither weak types, nor the whole of every literal.
    outs = [(v.aval.str_short(), bool(getattr(v.aval, "weak_type", False))) for v in jaxpr.outvars]
    shapes = [(c.shape, str(c.dtype)) for c in constants]
    for part in (str(jaxpr), *map(str, trees), str(outs), str(shapes)):
        found.update(ADDRESS.sub("0x", part).encode())
    for equation in _equations(jaxpr):
        for value in (*equation.invars, *equation.params.values()):
            for piece in _pieces(value):
                if isinstance(piece, ARRAYS):
                    found.update(_bytes(piece))
                else:
                    found.update(_place(piece).encode())
                    callbacks += [] if _at_home(piece) else [piece]
    return found.hexdigest(), callbacks


def inner_jaxprs(equation: core.JaxprEqn) -> Iterator[core.Jaxpr]:
    """Yield the programs inside an equation: bodies of loops, branches, calls."""
    values = tuple(equation.params.values())
    for value in jax.tree.leaves(values, is_leaf=lambda v: isinstance(v, (core.Jaxpr, core.ClosedJaxpr))):
        inner = value.jaxpr if isinstance(value, core.ClosedJaxpr) else value
        if isinstance(inner, core.Jaxpr):
            yield inner


def _equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
    for equation in jaxpr.eqns:
        yield equation
        for inner in inner_jaxprs(equation):
            yield from _equations(inner)


def _pieces(value: Any) -> Iterator[Any]:
    """Find the arrays, the callables and the user's objects in an operand or a parameter; all else is in the text."""
    if isinstance(value, core.Literal):
        yield value.val
    elif isinstance(value, core.ClosedJaxpr):
        yield from value.consts
    elif isinstance(value, (np.ndarray, jax.Array)):
        yield value
    elif isinstance(value, (core.Jaxpr, *PLAIN)):
        return
    elif not (_of_a_library(value) or isinstance(value, CONTAINERS)):
        yield value
    elif isinstance(value, functools.partial):
        yield from _pieces((value.func, value.args, value.keywords))
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _pieces(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _pieces(item)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from _pieces(getattr(value, field.name))
    elif callable(value):
        yield value


def _of_a_library(value: Any) -> bool:
    return type(value).__module__.split(".")[0] in ("jax", "jaxlib", "numpy", "builtins")


def _alike(a: Any, b: Any) -> bool:
    """Compare tokens; what does not compare is alike to itself alone."""
    if a is b:
        return True
    try:
        return type(a) is type(b) and bool(a == b)
    except Exception:  # an object of the user's may raise anything
        return False


def _bytes(value: Any) -> bytes:
    if isinstance(value, jax.Array) and jax.dtypes.issubdtype(value.dtype, jax.dtypes.prng_key):
        value = jax.random.key_data(value)
    array = np.asarray(value)
    return f"{array.dtype}{array.shape}".encode() + array.tobytes()


def _place(function: Any) -> str:
    return f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"


def _at_home(function: Any) -> bool:
    """Tell whether a function is the one that its module has under its name: one for the whole process."""
    home: Any = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in getattr(function, "__qualname__", "<locals>").split("."):
        home = getattr(home, name, None)
    return home is function
