"""Variation in mixed spaces: every gene by its kind, genes that exist in some rows only, and no repeats."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Bool, Choice, Float, Int, Space, When
from jaxhpt.algorithms.variation import Focus, Mutation, distinct, genes, halves, meet, pick, settle
from jaxhpt.core import history
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule

MIXED = Space.of(
    {
        "a": Float(0, 1),
        "b": Float(0, 1, step=0.1),
        "c": Int(0, 9),
        "d": Int(1, 64, log=True),
        "e": Choice(list("pqr")),
        "f": Bool(),
        "g": Int(0, 1),
        "h": Choice([7]),
    }
)
NESTED = Space.of(
    {
        "rule": ["sgd", "adam"],
        "beta": When("rule", "adam", Float(0, 1)),
        "decay": When("rule", "adam", {"kind": ["none", "cosine"], "rate": When("kind", "cosine", Float(0, 1))}),
        "momentum": When("rule", "sgd", Float(0, 1)),
    }
)
PLANE = Space.of({"x": Float(0, 1), "y": Float(0, 1)})
KINDS = ["polynomial", "gaussian"]


@functools.partial(jax.jit, static_argnums=1)
def snap(rows, space):
    return space.snap(rows)


@functools.partial(jax.jit, static_argnums=1)
def active(rows, space):
    return space.active(rows)


@functools.partial(jax.jit, static_argnums=(0, 3))
def mutated(mutation, uniform, x, space):
    return mutation(uniform, x, space)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def snapped(space, num, seed=0):
    """Return rows of random settings."""
    return snap(jax.random.uniform(jax.random.key(seed), (num, space.num_dimensions)), space)


@functools.partial(jax.jit, static_argnums=0)
def uniforms(shape, seed=1):
    return halves(jax.random.bits(jax.random.key(seed), shape)).high


def problem_of(space, capacity):
    return Problem(Space.of(space), MetricSpec((Objective("loss", "min"),)), capacity, 4, Schedule(1, 1))


@functools.partial(jax.jit, static_argnums=0)
def tried(problem, unit):
    """Return a history in which the rows were tried."""
    unit = jnp.asarray(unit, jnp.float32)
    rows = jnp.arange(len(unit), dtype=jnp.int32)
    return history.open_rows(history.empty_history(problem), rows, unit, jnp.int32(0))


settled, met = jax.jit(settle, static_argnums=3), jax.jit(meet, static_argnums=2)
renewed = jax.jit(distinct, static_argnames=("problem", "mutation"))


def renew(problem, child, past, count=None, seed=5, mutation=Mutation()):  # noqa: B008
    count = jnp.int32(len(child) if count is None else count)
    return np.asarray(renewed(jax.random.key(seed), jnp.asarray(child), past, problem, count, mutation))


def test_halves_are_two_numbers_strictly_between_0_and_1():
    words = jnp.array([0, 0xFFFFFFFF, 0x80000000, 0x00010002], jnp.uint32)
    high, low = halves(words)
    assert high.dtype == low.dtype == jnp.float32
    np.testing.assert_array_equal(np.float64(high) * 2**16, [0.5, 65535.5, 32768.5, 1.5])
    np.testing.assert_array_equal(np.float64(low) * 2**16, [0.5, 65535.5, 0.5, 2.5])


def test_halves_are_even_and_know_nothing_of_one_another():
    num, cells = 40_000, 8
    high, low = halves(jax.random.bits(jax.random.key(0), (num,)))
    table, _, _ = np.histogram2d(np.asarray(high), np.asarray(low), bins=cells, range=[[0, 1], [0, 1]])
    expected = num / cells**2
    np.testing.assert_allclose(table, expected, atol=5 * np.sqrt(expected))


def test_genes_tell_which_dimensions_have_an_order_and_how_many_values():
    unordered, levels = genes(MIXED)
    assert unordered.tolist() == [False, False, False, False, True, True, False, True]
    assert levels.tolist() == [np.inf, 11, 10, 64, 3, 2, 2, 1]
    assert levels.dtype == np.float32


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strength", ["weak", "strong"])
def test_every_mutated_gene_changes_its_value_and_stays_in_its_range(kind, strength):
    mutation = Mutation(kind, *{"weak": (1000.0, 1e-3), "strong": (1.0, 0.5)}[strength])
    x = snapped(MIXED, 4000)
    moved = mutated(mutation, uniforms(x.shape), x, MIXED)
    assert np.all((moved >= 0) & (moved <= 1))
    kept = np.mean(np.asarray(snap(moved, MIXED)) == np.asarray(x), axis=0)
    assert kept[1:].tolist() == [0.0] * 6 + [1.0]
    assert kept[0] < 1e-2  # a step may be below what float32 resolves


@pytest.mark.parametrize(("kind", "size"), [("polynomial", 1 / 22), ("gaussian", 0.1 * np.sqrt(2 / np.pi))])
def test_ordered_genes_move_by_small_steps_both_ways(kind, size):
    space = Space.of({"a": Float(0, 1), "c": Int(0, 99), "d": Int(0, 999)})
    x = snap(jnp.full((4000, 3), 0.5), space)
    step = np.asarray(mutated(Mutation(kind), uniforms(x.shape), x, space)) - np.asarray(x)
    np.testing.assert_allclose(np.abs(step).mean(axis=0), size, rtol=0.1)
    np.testing.assert_allclose(np.mean(step > 0, axis=0), 0.5, atol=5 * 0.5 / np.sqrt(4000))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dimension", [Int(0, 9), Int(1, 32, log=True), Float(0, 1, step=0.25)], ids=repr)
def test_a_weak_mutation_moves_ordered_values_to_a_neighbour(kind, dimension):
    space = Space.of({"n": dimension})
    x = snapped(space, 500)
    moved = mutated(Mutation(kind, eta=1e4, sigma=1e-5), uniforms(x.shape), x, space)
    step = np.asarray(dimension.value(moved) - dimension.value(x)) / (dimension.step or 1)
    assert set(np.abs(np.round(step, 5)).ravel().tolist()) == {1.0}


def test_a_mutated_choice_takes_every_other_value_evenly():
    space = Space.of({"k": list("abcde")})
    x = snapped(space, 20_000)
    before, after = (np.asarray(space.values(u)[0]) for u in (x, mutated(Mutation(), uniforms(x.shape), x, space)))
    jumps = np.bincount((after - before) % 5, minlength=5) / len(x)
    np.testing.assert_allclose(jumps, [0.0] + [0.25] * 4, atol=5 * np.sqrt(0.25 * 0.75 / len(x)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("values", [[16, 32, 64, 128], [1.0, 0.3, 0.1, 0.01]], ids=str)
def test_a_mutated_choice_of_rising_or_falling_numbers_goes_to_a_neighbour(kind, values):
    space = Space.of({"k": values})
    assert genes(space).unordered.tolist() == [False]
    first = jnp.broadcast_to(space.encode({"k": values[0]}), (4000, 1))
    level = np.asarray(space.dimensions[0].level(mutated(Mutation(kind), uniforms(first.shape), first, space)))
    shares = np.bincount(level.ravel(), minlength=4) / len(level)
    assert shares[0] == 0
    assert shares[1] > 0.5 > shares[2] >= shares[3]


def test_where_nothing_is_conditional_parents_are_as_they_are():
    a, b = snapped(MIXED, 10), snapped(MIXED, 10, seed=1)
    parents = meet(a, b, MIXED)
    assert parents.known is None
    assert parents.a is a
    assert parents.b is b
    np.testing.assert_array_equal(settled(a + 0.01, None, b, MIXED), snap(a + 0.01, MIXED))


def test_a_gene_that_one_parent_lacks_is_the_other_ones_in_both():
    a, b = snapped(NESTED, 300), snapped(NESTED, 300, seed=1)
    parents = met(a, b, NESTED)
    in_a, in_b = np.asarray(active(a, NESTED)), np.asarray(active(b, NESTED))
    assert (in_a & ~in_b).any(axis=0).sum() == 4  # all but the rule
    np.testing.assert_array_equal(parents.known, in_a | in_b)
    np.testing.assert_array_equal(parents.a[in_b & ~in_a], b[in_b & ~in_a])
    np.testing.assert_array_equal(parents.b[in_a & ~in_b], a[in_a & ~in_b])
    np.testing.assert_array_equal(parents.a[in_a], a[in_a])
    np.testing.assert_array_equal(parents.b[in_b], b[in_b])


def test_a_gene_that_no_parent_has_is_drawn_anew_and_one_the_child_lacks_rests_in_the_middle():
    space = Space.of({"rule": ["sgd", "adam"], "beta": When("rule", "adam", Float(0, 1))})
    names = space.names
    rule, beta = names.index("rule"), names.index("beta")
    row = jnp.asarray(space.encode({"rule": "sgd", "beta": None}))
    parents = met(row[None], row[None], space)
    assert not parents.known[0, beta]
    child, uniform = jnp.tile(row, (2000, 1)), uniforms((2000, 2))
    known = jnp.tile(parents.known, (2000, 1))
    other = settled(child.at[:, rule].set(0.75).at[:, beta].set(0.123), known, uniform, space)
    np.testing.assert_array_equal(other[:, beta], uniform[:, beta])
    share, _ = np.histogram(np.asarray(other[:, beta]), bins=10, range=(0, 1))
    np.testing.assert_allclose(share, 200, atol=5 * np.sqrt(200))
    assert set(other[:, rule].tolist()) == {0.75}

    still = settled(child.at[:, beta].set(0.123), known, uniform, space)
    np.testing.assert_array_equal(still, child)


def test_a_gene_that_some_parent_has_is_kept_where_the_child_has_it():
    a, b = snapped(NESTED, 300), snapped(NESTED, 300, seed=1)
    parents = met(a, b, NESTED)
    child = jnp.where(uniforms(a.shape, 2) < 0.5, parents.a, parents.b)
    found = np.asarray(settled(child, parents.known, uniforms(a.shape, 3), NESTED))
    held = np.asarray(active(found, NESTED) & parents.known)
    np.testing.assert_array_equal(found[held], np.asarray(child)[held])
    np.testing.assert_array_equal(snap(found, NESTED), found)
    middle = np.stack([np.full(300, d.snap(jnp.float32(0.5))) for d in NESTED.dimensions], axis=1)
    rests = ~np.asarray(active(found, NESTED))
    assert rests.any()
    np.testing.assert_array_equal(found[rests], middle[rests])


def test_a_part_within_a_new_part_is_drawn_anew_too():
    """Two sgd rows have a child of adam: what decays, and at what rate, is news to both."""
    columns = {name: i for i, name in enumerate(NESTED.names)}
    row = jnp.asarray(snap(jnp.full((1, 5), 0.25), NESTED))
    assert NESTED.label(row[0])["rule"] == "sgd"
    num = 2000
    child = jnp.tile(row, (num, 1)).at[:, columns["rule"]].set(0.75)
    known = jnp.tile(met(row, row, NESTED).known, (num, 1))
    uniform = uniforms((num, 5))
    found = np.asarray(settled(child, known, uniform, NESTED))
    cosine = np.asarray(uniform)[:, columns["decay.kind"]] > 0.5
    rate = columns["decay.rate"]
    np.testing.assert_array_equal(found[:, columns["decay.kind"]], np.where(cosine, 0.75, 0.25))
    np.testing.assert_array_equal(found[cosine, rate], np.asarray(uniform)[cosine, rate])
    assert set(found[~cosine, rate].tolist()) == {0.5}


def test_genes_are_picked_at_their_rate_and_one_of_each_row_for_certain():
    chance, forced = uniforms((8000, 4)), uniforms((8000,), 2)
    some, sure = np.asarray(pick(chance, 0.25)), np.asarray(pick(chance, 0.25, forced))
    np.testing.assert_array_equal(some, np.asarray(chance) < 0.25)
    assert not some.any(axis=1).all()
    assert sure.any(axis=1).all()
    expected = some | (np.arange(4) == np.floor(np.asarray(forced) * 4)[:, None])
    np.testing.assert_array_equal(sure, expected)
    only = np.asarray(pick(chance, 0.0, forced))
    np.testing.assert_allclose(only.mean(axis=0), 0.25, atol=5 * np.sqrt(0.25 * 0.75 / 8000))
    np.testing.assert_array_equal(pick(chance, jnp.zeros((8000, 1)), jnp.full(8000, jnp.inf)), False)


WEIGHT = (2.0, 1.2, 0.8, 0.0)


def test_genes_of_more_weight_are_picked_more_often():
    chance, forced = uniforms((8000, 4)), uniforms((8000,), 2)
    some = np.asarray(pick(chance, 0.25, weight=jnp.array(WEIGHT)))
    np.testing.assert_array_equal(some, np.asarray(chance) < 0.25 * np.array(WEIGHT, np.float32))
    only = np.asarray(pick(chance, 0.0, forced, jnp.array(WEIGHT)))
    assert np.all(only.sum(axis=1) == 1)
    np.testing.assert_allclose(only.mean(axis=0), np.array(WEIGHT) / 4, atol=5 * np.sqrt(0.25 / 8000))
    sure = np.asarray(pick(chance, 0.25, forced, jnp.array(WEIGHT)))
    np.testing.assert_array_equal(sure, some | only)
    np.testing.assert_array_equal(pick(chance, 0.0, jnp.full(8000, jnp.inf), jnp.array(WEIGHT)), False)


def test_equal_weights_pick_what_none_does():
    chance, forced = uniforms((8000, 4)), uniforms((8000,), 2)
    np.testing.assert_array_equal(pick(chance, 0.3, forced, jnp.ones(4)), pick(chance, 0.3, forced))


def test_a_focus_shortens_continuous_mutations_and_keeps_whole_numbers_in_its_ranges():
    space = Space.of({"a": Float(0, 1), "b": Int(0, 9), "c": Choice(list("pqr"))})
    low, high = np.array([0.2, 0.3, 0.0], np.float32), np.array([0.6, 0.5, 1.0], np.float32)
    x, mutated = np.asarray(snapped(space, 200)), np.asarray(snapped(space, 200, seed=1))
    found = np.asarray(Focus(jnp.ones(3), jnp.asarray(low), jnp.asarray(high)).within(mutated, x, space))
    np.testing.assert_allclose(found[:, 0], x[:, 0] + 0.4 * (mutated[:, 0] - x[:, 0]), atol=1e-6)
    np.testing.assert_array_equal(found[:, 1], np.clip(mutated[:, 1], low[1], high[1]))
    np.testing.assert_array_equal(found[:, 2], mutated[:, 2])


def test_children_that_were_tried_before_become_new_ones():
    problem = problem_of({"x": Float(0, 1), "n": Int(0, 9), "k": list("abc")}, 64)
    past = snapped(problem.space, 48)
    child = jnp.concatenate([past[:20], snapped(problem.space, 12, seed=9)])
    found = renew(problem, child, tried(problem, past))
    everything = np.concatenate([past, found])
    assert len(np.unique(everything, axis=0)) == len(everything)
    np.testing.assert_array_equal(found, snap(found, problem.space))


def test_children_that_equal_one_another_part():
    problem = problem_of(PLANE, 32)
    child = jnp.tile(snapped(problem.space, 1), (12, 1))
    found = renew(problem, child, history.empty_history(problem))
    np.testing.assert_array_equal(found[0], child[0])
    assert len(np.unique(found, axis=0)) == 12


def test_one_gene_at_least_is_mutated_and_the_others_seldom():
    problem = problem_of({name: Float(0, 1) for name in "abcdefgh"}, 4096)  # a roomy table: nothing is overlooked
    past = snapped(problem.space, 500)
    changed = (renew(problem, past, tried(problem, past)) != np.asarray(past)).sum(axis=1)
    assert changed.min() == 1
    assert changed.mean() == pytest.approx(1.0 + 7 / 8, abs=5 * np.sqrt(7 / 8 / 500))


def test_a_new_child_keeps_its_bits():
    problem = problem_of(PLANE, 32)
    past = snapped(PLANE, 10)
    child = jnp.stack([past[0], *snapped(PLANE, 10, seed=9), past[3]])
    found = renew(problem, child, tried(problem, past))
    changed = np.any(found != np.asarray(child), axis=1)
    assert changed.tolist() == [True] + [False] * 10 + [True]


@pytest.mark.parametrize("count", [0, 3, 12])
def test_only_the_children_that_will_be_used_are_renewed(count):
    problem = problem_of(PLANE, 32)
    past = snapped(PLANE, 12)
    found = renew(problem, past, tried(problem, past), count)
    changed = np.any(found != np.asarray(past), axis=1)
    assert changed.tolist() == [True] * count + [False] * (12 - count)


def test_four_tries_are_made_for_the_last_setting_of_a_small_space():
    """Each try turns a tried value into the other one or into the third, evenly; four turns lead back to the first."""
    problem = problem_of({"k": list("abc")}, 3)
    first, second, last = (problem.space.encode({"k": k}) for k in "abc")
    past = tried(problem, [first, second])
    assert history.is_tried(past, jnp.stack([first, second, last])).tolist() == [True, True, False]
    keys = jax.random.split(jax.random.key(0), 4000)
    renew_all = jax.vmap(lambda key: renewed(key, first[None], past, problem, jnp.int32(1), Mutation()))
    found = np.asarray(renew_all(keys))[:, 0, 0]
    share, chance = np.mean(found == last[0]), 1 - 0.5**4
    assert share == pytest.approx(chance, abs=5 * np.sqrt(chance * (1 - chance) / 4000))
    assert set(found.tolist()) == {first[0], last[0]}


def test_a_space_that_is_exhausted_repeats():
    problem = problem_of({"f": Bool()}, 2)
    child = np.array([[0.25], [0.75], [0.25]], np.float32)
    found = renew(problem, child, tried(problem, child[:2]))
    np.testing.assert_array_equal(found, child)  # a switch that is turned four times is where it was


def test_conditional_children_are_renewed_to_settings_that_exist():
    problem = problem_of(NESTED, 64)
    past = snapped(NESTED, 40)
    found = renew(problem, past[:20], tried(problem, past))
    np.testing.assert_array_equal(snap(found, NESTED), found)
    again = [tuple(row) in {tuple(r) for r in np.asarray(past).tolist()} for row in found.tolist()]
    assert sum(again) <= 2  # a gene that does not exist may be drawn four times
