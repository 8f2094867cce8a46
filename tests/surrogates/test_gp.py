"""The Gaussian process beside dense float64 and scikit-learn; acquisition beside scipy; safe fits."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.special
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from jaxhpt import Float, Int, Space, When
from jaxhpt.core.keys import normals
from jaxhpt.surrogates import acquisition, gp
from jaxhpt.surrogates.config import CONFIG
from jaxhpt.surrogates.features import embed, features
from jaxhpt.surrogates.gp_fit import Fit, begin, fit, start
from jaxhpt.surrogates.outcome_transforms import constraint_slack, standardize

ROWS, SIZE = 24, 3
STEP, _, LEAST_STEP = CONFIG.fit_steps
OWNER = np.arange(SIZE)
loss_and_gradient = jax.jit(lambda theta, x, y, mask: gp.loss_and_gradient(theta, x, y, mask, OWNER, x[0]))
condition = jax.jit(lambda theta, x, y, known, mask: gp.condition(theta, x, y, known, mask, OWNER, x[0]))
posterior = jax.jit(lambda model, x: gp.posterior(model, x, OWNER))


@functools.cache
def data(seed=0, rows=ROWS):
    rng = np.random.default_rng(seed)
    x = rng.random((rows, SIZE)).astype(np.float32)
    y = np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + 0.1 * rng.normal(size=rows)
    return x, ((y - y.mean()) / y.std()).astype(np.float32)


THETA = np.array([np.log(0.4), np.log(0.7), np.log(1.5), np.log(1.3), np.log(0.02)], np.float32)
EVERY = np.ones(ROWS, bool)


def kernel(a, b, theta):
    """Matern-5/2 in float64."""
    theta = np.asarray(theta, np.float64)
    apart = (a.astype(np.float64)[:, None] - b.astype(np.float64)[None]) / np.exp(theta[:SIZE])
    r = np.sqrt(5 * (apart**2).sum(-1))
    return np.exp(theta[-2]) * (1 + r + r**2 / 3) * np.exp(-r)


def dense(x, y, theta):
    """Return K, the mean and the residual, in float64."""
    k = kernel(x, x, theta) + (CONFIG.noise_floor + np.exp(np.float64(theta[-1]))) * np.eye(len(x))
    ones = np.ones(len(x))
    mean = ones @ np.linalg.solve(k, y) / (ones @ np.linalg.solve(k, ones) + 1)
    return k, mean, y - mean


def dense_loss(theta, x, y):
    k, mean, residual = dense(x, y, theta)
    likelihood = 0.5 * (residual @ np.linalg.solve(k, residual) + np.linalg.slogdet(k)[1] + len(x) * np.log(2 * np.pi))
    middle, width = CONFIG.scale_prior
    away = [(theta[:SIZE] - middle - 0.5 * np.log(SIZE)) / width]
    away += [(theta[i] - m) / w for i, (m, w) in ((-2, CONFIG.signal_prior), (-1, CONFIG.noise_prior))]
    return likelihood + 0.5 * (mean**2 + sum((np.asarray(a) ** 2).sum() for a in away))


def test_likelihood_equals_dense_float64():
    x, y = data()
    assert loss_and_gradient(THETA, x, y, EVERY)[0] == pytest.approx(dense_loss(THETA, x, y), rel=1e-4)


def test_gradient_equals_finite_differences_in_float64():
    x, y = data()
    steps = 1e-5 * np.eye(len(THETA))
    theta = THETA.astype(np.float64)
    expected = [(dense_loss(theta + h, x, y) - dense_loss(theta - h, x, y)) / 2e-5 for h in steps]
    np.testing.assert_allclose(loss_and_gradient(THETA, x, y, EVERY)[1], expected, rtol=2e-3, atol=2e-3)


def test_posterior_equals_dense_float64():
    x, y = data()
    places = np.random.default_rng(1).random((40, SIZE)).astype(np.float32)
    found = posterior(condition(THETA, x, y, EVERY, EVERY), places)
    k, mean, residual = dense(x, y, THETA)
    cross = kernel(x, places, THETA)
    np.testing.assert_allclose(found.mean, mean + cross.T @ np.linalg.solve(k, residual), atol=2e-4)
    variance = np.exp(np.float64(THETA[-2])) - (cross * np.linalg.solve(k, cross)).sum(0)
    np.testing.assert_allclose(found.variance, variance, atol=2e-4)


def test_posterior_equals_scikit_learn():
    x, y = data()
    scales, signal, noise = np.exp(THETA[:SIZE]), np.exp(THETA[-2]), CONFIG.noise_floor + np.exp(THETA[-1])
    parts = ConstantKernel(signal) * Matern(scales, nu=2.5) + WhiteKernel(noise)
    places = np.random.default_rng(2).random((40, SIZE)).astype(np.float32)
    model = condition(THETA, x, y, EVERY, EVERY)
    found = posterior(model, places)
    other = GaussianProcessRegressor(parts, optimizer=None).fit(x, y - float(model.mean))
    mean, deviation = other.predict(places, return_std=True)
    np.testing.assert_allclose(found.mean, mean + float(model.mean), atol=3e-4)
    np.testing.assert_allclose(found.variance + noise, deviation**2, atol=3e-4)


@pytest.mark.parametrize("rows", [32, 64])
def test_masked_rows_and_larger_buckets_change_nothing(rows):
    x, y = data()
    more = rows - ROWS
    x2, y2 = (
        np.concatenate([x, np.full((more, SIZE), 0.3, np.float32)]),
        np.concatenate([y, np.full(more, 7.0, np.float32)]),
    )
    mask = np.arange(rows) < ROWS
    for ours, other in zip(loss_and_gradient(THETA, x2, y2, mask), loss_and_gradient(THETA, x, y, EVERY), strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-3, atol=1e-3)
    a, b = (
        posterior(condition(THETA, x2, y2, mask, mask), x[:5] + 0.05),
        posterior(condition(THETA, x, y, EVERY, EVERY), x[:5] + 0.05),
    )
    np.testing.assert_allclose(a.mean, b.mean, atol=1e-5)
    np.testing.assert_allclose(a.variance, b.variance, atol=1e-5)


def test_running_trials_make_sure_and_leave_the_mean():
    x, y = data()
    known = np.arange(ROWS) < ROWS - 6
    places = x[-6:]
    without, beside = condition(THETA, x, y, known, known), condition(THETA, x, y, known, EVERY)
    found, other = posterior(beside, places), posterior(without, places)
    np.testing.assert_allclose(found.mean, other.mean, atol=1e-5)
    assert (np.asarray(found.variance) < 0.6 * np.asarray(other.variance)).all()


@pytest.mark.parametrize(
    ("mean", "deviation"), [((-0.8, -0.2), (0.5, 0.5)), ((0.3, 0.3), (0.3, 0.4)), ((-2, -2), (0.1, 0.1))]
)
def test_hypervolume_improvement_equals_the_mean_of_draws(mean, deviation):
    points, corner = np.array([[-1.0, 0.8], [-0.5, 0.1], [0.2, -0.4], [0.9, -0.9]]), np.ones(2)
    front = np.concatenate([points, [corner, corner]]).T.astype(np.float32)

    def volume(rows):
        rows = np.minimum(rows[np.argsort(rows[:, 0])], corner)
        below = np.minimum.accumulate(rows[:, 1])
        return ((corner[0] - rows[:, 0]) * -np.diff(below, prepend=corner[1])).sum()

    draws = np.random.default_rng(0).normal(mean, deviation, (20_000, 2))
    gains = [volume(np.vstack([points, draw])) - volume(points) for draw in draws]
    found = acquisition.log_hypervolume_improvement(*(np.array(v, np.float32) for v in (mean, deviation)), front)
    assert np.exp(found) == pytest.approx(np.mean(gains), abs=5 * np.std(gains) / len(gains) ** 0.5)


def test_hypervolume_improvement_can_be_followed_where_it_is_nothing():
    front = np.array([[-1.0, 0.0, 1.0, 1.0], [0.5, 0.0, 1.0, 1.0]], np.float32)
    front[:, 2:] = 1.0

    def at(mean):
        return acquisition.log_hypervolume_improvement(mean, jnp.full(2, 0.05), front)

    value, slope = jax.value_and_grad(at)(jnp.array([0.9, 0.9]))
    assert np.isfinite(value)
    assert (slope < 0).all()


def test_what_is_believed_of_the_rows_is_smoothed():
    """Running trials, which have no value, change nothing of it."""
    x, y = data()
    known = np.arange(ROWS) < ROWS - 4
    model = condition(THETA, x, y, known, EVERY)
    expected = posterior(model, x).mean
    np.testing.assert_allclose(gp.smoothed(model, y)[known], expected[known], atol=2e-5)
    assert np.abs(expected - y)[known].max() > 0.01


def test_draws_have_the_mean_and_the_covariance():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(2, 4, 4)).astype(np.float32)
    covariance, mean = root @ root.transpose(0, 2, 1), rng.normal(size=(2, 4)).astype(np.float32)
    normal = normals(jax.random.key(0), (mean.shape[0], 20_000, mean.shape[1]))
    draws = np.asarray(acquisition.sampled(normal, mean, covariance))
    np.testing.assert_allclose(draws.mean(axis=1), mean, atol=0.08)
    for drawn, wanted in zip(draws, covariance, strict=True):
        np.testing.assert_allclose(np.cov(drawn.T), wanted, atol=0.05 * np.abs(wanted).max())


def test_picks_one_by_one_shrink_the_variance_as_a_new_model_would():
    x, y = data()
    known = np.arange(ROWS) < ROWS - 4
    model = condition(THETA, x, y, known, known)
    there = posterior(model, x)
    covariance = gp.covariance(model, there.x, there.x) - there.root.T @ there.root
    seen = []
    wanted = jnp.array([20, 21, 22, 23])

    def score(i, mean, deviation):
        jax.debug.callback(lambda d: seen.append(np.asarray(d)), deviation[0], ordered=True)
        return jnp.where(jnp.arange(ROWS) == wanted[i], -1.0, 0.0)

    picked = acquisition.pick_one_by_one(
        score, there.mean[None], covariance[None], gp.noise(THETA)[None], 5, jnp.int32(5)
    )
    jax.effects_barrier()
    np.testing.assert_array_equal(picked[:4], wanted)
    after = posterior(condition(THETA, x, y, known, EVERY), x).variance
    np.testing.assert_allclose(seen[4] ** 2, after, atol=2e-4)


@pytest.mark.parametrize("z", [-30.0, -12.0, -8.0, -6.01, -5.9, -4.0, -1.01, -0.9, 0.0, 2.0, 6.0])
def test_log_improvement_in_the_tails(z):
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 60
    exact = mpmath.log(mpmath.npdf(z) + mpmath.mpf(z) * mpmath.ncdf(z))
    found = acquisition.log_expected_improvement(jnp.float32(-0.5 * z), jnp.float32(0.5), jnp.float32(0.0))
    assert float(found) == pytest.approx(float(exact) + np.log(0.5), rel=1e-4, abs=2e-3)


def test_improvement_can_be_followed_where_it_is_nothing():
    slope = jax.grad(lambda m: acquisition.log_expected_improvement(m, jnp.float32(1.0), jnp.float32(0.0)))
    for mean in (-3.0, 0.0, 0.5, 3.0, 5.9, 6.1, 25.0):
        h = scipy.special.ndtr(-mean) / np.exp(scipy.special.log_ndtr(-mean))
        assert h > 0
        assert -40 < float(slope(jnp.float32(mean))) < 0


@pytest.mark.parametrize("seeds", [150, pytest.param(1000, marks=pytest.mark.slow)])
def test_fits_never_break(seeds):
    """Fits to data of all kinds: crowded, constant, noiseless, few; none is lost and none is worse."""
    rows = 32

    def one(key):
        k = jax.random.split(key, 5)
        spread = 10.0 ** jax.random.uniform(k[0], (), minval=-4.0, maxval=0.0)
        x = jnp.clip(jax.random.uniform(k[1], (SIZE,)) + spread * jax.random.normal(k[2], (rows, SIZE)), 0.0, 1.0)
        mask = jnp.arange(rows) < jax.random.randint(k[3], (), 1, rows + 1)
        rough = jax.random.normal(k[4], (rows,)) * (jax.random.uniform(k[3]) < 0.3)
        y = standardize(jnp.sum((x - 0.3) ** 2, axis=1) + rough, mask)
        first = jnp.asarray(start(SIZE))
        theta = fit(begin(first), jnp.int32(15), x, y, mask, OWNER, x[0]).theta
        before = gp.loss_and_gradient(first, x, y, mask, OWNER, x[0])[0]
        return theta, gp.loss_and_gradient(theta, x, y, mask, OWNER, x[0])[0], before

    theta, after, before = jax.jit(lambda keys: jax.lax.map(one, keys))(jax.random.split(jax.random.key(0), seeds))
    assert np.isfinite(theta).all()
    assert np.isfinite(after).all()
    assert (np.asarray(after) <= np.asarray(before) + 1e-3 * np.abs(before)).all()


def run_fit(theta, step_size, steps):
    x, y = data()
    return fit(Fit(theta, step_size), jnp.int32(steps), x, y, EVERY, OWNER, x[0])


def test_a_fit_goes_on_with_the_strides_that_the_last_one_came_to():
    first = begin(jnp.asarray(start(SIZE)))
    early, late = (run_fit(first.theta, first.step_size, steps) for steps in (3, 60))
    assert (np.asarray(early.step_size) > STEP).any()  # on its way
    low, high = gp.bounds(SIZE)
    inside = (np.asarray(late.theta) > low) & (np.asarray(late.theta) < high)  # at a bound nothing is closed in on
    assert inside.sum() >= SIZE + 2
    assert (np.asarray(late.step_size)[inside] < LEAST_STEP).all()  # closed in
    on = run_fit(late.theta, late.step_size, 2)
    assert (np.asarray(on.step_size)[inside] <= 1.2**2 * LEAST_STEP * (1 + 1e-5)).all()
    np.testing.assert_array_equal(run_fit(late.theta, late.step_size, 0).step_size, late.step_size)


def test_features_keep_choices_unordered_and_numbers_in_order():
    space = Space.of({"c": ["a", "b", "c"], "n": [16, 32, 64], "x": Float(0, 1), "z": When("c", "a", {"k": Int(1, 4)})})
    assert features(space).onehot.tolist() == [space.names[i] == "c" for i in range(4)]
    rows = [{"c": c, "n": 16, "x": 0.5, "z": {"k": k}} for c, k in (("a", 1), ("b", None), ("c", None), ("a", 4))]
    x = embed(jnp.asarray(np.stack([space.encode(row) for row in rows])), space)
    owner = features(space).owner
    part = lambda name: np.asarray(x)[:, owner == space.names.index(name)]  # noqa: E731
    apart = lambda p: ((p[:, None] - p[None]) ** 2).sum(-1)  # noqa: E731
    np.testing.assert_allclose(apart(part("c"))[:3, :3], 1 - np.eye(3), atol=1e-6)
    assert apart(part("z.k"))[1, 2] == 0
    assert apart(part("z.k"))[0, 1] > 0


def test_outcomes_are_standardized_with_a_log_tail_and_in_order():
    score = jnp.array([3.0, 1.0, 2.0, 1e30, jnp.inf, 5.0, 100.0, 4.0])
    known = jnp.arange(8) < 7
    y = np.asarray(standardize(score, known))
    assert y[:7].mean() == pytest.approx(0, abs=1e-5)
    assert y[:7].std() == pytest.approx(1, abs=1e-3)
    assert y[7] == 0
    order = [1, 2, 0, 5, 6, 3]
    assert (np.diff(y[order]) >= 0).all()
    assert y[4] == y[3]
    assert np.ptp(np.asarray(standardize(jnp.full(8, 2.0), known))) == 0


def test_slack_keeps_its_sign():
    y = np.asarray(constraint_slack(jnp.array([-2.0, 0.0, 1e6, jnp.inf, 0.5]), jnp.arange(5) < 4))
    assert y[0] < 0
    assert y[1] == 0
    assert y[3] >= y[2] > 0
    assert y[4] == 0
