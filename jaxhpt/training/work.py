"""How much work a step of training is, from what it traces to: an estimate that is the same on every machine."""

import math
from typing import Any

from jax.extend import core

from jaxhpt.core.jaxprs import inner_jaxprs


def operations(jaxpr: core.Jaxpr) -> float:
    """Count the additions and multiplications of a jaxpr; a loop whose length is not known counts as one round."""
    return sum(map(_of_equation, jaxpr.eqns), 0.0)


def _of_equation(equation: core.JaxprEqn) -> float:
    name, params = equation.primitive.name, equation.params
    inner = [operations(one) for one in inner_jaxprs(equation)]
    if inner:
        return max(inner) if name == "cond" else params.get("length", 1) * sum(inner)
    size = sum(map(_size, equation.outvars))
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        return 2.0 * size * math.prod(_shape(equation.invars[0])[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel = _shape(equation.invars[1])
        return 2.0 * size * math.prod(kernel) / kernel[params["dimension_numbers"].rhs_spec[0]]
    return size


def _size(variable: Any) -> float:
    return float(math.prod(_shape(variable)))


def _shape(variable: Any) -> tuple[int, ...]:
    return getattr(variable.aval, "shape", ())
