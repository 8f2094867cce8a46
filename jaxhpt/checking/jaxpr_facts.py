"""What a traced function does with what it is given, read from its jaxpr."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval

from jaxhpt.core.jaxprs import Traced, inner_jaxprs, inputs_needed, primitives
from jaxhpt.training.user_functions import UserFunctions

DRAWS = {"random_bits", "threefry2x32", "random_gamma"}
CALLBACKS = {"pure_callback", "io_callback", "debug_callback", "debug_print"}


def arguments(traced: Traced, leaves: Sequence[Any]) -> list[list[Any]]:
    """Share what is known of each leaf of the inputs out to the arguments."""
    found, begun = [], 0
    for tree in traced.tokens[0].children():
        found.append(list(leaves[begun : begun + tree.num_leaves]))
        begun += tree.num_leaves
    return found


def state_read(functions: UserFunctions) -> list[bool]:
    """Tell which leaves of a state the metrics depend on, now or after more steps."""
    num = len(functions.metrics)
    alive = arguments(functions.evaluate, inputs_needed(functions.evaluate, [True] * num + [False]))[1]
    before: list[bool] = []
    while alive != before:
        before = alive
        stepped = arguments(functions.step, inputs_needed(functions.step, alive))[1]
        alive = [a or b for a, b in zip(alive, stepped, strict=True)]
    return alive


def passed_through(functions: UserFunctions) -> list[bool]:
    """Tell which leaves of a state a training step returns as they came."""
    mine = arguments(functions.step, functions.step.jaxpr.invars)[1]
    return [out is into for out, into in zip(functions.step.jaxpr.outvars, mine, strict=True)]


def callbacks(traced: Traced) -> list[str]:
    """Name the ways in which a function calls the host."""
    return sorted(CALLBACKS & primitives(traced.jaxpr))


def loops_freely(traced: Traced) -> bool:
    """Tell whether a function has a loop of unknown length."""
    return "while" in primitives(traced.jaxpr)


def draws_constants(traced: Traced, outputs: Sequence[bool]) -> bool:
    """Tell whether outputs depend on random numbers that are the same in every call: none of its inputs is in them."""
    jaxpr, used = partial_eval.dce_jaxpr(traced.jaxpr, list(outputs), instantiate=True)
    return _draws(jaxpr, [False] * len(jaxpr.constvars) + [True] * sum(used))[0]


def _draws(jaxpr: core.Jaxpr, moving: Sequence[bool]) -> tuple[bool, list[bool]]:
    """Tell whether something is drawn from what does not move, and which outputs do."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], moving, strict=True))

    def moves(variable: Any) -> bool:
        return not isinstance(variable, core.Literal) and known[variable]

    found = False
    for equation in jaxpr.eqns:
        mine = [moves(v) for v in equation.invars]
        inside, out = _inside(equation, mine)
        found = found or inside or (equation.primitive.name in DRAWS and not any(mine))
        known.update(zip(equation.outvars, out, strict=True))
    return found, [moves(v) for v in jaxpr.outvars]


def _inside(equation: core.JaxprEqn, mine: list[bool]) -> tuple[bool, list[bool]]:
    """Tell the same of the programs inside an equation; where it is not known what they get, all of it moves."""
    name, params, whole = equation.primitive.name, equation.params, [any(mine)] * len(equation.outvars)
    if name == "scan":
        return _scanned(params["jaxpr"].jaxpr, mine, params["num_consts"], params["num_carry"])
    if name == "cond":
        return any(_draws(branch.jaxpr, mine[1:])[0] for branch in params["branches"]), whole
    inner = [] if name in DRAWS else list(inner_jaxprs(equation))
    found = [_draws(one, [any(mine)] * (len(one.constvars) + len(one.invars)))[0] for one in inner]
    return any(found), whole


def _scanned(body: core.Jaxpr, mine: list[bool], fixed: int, carried: int) -> tuple[bool, list[bool]]:
    """Tell the same of a loop, whose carry moves as soon as a round makes it move."""
    while True:
        found, out = _draws(body, [False] * len(body.constvars) + mine)
        after = [a or b for a, b in zip(mine[fixed : fixed + carried], out, strict=False)]
        if after == mine[fixed : fixed + carried]:
            return found, out
        mine = [*mine[:fixed], *after, *mine[fixed + carried :]]


def widened(traced: Traced) -> bool:
    """Tell whether a function of no 64-bit floats turns arrays of shorter ones into them; single numbers do no harm."""
    return not any(map(_is_double, traced.jaxpr.invars)) and _widens(traced.jaxpr)


def _widens(jaxpr: core.Jaxpr) -> bool:
    inner = [one for equation in jaxpr.eqns for one in inner_jaxprs(equation)]
    return any(map(_is_widening, jaxpr.eqns)) or any(map(_widens, inner))


def _is_widening(equation: core.JaxprEqn) -> bool:
    if equation.primitive.name != "convert_element_type" or not _is_double(equation.outvars[0]):
        return False
    aval: Any = equation.invars[0].aval
    return aval.size > 1 and jnp.issubdtype(aval.dtype, jnp.floating) and aval.dtype != np.float64


def _is_double(variable: Any) -> bool:
    return getattr(variable.aval, "dtype", None) == np.float64
