"""Bayesian optimisation: what the model adds, and that it takes what the loop may bring."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import Bayesian, Choice, Float, Int, Space, When
from jaxhpt.algorithms.model_based import candidates
from jaxhpt.algorithms.model_based.dataset import best_first, chosen
from jaxhpt.core import history
from jaxhpt.core.history import Status
from jaxhpt.core.keys import Draws
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.qmc import sobol
from jaxhpt.core.schedule import Schedule

HARTMANN = jaxhpt.problems.hartmann6
PROBLEM = Problem(Space.of({"x": Float(0, 1)}), choose(("loss",)), 64, 8, Schedule(1, 1))
SEVERAL = choose(("loss", "size"), objectives={"loss": "min", "size": "min"})
MIXED = {
    "x": Float(1e-4, 1.0, log=True),
    "n": Int(1, 16),
    "c": Choice(["a", "b", "c"]),
    "w": When("c", "b", {"u": Float(0, 1)}),
}


@functools.cache
def hartmann(seed, lanes=8, acquisition="bounds"):
    algorithm = Bayesian(acquisition=acquisition)
    return jaxhpt.minimize(
        HARTMANN, HARTMANN.space(), algorithm=algorithm, trials=96, lanes=lanes, seed=seed, progress=False
    )


def mixed(h, key):
    inner = jnp.where(h["c"] == 1, (h["w"]["u"] - 0.7) ** 2, 0.5)
    return (jnp.log10(h["x"]) + 2.0) ** 2 + 0.02 * (h["n"] - 11) ** 2 + inner


@pytest.mark.parametrize("acquisition", ["bounds", "log_ei", "thompson"])
def test_96_trials_come_near_the_minimum_of_hartmann(acquisition):
    found = [hartmann(seed, acquisition=acquisition).best.value for seed in range(3)]
    assert np.median(found) < -3.1, found


def test_no_setting_is_tried_twice():
    settings = np.asarray(hartmann(0).history.unit)
    assert len(np.unique(settings, axis=0)) == len(settings)


def test_a_batch_is_spread():
    """Picks of one event are not crowded at one place while little is known."""
    batch = np.asarray(hartmann(0).history.unit)[24:32]
    apart = np.sqrt(((batch[:, None] - batch[None]) ** 2).sum(-1))
    assert np.median(apart) > 0.05


def test_mixed_and_conditional_spaces():
    result = jaxhpt.minimize(mixed, MIXED, algorithm="bayesian", trials=96, lanes=8, progress=False)
    assert result.best.hparams["c"] == "b"
    assert result.best.value < 0.02


def test_constraints_are_kept_at_the_border(bounded):
    result = bounded(algorithm="bayesian", trials=64, lanes=8)
    assert result.best.feasible
    assert result.best.value == pytest.approx(0.5, abs=0.02)


def test_two_objectives_spread_over_the_front():
    def valley(h, key):
        return {"a": h["x"] ** 2 + h["y"] ** 2, "b": (h["x"] - 1) ** 2 + h["y"] ** 2}

    def found(seed):
        result = jaxhpt.minimize(
            valley, {"x": Float(0, 1), "y": Float(-1, 1)}, objectives={"a": "min", "b": "min"},
            algorithm="bayesian", trials=80, lanes=8, seed=seed, progress=False,
        )  # fmt: skip
        return result.hypervolume({"a": 1.0, "b": 1.0})

    best = 1.0 - 1.0 / 6.0  # the area below (1, 1) that the true front a = (1 - sqrt(b))^2 dominates
    assert np.median([found(seed) for seed in range(3)]) > 0.97 * best


def long_or_short(acquisition):
    """Search where a trial may take 1 to 30 steps, whatever comes of it; return the mean of them."""
    task = jaxhpt.Task(
        init=lambda key, h: jnp.zeros(()),
        step=lambda state, batch, h, key: state + h["n"],
        evaluate=lambda state, data, h: {"loss": (h["x"] - 0.3) ** 2 + 0.0 * state},
        steps="n",
    )
    space = {"x": Float(0, 1), "n": Int(1, 30)}
    algorithm = Bayesian(acquisition=acquisition, initial=12)
    result = jaxhpt.search(task, space, algorithm=algorithm, trials=40, lanes=4, progress=False)
    assert result.best.value < 1e-3
    return np.mean([trial.steps for trial in result.trials[12:]])


def test_improvement_per_step_prefers_short_trials():
    assert long_or_short("log_ei_per_step") < 0.6 * long_or_short("log_ei")


def test_hypervolume_improvement_spreads_over_the_front_and_keeps_a_bound():
    result = jaxhpt.minimize(
        lambda h, key: {"a": h["x"] ** 2 + h["y"] ** 2, "b": (h["x"] - 1) ** 2 + h["y"] ** 2, "x": h["x"]},
        {"x": Float(0, 1), "y": Float(-1, 1)}, objectives={"a": "min", "b": "min"}, constraints={"x": (">=", 0.5)},
        algorithm=Bayesian(acquisition="log_ehvi"), trials=60, lanes=4, progress=False,
    )  # fmt: skip
    front = result.pareto_front()
    assert all(trial.hparams["x"] >= 0.5 for trial in front)
    x = np.linspace(0.5, 1.0, 10_001)
    best = -np.trapezoid(
        1.0 - x**2, (x - 1) ** 2
    )  # the area below (1, 1) that the true front from (1/4, 1/4) dominates
    assert result.hypervolume({"a": 1.0, "b": 1.0}) > 0.93 * (best + 0.75 * 0.75)


def test_several_objectives_need_bounds():
    with pytest.raises(ValueError, match="acquisition"):
        jaxhpt.minimize(
            lambda h, key: {"a": h["x"], "b": -h["x"]}, {"x": Float(0, 1)}, objectives={"a": "min", "b": "min"},
            algorithm=Bayesian(acquisition="log_ei"), trials=8, progress=False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("dimensions", "objectives", "given", "expected"),
    [
        (20, "a", "auto", "bounds"),
        (21, "a", "auto", "log_ei"),
        (21, "ab", "auto", "bounds"),
        (21, "a", "bounds", "bounds"),
        (2, "a", "log_ei", "log_ei"),
    ],
)
def test_the_acquisition_fits_the_dimensions_and_the_objectives(dimensions, objectives, given, expected):
    columns = choose(tuple(objectives), objectives=dict.fromkeys(objectives, "min"))
    space = Space.of({f"x{i}": Float(0, 1) for i in range(dimensions)})
    found = Bayesian(acquisition=given)._selector(Problem(space, columns, 8, 4, Schedule(1, 1)))
    assert found.acquisition == expected


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("initial", 0),
        ("acquisition", "ei"),
        ("ucb_beta", (2.0, 1.0)),
        ("candidates", 8),
        ("num_ascents", 4096),
        ("limit", 500),
    ],
)
def test_bad_settings_are_named(argument, value):
    with pytest.raises(ValueError, match=argument):
        Bayesian(**{argument: value})


def long_history(trials=1000):
    problem = Problem(Space.of({"x": Float(0, 1), "y": Float(0, 1)}), choose(("loss",)), trials, 8, Schedule(1, 1))
    return problem, ended(problem, trials)


@functools.partial(jax.jit, static_argnums=(0, 1))
def ended(problem, trials):
    unit = jax.random.uniform(jax.random.key(0), (trials, 2))
    rows = jnp.arange(trials)
    past = history.open_rows(history.empty_history(problem), rows, unit, jnp.int32(0))
    past = history.report(past, rows, jnp.sum((unit - 0.3) ** 2, axis=1)[:, None], rows * 0 + 1, rows * 0)
    return history.close(past, rows, jnp.full(trials, Status.DONE, jnp.int8))


def test_beyond_the_limit_the_best_the_latest_and_others_are_learned_from():
    problem, past = long_history()
    best = jax.jit(best_first, static_argnums=(1, 3))(past, problem, jnp.arange(1000), 64)
    rows = np.asarray(jax.jit(chosen, static_argnums=(1, 3))(past, problem, best, 128))
    there = rows[rows < 1000]
    assert len(np.unique(there)) == len(there) > 100
    assert np.isin(np.asarray(best), there).all()
    assert np.isin(np.arange(1000 - 32, 1000), there).all()
    assert np.diff(np.sort(there[there < 900])).max() < 120


def test_acquire_prefers_what_promises_more():
    problem, past = long_history(120)
    algorithm = Bayesian(limit=128)
    state = algorithm.init(jax.random.key(0), problem)
    acquire, both = jax.jit(algorithm.acquire, static_argnums=2), jnp.array([[0.31, 0.29], [0.95, 0.95]])
    assert not np.asarray(acquire(state, past, problem, both)).any()  # nothing is known yet
    state = jax.jit(algorithm.tell, static_argnums=3)(jax.random.key(1), state, past, problem, jnp.arange(120))
    score = acquire(state, past, problem, both)
    assert score[0] < score[1]


def test_a_first_batch_beyond_the_design_goes_on_with_it():
    problem = dataclasses.replace(PROBLEM, trials=64, lanes=64)
    state, past = Bayesian().init(jax.random.key(0), problem), history.empty_history(problem)
    unit = Bayesian().ask(jax.random.key(1), state, past, problem, 64, jnp.int32(64))[0].unit
    even = problem.space.snap(sobol(state.scramble, jnp.arange(64, dtype=jnp.int32), problem.num_dimensions))
    np.testing.assert_array_equal(unit, even)


def test_steps_from_the_best_are_of_all_sizes_and_in_any_number_of_dimensions():
    space = Space.of({f"x{i}": Float(0, 1) for i in range(4)})
    best = jnp.array([[0.5] * 4, [0.2] * 4])
    unit = np.asarray(candidates.local_candidates(Draws(jax.random.key(0)), best, space, 2048))
    away = np.abs(unit[:, None] - np.asarray(best)[None])
    moved, size = (away > 1e-6).sum(-1).min(-1), away.max(-1).min(-1)
    assert set(moved) == {1, 2, 3, 4}
    assert (size < 0.02).mean() > 0.1
    assert (size > 0.2).mean() > 0.1


def test_places_all_over_the_space_are_even():
    space = Space.of({"a": Float(0, 1), "c": Choice(["a", "b", "c", "d"])})
    unit = np.asarray(candidates.global_candidates(Draws(jax.random.key(0)), space, 1024))
    np.testing.assert_allclose(np.sort(unit[:, 0]), (np.arange(1024) + 0.5) / 1024, atol=2e-3)
    np.testing.assert_array_equal(np.unique(unit[:, 1], return_counts=True)[1], 256)


def test_numbers_of_many_levels_follow_the_gradient_and_choices_stay():
    space = Space.of({"x": Float(0, 1), "n": Int(0, 100), "few": Int(1, 3), "c": Choice(list("abcdefghijkl"))})
    first = space.snap(jnp.full((1, 4), 0.3))
    found = candidates.ascend(first, lambda x: jnp.sum((x - 0.805) ** 2, axis=1), jnp.ones(4), space, 20)
    before, after = (dict(zip(space.names, np.asarray(unit[0]), strict=True)) for unit in (first, found))
    np.testing.assert_allclose([after["x"], after["n"]], 0.805, atol=0.02)
    assert (after["few"], after["c"]) == (before["few"], before["c"])


def test_a_place_that_nothing_draws_away_keeps_its_bits():
    space = Space.of({"x": Float(0, 1), "y": Float(0, 1)})
    first = jax.random.uniform(jax.random.key(0), (64, 2))
    found = candidates.ascend(first, lambda x: (x[:, 0] - 0.5) ** 2, jnp.ones(2), space, 10)
    np.testing.assert_array_equal(found[:, 1], first[:, 1])
    assert (np.abs(found[:, 0] - 0.5) < np.abs(first[:, 0] - 0.5)).mean() > 0.9


def test_a_linear_range_that_should_have_been_logarithmic_is_no_hindrance():
    space = {"decay": Float(1e-5, 0.1), "x": Float(0, 1), "y": Float(0, 1)}

    def loss(h, key):
        return 0.3 * jnp.log10(h["decay"] / 3e-4) ** 2 + (h["x"] - 0.3) ** 2 + (h["y"] - 0.6) ** 2

    run = functools.partial(jaxhpt.minimize, loss, space, algorithm="bayesian", trials=96, lanes=16, progress=False)
    assert np.median([run(seed=seed).best.value for seed in range(5)]) < 0.03
