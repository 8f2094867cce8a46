"""What is told in float64 keeps its order in float32, stays finite, and stays on its side of a bound."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.core.host_scores import in_float32, nearest
from jaxhpt.core.metrics import choose

INF = np.inf
LADDERS = [
    [1e300, 2e300, 3e300],
    [-1.7e308, 0.0, 1.7e308],
    [1.0, 2.0, 1e300],
    [0.0, 1e-300, 2e-300],
    [5.0, 5.0 + 1e-15],
    [0.0, 1e-40, 1e-39, 1e-38, 1.0],
    [1000.0, 1000.0000001, 1000.0000002],
    [0.0, 1.0, 1.0 + 1e-12, 1.0 + 2e-12, 1.0000001, 2.0],
    [0.0, 3.4028234e38, 3.40282346e38, 3.402823466e38],
    [-1e39, 1e39],
    [7.0],
]


@pytest.mark.parametrize("ladder", LADDERS, ids=str)
def test_every_finite_value_stays_finite_and_in_order(ladder):
    order = np.random.default_rng(0).permutation(len(ladder))
    scores = np.array([*np.array(ladder)[order], INF, ladder[0]])[:, None]
    told = jnp.asarray(in_float32(scores, choose(("f",), direction="min")))[:, 0]
    assert told.dtype == jnp.float32
    assert np.isinf(told[-2])
    assert np.isfinite(np.delete(np.asarray(told), -2)).all()
    rising = told[: len(ladder)][np.argsort(order)]
    assert bool(jnp.all(rising[1:] > rising[:-1])), rising  # as a device compares them, to which 1e-40 is 0
    assert told[-1] == rising[0]


def test_what_float32_tells_apart_is_told_as_it_is():
    scores = np.random.default_rng(1).normal(size=(500, 1)) * 1e3
    told = in_float32(scores, choose(("f",), direction="min"))
    np.testing.assert_array_equal(told, (scores - scores.min()).astype(np.float32))


def test_nothing_told_yet():
    assert np.isposinf(in_float32(np.full((4, 2), INF), choose(("a", "b"), objectives={"a": "min", "b": "max"}))).all()


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("relation", ["<=", ">="])
@pytest.mark.parametrize("bound", [0.0, 0.1, -3.0, 1e30])
def test_a_bounded_metric_stays_on_its_side(direction, relation, bound):
    columns = choose(("f", "size"), "f", direction, constraints=dict.fromkeys(("f", "size"), (relation, bound)))
    far = max(abs(bound), 1.0)
    values = bound + far * np.array([-1.0, -1e-14, 0.0, 1e-14, 1.0])
    values = np.concatenate([values, [1e300, -1e300, INF]])
    told = in_float32(np.stack([values * columns.signs[0], values], axis=1), columns)
    kept = np.asarray(columns.feasible(jnp.asarray(told)))[:-1]
    values = values[:-1]
    np.testing.assert_array_equal(kept, values <= bound if relation == "<=" else values >= bound)
    assert np.isfinite(told[:-1]).all()


def test_the_nearest_number_is_finite():
    np.testing.assert_array_equal(nearest(np.array([1e300, -1e300, 0.1, INF]))[2:], np.float32([0.1, INF]))
    assert np.isfinite(nearest(np.array([1e300, -1e300]))).all()
