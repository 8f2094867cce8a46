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
from jaxhpt.algorithms.model_based.phase import draw_phase
from jaxhpt.core import history
from jaxhpt.core.history import Status
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.qmc import sobol
from jaxhpt.surrogates import input_warp

HARTMANN = jaxhpt.problems.hartmann6
PROBLEM = Problem(Space.of({"x": Float(0, 1)}), choose(("loss",)), 64, 8, steps=1, interval=1)
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
    found = Bayesian(acquisition=given)._selector(Problem(space, columns, 8, 4, 1, 1))
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
    problem = Problem(Space.of({"x": Float(0, 1), "y": Float(0, 1)}), choose(("loss",)), trials, 8, 1, 1)
    unit = jax.random.uniform(jax.random.key(0), (trials, 2))
    rows = jnp.arange(trials)
    past = history.open_rows(history.empty_history(problem), rows, unit, jnp.zeros((trials, 0)), jnp.int32(0))
    past = history.report(past, rows, jnp.sum((unit - 0.3) ** 2, axis=1)[:, None], rows * 0 + 1, rows * 0)
    return problem, history.close(past, rows, jnp.full(trials, Status.DONE, jnp.int8))


def test_beyond_the_limit_the_best_the_latest_and_others_are_learned_from():
    problem, past = long_history()
    best = best_first(past, problem, jnp.arange(1000), 64)
    rows = np.asarray(chosen(past, problem, best, 128))
    there = rows[rows < 1000]
    assert len(np.unique(there)) == len(there) > 100
    assert np.isin(np.asarray(best), there).all()
    assert np.isin(np.arange(1000 - 32, 1000), there).all()
    assert np.diff(np.sort(there[there < 900])).max() < 120


def test_acquire_prefers_what_promises_more():
    problem, past = long_history(120)
    algorithm = Bayesian(limit=128)
    state = algorithm.init(jax.random.key(0), problem)
    good, bad = jnp.array([[0.31, 0.29]]), jnp.array([[0.95, 0.95]])
    assert not np.asarray(algorithm.acquire(state, past, problem, good)).any()  # nothing is known yet
    state = algorithm.tell(jax.random.key(1), state, past, problem, jnp.arange(120))
    score = algorithm.acquire(state, past, problem, jnp.concatenate([good, bad]))
    assert score[0] < score[1]


def view_of(space, log_warp=0.0):
    """How a model sees a space whose length-scales are all 1."""
    return candidates.View(jnp.ones(space.num_dimensions), jnp.full(space.num_dimensions, log_warp))


@pytest.mark.parametrize("log_warp", [0.0, 5.0])
def test_half_the_places_all_over_the_space_are_on_its_faces(log_warp):
    space = Space.of({"a": Float(0, 1), "b": Float(0, 1), "n": Int(1, 16), "c": Choice(["a", "b", "c", "d"])})
    view = view_of(space)._replace(log_warp=jnp.array([log_warp if name in "ab" else 0.0 for name in space.names]))
    unit = np.asarray(candidates.global_candidates(jax.random.key(0), view, space, 4096))
    by_name = dict(zip(space.names, unit.T, strict=True))
    for name in "ab":
        ends = [(by_name[name] == end).mean() for end in (0, 1)]
        np.testing.assert_allclose(ends, 1 / 8, atol=0.01)
        inside = np.sort(input_warp.forward(by_name[name][:2048], np.float32(log_warp)))
        np.testing.assert_allclose(inside, (np.arange(2048) + 0.5) / 2048, atol=0.01)
    _, counts = np.unique(by_name["n"], return_counts=True)
    assert counts[[0, -1]].min() > 3 * counts[1:-1].max()
    np.testing.assert_allclose(np.unique(by_name["c"], return_counts=True)[1], 1024, atol=8)


def test_a_first_batch_goes_beyond_the_design_by_turns_to_the_ends():
    space = Space.of({"a": Float(0, 1), "b": Float(0, 1), "c": Choice(["a", "b", "c", "d"])})
    problem = dataclasses.replace(PROBLEM, space=space, trials=256, lanes=256)
    for algorithm, size in ((Bayesian(), 8), (Bayesian(initial=100), 100)):
        state, past = algorithm.init(jax.random.key(0), problem), history.empty_history(problem)
        unit = np.asarray(algorithm.ask(jax.random.key(1), state, past, problem, 256, jnp.int32(256))[0].unit)
        outwards = (np.arange(256) >= size) & ((np.arange(256) - size) % 2 == 0)
        even = np.asarray(space.snap(sobol(state.scramble, jnp.arange(256), 3)))
        np.testing.assert_array_equal(unit[~outwards], even[: (~outwards).sum()])
        ends = [(unit[outwards, i] == end).mean() for i in (0, 1) for end in (0, 1)]
        np.testing.assert_allclose(ends, 0.25, atol=0.05)
        assert set(np.unique(unit[outwards, 2])) == set(np.unique(even[:, 2]))


def test_half_of_the_events_explore_at_first():
    def share(count, problem=PROBLEM):
        past = history.empty_history(problem)._replace(count=jnp.int32(count))
        keys = jax.random.split(jax.random.key(0), 64)
        return np.mean(jax.vmap(lambda key: draw_phase(key, past, problem).explore)(keys))

    assert 0.3 < share(25) < 0.7
    assert share(55) == 0
    assert share(30, dataclasses.replace(PROBLEM, trials=32)) == 0  # few are left
    assert share(25, dataclasses.replace(PROBLEM, steps=9, interval=3, report_interval=3)) == 0
    assert share(25, dataclasses.replace(PROBLEM, metrics=SEVERAL)) == 0


def test_the_last_tenth_closes_in_on_what_was_found():
    def exploits(count, problem=PROBLEM):
        past = history.empty_history(problem)._replace(count=jnp.int32(count))
        return bool(draw_phase(jax.random.key(0), past, problem).exploit)

    assert [exploits(count) for count in (57, 58, 63)] == [False, True, True]
    assert [exploits(count, dataclasses.replace(PROBLEM, prior=20)) for count in (64, 78)] == [False, True]
    assert not exploits(63, dataclasses.replace(PROBLEM, steps=9, interval=3, report_interval=3))
    assert not exploits(63, dataclasses.replace(PROBLEM, metrics=SEVERAL))


def test_picks_that_close_in_are_nearer_to_the_best():
    def away(seed, trials):
        """How far from the best the picks after 80 trials are, where there are so many in all."""
        problem = Problem(Space.of(HARTMANN.space()), choose(("loss",)), trials, 8, 1, 1, copies=96 - trials)
        past = jax.tree.map(jnp.asarray, hartmann(seed).history)._replace(count=jnp.int32(80))
        state = Bayesian().init(jax.random.key(0), problem)
        state = Bayesian().tell(jax.random.key(0), state, past, problem, jnp.arange(80, dtype=jnp.int32))
        ask = jax.jit(lambda key: Bayesian().ask(key, state, past, problem, 8, jnp.int32(8))[0].unit)
        return np.median(np.linalg.norm(ask(jax.random.key(seed)) - past.unit[state.best[0]], axis=1))

    assert sum(away(seed, 88) for seed in range(3)) < 0.75 * sum(away(seed, 96) for seed in range(3))


def test_numbers_of_many_levels_follow_the_gradient_and_choices_stay():
    space = Space.of({"x": Float(0, 1), "n": Int(0, 100), "few": Int(1, 3), "c": Choice(list("abcdefghijkl"))})
    first = space.snap(jnp.full((1, 4), 0.3))
    found = candidates.ascend(first, lambda x: jnp.sum((x - 0.805) ** 2, axis=1), view_of(space), space, 20)
    before, after = (dict(zip(space.names, np.asarray(unit[0]), strict=True)) for unit in (first, found))
    np.testing.assert_allclose([after["x"], after["n"]], 0.805, atol=0.02)
    assert (after["few"], after["c"]) == (before["few"], before["c"])


def test_a_place_that_nothing_draws_away_keeps_its_bits():
    space = Space.of({"x": Float(0, 1), "y": Float(0, 1)})
    first = jax.random.uniform(jax.random.key(0), (64, 2))
    found = candidates.ascend(first, lambda x: (x[:, 0] - 0.5) ** 2, view_of(space, 4.0), space, 10)
    np.testing.assert_array_equal(found[:, 1], first[:, 1])
    assert (np.abs(found[:, 0] - 0.5) < np.abs(first[:, 0] - 0.5)).mean() > 0.9


def test_steps_are_short_at_the_end_that_the_model_looks_at_closely():
    space = Space.of({"x": Float(0, 1), "y": Float(0, 1)})
    best = jnp.array([[1e-3, 0.5]])
    away = [
        np.asarray(candidates.local_candidates(jax.random.key(0), best, view_of(space, k), space, 2048))
        for k in (0.0, 8.0)
    ]
    near = [np.median(np.abs(unit - best)[unit != best[0]]) for unit in away]
    assert near[1] < near[0]
    factor = [np.median(np.abs(np.log(np.maximum(u[:, 0], 1e-6) / 1e-3))[u[:, 0] != 1e-3]) for u in away]
    assert factor[1] < 1 < factor[0]  # in e-foldings


def test_a_linear_range_that_should_have_been_logarithmic_is_no_hindrance():
    space = {"decay": Float(1e-5, 0.1), "x": Float(0, 1), "y": Float(0, 1)}

    def loss(h, key):
        return 0.3 * jnp.log10(h["decay"] / 3e-4) ** 2 + (h["x"] - 0.3) ** 2 + (h["y"] - 0.6) ** 2

    run = functools.partial(jaxhpt.minimize, loss, space, algorithm="bayesian", trials=96, lanes=16, progress=False)
    assert np.median([run(seed=seed).best.value for seed in range(5)]) < 0.03
