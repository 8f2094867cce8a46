"""Learned scales: their formulas, how far they may go, and that they are learned where there is something to learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate

from jaxhpt import Float, Int, Space, When
from jaxhpt.surrogates import gp, input_warp
from jaxhpt.surrogates.features import features, with_axis
from jaxhpt.surrogates.gp_fit import begin, fit, start

SKEWS = np.array([-10.0, -3.0, -0.1, -0.02, 0.0, 0.02, 0.1, 3.0, 10.0], np.float32)
AXES = gp.Axes(np.arange(2), np.ones(2, bool))


@functools.partial(jax.jit, static_argnums=2)
def run(x, y, is_warped, centre):
    axes, mask = gp.Axes(AXES.owner, np.full(2, is_warped)), jnp.ones(len(x), bool)
    theta = fit(begin(jnp.asarray(start(2))[None]), jnp.array([60]), x, y, mask, axes, centre).theta
    return gp.condition(theta, x, y, mask, mask, axes, centre)


def log_shaped(rows=60, seed=0):
    """Scores that have their least in the middle of a range, by the logarithm, and the range given as a linear one."""
    unit = np.random.default_rng(seed).random((rows, 2)).astype(np.float32)
    unit[: rows // 4, 0] *= 0.02  # as when a search has come near
    y = (np.log(1e-4 + unit[:, 0]) - np.log(1e-2)) ** 2 / 10 + 0.3 * unit[:, 1]
    return unit, ((y - y.mean()) / y.std()).astype(np.float32)


def test_backward_is_the_inverse_and_ends_stay_ends():
    unit = np.linspace(0, 1, 101, dtype=np.float32)[:, None]
    seen = input_warp.forward(unit, SKEWS)
    np.testing.assert_allclose(input_warp.backward(seen, SKEWS), np.broadcast_to(unit, seen.shape), atol=1e-5)
    np.testing.assert_allclose(np.asarray(seen)[[0, -1]], np.broadcast_to([[0], [1]], (2, 9)), atol=1e-6)
    assert (np.diff(seen, axis=0) > 0).all()
    np.testing.assert_array_equal(seen[:, SKEWS == 0], unit)


def test_skews_of_opposite_signs_mirror_each_other():
    unit = jnp.linspace(0, 1, 51)[:, None]
    np.testing.assert_allclose(input_warp.forward(unit, -SKEWS), 1 - input_warp.forward(1 - unit, SKEWS), atol=1e-5)


@pytest.mark.parametrize(("low", "high"), [(1e-4, 1.0), (1.0, 3.0)])
def test_a_linear_range_becomes_the_logarithmic_one(low, high):
    linear, logarithmic = (Space.of({"x": Float(low, high, log=log)}) for log in (False, True))
    values = np.geomspace(low, high, 20)
    here, there = (np.array([s.encode({"x": v})[0] for v in values], np.float32) for s in (linear, logarithmic))
    np.testing.assert_allclose(input_warp.forward(here, np.float32(np.log(high / low))), there, atol=2e-3)


def test_the_derivative_equals_differences_in_float64():
    unit, k = np.linspace(0, 1, 21)[:, None], SKEWS.astype(np.float64)
    exact = lambda k: np.where(k == 0, unit, np.log1p(np.expm1(k) * unit) / np.where(k == 0, 1, k))  # noqa: E731
    expected = (exact(k + 1e-4) - exact(k - 1e-4)) / 2e-4
    np.testing.assert_allclose(input_warp.by_log_warp(unit.astype(np.float32), SKEWS), expected, atol=1e-4)


@pytest.mark.parametrize("best", [0.12, 0.3, 0.5, 0.7, 0.88])
def test_the_best_is_at_the_mean_of_the_density_of_the_largest_skew(best):
    log_warp = float(input_warp.reach(jnp.float32(best)))
    density = lambda u: np.expm1(log_warp) / (log_warp or 1) / (1 + np.expm1(log_warp) * u) if log_warp else 1.0  # noqa: E731
    assert scipy.integrate.quad(density, 0, 1)[0] == pytest.approx(1)
    mean = scipy.integrate.quad(lambda u: u * density(u), 0, 1)[0]
    assert mean == pytest.approx(best, abs=0.012)
    assert density(best) >= 0.95  # what is near the best is seen no more coarsely than without a log_warp


def test_at_the_ends_of_a_range_a_skew_may_go_furthest():
    most = input_warp.MOST
    np.testing.assert_array_equal(input_warp.reach(jnp.array([0.0, 0.01, 0.99, 1.0])), [most, most, -most, -most])


def test_only_places_in_ordered_ranges_are_warped():
    space = Space.of({"c": ["a", "b"], "n": [1, 2, 4], "x": Float(0, 1), "z": When("c", "a", {"k": Int(1, 4)})})
    for axes, more in ((features(space).axes, []), (with_axis(space), [(4, False)])):
        found = list(zip(axes.owner.tolist(), axes.warped.tolist(), strict=True))
        names = [(space.names[i], w) for i, w in found if i < 4] + [pair for pair in found if pair[0] == 4]
        assert sorted(names[: len(found) - len(more)]) == sorted(
            [("c", False), ("c", False), ("n", True), ("x", True), ("z.k", True), ("z.k", False)]
        )
        assert found[len(found) - len(more) :] == more


def test_a_scale_is_learned_and_explains_more():
    x, y = log_shaped()
    centre = x[np.argmin(y)]
    learned, plain = (run(x, y, is_warped, centre) for is_warped in (True, False))
    log_warps = np.asarray(learned.theta[2:4])
    assert log_warps[0] > 2
    assert abs(log_warps[1]) < 1
    np.testing.assert_array_equal(plain.theta[2:4], 0)
    others, truth = log_shaped(400, seed=1)
    error = []
    for model, is_warped in ((learned, True), (plain, False)):
        found = gp.posterior(model, others, gp.Axes(AXES.owner, np.full(2, is_warped)))
        error.append(float(np.sqrt(np.mean((np.asarray(found.mean) - truth) ** 2))))
    assert error[0] < 0.6 * error[1]


@pytest.mark.parametrize(("best", "sign"), [(0.05, 1), (0.5, 0), (0.97, -1)])
def test_a_scale_is_never_fine_where_the_best_is_not(best, sign):
    x, y = log_shaped()
    for flip in (False, True):
        places = 1 - x if flip else x
        theta = run(places, y, True, jnp.full(2, best)).theta
        assert (np.asarray(theta[2:4]) * sign >= 0).all()
        assert sign or (np.asarray(theta[2:4]) == 0).all()
