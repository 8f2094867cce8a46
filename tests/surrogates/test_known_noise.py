"""Noise that is known beforehand, from replicas: in a Gaussian process, in standardised units, and from a search."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.algorithms.model_based import dataset
from jaxhpt.core.spread import Spread
from jaxhpt.surrogates import gp
from jaxhpt.surrogates.config import CONFIG
from jaxhpt.surrogates.gp_fit import begin, fit, start
from jaxhpt.surrogates.outcome_transforms import noise_variance, standardize

ROWS = 20
OWNER = np.arange(2)
RNG = np.random.default_rng(0)
X = RNG.random((ROWS, 2)).astype(np.float32)
Y = (np.sin(5 * X[:, 0]) + 0.1 * RNG.normal(size=ROWS)).astype(np.float32)
KNOWN = (RNG.random(ROWS) ** 2).astype(np.float32)
THETA = np.log(np.array([0.4, 0.7, 1.3, 0.02], np.float32))
EVERY = np.ones(ROWS, bool)


def dense(theta, known):
    """Return the mean, the residual and K of the rows, in float64."""
    theta = np.asarray(theta, np.float64)
    apart = (X.astype(np.float64)[:, None] - X[None]) / np.exp(theta[:2])
    r = np.sqrt(5 * (apart**2).sum(-1))
    kernel = np.exp(theta[2]) * (1 + r + r**2 / 3) * np.exp(-r)
    k = kernel + np.diag(CONFIG.noise_floor + np.exp(theta[3]) + known)
    ones = np.ones(ROWS)
    mean = ones @ np.linalg.solve(k, Y) / (ones @ np.linalg.solve(k, ones) + 1)
    return mean, Y - mean, k, kernel


def test_a_process_believes_noisy_rows_less():
    model = jax.jit(lambda known: gp.condition(THETA, X, Y, EVERY, EVERY, OWNER, X[0], known))(KNOWN)
    mean, residual, k, kernel = dense(THETA, KNOWN)
    believed = mean + kernel @ np.linalg.solve(k, residual)
    np.testing.assert_allclose(gp.smoothed(model, Y, KNOWN), believed, atol=1e-4)
    np.testing.assert_allclose(gp.posterior(model, X, OWNER).mean, believed, atol=1e-4)
    moved = np.abs(believed - Y)
    assert moved[KNOWN > 0.5].mean() > 3 * moved[KNOWN < 0.02].mean()


def test_the_gradient_of_the_likelihood_is_that_of_differences():
    both = jax.jit(lambda theta: gp.loss_and_gradient(theta, X, Y, EVERY, OWNER, X[0], KNOWN))
    _, gradient = both(THETA)
    theta = jnp.asarray(THETA)
    for place in range(4):
        ends = [both(theta.at[place].add(step))[0] for step in (-0.02, 0.02)]
        assert float(gradient[place]) == pytest.approx(float(ends[1] - ends[0]) / 0.04, rel=0.02, abs=0.02)


def test_none_known_is_zero_known():
    given = (THETA, X, Y, EVERY, OWNER, X[0])
    loss, gradient = gp.loss_and_gradient(*given)
    same = gp.loss_and_gradient(*given, jnp.zeros(ROWS, jnp.float32))
    np.testing.assert_allclose(loss, same[0], rtol=1e-6)
    np.testing.assert_allclose(gradient, same[1], rtol=1e-4, atol=1e-5)


def test_a_fit_leaves_what_is_known_out_of_the_noise_it_finds():
    """The same data, once with and once without word of its noise."""
    noisy = (Y + np.random.default_rng(1).normal(size=ROWS) * np.sqrt(0.5)).astype(np.float32)
    given = (begin(start(2)), jnp.int32(40), X, noisy, EVERY, OWNER, X[0])
    found = [float(fit(*given, known).theta[-1]) for known in (None, jnp.full(ROWS, 0.5, jnp.float32))]
    assert found[1] < found[0] - 1


def test_noise_is_told_in_standardised_units():
    rng = np.random.default_rng(0)
    score = rng.normal(size=64).astype(np.float32) * 3 + 7
    seen = np.ones(64, bool)
    noise = np.sqrt(np.asarray(noise_variance(score, jnp.full(64, 0.3, jnp.float32), 3, seen)))
    order, shown = np.argsort(score), np.asarray(standardize(score, seen))
    slopes = np.diff(shown[order]) / np.diff(score[order])
    best, worst = order[:4], order[-4:]
    assert slopes[:3] == pytest.approx(slopes[0], rel=1e-3)
    all_alike = noise_variance(score, jnp.full(64, 0.3, jnp.float32), 10**6, seen)  # too many to be drawn to others
    deviation = np.sqrt(np.asarray(all_alike) * 10**6) / 0.3
    np.testing.assert_allclose(deviation[best], slopes[0], rtol=1e-3)
    assert (deviation[order[:-1]] >= slopes * 0.999).all()  # bent more and more: slopes fall
    assert (deviation[order[1:]] <= slopes * 1.001).all()
    assert noise[best].min() > noise[worst].max()


def test_the_noise_of_few_trainings_is_drawn_to_that_of_all():
    score, seen = jnp.linspace(0.0, 1.0, 8), jnp.ones(8, bool)
    quiet = noise_variance(score, jnp.zeros(8).at[0].set(0.2), 3, seen)
    assert (np.asarray(quiet) > 0).all()
    assert np.asarray(quiet)[0] > 3 * np.asarray(quiet)[1]
    many = noise_variance(score, jnp.zeros(8).at[0].set(0.2), 300, seen)
    assert np.asarray(many)[0] > 50 * np.asarray(many)[1]


def test_failures_have_the_noise_of_the_others_and_rows_that_do_not_count_none():
    score = jnp.array([0.1, 0.2, 0.3, jnp.inf, 5.0])
    spread = jnp.array([0.1, 0.1, 0.1, jnp.inf, jnp.inf])
    seen = jnp.array([True, True, True, True, False])
    noise = np.asarray(noise_variance(score, spread, 4, seen))
    assert np.isfinite(noise).all()
    assert noise[3] > 0
    assert noise[4] == 0
    huge = np.asarray(noise_variance(score, spread * 1e37, 4, seen))
    assert np.isfinite(huge).all()


def noisy(h, key):
    return {"loss": h["x"] + jax.random.normal(key), "other": h["x"]}


FEW = {"algorithm": "bayesian", "progress": False, "trials": 12, "lanes": 4, "objective": "loss"}


def test_seeds_tell_a_model_of_their_noise():
    result = jaxhpt.minimize(noisy, {"x": jaxhpt.Float(0, 1)}, seeds=4, constraints={"other": ("<=", 0.9)}, **FEW)
    problem, history = result._problem, jax.tree.map(jnp.asarray, result.history)
    assert Spread("loss", "loss_std", 4) in problem.metrics.spreads
    data = dataset.training_data(history, problem, jnp.arange(12, dtype=jnp.int32), costs=True)
    assert data.noise.shape == data.y.shape == (3, 12)
    assert (np.asarray(data.noise[0]) > 0).all()
    assert (np.asarray(data.noise[1:]) == 0).all()


ROWS_OF_DATA = np.arange(12, dtype=np.float32)


@pytest.mark.parametrize(("reshuffle", "told"), [(True, True), (False, False)])
def test_folds_that_all_trials_share_are_no_noise(reshuffle, told):
    job = jaxhpt.Task(
        lambda key, h: h["x"],
        lambda state, batch, h, key: state,
        lambda state, rows, h: {"loss": state + jaxhpt.batch_mean(rows.data, rows), "other": state},
        train_data=ROWS_OF_DATA,
        steps=1,
    )
    options = {**FEW, "trials": 2, "algorithm": "random"}
    folds = jaxhpt.KFold(3)
    result = jaxhpt.search(job, {"x": jaxhpt.Float(0, 1)}, folds=folds, reshuffle=reshuffle, **options)
    problem, history = result._problem, jax.tree.map(jnp.asarray, result.history)
    assert bool(problem.metrics.spreads) == told
    data = dataset.training_data(history, problem, jnp.arange(2, dtype=jnp.int32))
    assert (data.noise is not None) == told
