"""The one branch: as `cond` alone, and a real branch where many searches are mapped over."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.core.control import REPLICA, when

X = np.arange(12, dtype=np.float32).reshape(4, 3)


def branch(predicate, x):
    """Return a sum of sines, a count and a key where true; else what costs nothing."""

    def then():
        return {"sum": jnp.sum(jnp.sin(x)), "count": jnp.int32(7), "key": jax.random.fold_in(jax.random.key(0), 1)}

    return when(predicate, then, lambda: {"sum": x[0], "count": jnp.int32(0), "key": jax.random.key(2)})


def plain(tree):
    return {**tree, "key": jax.random.key_data(tree["key"])}


@pytest.mark.parametrize("chosen", [[True, False, False, True], [False] * 4, [True] * 4])
def test_each_replica_gets_what_it_would_get_alone(chosen, same_bits):
    alone = [plain(jax.jit(branch)(jnp.bool_(p), x)) for p, x in zip(chosen, X, strict=True)]
    mapped = jax.jit(jax.vmap(branch, axis_name=REPLICA))(jnp.array(chosen), X)
    same_bits(plain(mapped), jax.tree.map(lambda *leaves: jnp.stack(leaves), *alone))


def primitives(jaxpr):
    """Return the names of what a program does outside its branches, and those inside."""
    outside, inside = [], []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "cond":
            for part in equation.params["branches"]:
                inside += [e.primitive.name for e in part.jaxpr.eqns]
        outside.append(equation.primitive.name)
    return outside, inside


def test_over_replicas_it_stays_a_branch_where_a_plain_cond_computes_both():
    true = jnp.ones(4, bool)
    outside, inside = primitives(jax.make_jaxpr(jax.vmap(branch, axis_name=REPLICA))(true, X).jaxpr)
    assert ("cond" in outside, "sin" in outside, "sin" in inside) == (True, False, True)
    outside, _ = primitives(jax.make_jaxpr(jax.vmap(branch))(true, X).jaxpr)
    assert ("cond" in outside, "sin" in outside) == (False, True)  # so this test sees the difference


def test_a_branch_that_no_replica_wants_is_not_run():
    seen = []

    def noted(predicate, x):
        def then():
            jax.debug.callback(lambda: seen.append(1))
            return x + 1.0

        return when(predicate, then, lambda: x)

    mapped = jax.jit(jax.vmap(noted, axis_name=REPLICA))
    jax.block_until_ready(mapped(jnp.zeros(4, bool), X))
    jax.effects_barrier()
    assert seen == []
    jax.block_until_ready(mapped(jnp.array([False, False, True, False]), X))
    jax.effects_barrier()
    assert seen != []


def test_a_predicate_that_all_replicas_share_is_one_too():
    mapped = jax.vmap(lambda x: branch(jnp.bool_(True), x)["sum"], axis_name=REPLICA)
    np.testing.assert_allclose(mapped(X), np.sin(X).sum(axis=1), rtol=1e-5)


def test_an_axis_of_lanes_is_none_of_replicas():
    mapped = jax.vmap(lambda p, x: branch(p, x)["count"], axis_name="lanes")
    assert mapped(jnp.array([True, False, True, False]), X).tolist() == [7, 0, 7, 0]


def test_it_differentiates_and_loops_as_cond_does():
    def loss(x):
        return when(x > 0, lambda: x**2, lambda: -x)

    assert float(jax.grad(loss)(jnp.float32(3.0))) == 6.0
    assert jax.vmap(jax.grad(loss), axis_name=REPLICA)(jnp.float32([3.0, -1.0])).tolist() == [6.0, -1.0]
    counted = jax.lax.fori_loop(0, 5, lambda i, n: when(i % 2 == 0, lambda: n + 1, lambda: n), jnp.int32(0))
    assert int(counted) == 3
