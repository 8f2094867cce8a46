"""How much work a jaxpr is."""

import jax
import jax.numpy as jnp
import pytest

from jaxhpt.training.work import operations

A, B = jnp.zeros((3, 4)), jnp.zeros((4, 5))


def looped(x):
    return jax.lax.scan(lambda c, _: (c @ x, None), x, length=7)[0]


@pytest.mark.parametrize(
    ("function", "shapes", "wanted"),
    [
        (lambda a, b: a @ b, (A, B), 2 * 3 * 5 * 4),
        (lambda a: a + a, (A,), 12),
        (jax.jit(lambda a, b: jnp.sin(a @ b)), (A, B), 2 * 60 + 15),
        (jax.vmap(lambda a, b: a @ b), (jnp.zeros((6, 3, 4)), jnp.zeros((6, 4, 5))), 6 * 2 * 60),
        (lambda a: jax.lax.cond(True, lambda: a, lambda: a * a), (A,), 12),
        (lambda x, k: jax.lax.conv(x, k, (1, 1), "SAME"), (jnp.zeros((2, 3, 8, 8)), jnp.zeros((5, 3, 3, 3))),
         2 * (2 * 5 * 64) * 27),
    ],
)  # fmt: skip
def test_products_count_what_they_sum_and_all_else_what_it_makes(function, shapes, wanted):
    assert operations(jax.make_jaxpr(function)(*shapes).jaxpr) == pytest.approx(wanted, abs=2)


def test_a_loop_counts_each_of_its_rounds():
    assert operations(jax.make_jaxpr(looped)(jnp.zeros((3, 3))).jaxpr) == 7 * 2 * 27
