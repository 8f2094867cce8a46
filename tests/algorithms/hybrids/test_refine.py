"""Refine: small steps from the best at last, and the rule of one fifth against plain Python."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import Choice, Float, Genetic, Grid, Int, QuasiRandom, Random, Refine, Space, When
from jaxhpt.algorithms.hybrids.refine import GOAL, LARGEST, LEAST
from jaxhpt.core import history
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE

LANES, TRIALS = 8, 64
BOX = Space.of({name: Float(0, 1) for name in "xyz"})
MIXED = {
    "x": Float(1e-3, 1.0, log=True),
    "n": Int(1, 12),
    "c": Choice(["a", "b", "c"]),
    "w": When("c", "b", {"u": Float(0, 1), "k": ["p", "q"]}),
}


def bowl(h, key):
    return (h["x"] - 0.3) ** 2 + (h["y"] - 0.6) ** 2 + (h["z"] - 0.45) ** 2


def mixed(h, key):
    inner = jnp.where(h["c"] == 1, (h["w"]["u"] - 0.7) ** 2 + 0.1 * h["w"]["k"], 0.5)
    loss = (jnp.log10(h["x"]) + 2.0) ** 2 + 0.02 * (h["n"] - 11) ** 2 + inner
    return jnp.where(h["n"] < 3, jnp.inf, loss)


@functools.cache
def search(algorithm, trials=TRIALS, seed=0):
    return jaxhpt.minimize(bowl, BOX, algorithm=algorithm, trials=trials, lanes=LANES, seed=seed, progress=False)


def earlier():
    rng, none = np.random.default_rng(0), {"u": None, "k": None}
    return [({"x": x, "n": 4, "c": "a", "w": none}, 3.0 + x) for x in rng.uniform(0.1, 1.0, size=16).tolist()]


@functools.cache
def conditional(seed=0, events="all"):
    options = {"prior": earlier(), "seed": seed, "events_per_dispatch": events, "progress": False}
    return jaxhpt.minimize(
        mixed, MIXED, algorithm=Refine(Random(), share=0.5), trials=48, lanes=LANES, **options
    ).history


def assert_steps(past, first, num, space):
    """Assert that rows from `first` on are steps from the best row that had ended when they were proposed."""
    unit, score = np.asarray(past.unit), np.asarray(past.metrics[:, 0])
    for event in range(first, num, LANES):
        best = np.argmin(score[:event])
        rows = slice(event, min(event + LANES, num))
        np.testing.assert_array_equal(past.note[1][rows], best)
        np.testing.assert_array_equal(past.author[rows], 1)
        changed = unit[rows] != unit[best]
        assert np.all(np.any(changed, axis=1))
        assert not np.all(changed)
        np.testing.assert_array_equal(unit[rows], space.snap(jnp.asarray(unit[rows])))
    assert not np.any(past.author[:first] == 1)


def distances(result):
    """Return how far each trial is from the best, in its farthest dimension: f32[C]."""
    past = result.history
    return np.abs(past.unit - past.unit[np.argmin(past.metrics[:, 0])]).max(axis=1)


def test_the_last_trials_are_steps_from_the_best():
    result = search(Refine(QuasiRandom(), share=0.5))
    assert_steps(result.history, 32, TRIALS, BOX)
    unit = np.asarray(result.history.unit)
    octant = (unit[:32] >= 0.5) @ np.array([1, 2, 4])
    assert np.bincount(octant, minlength=8).tolist() == [4] * 8  # the first ones are the whole design
    away = distances(result)
    assert np.median(away[32:]) < 0.15 < np.median(away[:32])
    assert np.median([distances(search(Refine(QuasiRandom(), share=0.5), seed=s))[-LANES:] for s in range(5)]) < 0.1


def test_it_polishes_what_the_algorithm_alone_leaves():
    polished, alone = search(Refine(QuasiRandom(), share=0.5)), search(QuasiRandom())
    assert polished.best.id >= 32
    assert polished.best.value < 0.2 * alone.best.value


def test_steps_begin_where_the_algorithm_ends():
    result = search(Refine(Grid(points=2), share=0.25), 24)
    assert len(result.trials) == 24
    assert sorted(map(tuple, result.history.unit[:8].tolist())) == sorted(map(tuple, BOX.grid(2).tolist()))
    assert_steps(result.history, 8, 24, BOX)
    assert result.best.id >= 8


def test_steps_in_a_mixed_conditional_space_after_earlier_trials():
    past = conditional()
    assert_steps(past, 16 + 24, 16 + 48, Space.of(MIXED))
    assert len(np.unique(past.unit[40:], axis=0)) == 24
    scores = np.asarray(past.metrics[:, 0])
    assert np.any(np.isinf(scores[16:]))
    assert scores[40:].min() < scores[:40].min()


@pytest.mark.parametrize("events", [1, 3])
def test_any_dispatch_gives_the_same_bits_and_another_seed_others(events, same_bits):
    same_bits(conditional(events=events), conditional())
    assert np.any(np.asarray(conditional(seed=1).unit) != np.asarray(conditional().unit))


def problem(space=BOX, objectives=("loss",)):
    directions = dict.fromkeys(objectives, "min") if len(objectives) > 1 else None
    columns = choose(objectives, objectives=directions) if directions else choose(objectives)
    return Problem(space, columns, trials=TRIALS, lanes=LANES, schedule=Schedule(1, 1))


@functools.cache
def teller():
    refine, made = Refine(Random(), sigma=0.1), twice()
    return refine, jax.jit(lambda state, past, rows: refine.tell(jax.random.key(0), state, past, made, rows))


def twice():
    """Return a problem of which the latter half of the rows is for what was to be beaten."""
    return dataclasses.replace(problem(), trials=2 * TRIALS)


def told(scores, rivals, batches):
    """Tell batches of rows that scored f32[N] where f32[N] was to be beaten, NaN for no step; return all states."""
    refine, tell = teller()
    empty, num = history.empty_history(twice(), refine.note(twice())), len(scores)
    rivals = np.asarray(rivals, np.float32)
    who = np.where(np.isnan(rivals), 0, 1).astype(np.int8)
    metrics = empty.metrics.at[:num, 0].set(jnp.asarray(scores, jnp.float32))
    past = empty._replace(
        metrics=metrics.at[TRIALS : TRIALS + num, 0].set(np.where(np.isnan(rivals), np.inf, rivals)),
        note=(empty.note[0], empty.note[1].at[:num].set(TRIALS + jnp.arange(num, dtype=jnp.int32))),
        author=empty.author.at[:num].set(who),
        num_rows=jnp.int32(num),
    )
    states = [refine.init(jax.random.key(0), twice())]
    for rows in batches:
        lanes = [*rows, *[NONE] * (LANES - len(rows))]
        states.append(tell(states[-1], past, jnp.asarray(lanes, jnp.int32)))
    return states


@pytest.mark.parametrize("seed", range(3))
def test_sigma_follows_the_rule_of_one_fifth_as_in_plain_python(seed):
    rng = np.random.default_rng(seed)
    scores = np.where(rng.uniform(size=TRIALS) < 0.2, np.inf, rng.uniform(size=TRIALS)).astype(np.float32)
    rivals = np.where(rng.uniform(size=TRIALS) < 0.3, np.nan, rng.uniform(size=TRIALS)).astype(np.float32)
    batches = [rows[: rng.integers(0, LANES + 1)].tolist() for rows in rng.permutation(TRIALS).reshape(-1, LANES)]
    states, sigma, known = told(scores, rivals, batches), 0.1, []
    for rows, state in zip(batches, states[1:], strict=True):
        gain = sum((scores[r] < rivals[r]) - GOAL for r in rows if not np.isnan(rivals[r])) / np.sqrt(3)
        sigma = np.clip(sigma * np.exp(np.clip(gain, -1, 1)), LEAST, LARGEST)
        np.testing.assert_allclose(state.sigma, sigma, rtol=1e-5)
        known += [r for r in rows if np.isfinite(scores[r])]
        assert state.best.tolist() == [min(known, key=lambda r: scores[r], default=NONE)]
    assert len({float(state.sigma) for state in states}) > 3


@pytest.mark.parametrize(("wins", "up"), [(8, True), (0, False)])
def test_sigma_grows_with_success_shrinks_without_and_stays_in_its_range(wins, up):
    scores = [0.0] * wins + [2.0] * (LANES - wins)
    sigmas = [float(state.sigma) for state in told(scores, [1.0] * LANES, [range(LANES)] * 12)]
    assert (sigmas[1] > sigmas[0]) == up
    assert sigmas[-1] == pytest.approx(LARGEST if up else LEAST)


def test_one_success_in_five_changes_nothing():
    states = told([0.0, 2.0, 2.0, 2.0, 2.0], [1.0] * 5, [range(5)])
    assert float(states[1].sigma) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Refine("genetic"), TypeError, "algorithm='genetic'"),
        (lambda: Refine(Genetic), TypeError, "algorithm"),
        (lambda: Refine(Genetic(), share=0.0), ValueError, "share=0.0"),
        (lambda: Refine(Genetic(), share=1.0), ValueError, "share=1.0"),
        (lambda: Refine(Genetic(), sigma=0.0), ValueError, "sigma=0.0"),
        (lambda: Refine(Genetic(), sigma=0.51), ValueError, "sigma=0.51"),
        (lambda: Refine(Random()).init(jax.random.key(0), problem(BOX, ("a", "b"))), ValueError, "Refine"),
    ],
)
def test_a_value_out_of_range_is_refused_by_its_name(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_steps_that_succeed_grow_under_a_tuner_too():
    """Whose scores are counted from the best at each tell: a note of an older score would always be beaten by none."""
    tuner = jaxhpt.Tuner(
        {"x": Float(0, 1)}, algorithm=Refine(Random(), share=0.9, sigma=0.01), trials=40, progress=False
    )
    sigmas = []
    for value in range(40, 0, -1):  # each better than all before
        tuner.tell(tuner.ask(1), [float(value)])
        sigmas.append(float(tuner._state.algorithm.sigma))
    assert sigmas[-1] > 4 * sigmas[0]
