"""Genetic operators: distributions against closed forms, and every formula against float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Int
from jaxhpt.algorithms import operators
from jaxhpt.core import arrays

GRID = 2**16


def even(count=GRID):
    """Return evenly spread uniforms: a share of them is a probability, up to 1 / count."""
    return jnp.asarray((np.arange(count) + 0.5) / count, jnp.float32)


def shares(ranks, count):
    return np.bincount(np.asarray(ranks), minlength=count) / len(ranks)


@pytest.mark.parametrize(("count", "pressure", "better"), [(10, 2.0, 5), (7, 2.0, 4), (9, 1.0, 9), (5, 100.0, 1)])
def test_truncation_selects_evenly_among_the_better_part(count, pressure, better):
    found = shares(operators.truncation(even(), jnp.int32(count), pressure), count)
    assert len(found) == count
    np.testing.assert_allclose(found, [1 / better] * better + [0.0] * (count - better), atol=2 / GRID)


@pytest.mark.parametrize(("count", "size"), [(6, 1), (6, 2), (5, 3), (3, 4)])
def test_a_tournament_is_won_as_often_as_counting_all_of_them_says(count, size):
    winners = [min(drawn) for drawn in itertools.product(range(count), repeat=size)]
    expected = np.bincount(winners, minlength=count) / len(winners)
    found = shares(operators.tournament(even(), jnp.int32(count), float(size)), count)
    np.testing.assert_allclose(found, expected, atol=2 / GRID)


@pytest.mark.parametrize("pressure", [1.5, 2.5])
def test_a_tournament_may_have_members_that_are_not_whole(pressure):
    edges = (1.0 - np.arange(9) / 8) ** pressure  # the chance that the winner is of this rank or worse
    found = shares(operators.tournament(even(), jnp.int32(8), pressure), 8)
    np.testing.assert_allclose(found, -np.diff(edges), atol=2 / GRID)


@pytest.mark.parametrize("count", [1, 2, 1000, 3_000_001])
@pytest.mark.parametrize("select", operators.SELECTIONS.values(), ids=operators.SELECTIONS)
def test_selected_ranks_are_of_members(select, count):
    ends = jnp.array([0.0, 0.5, np.nextafter(np.float32(1), np.float32(0))], jnp.float32)
    found = jax.jit(select, static_argnums=2)(ends, jnp.int32(count), 1.0)
    assert found.dtype == jnp.int32
    assert int(found[0]) == 0
    assert int(found[2]) == count - 1 or count > 1000
    assert np.all((found >= 0) & (found < count))


@pytest.mark.parametrize("genes", [1, 5])
def test_uniform_crossover_takes_each_gene_from_either_parent(genes):
    uniform, a, b = np.random.default_rng(0).uniform(size=(3, 40, genes)).astype(np.float32)
    expected = [[a[i, j] if uniform[i, j] < 0.5 else b[i, j] for j in range(genes)] for i in range(40)]
    np.testing.assert_array_equal(operators.uniform_crossover(uniform, a, b), np.array(expected))


@pytest.mark.parametrize("genes", [1, 2, 3, 6])
def test_one_point_crossover_takes_a_beginning_from_one_and_the_end_from_the_other(genes):
    uniform = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 0.999999], np.float32)
    a, b = np.zeros((6, genes), np.float32), np.ones((6, genes), np.float32)
    child = np.asarray(operators.one_point_crossover(uniform, a, b))
    for u, row in zip(uniform.tolist(), child, strict=True):
        cut = 1 + int(u * (genes - 1))
        assert row.tolist() == [0.0] * cut + [1.0] * (genes - cut)
    if genes > 1:
        assert set(child.sum(axis=1)) <= set(range(1, genes))


def test_one_point_crossover_cuts_evenly():
    a, b = jnp.zeros((GRID, 5)), jnp.ones((GRID, 5))
    taken = 5 - np.asarray(operators.one_point_crossover(even(), a, b)).sum(axis=1).astype(int)
    np.testing.assert_allclose(np.bincount(taken) / GRID, [0.0, 0.25, 0.25, 0.25, 0.25], atol=2 / GRID)


def crossed_by_deb(u, a, b, eta):
    """Return the child beside `a` as Deb's code does it, in double precision."""
    below, above = min(a, b), max(a, b)
    room = below if a == below else 1.0 - above
    beta = 1.0 + 2.0 * room / (above - below)
    alpha = 2.0 - beta ** -(eta + 1.0)
    factor = u * alpha if u <= 1.0 / alpha else 1.0 / (2.0 - u * alpha)
    reach = factor ** (1.0 / (eta + 1.0)) * (above - below)
    return 0.5 * (below + above - reach) if a == below else 0.5 * (below + above + reach)


def mutated_by_deb(u, x, eta):
    """Return the mutant as Deb's code does it, in double precision."""
    if u <= 0.5:
        return x + (2.0 * u + (1.0 - 2.0 * u) * (1.0 - x) ** (eta + 1.0)) ** (1.0 / (eta + 1.0)) - 1.0
    return x + 1.0 - (2.0 * (1.0 - u) + 2.0 * (u - 0.5) * x ** (eta + 1.0)) ** (1.0 / (eta + 1.0))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("eta", [0.0, 2.0, 15.0])
def test_simulated_binary_crossover_follows_deb(wrap, eta):
    uniform, a, b = np.random.default_rng(1).uniform(0.0, 0.99, size=(3, 100, 4)).astype(np.float32)
    each = zip(uniform.ravel().tolist(), a.ravel().tolist(), b.ravel().tolist(), strict=True)
    expected = np.reshape([crossed_by_deb(u, one, other, eta) for u, one, other in each], a.shape)
    np.testing.assert_allclose(wrap(operators.simulated_binary_crossover)(uniform, a, b, eta), expected, atol=2e-5)


@pytest.mark.parametrize("eta", [0.0, 2.0, 15.0])
def test_children_spread_as_the_density_of_deb_and_agrawal_cut_off_at_the_end_says(eta):
    """The factor f has density f^eta up to 1 and f^-(eta + 2) above, up to 5 where the child is at the end."""
    a, b = jnp.full((GRID, 1), 0.4), jnp.full((GRID, 1), 0.6)
    child = np.asarray(operators.simulated_binary_crossover(even()[:, None], a, b, eta), np.float64)[:, 0]
    spread = (0.5 - child) / 0.1
    assert np.all(np.diff(spread) > -1e-5)
    inner, outer = 0.5 * np.minimum(spread, 1.0) ** (eta + 1), 1.0 - 0.5 * np.maximum(spread, 1.0) ** -(eta + 1)
    cumulative = np.where(spread <= 1, inner, outer) / (1.0 - 0.5 * 5.0 ** -(eta + 1))
    np.testing.assert_allclose(cumulative, (np.arange(GRID) + 0.5) / GRID, atol=5e-5)


@pytest.mark.parametrize("eta", [0.0, 2.0, 15.0])
def test_crossover_treats_both_ends_of_the_range_alike(eta):
    uniform, a, b = np.random.default_rng(5).uniform(0.0, 0.99, size=(3, 200, 2)).astype(np.float32)
    child = np.asarray(operators.simulated_binary_crossover(uniform, a, b, eta), np.float64)
    turned = np.asarray(operators.simulated_binary_crossover(uniform, 1 - a, 1 - b, eta), np.float64)
    assert np.abs(child - a).max() > 0.01
    np.testing.assert_allclose(turned, 1 - child, atol=2e-5)


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("eta", [0.0, 15.0, 100.0])
def test_children_and_mutants_stay_within_the_range_from_any_parents(wrap, eta):
    spots = np.array([0.0, 1e-30, 1e-8, 0.25, 0.5, 1 - 2**-20, 1 - 2**-24, 1.0], np.float32)
    ends = np.array([2.0**-24, 2.0**-10, 0.5, 1 - 2.0**-10, 1 - 2.0**-24], np.float32)
    u, a, b = (v.reshape(-1, 1) for v in np.meshgrid(ends, spots, spots))
    child = np.asarray(wrap(operators.simulated_binary_crossover)(u, a, b, eta))
    mutant = np.asarray(wrap(operators.polynomial_mutation)(u, a, eta))
    for found in (child, mutant):
        assert np.all((found >= 0) & (found <= 1))
    np.testing.assert_allclose(child[a == b], a[a == b], atol=1e-6)


def test_a_child_is_nearer_to_its_first_parent_the_larger_eta():
    uniform, a, b = np.random.default_rng(2).uniform(size=(3, 400, 1)).astype(np.float32)
    steps = [np.abs(operators.simulated_binary_crossover(uniform, a, b, eta) - a).mean() for eta in (1.0, 5.0, 25.0)]
    assert steps[0] > 1.5 * steps[1] > 3 * steps[2]


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("eta", [0.0, 5.0, 20.0])
def test_polynomial_mutation_follows_deb(wrap, eta):
    x = np.random.default_rng(3).uniform(size=1000).astype(np.float32)
    expected = [mutated_by_deb(u, v, eta) for u, v in zip(even(1000).tolist(), x.tolist(), strict=True)]
    np.testing.assert_allclose(wrap(operators.polynomial_mutation)(even(1000), x, eta), expected, atol=2e-6)


@pytest.mark.parametrize("eta", [0.0, 20.0])
def test_mutation_treats_both_ends_of_the_range_alike(eta):
    x = np.random.default_rng(6).uniform(size=4096).astype(np.float32)
    found = np.asarray(operators.polynomial_mutation(even(4096), x, eta), np.float64)
    turned = np.asarray(operators.polynomial_mutation(1 - even(4096), 1 - x, eta), np.float64)
    np.testing.assert_allclose(turned, 1 - found, atol=2e-6)
    assert np.mean(found < x) == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("x", [0.1, 0.5, 0.75])
def test_without_an_index_half_of_the_mutants_fill_each_side_evenly(x):
    found = np.asarray(operators.polynomial_mutation(even(4096), jnp.full(4096, x), 0.0), np.float64)
    share = (np.arange(2048) + 0.5) / 2048
    np.testing.assert_allclose(found, np.concatenate([x * share, x + (1 - x) * share]), atol=2e-6)


def test_gaussian_mutation_adds_a_normal_step_in_units_of_the_range():
    normal, x = np.random.default_rng(4).normal(size=(2, 30)).astype(np.float32)
    expected = x.astype(np.float64) + 0.3 * normal.astype(np.float64)
    np.testing.assert_allclose(operators.gaussian_mutation(normal, x, 0.3), expected, atol=1e-6)


@pytest.mark.parametrize("levels", [2, 3, 7, 10])
def test_resampling_takes_every_other_level_evenly_and_never_the_same(levels):
    uniform, wide = even(2520)[:, None], np.full(levels, levels, np.float32)
    x = jnp.broadcast_to((jnp.arange(levels) + 0.5) / levels, (2520, levels))
    found = np.asarray(operators.resample(uniform, x, wide), np.float64)
    level = np.floor(found * levels).astype(int)
    np.testing.assert_allclose(found, (level + 0.5) / levels, rtol=1e-6)
    counts = np.stack([np.bincount(column, minlength=levels) for column in level.T])
    others = 1 - np.eye(levels)
    assert not np.diag(counts).any()
    np.testing.assert_allclose(counts, others * 2520 / (levels - 1), atol=1)


def test_resampling_never_stays_at_the_ends_of_uniforms_and_genes():
    levels = np.array([2, 3, 5, 17, 1000, 65_537], np.float32)
    for u, x in itertools.product([0.0, 1 - 2.0**-24], [0.0, 1.0]):
        found = operators.resample(jnp.full((1, 6), u, jnp.float32), jnp.full((1, 6), x, jnp.float32), levels)
        level, was = np.floor(np.asarray(found, np.float64)[0] * levels), (levels - 1) * x
        assert np.all((level >= 0) & (level < levels) & (level != was))


def test_one_level_alone_is_kept():
    found = operators.resample(jnp.array([[0.0], [0.5], [0.999]]), jnp.full((3, 1), 0.5), np.ones(1, np.float32))
    assert found.tolist() == [[0.5]] * 3


@pytest.mark.parametrize("dimension", [Int(0, 1), Int(0, 2), Int(1, 100), Int(0, 2**22 - 1)], ids=repr)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_a_step_within_a_bin_is_lengthened_to_the_next(wrap, dimension):
    levels = dimension.levels
    spots = {0, 1, levels // 3, levels // 2, levels - 2, levels - 1}
    x = jnp.array([dimension.snap(jnp.float32((i + 0.5) / levels)) for i in sorted(spots)], jnp.float32)
    low, high = dimension.bin(x)
    was = np.asarray(dimension.level(x))
    for share in (0.0, 0.25, 0.75, 1.0):
        moved = jnp.clip(low + share * (high - low), 0.0, 1.0)
        found = wrap(arrays.leave_bin)(moved, x, low, high)
        now = np.asarray(dimension.level(found))
        up = (share > 0.5) & (was < levels - 1) | (was == 0)
        np.testing.assert_array_equal(now, was + np.where(up, 1, -1))
        assert np.all((found >= 0) & (found <= 1))


def test_a_step_out_of_a_bin_and_a_continuous_gene_are_left_as_they_are():
    x, low, high = jnp.array([0.5, 0.5, 0.3, 0.3]), jnp.array([0.4, 0.4, 0.3, 0.3]), jnp.array([0.6, 0.6, 0.3, 0.3])
    moved = jnp.array([0.8, 0.1, 0.3000001, 0.3])
    np.testing.assert_array_equal(arrays.leave_bin(moved, x, low, high), moved)
