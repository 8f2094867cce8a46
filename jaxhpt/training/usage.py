"""Which inputs a traced function really reads: so that nobody tunes a value without effect."""

from collections.abc import Callable
from typing import Any

import jax
from jax.extend import core


def inputs_read(function: Callable, *args: Any) -> list[bool]:
    """Tell, for each leaf of `args`, whether the function's outputs depend on it.

    Loops and branches are judged as a whole: an input that any part of them reads counts as read.

    Args:
      function: traceable.
      *args: arrays or `ShapeDtypeStruct`s.
    """
    jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    return _live_inputs(jaxpr, [True] * len(jaxpr.outvars))


def _live_inputs(jaxpr: core.Jaxpr, outputs: list[bool]) -> list[bool]:
    live = {v for v, used in zip(jaxpr.outvars, outputs, strict=True) if used and not isinstance(v, core.Literal)}
    for eqn in reversed(jaxpr.eqns):
        wanted = [v in live for v in eqn.outvars]
        if not any(wanted) and not eqn.effects:
            continue
        read = _inputs_of(eqn, wanted)
        live.update(v for v, r in zip(eqn.invars, read, strict=True) if r and not isinstance(v, core.Literal))
    return [v in live for v in jaxpr.invars]


def _inputs_of(eqn: core.JaxprEqn, wanted: list[bool]) -> list[bool]:
    """Tell which inputs of one operation are read, looking into the functions it calls."""
    inner = [j for value in eqn.params.values() for j in _jaxprs(value)]
    if "branches" in eqn.params:
        return [True, *_any_of([_live_inputs(j, wanted) for j in inner])]
    if len(inner) == 1 and len(inner[0].invars) == len(eqn.invars) and len(inner[0].outvars) == len(wanted):
        looped = eqn.primitive.name in ("scan", "while")
        return _live_inputs(inner[0], [True] * len(wanted) if looped else wanted)
    return [True] * len(eqn.invars)


def _any_of(rows: list[list[bool]]) -> list[bool]:
    return [any(column) for column in zip(*rows, strict=True)]


def _jaxprs(value: Any) -> list[core.Jaxpr]:
    if isinstance(value, core.ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, core.Jaxpr):
        return [value]
    if isinstance(value, (tuple, list)):
        return [j for item in value for j in _jaxprs(item)]
    return []
