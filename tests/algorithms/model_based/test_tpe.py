"""Tree-structured Parzen estimator: what it finds, what it takes, and that its work does not grow with the trials."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import TPE, Choice, Float, Int, Space, When
from jaxhpt.core import history
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule

HARTMANN = jaxhpt.problems.hartmann6
SPHERE = jaxhpt.problems.sphere
MIXED = {
    "x": Float(1e-4, 1.0, log=True),
    "n": Int(1, 16),
    "c": Choice(["a", "b", "c"]),
    "w": When("c", "b", {"u": Float(0, 1)}),
}
FRONT = {"x": Float(0, 1), "y": Float(-1, 1), "z": Float(-1, 1)}


@functools.cache
def hartmann(seed):
    return jaxhpt.minimize(HARTMANN, HARTMANN.space(), algorithm="tpe", trials=512, lanes=32, seed=seed, progress=False)


def mixed(h, key):
    inner = jnp.where(h["c"] == 1, (h["w"]["u"] - 0.7) ** 2, 0.5)
    return (jnp.log10(h["x"]) + 2.0) ** 2 + 0.02 * (h["n"] - 11) ** 2 + inner


def half(h, key):
    """Fail where x < 0.5, beside the minimum at 0.55."""
    return jnp.where(h["x"] < 0.5, jnp.nan, (h["x"] - 0.55) ** 2 + (h["y"] - 0.3) ** 2)


def two(h, key):
    away = h["y"] ** 2 + h["z"] ** 2
    return {"a": h["x"] ** 2 + away, "b": (h["x"] - 1) ** 2 + away, "weight": h["x"]}


def no_setting_twice(result):
    settings = np.asarray(result.history.unit)
    return len(np.unique(settings, axis=0)) == len(settings)


def test_512_trials_come_near_the_minimum_of_hartmann():
    found = [hartmann(seed).best.value for seed in range(3)]
    assert np.median(found) < -3.2, found


def test_it_beats_random_in_a_mixed_conditional_space():
    def values(algorithm):
        options = {"algorithm": algorithm, "trials": 256, "lanes": 16, "progress": False}
        return [jaxhpt.minimize(mixed, MIXED, seed=seed, **options).best.value for seed in range(7)]

    found, random = values("tpe"), values("random")
    assert np.median(found) < 0.5 * np.median(random), (found, random)


def test_no_setting_is_tried_twice():
    assert no_setting_twice(hartmann(0))
    many = {"n": Int(1, 50), "c": ["a", "b", "c", "d"], "m": Int(1, 50, log=True)}
    result = jaxhpt.minimize(
        lambda h, key: (h["n"] - 20.0) ** 2 + h["m"] + h["c"], many, algorithm="tpe", trials=128, lanes=16,
        progress=False,
    )  # fmt: skip
    assert no_setting_twice(result)
    assert result.best.value <= 2


def test_a_space_that_is_exhausted_does_not_stop_it():
    space = {"a": ["p", "q", "r"], "n": Int(1, 4)}
    result = jaxhpt.minimize(
        lambda h, key: h["n"] + h["a"] * 1.0, space, algorithm="tpe", trials=96, lanes=8, progress=False
    )
    assert result.stats.trials == 96
    assert len(np.unique(result.history.unit, axis=0)) == 12
    assert result.best.hparams == {"a": "p", "n": 1}


def test_one_dimension():
    result = jaxhpt.minimize(
        lambda h, key: (h["x"] - 0.3) ** 2, {"x": Float(0, 1)}, algorithm="tpe", trials=64, lanes=4, progress=False
    )
    assert abs(result.best.hparams["x"] - 0.3) < 2e-3
    assert no_setting_twice(result)


def test_constraints_are_kept_at_the_border(bounded):
    results = [bounded(algorithm="tpe", trials=256, lanes=16, seed=seed) for seed in range(5)]
    assert all(result.best.feasible for result in results)
    assert np.median([result.best.value for result in results]) == pytest.approx(0.5, abs=0.03)
    for result in results:
        feasible = [trial.feasible for trial in result.trials]
        assert np.mean(feasible[128:]) > np.mean(feasible[:16]) - 0.2


def test_two_objectives_and_a_constraint_spread_over_the_front_more_than_random():
    def search(algorithm, seed):
        return jaxhpt.minimize(
            two, FRONT, objectives={"a": "min", "b": "min"}, constraints={"weight": (">=", 0.5)},
            algorithm=algorithm, trials=256, lanes=16, seed=seed, progress=False,
        )  # fmt: skip

    found, random = ([search(name, seed) for seed in range(3)] for name in ("tpe", "random"))
    ours, theirs = ([result.hypervolume({"a": 1.0, "b": 1.0}) for result in some] for some in (found, random))
    best = 67 / 96  # the area below (1, 1) that the true front dominates: b = (1 - sqrt(a))^2 from a = 1/4
    assert best - np.median(ours) < 0.5 * (best - np.median(theirs)), (ours, theirs)
    front = found[0].pareto_front()
    assert len(front) >= 8
    assert all(trial.hparams["x"] >= 0.5 for trial in front)
    assert np.mean([trial.feasible for trial in found[0].trials[128:]]) > 0.7


def test_failures_lose_nothing_and_are_learned_from():
    space = {"x": Float(0, 1), "y": Float(0, 1)}
    result = jaxhpt.minimize(half, space, algorithm="tpe", trials=256, lanes=16, progress=False)
    failed = np.isnan([trial.value for trial in result.trials])
    assert result.stats.trials == 256
    assert result.stats.failed == failed.sum()
    np.testing.assert_array_equal(failed, result.history.unit[:, 0] < 0.5)
    assert failed[:8].any()
    assert failed[128:].mean() < 0.25
    assert result.best.value < 1e-3
    assert no_setting_twice(result)


def test_the_same_seed_gives_the_same_bits(same_bits):
    options = {"algorithm": "tpe", "trials": 256, "lanes": 16, "progress": False}
    a, b, other = (jaxhpt.minimize(mixed, MIXED, seed=seed, **options).history for seed in (3, 3, 4))
    same_bits(a, b)
    assert not np.isin(a.unit[:, -1], other.unit[:, -1]).all()


def test_the_least_settings_of_it_still_find_the_middle_of_the_sphere():
    least = TPE(initial=1, num_good=2, candidates=1, limit=64)
    result = jaxhpt.minimize(SPHERE, SPHERE.space(2), algorithm=least, trials=192, lanes=16, seed=1, progress=False)
    assert result.best.value < 0.05


def test_20_000_trials_come_to_the_middle_of_the_sphere_and_stay_there():
    result = jaxhpt.minimize(SPHERE, SPHERE.space(5), algorithm="tpe", trials=20_000, lanes=256, progress=False)
    assert result.stats.trials == 20_000
    assert result.best.value < 1e-4
    assert no_setting_twice(result)
    assert np.median(result.history.metrics[-2000:, 0]) < 1e-2  # of points anywhere: 40


@functools.cache
def operations(limit, trials):
    """Count the floating-point operations of one proposal of 8, by the compiler's account."""
    problem, algorithm = (
        Problem(Space.of(SPHERE.space(4)), choose(("loss",)), trials, 8, Schedule(1, 1)),
        TPE(limit=limit),
    )
    state = algorithm.init(jax.random.key(0), problem)
    ask = jax.jit(lambda key, state, past: algorithm.ask(key, state, past, problem, 8, jnp.int32(8)))
    return ask.lower(jax.random.key(0), state, history.empty_history(problem)).cost_analysis()["flops"]


def test_the_limit_bounds_the_work_whatever_the_number_of_trials():
    assert operations(64, 2**18) == pytest.approx(operations(64, 2**12), rel=0.02)
    assert operations(1024, 2**12) > 3 * operations(64, 2**12)


def test_earlier_trials_inform_it_from_the_first_batch():
    """One batch after 512 known trials, beside the first one of searches that start from nothing."""

    def value(seed):
        options = {"algorithm": "tpe", "trials": 32, "lanes": 32, "progress": False, "seed": seed}
        return jaxhpt.minimize(HARTMANN, HARTMANN.space(), prior=hartmann(0), **options).best.value

    cold = [hartmann(seed).history.metrics[:32, 0].min() for seed in range(3)]
    assert np.median([value(seed) for seed in range(3)]) < min(cold) - 0.2


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("initial", 0, ValueError),
        ("initial", 2.0, TypeError),
        ("num_good", 1, ValueError),
        ("num_good", 65, ValueError),
        ("num_good", 0.15, TypeError),
        ("candidates", 0, ValueError),
        ("candidates", "16", TypeError),
        ("candidates", True, TypeError),
        ("limit", 32, ValueError),
        ("limit", 500, ValueError),
        ("limit", 4096, ValueError),
        ("limit", "256", ValueError),
    ],
)
def test_wrong_arguments_are_named(argument, value, error):
    with pytest.raises(error, match=f"^{argument}="):
        TPE(**{argument: value})
