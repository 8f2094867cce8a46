"""What every algorithm owes the loop: bounds, dtypes, any count, sane behaviour on odd histories, the same bits."""

import copy
import functools
import inspect
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covered_by

from jaxhpt import (
    CMAES,
    NSGA2,
    Bayesian,
    Chain,
    Choice,
    DifferentialEvolution,
    Float,
    Genetic,
    GreyGuided,
    Grid,
    Int,
    Portfolio,
    Random,
    Refine,
    Screen,
    Space,
    When,
)
from jaxhpt.algorithms import ALGORITHMS, Algorithm
from jaxhpt.algorithms.base import column, no_proposals
from jaxhpt.core import history
from jaxhpt.core.arrays import exclusive_count, zeros
from jaxhpt.core.history import Status
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NOBODY, NONE

LANES, EVENTS = 6, 8
MIXED = {
    "x": Float(1e-3, 1.0, log=True),
    "n": Int(1, 40, log=True),
    "c": ["a", "b", "c"],
    "w": When("c", "a", {"v": Choice([1, 2, 3]), "u": Float(0, 1)}),
}
SPACES = {
    "one": Space.of({"x": Float(0, 1)}),
    "mixed": Space.of(MIXED),
    "constant": Space.of({"x": Float(0, 1), "k": [7], "y": Float(0, 1)}),
    "finite": Space.of({"a": [1, 2], "b": Int(0, 2), "k": [7]}),
}
NAMED = {name: kind() for name, kind in ALGORITHMS.items() if name != "auto"}  # which is one of the others
SETTINGS = {
    "genetic, textbook": Genetic(
        population=8, selection="truncation", crossover="uniform", mutation_rate=0.1, avoid_duplicates=False
    ),
    "genetic, adaptive": Genetic(population=8, crossover="one_point", mutation="gaussian", adaptive=True, elites=2),
    "small de": DifferentialEvolution(population=4),
    "small cma": CMAES(population=4, restarts=0),
}
COMBINED = {  # few, of many parts: they take long to compile
    "chain": Chain(
        Grid(points=2),
        Portfolio(GreyGuided(Genetic(population=8, adaptive=True)), DifferentialEvolution(population=4)),
        trials=5,
    ),
    "screen": Screen(Random(), factor=2, model=Bayesian(limit=64, candidates=64, num_ascents=4)),
    "refine": Refine(GreyGuided(Random()), share=0.5),
}
SMALL = {"genetic": Genetic(population=8), "nsga2": NSGA2(population=8), "cma_es": CMAES(restarts=1)}
EVERY = {**NAMED, **SMALL, **SETTINGS, **COMBINED}
every_algorithm = pytest.mark.parametrize("name", EVERY)
every_algorithm_and_space = pytest.mark.parametrize(
    ("name", "space"), [*((name, "mixed") for name in EVERY), *((n, s) for n in NAMED for s in ("one", "finite"))]
)


class Carry(NamedTuple):
    """A search without training."""

    state: object
    past: history.History


class Mode(NamedTuple):
    """What becomes of proposals: how many, whether all fail, tie, or belong to somebody else."""

    count: object
    failing: object = False
    tied: object = False
    foreign: object = False


@functools.cache
def problem(space, trials=EVENTS * LANES):
    return Problem(SPACES[space], choose(("loss",)), trials=trials, lanes=LANES, schedule=Schedule(1, 1))


def score(unit):
    return jnp.sum((unit - 0.3) ** 2, axis=1)


def one_event(name, space, carry, key, mode, num=LANES):
    """Ask, try and tell; return what was proposed too."""
    algorithm, made = EVERY[name], problem(space)
    found, state = algorithm.ask(key, carry.state, carry.past, made, num, jnp.int32(mode.count))
    used = (
        found.valid
        & (jnp.arange(num) < mode.count)
        & (exclusive_count(found.valid) + carry.past.num_rows < made.capacity)
    )
    rows = jnp.where(used, carry.past.num_rows + exclusive_count(used), NONE)
    unit = made.space.snap(found.unit)
    whose = found.made._replace(author=jnp.where(mode.foreign, jnp.int8(NOBODY), found.author))
    past = history.open_rows(carry.past, rows, unit, jnp.int32(0), whose)
    scores = jnp.where(mode.failing, jnp.inf, jnp.where(mode.tied, 1.0, score(unit)))[:, None]
    past = history.report(past, rows, scores, jnp.ones(num, jnp.int32), jnp.zeros(num, jnp.int32))
    status = jnp.where(mode.failing, Status.FAILED, Status.DONE).astype(jnp.int8)
    past = history.close(past, rows, jnp.full(num, status))
    return Carry(algorithm.tell(key, state, past, made, rows), past), found


@functools.cache
def compiled(name, space, num=LANES):
    return jax.jit(functools.partial(one_event, name, space, num=num))


@functools.partial(jax.jit, static_argnums=(0, 1))
def begin(name, made, key):
    return Carry(EVERY[name].init(key, made), history.empty_history(made, EVERY[name].note(made)))


def start(name, space, seed=0):
    return begin(name, problem(space), jax.random.key(seed))


def run(name, space, modes, seed=0):
    carry, proposed = start(name, space, seed), []
    for index, mode in enumerate(modes):
        given = Mode(*(jnp.asarray(v) for v in mode))
        carry, found = compiled(name, space)(carry, jax.random.fold_in(jax.random.key(seed), index), given)
        proposed.append((found, int(mode.count)))
    return carry, proposed


def kinds(tree):
    return [(leaf.shape, leaf.dtype, getattr(leaf, "weak_type", False)) for leaf in jax.tree.leaves(tree)]


def plain(tree):
    typed = lambda v: jnp.issubdtype(v.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(v) if typed(v) else v) for v in jax.tree.leaves(tree)]


def assert_sane(carry, proposed, space):
    for found, count in proposed:
        unit = np.asarray(found.unit)[:count]
        assert np.all((unit >= 0) & (unit <= 1))
    for leaf in plain(carry.state):
        assert not np.issubdtype(leaf.dtype, np.floating) or np.isfinite(leaf).all()
    opened = np.asarray(carry.past.unit)[: int(carry.past.num_rows)]
    np.testing.assert_array_equal(opened, SPACES[space].snap(jnp.asarray(opened)))


@every_algorithm
def test_it_follows_the_protocol_to_the_names_of_its_arguments(name):
    assert isinstance(EVERY[name], Algorithm)
    again = copy.deepcopy(EVERY[name])
    assert (again, hash(again)) == (EVERY[name], hash(EVERY[name]))
    for method in ("init", "ask", "tell", "num_points", "note", "num_authors"):
        own = inspect.signature(getattr(type(EVERY[name]), method)).parameters
        assert list(own) == list(inspect.signature(getattr(Algorithm, method)).parameters), method


@every_algorithm
def test_no_state_holds_the_capacity(name):
    fewer, more = (begin(name, problem("mixed", trials), jax.random.key(0)).state for trials in (47, EVENTS * LANES))
    for a, b in zip(plain(fewer), plain(more), strict=True):
        np.testing.assert_array_equal(a, b)


@every_algorithm_and_space
def test_shapes_and_dtypes_stay_and_nothing_is_weak(name, space):
    carry = start(name, space)
    later, found = jax.eval_shape(functools.partial(one_event, name, space), carry, jax.random.key(0), Mode(2))
    assert kinds(later) == kinds(carry)
    width = SPACES[space].num_dimensions
    assert kinds(found)[0] == ((LANES, width), jnp.float32, False)
    assert kinds(found.valid) == [((LANES,), jnp.bool_, False)]


@every_algorithm
def test_notes_are_of_the_shapes_and_dtypes_that_it_says_and_no_nan_is_a_mark(name):
    wanted = zeros(EVERY[name].note(problem("mixed")), LANES)
    carry, proposed = run(name, "mixed", [Mode(6), Mode(6, foreign=True), Mode(6, failing=True)])
    for found, _ in proposed:
        assert jax.tree.structure(found.note) == jax.tree.structure(wanted)
        assert kinds(found.note) == kinds(wanted)
        assert kinds(found.author) == [((LANES,), jnp.int8, False)]
        assert np.all((np.asarray(found.author) >= 0) & (found.author < EVERY[name].num_authors(problem("mixed"))))
    assert not any(np.any(np.isnan(leaf)) for leaf in plain(carry.past) if leaf.dtype.kind == "f")


@every_algorithm_and_space
def test_it_stays_in_bounds_and_compiles_once_whatever_happens(name, space):
    modes = [Mode(6), Mode(1), Mode(0), Mode(5, failing=True), Mode(6, tied=True), Mode(3, foreign=True), Mode(6)]
    carry, proposed = run(name, space, modes)
    assert_sane(carry, proposed, space)
    assert compiled(name, space)._cache_size() == 1


@every_algorithm
def test_a_history_of_failures_alone_does_not_stop_it(name):
    carry, proposed = run(name, "mixed", [Mode(6, failing=True)] * EVENTS)
    assert_sane(carry, proposed, "mixed")
    units = np.concatenate([np.asarray(found.unit) for found, _ in proposed])
    assert len(np.unique(units, axis=0)) > EVENTS


@every_algorithm
def test_ties_do_not_stop_it(name):
    carry, proposed = run(name, "mixed", [Mode(6, tied=True)] * EVENTS)
    assert_sane(carry, proposed, "mixed")
    assert len(np.unique(np.asarray(proposed[-1][0].unit), axis=0)) > 1


@every_algorithm
def test_the_same_key_gives_the_same_bits_and_another_key_others(name):
    modes = [Mode(6)] * 4
    first, again, other = (run(name, "mixed", modes, seed)[0] for seed in (3, 3, 4))
    for a, b in zip(plain(first), plain(again), strict=True):
        np.testing.assert_array_equal(a, b)
    if not isinstance(EVERY[name], Grid):
        assert np.any(np.asarray(first.past.unit) != np.asarray(other.past.unit))


@pytest.mark.parametrize("name", covered_by(["genetic", "cma_es", "tpe"], NAMED))  # searches loop over all others
def test_a_scan_gives_the_same_as_a_loop(name):
    looped, _ = run(name, "mixed", [Mode(6)] * 5)
    keys = jax.vmap(lambda i: jax.random.fold_in(jax.random.key(0), i))(jnp.arange(5))
    step = lambda carry, key: (one_event(name, "mixed", carry, key, Mode(6))[0], None)  # noqa: E731
    scanned, _ = jax.jit(lambda carry: jax.lax.scan(step, carry, keys))(start(name, "mixed"))
    for a, b in zip(plain(scanned), plain(looped), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", covered_by(["grid", "nsga2", "bayesian", "cma_es"], NAMED))
def test_any_number_may_be_asked_for(name):
    carry, num = start(name, "mixed"), 17
    for index in range(2):
        key = jax.random.fold_in(jax.random.key(1), index)
        carry, found = compiled(name, "mixed", num)(carry, key, Mode(*(jnp.asarray(v) for v in Mode(num))))
        assert found.unit.shape == (num, 5)
    assert_sane(carry, [(found, num)], "mixed")


@every_algorithm
def test_what_is_not_used_does_not_advance_it(name):
    before, _ = run(name, "mixed", [Mode(6)])
    after, _ = run(name, "mixed", [Mode(6), Mode(0)])
    for a, b in zip(plain(after.state), plain(before.state), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["genetic", "differential_evolution", "small cma", "nsga2"])
def test_rows_of_others_are_learned_from(name):
    strangers, _ = run(name, "mixed", [Mode(6, foreign=True)] * 3)
    idle, _ = run(name, "mixed", [Mode(6, failing=True)] * 3)
    assert any(np.any(a != b) for a, b in zip(plain(strangers.state), plain(idle.state), strict=True))


@functools.cache
def best_of_seeds(name, space, trials, seeds=8):
    """Best score after `trials`, for each of some seeds, all in one program."""
    made = problem(space, trials)

    def search(key):
        past = history.empty_history(made, EVERY[name].note(problem(space)))

        def step(carry, key):
            algorithm, (state, past) = EVERY[name], carry
            found, state = algorithm.ask(key, state, past, made, LANES, jnp.int32(LANES))
            rows = past.num_rows + jnp.arange(LANES)
            unit = made.space.snap(found.unit)
            past = history.open_rows(past, rows, unit, jnp.int32(0), found.made)
            one = jnp.ones(LANES, jnp.int32)
            past = history.report(past, rows, score(unit)[:, None], one, one * 0)
            past = history.close(past, rows, jnp.full(LANES, Status.DONE, jnp.int8))
            return (algorithm.tell(key, state, past, made, rows), past), None

        begun = (EVERY[name].init(key, made), past)
        (_, past), _ = jax.lax.scan(step, begun, jax.random.split(key, trials // LANES))
        return jnp.min(past.metrics[:, 0])

    return np.asarray(jax.jit(jax.vmap(search))(jax.random.split(jax.random.key(0), seeds)))


BETTER = {
    "cma_es": "mixed",
    "differential_evolution": "constant",
    "genetic": "mixed",
    "nsga2": "constant",
    "genetic, adaptive": "mixed",
}


@pytest.mark.parametrize(
    ("name", "space"), covered_by(BETTER.items(), itertools.product(BETTER, ("mixed", "constant")))
)
def test_it_beats_random_search(name, space):
    found, random = best_of_seeds(name, space, 300), best_of_seeds("random", space, 300)
    floor = best_possible(space)
    assert np.median(found - floor) < 0.5 * np.median(random - floor)
    assert np.mean(found <= np.median(random)) >= 0.75


def best_possible(space):
    """Least score there is: every dimension as near to 0.3 as its bins allow."""
    fine = np.linspace(0, 1, 20001, dtype=np.float32)[:, None] * np.ones(SPACES[space].num_dimensions, np.float32)
    units = np.asarray(jnp.stack([d.snap(fine[:, i]) for i, d in enumerate(SPACES[space].dimensions)], axis=1))
    return ((units - 0.3) ** 2).min(axis=0).sum()


def test_algorithms_have_names_and_are_told_apart_by_value():
    assert all(isinstance(algorithm, Algorithm) for algorithm in NAMED.values())
    assert Grid(points=3) == Grid(points=3) != Grid(points=4)
    assert Genetic() != Genetic(population=65)


def test_no_proposals_are_none_that_count():
    none = no_proposals(5, 3, (column(jnp.float32, 2), column(jnp.int32)))
    assert none.unit.shape == (5, 3)
    assert [(leaf.shape, leaf.dtype) for leaf in none.note] == [((5, 2), jnp.float32), ((5,), jnp.int32)]
    assert not np.any(none.valid)
