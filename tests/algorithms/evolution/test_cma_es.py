"""CMA-ES: constants and updates against the tutorial in double precision, whole generations, restarts, borders."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import CMAES, Float, Int, Space
from jaxhpt.algorithms.evolution import cma_es as module
from jaxhpt.algorithms.evolution import cma_update
from jaxhpt.algorithms.evolution.cma_es import CMAESNote
from jaxhpt.core import history
from jaxhpt.core.history import Made
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NOBODY, NONE

BOX = Space.of({name: Float(0, 1) for name in "abcd"})
MIXED = Space.of({"a": Int(0, 9), "b": Float(0, 1), "c": Int(0, 3), "d": Float(0, 1)})
CAPACITY = 60


def problem(space=BOX, capacity=CAPACITY):
    return Problem(space, choose(("loss",)), trials=capacity, lanes=3, schedule=Schedule(1, 1))


def past_of(x, scores, stamp=0):
    """Make a history of samples f32[N, D] of one generation, with scores f32[N]."""
    num, past = len(scores), history.empty_history(problem(), SIX.note(problem()))
    rows, x = jnp.arange(num, dtype=jnp.int32), jnp.asarray(x, jnp.float32)
    made = Made(CMAESNote(x, jnp.full(num, stamp, jnp.int32)), jnp.zeros(num, jnp.int8))
    past = history.open_rows(past, rows, jnp.clip(x, 0, 1), jnp.int32(0), made)
    return past._replace(metrics=past.metrics.at[rows, 0].set(jnp.asarray(scores, jnp.float32)))


def of_others(past):
    """Return the same history of rows that somebody else proposed."""
    return past._replace(author=jnp.full_like(past.author, NOBODY))


@functools.cache
def teller(algorithm):
    return jax.jit(lambda state, past, rows: algorithm.tell(jax.random.key(5), state, past, problem(), rows))


def tell(algorithm, state, past, *events):
    for rows in events:
        lanes = [*rows, *[NONE] * (14 - len(rows))]  # one width, one program
        state = teller(algorithm)(state, past, jnp.asarray(lanes, jnp.int32))
    return state


@functools.cache
def start(algorithm, space=BOX):
    return algorithm.init(jax.random.key(0), problem(space))


def constants(size, num):
    """Return Eqs. (49) to (58) of the tutorial, written again."""
    raw = [math.log((num + 1) / 2) - math.log(i) for i in range(1, num + 1)]
    mu = num // 2
    mass = sum(raw[:mu]) ** 2 / sum(w * w for w in raw[:mu])
    against = sum(raw[mu:]) ** 2 / sum(w * w for w in raw[mu:])
    c_one = 2 / ((size + 1.3) ** 2 + mass)
    c_mu = min(1 - c_one, 2 * (0.25 + mass + 1 / mass - 2) / ((size + 2) ** 2 + 2 * mass / 2))
    bound = min(1 + c_one / c_mu, 1 + 2 * against / (against + 2), (1 - c_one - c_mu) / (size * c_mu))
    up, down = sum(w for w in raw if w > 0), -sum(w for w in raw if w < 0)
    c_sigma = (mass + 2) / (size + mass + 5)
    return {
        "weights": np.array([w / up if w >= 0 else bound * w / down for w in raw]),
        "mass": mass,
        "c_sigma": c_sigma,
        "damping": 1 + 2 * max(0, math.sqrt((mass - 1) / (size + 1)) - 1) + c_sigma,
        "c_c": (4 + mass / size) / (size + 4 + 2 * mass / size),
        "c_1": c_one,
        "c_mu": c_mu,
        "length": math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2)),
    }


@pytest.mark.parametrize("size", [1, 2, 4, 40])
@pytest.mark.parametrize("num", [4, 5, 8, 64])
def test_constants_are_those_of_the_tutorial(size, num):
    rates = cma_update.rates_of(size, num)
    expected = constants(size, num)
    found = (rates.weights, rates.mass, rates.step, rates.damping, rates.path, rates.one, rates.rank, rates.length)
    for one, other in zip(found, expected.values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)
    positive = rates.weights[: rates.parents].astype(np.float64)
    assert positive.sum() == pytest.approx(1.0, abs=1e-6)
    assert rates.mass == pytest.approx(1 / (positive**2).sum(), rel=1e-5)
    assert np.all(np.diff(positive) < 0)
    assert np.all(rates.weights[(num + 1) // 2 :] <= 0)
    assert all(0 < rate < 1 for rate in (rates.step, rates.path, rates.one))
    assert 0 < rates.rank <= 1 - rates.one


def learned(mean, sigma, covariance, paths, age, moved, shrink=1.0):
    """Return mean, sigma, covariance and both paths after one generation: Eqs. (38) to (47)."""
    size, c = len(mean), constants(len(mean), len(moved))
    weights, mu = c["weights"], len(moved) // 2
    variances, axes = np.linalg.eigh(covariance)
    whiten = axes @ np.diag(variances**-0.5) @ axes.T
    y = moved / sigma * shrink
    step = weights[:mu] @ y[:mu]
    p_sigma = (1 - c["c_sigma"]) * paths[0] + math.sqrt(c["c_sigma"] * (2 - c["c_sigma"]) * c["mass"]) * whiten @ step
    length = np.linalg.norm(p_sigma)
    usual = math.sqrt(1 - (1 - c["c_sigma"]) ** (2 * age)) * (1.4 + 2 / (size + 1)) * c["length"]
    h = float(length < usual)
    p_c = (1 - c["c_c"]) * paths[1] + h * math.sqrt(c["c_c"] * (2 - c["c_c"]) * c["mass"]) * step
    each = [w if w >= 0 else w * size / np.linalg.norm(whiten @ v) ** 2 for w, v in zip(weights, y, strict=True)]
    rank = sum(w * np.outer(v, v) for w, v in zip(each, y, strict=True))
    keep = 1 + c["c_1"] * (1 - h) * c["c_c"] * (2 - c["c_c"]) - c["c_1"] - c["c_mu"] * weights.sum()
    grown = sigma * math.exp(c["c_sigma"] / c["damping"] * (length / c["length"] - 1))
    mean = mean + weights[:mu] @ moved[:mu]
    return mean, grown, keep * covariance + c["c_1"] * np.outer(p_c, p_c) + c["c_mu"] * rank, p_sigma, p_c, h


def distribution(space, sigma, age, path):
    """Return a state with correlations, and its parts in double precision."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(4, 4))
    covariance = root @ root.T / 4 + 0.3 * np.eye(4)
    variances, axes = np.linalg.eigh(covariance)
    mean, paths = np.array([0.4, 0.5, 0.6, 0.45]), rng.normal(size=(2, 4)) * path
    as_single = [jnp.asarray(v, jnp.float32) for v in (mean, sigma, axes, np.sqrt(variances), covariance, paths)]
    state = start(CMAES(population=8), space)._replace(
        **dict(zip(("mean", "sigma", "axes", "scale", "covariance", "path"), as_single, strict=True)),
        generation=jnp.int32(age + 6),
        begun=jnp.int32(7),
    )
    moved = sigma * rng.multivariate_normal(np.zeros(4), covariance, size=8)
    return state, (mean, sigma, covariance, paths), moved


@functools.cache
def updater(space):
    return jax.jit(lambda state, moved: cma_update.updated(state, cma_update.rates_of(4, 8), moved, space))


@pytest.mark.parametrize(("age", "path", "held"), [(1, 0.0, 1.0), (1, 9.0, 0.0), (20, 0.5, 1.0), (20, 5.0, 0.0)])
def test_one_update_is_that_of_the_tutorial(age, path, held):
    state, parts, moved = distribution(BOX, 0.05, age, path)
    after = updater(BOX)(state, jnp.asarray(moved, jnp.float32))
    mean, sigma, covariance, p_sigma, p_c, h = learned(*parts, age, moved)
    assert h == held
    np.testing.assert_allclose(after.mean, mean, atol=1e-6)
    np.testing.assert_allclose(after.sigma, sigma, rtol=1e-4)
    np.testing.assert_allclose(after.path, [p_sigma, p_c], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.covariance, covariance, rtol=1e-4, atol=1e-5)
    rebuilt = np.asarray(after.axes) @ np.diag(np.asarray(after.scale) ** 2) @ np.asarray(after.axes).T
    np.testing.assert_allclose(rebuilt, covariance, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(after.covariance, np.asarray(after.covariance).T)


@pytest.mark.parametrize("sigma", [1e-3, 0.01, 0.3])
def test_stepped_dimensions_teach_no_more_than_their_own_deviation(sigma):
    state, parts, moved = distribution(MIXED, sigma, 5, 0.5)
    levels = np.array([10, np.inf, 4, np.inf])
    variance = sigma**2 * np.diag(parts[2])
    missing = np.maximum((0.25 / levels) ** 2 - variance, 0.0)
    np.testing.assert_allclose(cma_update.missing_variance(state, MIXED), missing, rtol=1e-4, atol=1e-9)
    after = updater(MIXED)(state, jnp.asarray(moved, jnp.float32))
    expected = learned(*parts, 5, moved, shrink=np.sqrt(variance / (variance + missing)))
    np.testing.assert_allclose(after.mean, expected[0], atol=1e-6)
    np.testing.assert_allclose(after.sigma, expected[1], rtol=1e-4)
    np.testing.assert_allclose(after.covariance, expected[2], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(after.path, expected[3:5], rtol=1e-3, atol=1e-4)


SIX = CMAES(population=6, sigma=0.1, restarts=1)


def samples(num=24, seed=0):
    rng = np.random.default_rng(seed)
    return 0.5 + 0.1 * rng.normal(size=(num, 4)), rng.uniform(size=num)


def same(a, b):
    for one, other in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_learned_before_a_generation_is_whole():
    past, state = past_of(*samples()), start(SIX)
    half = tell(SIX, state, past, [4, 0, 2])
    assert half.buffer.tolist() == [0, 2, 4] + [NONE] * 9
    assert int(half.filled) == 3
    same(half._replace(buffer=state.buffer, filled=state.filled), state)
    whole = tell(SIX, half, past, [1, NONE, 5], [3, NONE, NONE])
    assert (int(whole.generation), int(whole.filled)) == (1, 0)
    assert whole.buffer.tolist() == [NONE] * 12
    assert np.any(whole.mean != state.mean)


def test_rows_that_end_together_are_learned_in_their_order():
    past, state = past_of(samples()[0], np.ones(24)), start(SIX)  # of equal rows the earlier one ranks first
    turned = tell(SIX, state, past, [2, 0, 1], [5, 3, 4])
    same(turned, tell(SIX, state, past, [0, 1, 2], [3, 4, 5]))


def test_the_rest_waits_for_the_next_generation_and_several_may_be_learned_at_once():
    past, state = past_of(*samples()), start(SIX)
    after = tell(SIX, state, past, [0, 1, 2], [8, 3, 7, 5, 6, 4])
    assert after.buffer[:4].tolist() == [6, 7, 8, NONE]
    assert int(after.generation) == 1
    once = tell(SIX, state, past, np.random.default_rng(0).permutation(14))
    assert (int(once.generation), int(once.filled)) == (2, 2)
    steps = tell(SIX, state, past, range(6), range(6, 12), [12, 13])
    for name in ("buffer", "bests", "generation", "filled"):
        np.testing.assert_array_equal(getattr(once, name), getattr(steps, name))
    np.testing.assert_allclose(once.mean, steps.mean, atol=1e-6)


def test_one_generation_moves_the_mean_as_the_weights_of_the_ranked_samples_say():
    x, scores = samples()
    scores[3] = np.inf  # failed: the last of its generation
    after = tell(SIX, start(SIX), past_of(x, scores), [0, 1, 2], [3, 4, 5])
    best = np.argsort(scores[:6])[:3]
    weights = constants(4, 6)["weights"][:3]
    np.testing.assert_allclose(after.mean, weights @ x[best], atol=1e-6)
    assert int(after.bests[-1]) == best[0]


def test_a_generation_of_failures_teaches_nothing():
    x, _ = samples()
    state = start(SIX)
    after = tell(SIX, state, past_of(x, np.full(24, np.inf)), range(6))
    assert (int(after.generation), int(after.filled), int(after.level)) == (1, 0, 0)
    for name in ("mean", "sigma", "covariance", "path"):
        np.testing.assert_array_equal(getattr(after, name), getattr(state, name))


def restarted(kind):
    """Return a run that has come to its end, and its history: too narrow, or without any change of the best."""
    x, scores = samples()
    state = start(SIX)._replace(generation=jnp.int32(4))
    if kind == "narrow":
        x, state = 0.5 + 1e-8 * x, state._replace(sigma=jnp.float32(1e-8))
    else:
        scores = np.ones(24)
        state = state._replace(bests=jnp.full_like(state.bests, 7))
    past = past_of(x, scores, stamp=4)
    return tell(SIX, state, past, range(6)), past


@pytest.mark.parametrize("kind", ["narrow", "flat"])
def test_a_converged_run_begins_again_elsewhere_with_twice_the_population(kind):
    state, past = restarted(kind)
    assert (int(state.level), int(state.generation), int(state.begun)) == (1, 5, 5)
    assert float(state.sigma) == np.float32(0.1)
    assert np.abs(np.asarray(state.mean) - 0.5).max() > 0.05
    assert np.all((state.mean > 0) & (state.mean < 1))
    np.testing.assert_array_equal(state.covariance, np.eye(4))
    assert np.all(np.asarray(state.bests) == NONE)
    later = past._replace(note=past.note._replace(generation=jnp.full_like(past.note.generation, 5)))
    eleven = tell(SIX, state, later, range(12, 23))
    assert (int(eleven.generation), int(eleven.filled)) == (5, 11)
    assert int(tell(SIX, eleven, later, [23]).generation) == 6


def test_rows_of_an_earlier_run_are_ignored_and_those_of_others_are_not():
    state, past = restarted("narrow")
    same(tell(SIX, state, past, range(6, 12)), state)
    others = of_others(past)
    assert int(tell(SIX, state, others, range(6, 12)).filled) == 6


@pytest.mark.parametrize("change", ["one other best", "no restarts"])
def test_a_run_that_goes_on_or_may_not_restart_stays(change):
    x, scores = samples()[0], np.ones(24)
    algorithm = SIX if change == "one other best" else CMAES(population=6, sigma=0.1, restarts=0)
    scores[8] = 1.5
    state = start(algorithm)
    bests = jnp.full_like(state.bests, 7)
    state = state._replace(bests=bests.at[-1].set(8) if algorithm is SIX else bests)
    after = tell(algorithm, state, past_of(x, scores), range(6))
    assert (int(after.level), int(after.begun)) == (0, 0)


def test_a_search_that_converges_on_a_bowl_restarts():
    made, algorithm = problem(Space.of({"x": Float(0, 1), "y": Float(0, 1)}), 1200), SIX

    def step(carry, key):
        state, past = carry
        found, state = algorithm.ask(key, state, past, made, 6, jnp.int32(6))
        rows = past.num_rows + jnp.arange(6)
        past = history.open_rows(past, rows, made.space.snap(found.unit), jnp.int32(0), found.made)
        scores = 1e6 * jnp.sum((found.unit - 0.37) ** 2, axis=1)
        past = past._replace(metrics=past.metrics.at[rows, 0].set(scores))
        state = algorithm.tell(key, state, past, made, rows)
        return (state, past), (state.level, jnp.abs(state.mean - 0.37).max())

    keys = jax.random.split(jax.random.key(0), 200)
    begun = algorithm.init(keys[0], made), history.empty_history(made, algorithm.note(made))
    _, (level, off) = jax.jit(lambda begun: jax.lax.scan(step, begun, keys))(begun)
    event = int(np.argmax(np.asarray(level) == 1))
    assert 10 < event < 150
    assert off[event - 1] < 1e-4
    assert off[event] > 1e-2


def test_whole_numbers_keep_moving_however_small_the_step():
    state = start(CMAES(), MIXED)._replace(sigma=jnp.float32(1e-6))
    past = history.empty_history(problem(MIXED), CMAES().note(problem(MIXED)))
    asked = jax.jit(lambda key: CMAES().ask(key, state, past, problem(MIXED), 200, jnp.int32(200))[0])
    found = asked(jax.random.key(0))
    unit, x = np.asarray(MIXED.snap(found.unit)), np.asarray(found.note.sample)
    assert len(np.unique(unit[:, 0])) >= 2
    assert len(np.unique(unit[:, 2])) >= 2
    np.testing.assert_allclose(x[:, [1, 3]], 0.5, atol=1e-5)
    np.testing.assert_allclose(x[:, [0, 2]].std(axis=0), [0.025, 0.0625], rtol=0.25)


def test_proposals_are_the_samples_cut_off_at_the_borders_stamped_with_their_generation():
    state, (mean, sigma, covariance, _), _ = distribution(BOX, 0.3, 5, 0.0)
    past = history.empty_history(problem(), SIX.note(problem()))
    asked = jax.jit(lambda key: SIX.ask(key, state, past, problem(), 4000, jnp.int32(4000))[0])
    found = asked(jax.random.key(0))
    x = np.asarray(found.note.sample, np.float64)
    np.testing.assert_array_equal(found.unit, np.clip(found.note.sample, 0, 1))
    np.testing.assert_array_equal(found.note.generation, 11)
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=5 * sigma * np.sqrt(covariance.max() / 4000))
    np.testing.assert_allclose(np.cov(x.T), sigma**2 * covariance, atol=0.1 * sigma**2 * covariance.max())


penalty = jax.jit(module._penalty, static_argnums=2)


def penalties(x, scores):
    rows = jnp.arange(len(scores))
    return np.asarray(penalty(start(SIX), past_of(x, scores), problem(), rows, jnp.asarray(scores, jnp.float32)))


def test_samples_beyond_the_border_are_ranked_behind_and_the_more_the_farther():
    x = np.full((8, 4), 0.5)
    x[:, 1] = [-0.3, -0.1, -1e-3, 0.0, 1.0, 1.001, 1.1, 1.4]
    found = penalties(x, np.arange(8.0))
    assert np.array_equal(found > 0, [True, True, True, False, False, True, True, True])
    assert found[0] > found[1] > found[2]
    assert found[5] < found[6] < found[7]
    np.testing.assert_allclose(found[[1, 2]], found[[6, 5]], rtol=1e-2)
    np.testing.assert_allclose(penalties(x, 10 * np.arange(8.0)), 10 * found, rtol=1e-5)


def test_rows_of_others_and_flat_generations_pay_nothing():
    past = past_of(np.full((6, 4), 2.0), np.arange(6.0))
    values, rows = jnp.arange(6.0), jnp.arange(6)
    assert np.all(penalty(start(SIX), past, problem(), rows, values) > 0)
    foreign = of_others(past)
    assert not np.any(penalty(start(SIX), foreign, problem(), rows, values))
    assert not np.any(penalties(np.full((6, 4), 2.0), np.ones(6)))


def test_a_far_row_of_others_moves_the_mean_no_farther_than_a_long_sample():
    state = start(SIX)
    past = past_of(np.full((6, 4), 0.9), np.arange(6.0))
    steps = jax.jit(lambda past: module._moved(state, past, problem(), jnp.arange(6)))
    own = steps(past)
    np.testing.assert_allclose(own, 0.4, atol=1e-6)
    foreign = of_others(past)
    moved = np.asarray(steps(foreign), np.float64)
    np.testing.assert_allclose(np.linalg.norm(moved / 0.1, axis=1), 2 + 8 / 6, rtol=1e-5)


@pytest.mark.parametrize(
    ("field", "value"),
    [("population", 3), ("sigma", 0.0), ("sigma", 1.1), ("restarts", -1), ("restarts", 9)],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_field(field, value):
    with pytest.raises(ValueError, match=rf"^{field}={value!r}: must be"):
        CMAES(**{field: value})
