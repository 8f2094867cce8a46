"""Grey models beside least squares in float64, numbers worked by hand, and the forecast of curves beside numpy."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import grey
from jaxhpt.grey import forecast

ROOT = pathlib.Path(__file__).parent.parent.parent
ROWS, SIZE = 12, 16
COUNTS = np.array([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16], np.int32)
PLACES = np.arange(24, dtype=np.float32)
MODELS = {
    "exponential": grey.GM11,
    "discrete": grey.DGM11,
    "saturating": grey.Verhulst,
}
# The worked example of GM(1,1) in both books: a = -0.0372, b = 3.0654.
DENG = [2.874, 3.278, 3.337, 3.390, 3.679]


@functools.cache
def compiled(name):
    """Fit and forecast in one program for all tests."""
    return jax.jit(lambda x, count: (model := MODELS[name].fit(x, count), model.at(PLACES)))


gain_to_come = jax.jit(grey.gain_to_come)
ratios_hold = jax.jit(grey.class_ratios_hold)


def padded(*rows):
    """Return sequences f32[N, SIZE] with rubbish after their ends, and their lengths."""
    x = np.full((len(rows), SIZE), np.nan, np.float32)
    for row, values in zip(x, rows, strict=True):
        row[: len(values)] = values
    return x, np.array([len(row) for row in rows], np.int32)


@functools.cache
def sequences(kind, seed=0):
    """Return noisy sequences of all lengths: rising, falling, or of both signs."""
    rng, time = np.random.default_rng(seed), np.arange(SIZE)
    rate = rng.uniform(-0.3, 0.3, (ROWS, 1)) if kind == "any" else np.full((ROWS, 1), {"up": 0.1, "down": -0.2}[kind])
    x = rng.uniform(1, 50, (ROWS, 1)) * np.exp(rate * time) * rng.uniform(0.8, 1.2, (ROWS, SIZE))
    x = np.where(time < COUNTS[:, None], x, np.nan).astype(np.float32)
    return x, COUNTS


def solved(columns, y):
    return np.linalg.lstsq(np.stack(columns, axis=1), y, rcond=None)[0]


def exponential(x, times=None):
    """Return a, b and x(k) at places, in float64, as the books have them."""
    x = np.asarray(x, np.float64)
    width = np.ones(len(x)) if times is None else np.concatenate([[1.0], np.diff(times)])
    sums = np.cumsum(x * width)
    middle = (sums[1:] + sums[:-1]) / 2
    a, b = solved([-middle, np.ones(len(x) - 1)], x[1:])

    def at(k):
        response = (x[0] - b / a) * np.exp(-a * k) + b / a
        before = (x[0] - b / a) * np.exp(-a * (k - 1)) + b / a
        return np.where(k <= 0, x[0], response - before)

    return a, b, at


def discrete(x):
    x = np.asarray(x, np.float64)
    sums = np.cumsum(x)
    b1, b2 = solved([sums[:-1], np.ones(len(x) - 1)], sums[1:])
    response = [x[0]]
    for _ in PLACES[1:]:
        response.append(b1 * response[-1] + b2)
    return b1, b2, np.diff(response, prepend=0.0)


def saturating(x):
    x = np.asarray(x, np.float64)
    middle = (x[1:] + x[:-1]) / 2
    a, b = solved([-middle, middle**2], np.diff(x))
    return a, b, a * x[0] / (b * x[0] + (a - b * x[0]) * np.exp(a * PLACES))


@pytest.mark.parametrize("kind", ["up", "down", "any"])
def test_an_exponential_is_that_of_least_squares_in_float64(kind):
    x, count = sequences(kind)
    model, values = compiled("exponential")(x, count)
    for i, n in enumerate(count):
        a, b, at = exponential(x[i, :n])
        np.testing.assert_allclose([model.rate[i], model.source[i]], [a, b], rtol=1e-3, atol=2e-5)
        np.testing.assert_allclose(values[i], at(PLACES), rtol=2e-3)


@pytest.mark.parametrize("kind", ["up", "down", "any"])
def test_a_discrete_model_is_that_of_least_squares_in_float64(kind):
    x, count = sequences(kind)
    model, values = compiled("discrete")(x, count)
    for i, n in enumerate(count):
        b1, b2, expected = discrete(x[i, :n])
        np.testing.assert_allclose([model.ratio[i], model.source[i]], [b1, b2], rtol=1e-4)
        np.testing.assert_allclose(values[i], expected, rtol=2e-3)


def test_a_saturating_model_is_that_of_least_squares_in_float64():
    rng, time = np.random.default_rng(3), np.arange(SIZE)
    x = 5.0 / (1.0 + 6.0 * np.exp(-rng.uniform(0.3, 0.6, (ROWS, 1)) * time)) * rng.uniform(0.98, 1.02, (ROWS, SIZE))
    x = x.astype(np.float32)
    model, values = compiled("saturating")(x, np.maximum(COUNTS, 6))
    for i, n in enumerate(np.maximum(COUNTS, 6)):
        a, b, expected = saturating(x[i, :n])
        np.testing.assert_allclose([model.rate[i], model.bend[i]], [a, b], rtol=2e-3)
        np.testing.assert_allclose(values[i], expected, rtol=2e-3)


def test_the_worked_example_of_the_books():
    model, values = compiled("exponential")(*padded(DENG))
    assert float(model.rate[0]) == pytest.approx(-0.0372, abs=5e-5)
    assert float(model.source[0]) == pytest.approx(3.0654, abs=5e-5)
    np.testing.assert_allclose(values[0], exponential(DENG)[2](PLACES), rtol=1e-5)


def test_geometric_numbers_by_hand():
    """Of ratio r: GM(1,1) has a = 2 (1 - r) / (1 + r), and DGM(1,1) gives them back."""
    ratios = np.array([0.5, 0.9, 1.0, 1.25])
    x, count = padded(*(8.0 * r ** np.arange(4) for r in ratios))
    model, _ = compiled("exponential")(x, count)
    np.testing.assert_allclose(model.rate, 2 * (1 - ratios) / (1 + ratios), atol=1e-5)
    again, values = compiled("discrete")(x, count)
    np.testing.assert_allclose(again.ratio, ratios, atol=1e-5)
    np.testing.assert_allclose(values, 8.0 * ratios[:, None] ** PLACES, rtol=1e-3)


def test_a_saturating_model_comes_to_its_ceiling_and_stays_finite_beyond_a_pole():
    x, count = padded(5.0 / (1.0 + 6.0 * np.exp(-0.4 * np.arange(12))), [1.0, 1.1, 1.3, 1.8, 4.0], [2.0] * 5)
    model, values = compiled("saturating")(x, count)
    far = jax.tree.map(lambda leaf: leaf[:1], model).at(1e4)
    assert float(far[0, 0]) == pytest.approx(5.0, rel=0.02)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[2], 2.0, rtol=1e-6)


@pytest.mark.parametrize("name", ["exponential", "discrete"])
def test_a_rate_of_zero_is_no_exception(name):
    x, count = padded(
        [3.0] * 7, [3.0, 5.0, 5.0, 5.0], *([3.0 * np.exp(s * 1e-5 * k) for k in range(9)] for s in (1, -1))
    )
    _, values = compiled(name)(x, count)
    np.testing.assert_allclose(values[0], 3.0, rtol=1e-6)
    np.testing.assert_allclose(values[1, 1:], 5.0, rtol=1e-5)
    np.testing.assert_allclose(values[2:], 3.0, rtol=1e-3)


@pytest.mark.parametrize("name", ["exponential", "discrete", "saturating"])
def test_what_is_not_known_is_not_looked_at_and_units_do_not_matter(name):
    x, count = sequences("down")
    model, values = compiled(name)(x, count)
    rubbish = np.where(np.isnan(x), np.inf, x)
    for leaf, other in zip(
        jax.tree.leaves((model, values)), jax.tree.leaves(compiled(name)(rubbish, count)), strict=True
    ):
        np.testing.assert_array_equal(leaf, other)
    for unit in (1e-12, -1e12):
        _, scaled = compiled(name)((x * np.float32(unit)), count)
        np.testing.assert_allclose(scaled / np.float32(unit), values, rtol=1e-3)


@pytest.mark.parametrize("name", ["exponential", "discrete", "saturating"])
def test_short_and_mixed_sequences_give_numbers(name):
    rows = ([], [2.0], [2.0, 3.0], [2.0, 3.0, 2.5], [1.0, -1.0, 1.0, -1.0, 1.0], [0.0] * 5, [-4.0, -2.0, -1.0, -0.5])
    x, count = padded(*rows)
    model, values = compiled(name)(x, count)
    assert all(np.isfinite(leaf).all() for leaf in (*model, values))
    if name == "exponential":
        np.testing.assert_allclose(values[2], [2.0] + [3.0] * (len(PLACES) - 1))  # a constant after the first
        assert float(model.rate[6]) == pytest.approx(2 / 3, abs=1e-5)
    assert not ratios_hold(x, count)[4:6].any()


def test_class_ratios_by_hand():
    """Of 4 numbers the bounds are exp(-0.4) = 0.6703 and exp(0.4) = 1.4918."""
    x, count = padded([1.0, 1.4, 1.0, 0.68], [1.0, 1.5, 1.5, 1.5], [1.0, 0.67, 0.67, 0.67], [-1.0, -1.1, -1.2, -1.3])
    assert ratios_hold(x, count).tolist() == [True, False, False, True]
    assert ratios_hold(x, np.minimum(count, 1)).tolist() == [True] * 4


def test_unequal_times_are_those_of_least_squares_and_equal_ones_change_nothing():
    x, times = (
        np.array([5.0, 4.1, 2.8, 2.2, 1.3, 0.9], np.float32),
        np.array([0.0, 1.0, 3.0, 4.0, 7.0, 9.0], np.float32),
    )
    count = jnp.int32(6)
    fit = jax.jit(grey.GM11.fit)
    model = fit(x, count, times)
    a, b, _ = exponential(x, times)
    np.testing.assert_allclose([model.rate, model.source], [a, b], rtol=1e-4)
    width = np.diff(times, prepend=-1.0)
    sums = (x[0] - b / a) * np.exp(-a * times.astype(np.float64)) + b / a
    expected = np.concatenate([x[:1], np.diff(sums) / width[1:]])
    np.testing.assert_allclose(model.at(times, width), expected, rtol=1e-4)
    equal, plain = fit(x, count, 7.0 + np.arange(6, dtype=np.float32)), exponential(x)
    np.testing.assert_allclose([equal.rate, equal.source], plain[:2], rtol=1e-4)


def test_sums_are_undone_and_a_window_takes_the_last():
    x, count = sequences("up")
    filled = np.nan_to_num(x, nan=1.0)
    np.testing.assert_allclose(grey.accumulate(filled), np.cumsum(filled, axis=1), rtol=1e-6)
    np.testing.assert_allclose(grey.restore(grey.accumulate(filled)), filled, rtol=1e-4)
    taken, length = grey.tail(x, count, 5)
    for i, n in enumerate(count):
        np.testing.assert_array_equal(taken[i], [*x[i, max(0, n - 5) : n], *[0.0] * (5 - min(n, 5))])
        assert length[i] == min(n, 5)


def numpy_gain(curve, total):
    """Forecast the gain to come in float64, straight from the definitions."""
    curve, k = np.asarray(curve, np.float64), len(curve)
    change = np.diff(curve)
    gain, m = np.abs(change), k - 1
    sums = np.cumsum(gain)
    middle = (sums[1:] + sums[:-1]) / 2
    fitted = solved([-middle, np.ones(m - 1)], gain[1:])[0] if np.ptp(middle) > 0 else 0.0
    rate = np.clip((fitted + 1 / m) / 2, forecast.SLOWEST, forecast.FASTEST)
    source = np.mean(gain[1:] + rate * middle)
    response = lambda t: (gain[0] - source / rate) * np.exp(-rate * t) + source / rate  # noqa: E731
    ahead = max(response(m - 1 + total - k) - response(m - 1), 0.0)
    whole = curve[-1] - curve[0]
    most = abs(whole) * np.log(total / k) / np.log(k)
    share = change.sum() / gain.sum()
    noise = np.mean(np.diff(change) ** 2)
    return share * abs(share) * max(1 - noise / max(whole**2, 1e-30), 0.0) * ahead * most / max(ahead + most, 1e-30)


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
@pytest.mark.parametrize("unit", [1.0, -1e6, 1e-9])
def test_the_forecast_is_that_of_numpy_in_any_unit(noise, unit):
    rng, time = np.random.default_rng(5), np.arange(1, SIZE + 1)
    curves = rng.uniform(0.1, 1, (ROWS, 1)) * time ** -rng.uniform(0.1, 2, (ROWS, 1)) + rng.uniform(0, 1, (ROWS, 1))
    curves = ((curves + noise * rng.normal(size=curves.shape)) * unit).astype(np.float32)
    found = gain_to_come(curves, COUNTS, np.full(ROWS, 52, np.int32))
    expected = [numpy_gain(curve[:n], 52) for curve, n in zip(curves, COUNTS, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=1e-4 * abs(unit))


def test_forecasts_where_there_is_little_to_go_by():
    rows = ([], [0.5], [0.5, 0.4], [0.5] * 6, [0.9, 0.5, 0.4, 0.35], [0.9, 0.5, 0.4, 0.35], [0.0, 1.0, 0.0, 1.0, 0.0])
    x, count = padded(*rows)
    found = np.asarray(gain_to_come(x, count, np.array([52, 52, 52, 52, 4, 20, 52], np.int32)))
    np.testing.assert_array_equal(found[[0, 1, 2, 3, 4, 6]], 0.0)
    assert -0.35 < found[5] < -0.01


def test_derivatives_are_finite():
    x, count = sequences("down")

    def total(x):
        values = (kind.fit(x, count).at(PLACES) for kind in MODELS.values())
        return sum(v.sum() for v in values) + grey.gain_to_come(x, count, jnp.full(ROWS, 52, jnp.int32)).sum()

    derivative = jax.jit(jax.grad(total))
    for values in (np.nan_to_num(x, nan=0.0), np.ones_like(x), np.zeros_like(x)):
        assert np.isfinite(derivative(values)).all()


def test_strict_promotion_and_ranks_hold():
    x, count = jax.ShapeDtypeStruct((3, 4, SIZE), jnp.float32), jax.ShapeDtypeStruct((3, 4), jnp.int32)
    place = jax.ShapeDtypeStruct((7,), jnp.float32)
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        assert jax.eval_shape(grey.class_ratios_hold, x, count).shape == (3, 4)
        assert jax.eval_shape(grey.gain_to_come, x, count, count).dtype == jnp.float32
        assert jax.eval_shape(lambda x, count: grey.tail(x, count, 5), x, count)[0].shape == (3, 4, 5)
        for kind in MODELS.values():
            assert jax.eval_shape(lambda x, n, k=kind: k.fit(x, n).at(x), x, count).shape == x.shape
            assert jax.eval_shape(lambda x, p, k=kind: k.fit(x).at(p), x, place).shape == (3, 4, 7)


@pytest.mark.parametrize("name", MODELS)
def test_all_numbers_are_known_where_no_count_is_given_and_places_are_as_one_likes(name):
    x, kind = sequences("up")[0][-1], MODELS[name]
    model = kind.fit(x)
    for leaf, other in zip(model, kind.fit(x, SIZE), strict=True):
        np.testing.assert_array_equal(leaf, other)
    np.testing.assert_array_equal(model.at([3, 5.5]), [*model.at(3), *model.at(np.float32(5.5))])
    assert all(np.isfinite(leaf) for leaf in kind.fit([2.0]))


def test_what_has_less_than_three_reports_gains_nothing():
    for curve in ([0.5], [0.5, 0.7]):
        assert float(grey.gain_to_come(curve, None, 9)) == 0.0
    np.testing.assert_array_equal(grey.gain_to_come(np.ones((2, 5, 2), np.float32), 2, 9), np.zeros((2, 5)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: grey.GM11.fit(3.0), r"x.shape=\(\): must be \(..., N\)"),
        (lambda: grey.accumulate([]), r"x.shape=\(0,\): must be"),
        (lambda: grey.restore(1.0), r"sums.shape=\(\): must be"),
        (lambda: grey.DGM11.fit(np.ones((3, 4)), np.ones(4, int)), r"count.shape=\(4,\): must be \(3,\), one for each"),
        (lambda: grey.GM11.fit(np.ones(4), times=np.ones(3)), r"times.shape=\(3,\): must be \(4,\), that of x"),
        (lambda: grey.gain_to_come(np.ones((3, 4)), None, np.ones(2, int)), r"total.shape=\(2,\): must be \(3,\)"),
        (lambda: grey.tail(np.ones(4), None, 0), "window=0: must be at least 1"),
        (lambda: grey.larger_is_better(np.ones(4)), r"x.shape=\(4,\): must be \(N, D\): .* x\[:, None\]"),
        (lambda: grey.mean_image(np.ones((4, 2)), np.ones(2)), r"weight.shape=\(2,\): must be \(4,\), one for each"),
        (lambda: grey.nominal_is_best(np.ones((4, 2)), [1.0]), r"nominal.shape=\(1,\): must be \(2,\)"),
        (lambda: grey.relational_grade(np.ones((4, 2)), np.ones(2)), r"y.shape=\(2,\): must be \(4,\)"),
        (
            lambda: grey.relational_grade(np.ones((4, 2)), np.ones(4), rho=0.0),
            r"rho=0.0: must be above 0 and at most 1",
        ),
        (lambda: grey.absolute_grade(np.ones((4, 2)), np.ones((4, 1))), r"y.shape=\(4, 1\): must be \(4,\)"),
        (lambda: grey.compromise(np.ones(4)), r"scores.shape=\(4,\): must be \(N, D\)"),
    ],
)
def test_shapes_that_do_not_fit_are_told(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_public_tells_when_to_choose_it_its_limits_and_its_source():
    for name in grey.__all__:
        text = getattr(grey, name).__doc__
        assert name in (ROOT / "docs" / "grey.md").read_text(), name
        for part in ("Choose it", "Limit", "Example:", "References:"):
            assert part in text, (name, part)
