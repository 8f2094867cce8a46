"""Small maths: ranks, reflection, selection, and zeros of any dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.core.arrays import compact, exclusive_count, least_places, reflect, select, zeros


def test_the_least_places_are_those_of_argmin():
    values = np.random.default_rng(0).integers(0, 20, (50, 64)).astype(np.float32)  # with many ties
    values[3], values[4, :60] = np.inf, np.inf
    np.testing.assert_array_equal(least_places(jnp.asarray(values)), values.argmin(axis=1))


def test_ranks_count_the_true_entries_before_each_place():
    mask = np.random.default_rng(0).uniform(size=40) < 0.4
    found = exclusive_count(jnp.asarray(mask))
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, [mask[:i].sum() for i in range(40)])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize(("num", "share"), [(1, 0.0), (1, 1.0), (40, 0.0), (40, 0.3), (40, 1.0), (1000, 0.9)])
def test_the_true_places_come_first_in_their_order(wrap, num, share):
    mask = np.random.default_rng(0).uniform(size=num) < share
    found = wrap(compact)(jnp.asarray(mask))
    assert found.dtype == jnp.int32
    np.testing.assert_array_equal(found, np.argsort(~mask, kind="stable"))


def folded(x):
    """Fold once, at the end that was crossed."""
    x = -x if x < 0 else 2.0 - x if x > 1 else x
    return min(max(x, 0.0), 1.0)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_what_left_the_range_is_folded_back_at_the_end_it_crossed(wrap):
    x = np.linspace(-3.0, 4.0, 1401).astype(np.float32)
    found = np.asarray(wrap(reflect)(x))
    assert np.all((found >= 0) & (found <= 1))
    np.testing.assert_allclose(found, [folded(v) for v in x.tolist()], atol=1e-6)
    np.testing.assert_allclose(found, 1.0 - np.asarray(wrap(reflect)(1.0 - x)), atol=1e-6)


def test_what_is_in_the_range_keeps_its_bits():
    x = np.array([0.0, 1e-30, 1e-9, 0.1, 1 / 3, np.nextafter(np.float32(1), np.float32(0)), 1.0], np.float32)
    np.testing.assert_array_equal(reflect(x), x)


def test_select_takes_each_lane_from_one_side_whatever_the_leaf():
    def tree(offset, key):
        ints, matrix = jnp.arange(3) + offset, jnp.ones((3, 2, 2)) * offset
        return {"ints": ints, "matrix": matrix, "key": jax.random.split(jax.random.key(key), 3)}

    new, old, mask = tree(10, 0), tree(20, 1), jnp.array([True, False, True])
    chosen = select(mask, new, old)
    np.testing.assert_array_equal(chosen["ints"], [10, 21, 12])
    np.testing.assert_array_equal(chosen["matrix"][:, 1, 0], [10.0, 20.0, 10.0])
    for lane, source in enumerate([new, old, new]):
        expected = jax.random.key_data(source["key"][lane])
        np.testing.assert_array_equal(jax.random.key_data(chosen["key"][lane]), expected)


@pytest.mark.parametrize(("lanes", "lead"), [(None, ()), (4, (4,))])
def test_zeros_keep_shapes_and_dtypes_those_of_keys_too(lanes, lead):
    shapes = jax.eval_shape(lambda: {"k": jax.random.key(0), "w": jnp.ones((2, 3), jnp.bfloat16), "i": jnp.int8(1)})
    made = zeros(shapes, lanes)
    for name, leaf in made.items():
        assert leaf.shape == (*lead, *shapes[name].shape)
        assert leaf.dtype == shapes[name].dtype
    assert not np.any(jax.random.key_data(made["k"]))
    assert not np.any(made["w"].astype(jnp.float32))
