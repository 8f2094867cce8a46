"""Docstrings keep what they say of shapes and dtypes: `shapes.hold` checks it wherever tests call."""

import importlib
import pkgutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import shapes

import jaxhpt
from jaxhpt.core.pareto import dominates


def scaled(unit, theta, mask=None):
    """Scale.

    Args:
      unit: f32[C, D] rows.
      theta: f32[D + 2].
      mask: bool[C]; None for all.

    Returns:
      f32[C].
    """
    return (unit * theta[:-2]).sum(1)[: None if mask is None else mask.sum()]


UNIT, THETA = jnp.zeros((5, 3), jnp.float32), jnp.zeros(5, jnp.float32)
held = shapes.checked(scaled)


def test_what_keeps_its_promise_passes_traced_or_not():
    assert held(UNIT, theta=THETA).shape == (5,)
    assert jax.eval_shape(jax.vmap(held, (None, 0)), UNIT, jnp.stack([THETA] * 4)).shape == (4, 5)
    assert held(np.zeros((5, 3)), np.zeros(5)).shape == (5,)  # the host counts in doubles


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((UNIT, jnp.zeros(4, jnp.float32)), "theta"),
        ((UNIT.astype(jnp.float16), THETA), "unit"),
        ((UNIT[0], THETA), "unit"),
        ((UNIT, THETA, jnp.ones(6, bool)), "mask"),
        ((UNIT, THETA, jnp.ones(5, jnp.int32)), "mask"),
        ((UNIT, THETA, np.arange(5) > 2), "return"),
        ((np.zeros((5, 3), np.int64), THETA), "unit"),
    ],
)
def test_what_breaks_it_is_named(arguments, named):
    with pytest.raises(AssertionError, match=rf"scaled: {named}: .* is not the"):
        held(*arguments)


def test_the_rooms_of_the_package_are_held():
    with pytest.raises(AssertionError, match=r"pareto\.dominates: scores"):
        dominates(jnp.zeros((3, 2), jnp.int32), jnp.zeros(3, jnp.float32))
    rooms = [jaxhpt.core, jaxhpt.surrogates, jaxhpt.engine]
    names = [m.name for room in rooms for m in pkgutil.iter_modules(room.__path__, f"{room.__name__}.")]
    modules = map(importlib.import_module, names)
    functions = [f for m in modules for f in vars(m).values() if isinstance(f, types.FunctionType)]
    assert sum(hasattr(f, "__wrapped__") and bool(shapes.promised(f)) for f in functions) > 40
