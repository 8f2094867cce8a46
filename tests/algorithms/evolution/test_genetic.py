"""Genetic and NSGA-II: who survives, who has children, and what they inherit, against plain Python."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import NSGA2, Float, Genetic, Int, Space
from jaxhpt.algorithms.base import column
from jaxhpt.core import history
from jaxhpt.core.history import Status
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE

BOX = Space.of({name: Float(0, 1) for name in "abcde"})
SMALL = Space.of({"a": [1, 2, 3], "b": Int(0, 2), "c": [4, 5, 6]})
TEXTBOOK = {
    "selection": "truncation",
    "pressure": 2,
    "crossover": "uniform",
    "crossover_rate": 1.0,
    "mutation_rate": 0.0,
    "avoid_duplicates": False,
}


def problem(space=BOX, trials=64, columns=None):
    return Problem(space, columns or choose(("loss",)), trials=trials, lanes=8, schedule=Schedule(1, 1))


def finished(made, scores, rates=None, seed=0):
    """Make a history of random continuous settings with these scores f32[N, K], and rates of the first rows, if any."""
    num, past = len(scores), history.empty_history(made, () if rates is None else column(jnp.float32))
    unit, metrics = np.zeros(past.unit.shape, np.float32), np.full(past.metrics.shape, np.inf, np.float32)
    unit[:num] = np.random.default_rng(seed).uniform(size=(num, made.num_dimensions))
    metrics[:num] = np.reshape(scores, (num, -1))
    past = past._replace(unit=jnp.asarray(unit), metrics=jnp.asarray(metrics), num_rows=jnp.int32(num))
    if rates is None:
        return past
    own = np.arange(len(rates))
    return past._replace(note=past.note.at[own].set(jnp.asarray(rates)), author=past.author.at[own].set(0))


@functools.cache
def teller(algorithm, made):
    return jax.jit(lambda state, past, rows: algorithm.tell(jax.random.key(0), state, past, made, rows))


@functools.cache
def asker(algorithm, made, num):
    return jax.jit(lambda key, state, past: algorithm.ask(key, state, past, made, num, jnp.int32(num)))


def grown(algorithm, made, past):
    """Return the state after eight rows were told."""
    state = algorithm.init(jax.random.key(0), made)
    return teller(algorithm, made)(state, past, jnp.where(jnp.arange(8) < past.num_rows, jnp.arange(8), NONE))


def random_scores(num, seed=0, failing=0.0):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=num).astype(np.float32)
    return np.where(rng.uniform(size=num) < failing, np.float32(np.inf), scores)


def textbook_children(seed):
    """Return the 64 children of 8 members, and the members, best first."""
    algorithm, made = Genetic(population=8, **TEXTBOOK), problem()
    past = finished(made, random_scores(8))
    found, _ = asker(algorithm, made, 64)(jax.random.key(seed), grown(algorithm, made, past), past)
    order = np.argsort(np.asarray(past.metrics[:8, 0]))
    return np.asarray(found.unit), np.asarray(past.unit)[order]


@pytest.mark.parametrize("seed", range(2))
def test_children_have_the_genes_of_the_better_half_column_by_column(seed):
    children, members = textbook_children(seed)
    for gene in range(5):
        assert set(children[:, gene]) == set(members[:4, gene])


def test_children_are_crossed_and_of_two_what_one_lacks_the_other_has():
    children, members = textbook_children(0)
    pure = [any(np.array_equal(child, member) for member in members) for child in children]
    assert np.mean(pure) < 0.2
    place = np.array([[np.flatnonzero(members[:, j] == row[j])[0] for j in range(5)] for row in children])
    for first, second in zip(place[::2], place[1::2], strict=True):
        assert len(set(first) | set(second)) == 2
        assert len({(max(a, b), min(a, b)) for a, b in zip(first, second, strict=True)}) == 1


def survivors(rows, scores, population, elites):
    """Return the members there should be, best first, of all rows told."""
    ranked = sorted((r for r in rows if np.isfinite(scores[r])), key=lambda r: scores[r])
    chosen, rest = ranked[:elites], ranked[elites:]
    rest.sort(key=lambda r: (-(r // population), scores[r]))
    return sorted(chosen + rest[: population - len(chosen)], key=lambda r: scores[r])


@pytest.mark.parametrize("elites", [None, 0, 2])
@pytest.mark.parametrize("failing", [0.0, 0.4])
def test_members_are_the_elites_and_the_youngest_of_all_that_were_told(elites, failing):
    population, scores = 5, random_scores(48, failing=failing)
    algorithm, made = Genetic(population=population, elites=elites), problem()
    past, told = finished(made, scores), []
    state = algorithm.init(jax.random.key(0), made)
    order = np.random.default_rng(1).permutation(48).reshape(8, 6)
    for index, rows in enumerate(order):
        given = np.where(rows % 7 == index % 7, NONE, rows)  # some lanes have nothing to tell
        told += [r for r in given.tolist() if r < NONE]
        state = teller(algorithm, made)(state, past, jnp.asarray(given, jnp.int32))
        expected = survivors(told, scores, population, population if elites is None else elites)
        assert state.members.tolist() == expected + [NONE] * (population - len(expected))


def test_failed_rows_never_become_members():
    algorithm, made = Genetic(population=6), problem()
    past = finished(made, [np.inf, 1.0, np.inf, 0.5])
    assert grown(algorithm, made, past).members.tolist() == [3, 1] + [NONE] * 4


def test_rows_that_break_a_constraint_come_behind_those_that_keep_it():
    columns = choose(("loss", "size"), objective="loss", constraints={"size": ("<=", 10)})
    algorithm, made = Genetic(population=4), problem(columns=columns)
    past = finished(made, [[0.1, 30.0], [0.9, 5.0], [0.2, 20.0], [0.8, 10.0]])
    assert grown(algorithm, made, past).members.tolist() == [3, 1, 2, 0]


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2, 0.5, 1.0])
def test_inherited_rates_stay_between_a_quarter_of_a_gene_and_one_half(share):
    algorithm, made = Genetic(population=8, adaptive=True), problem()
    past = finished(made, random_scores(8), np.full(8, share, np.float32))
    found, _ = asker(algorithm, made, 64)(jax.random.key(0), grown(algorithm, made, past), past)
    rates = np.asarray(found.note)
    assert rates.shape == (64,)
    assert np.all((rates >= np.float32(0.25 / 5)) & (rates <= 0.5))
    assert len(np.unique(rates)) > 1 or share in (0.0, 1.0)


def test_children_inherit_a_rate_near_that_of_their_first_parent():
    algorithm, made = Genetic(population=4, selection="truncation", pressure=100, adaptive=True), problem()
    past = finished(made, [0.1, 0.2, 0.3, 0.4], [0.11, 0.23])
    found, _ = asker(algorithm, made, 64)(jax.random.key(0), grown(algorithm, made, past), past)
    rates = np.asarray(found.note, np.float64)
    for near, parent in ((rates[::2], 0.11), (rates[1::2], 0.23)):
        steps = np.log(near / parent)
        assert abs(steps.mean()) < 5 * 0.22 / np.sqrt(32)
        assert 0.1 < steps.std() < 0.4


def test_a_parent_that_has_no_rate_passes_on_the_usual_one():
    algorithm, made = Genetic(population=8, adaptive=True), problem()
    past = finished(made, random_scores(8), [])
    found, _ = asker(algorithm, made, 64)(jax.random.key(0), grown(algorithm, made, past), past)
    assert np.log(np.asarray(found.note, np.float64) * 5).mean() == pytest.approx(0.0, abs=5 * 0.22 / 8)


def proposed(algorithm, made, events, num, seeds=16):
    """Run searches; return all settings f32[seeds, events * num, D]."""

    @jax.jit
    @jax.vmap
    def search(key):
        def step(carry, key):
            state, past = carry
            found, state = algorithm.ask(key, state, past, made, num, jnp.int32(num))
            rows, unit, one = past.num_rows + jnp.arange(num), made.space.snap(found.unit), jnp.ones(num, jnp.int32)
            past = history.open_rows(past, rows, unit, jnp.int32(0), found.made)
            past = history.report(past, rows, jnp.sum((unit - 0.2) ** 2, axis=1)[:, None], one, one * 0)
            past = history.close(past, rows, jnp.full(num, Status.DONE, jnp.int8))
            return (algorithm.tell(key, state, past, made, rows), past), None

        begun = (algorithm.init(key, made), history.empty_history(made, algorithm.note(made)))
        (_, past), _ = jax.lax.scan(step, begun, jax.random.split(key, events))
        return past.unit

    return np.asarray(search(jax.random.split(jax.random.key(0), seeds)))


def test_settings_of_a_small_space_are_seldom_proposed_twice_and_often_where_that_is_allowed():
    """Of 27 settings; four tries are made for a new one, which may all find what is known."""
    new, free = [], []
    for avoid, counts in ((True, new), (False, free)):
        runs = proposed(Genetic(population=5, avoid_duplicates=avoid), problem(SMALL, trials=25), 5, 5)
        counts += [[len(np.unique(units[:first], axis=0)) for first in (5, 10, 20)] for units in runs]
    assert np.min(new, axis=0)[0] == 5
    assert np.mean(new, axis=0)[1] > 9.8
    assert np.mean(new, axis=0)[2] > 18
    assert np.mean(free, axis=0)[2] < 16


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("population", 1),
        ("selection", "tournamnet"),
        ("pressure", 1.0),
        ("crossover", "two_point"),
        ("crossover_rate", 1.1),
        ("crossover_rate", -0.1),
        ("mutation", "none"),
        ("mutation_rate", 1.5),
        ("mutation_rate", -0.5),
        ("eta", -1.0),
        ("mutation_eta", -1.0),
        ("sigma", 0.0),
        ("elites", -1),
        ("elites", 33),
    ],
)
def test_a_value_out_of_range_is_refused_by_the_name_of_its_field(field, value):
    with pytest.raises(ValueError, match=rf"^{field}={value!r}: must be"):
        Genetic(**{field: value})


@pytest.mark.parametrize("value", [2.0, True, "8"])
def test_a_population_that_is_no_whole_number_is_refused(value):
    with pytest.raises(TypeError, match=r"^population="):
        Genetic(population=value)


def test_the_ends_of_the_ranges_are_allowed():
    Genetic(population=2, crossover_rate=0, mutation_rate=0, eta=0, mutation_eta=0, elites=0)
    Genetic(population=2, crossover_rate=1, mutation_rate=1, elites=2, pressure=1.01)


def test_several_objectives_are_refused_with_the_name_of_who_takes_them():
    two = problem(columns=choose(("a", "b"), objectives={"a": "min", "b": "max"}))
    with pytest.raises(ValueError, match="NSGA2"):
        Genetic().init(jax.random.key(0), two)
    assert NSGA2().init(jax.random.key(0), two).members.shape == (100,)


def test_nsga2_has_no_elites():
    with pytest.raises(ValueError, match=r"^elites=3: must be None"):
        NSGA2(elites=3)


def beats(scores, violation, i, j):
    if violation[i] != violation[j]:
        return violation[i] < violation[j]
    return np.all(scores[i] <= scores[j]) and np.any(scores[i] < scores[j])


def crowded(scores, front):
    """Return how alone each row of a front is, as Deb's paper does it."""
    alone = dict.fromkeys(front, 0.0)
    for score in scores.T:
        order = sorted(front, key=lambda r: score[r])
        alone[order[0]] = alone[order[-1]] = np.inf
        for before, row, after in zip(order, order[1:], order[2:], strict=False):
            alone[row] += (score[after] - score[before]) / (score[order[-1]] - score[order[0]])
    return alone


def sorted_fronts(scores, violation, rows):
    """Return rows by front, then by crowding, then by number."""
    left, ordered = sorted(rows), []
    while left:
        front = [j for j in left if not any(beats(scores, violation, i, j) for i in left)]
        alone = crowded(scores, front)
        ordered += sorted(front, key=lambda r: (-alone[r], r))
        left = [r for r in left if r not in front]
    return ordered


@pytest.mark.parametrize(("objectives", "bounded"), [(2, False), (2, True), (3, True)])
@pytest.mark.parametrize("seed", [0, 1])
def test_nsga2_ranks_by_fronts_and_crowding(objectives, bounded, seed):
    names = ("a", "b", "c")[:objectives]
    bounds = {"size": ("<=", 0.5)} if bounded else {}
    columns = choose((*names, "size"), objectives=dict.fromkeys(names, "min"), constraints=bounds)
    algorithm, made = NSGA2(population=20), problem(columns=columns)
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=(40, objectives + 1)).astype(np.float32)
    scores[rng.uniform(size=40) < 0.2] = np.inf
    past = finished(made, scores)
    rows = np.append(rng.permutation(40), [NONE] * 3).astype(np.int32)
    found = ranked(algorithm, made)(past, rows).tolist()
    exact = scores.astype(np.float64)
    violation = np.maximum(exact[:, -1] - 0.5, 0.0) / 0.5 if bounded else np.zeros(40)
    expected = sorted_fronts(exact[:, :-1], violation, np.flatnonzero(np.isfinite(scores[:, 0])).tolist())
    assert found[:20] == expected[:20]
    assert sorted(found[: len(expected)]) == sorted(expected)
    assert found[len(expected) :] == [NONE] * (43 - len(expected))


@functools.cache
def ranked(algorithm, made):
    return jax.jit(lambda past, rows: algorithm.ranked(past, made, rows))
