"""Several objectives: dominance, fronts, crowding and hypervolume, against plain Python."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.core.pareto import among_best, crowding, dominates, fronts, hypervolume, nondominated, places

INF = float("inf")
both = pytest.mark.parametrize("wrap", [jax.jit], ids=["jit"])


def points(rows, objectives, levels=None, seed=0):
    """Return random scores f32[rows, objectives]; of few levels, so that many tie and some are equal."""
    scores = np.random.default_rng(seed).uniform(size=(rows, objectives))
    return (scores if levels is None else np.floor(scores * levels) / levels).astype(np.float32)


def better(a, b):
    return all(a <= b) and any(a < b)


def beats(scores, violation=None):
    """Compare every pair."""
    num = len(scores)
    table = np.zeros((num, num), bool)
    for i, j in itertools.product(range(num), repeat=2):
        if violation is None or violation[i] == violation[j]:
            table[i, j] = better(scores[i], scores[j])
        else:
            table[i, j] = violation[i] < violation[j]
    return table


def peel(table, alive, enough=None):
    """Sort by fronts, one row at a time."""
    num = len(alive)
    rank, left = [num] * num, {i for i in range(num) if alive[i]}
    enough, front, done = min(num if enough is None else enough, len(left)), 0, 0
    while done < enough:
        first = {j for j in left if not any(table[i, j] for i in left)}
        for j in first:
            rank[j] = front
        left, done, front = left - first, done + len(first), front + 1
    for j in left:
        rank[j] = front
    return rank


def lonely(scores, rank):
    """Measure crowding one front and one objective at a time, in float64."""
    total = np.zeros(len(scores))
    for front in set(rank.tolist()):
        members = np.flatnonzero(rank == front)
        for column in scores.T.astype(np.float64):
            order = members[np.argsort(column[members], kind="stable")]
            width = column[order[-1]] - column[order[0]]
            total[order[[0, -1]]] = INF
            for before, row, after in zip(order, order[1:], order[2:], strict=False):
                total[row] += (column[after] - column[before]) / (width or 1.0)
    return total


def farthest_first(scores, violation, alive):
    """Return the rows that take part, best first: front by front, in each the one that is farthest from all before."""
    rank, order = np.array(peel(beats(scores, violation), alive)), []
    for front in range(len(scores)):
        members = np.flatnonzero(rank == front)
        if not len(members):
            return order
        unit = scores[members] - scores[members].min(axis=0)
        unit = unit / np.where(unit.max(axis=0) > 0, unit.max(axis=0), 1)
        taken = [int(np.argmin(unit[:, 0]))]
        while len(taken) < len(members):
            apart = ((unit[:, None] - unit[taken][None]) ** 2).sum(axis=2).min(axis=1)
            apart[taken] = -1.0
            taken.append(int(np.argmax(apart)))
        order += members[taken].tolist()
    return order


def filled(scores, reference):
    """Add up the cells of the grid through all points that some point dominates, in float64."""
    scores, reference = np.asarray(scores, np.float64), np.asarray(reference, np.float64)
    scores = scores[(scores < reference).all(axis=1)]
    axes = [np.unique([*column, end]) for column, end in zip(scores.T, reference, strict=True)]
    corners = np.stack(np.meshgrid(*[a[:-1] for a in axes], indexing="ij"), axis=-1)
    sizes = np.prod(np.stack(np.meshgrid(*[np.diff(a) for a in axes], indexing="ij"), axis=-1), axis=-1)
    covered = (scores <= corners[..., None, :]).all(axis=-1).any(axis=-1)
    return float((sizes * covered).sum())


@both
@pytest.mark.parametrize(("objectives", "levels"), [(1, 5), (2, None), (2, 4), (3, 3), (4, 2)])
def test_a_row_dominates_where_it_is_no_worse_and_somewhere_better(wrap, objectives, levels):
    scores = points(24, objectives, levels)
    found = np.asarray(wrap(dominates)(scores))
    assert found.any()
    assert found.dtype == bool
    np.testing.assert_array_equal(found, beats(scores))


@both
def test_the_row_that_violates_less_dominates_whatever_the_scores(wrap):
    scores = points(30, 2, levels=4)
    violation = np.random.default_rng(1).choice([0.0, 0.0, 0.5, 2.0, INF], size=30).astype(np.float32)
    found = np.asarray(wrap(dominates)(scores, violation))
    np.testing.assert_array_equal(found, beats(scores, violation))
    assert not np.array_equal(found, beats(scores))


def test_where_nothing_is_violated_the_scores_alone_decide():
    scores = points(20, 2, levels=4)
    np.testing.assert_array_equal(dominates(scores, np.zeros(20, np.float32)), dominates(scores))


@both
@pytest.mark.parametrize("enough", [None, 0, 9, 40])
@pytest.mark.parametrize(("objectives", "levels"), [(1, 4), (2, None), (2, 4), (3, 3)])
def test_fronts_are_peeled_off_one_by_one(wrap, objectives, levels, enough):
    scores = points(32, objectives, levels)
    alive = np.random.default_rng(10).uniform(size=32) < 0.8
    table = beats(scores)
    rank = wrap(fronts, static_argnames="enough")(table, alive, enough=enough)
    assert rank.dtype == jnp.int32
    assert rank.tolist() == peel(table, alive, enough)


@both
def test_the_worst_case_has_as_many_fronts_as_rows(wrap):
    scores = np.random.default_rng(0).permutation(20).astype(np.float32)[:, None]
    rank = wrap(fronts)(dominates(scores), np.ones(20, bool))
    np.testing.assert_array_equal(rank, scores[:, 0])


@both
def test_rows_that_take_no_part_push_nobody_back(wrap):
    scores = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]], np.float32)
    assert wrap(fronts)(dominates(scores), np.array([False, True, True])).tolist() == [3, 0, 1]
    assert wrap(fronts)(dominates(scores), np.zeros(3, bool)).tolist() == [3, 3, 3]


@both
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_crowding_is_the_gap_between_neighbours_in_units_of_the_front(wrap, objectives):
    scores = points(40, objectives) * np.array([1.0, 100.0, 0.01], np.float32)[:objectives]
    rank = np.random.default_rng(0).choice([0, 1, 1, 2, 40], size=40)  # fronts of some size; 40 takes no part
    found = np.asarray(wrap(crowding)(scores, rank.astype(np.int32)))
    expected = lonely(scores, rank)
    assert found.dtype == np.float32
    assert np.isfinite(expected).any()
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@both
def test_fronts_of_one_and_two_rows_are_all_ends(wrap):
    scores = points(7, 2)
    found = wrap(crowding)(scores, np.array([0, 1, 2, 1, 3, 3, 3], np.int32))
    np.testing.assert_array_equal(np.isposinf(found)[:4], True)
    np.testing.assert_array_equal(found, lonely(scores, np.array([0, 1, 2, 1, 3, 3, 3])).astype(np.float32))


@both
def test_an_objective_that_is_constant_in_a_front_adds_nothing_inside_it(wrap):
    scores = np.array([[0.0, 5.0], [1.0, 5.0], [3.0, 5.0], [4.0, 5.0], [9.0, 5.0]], np.float32)
    found = np.asarray(wrap(crowding)(scores, np.zeros(5, np.int32)))
    np.testing.assert_allclose(found, [INF, 3 / 9, 3 / 9, 6 / 9, INF], rtol=1e-6)
    alike = np.asarray(wrap(crowding)(np.ones((4, 2), np.float32), np.zeros(4, np.int32)))
    assert sorted(alike.tolist()) == [0.0, 0.0, INF, INF]


SPREAD = [(1, None, False), (2, None, False), (2, 4, True), (3, None, True), (3, 3, False)]


@both
@pytest.mark.parametrize(("objectives", "levels", "bounded"), SPREAD)
def test_places_are_by_front_and_there_by_distance_from_all_before(wrap, objectives, levels, bounded):
    rng, scores = np.random.default_rng(5), points(32, objectives, levels)
    scores *= np.array([1.0, 1024.0, 0.5], np.float32)[:objectives]
    alive = rng.uniform(size=32) < 0.8
    violation = rng.choice([0.0, 0.0, 0.5, INF], size=32).astype(np.float32) if bounded else None
    scores[~alive] = INF
    place, order = wrap(places)(scores, violation, alive), farthest_first(scores, violation, alive)
    assert place.dtype == jnp.int32
    assert np.argsort(np.asarray(place))[: alive.sum()].tolist() == order
    assert (np.asarray(place)[~alive] == 32).all()
    best = wrap(among_best)
    for num in range(34):
        chosen = best(scores, violation, alive, jnp.int32(num))
        assert set(np.flatnonzero(chosen)) == set(order[:num])


@both
def test_a_front_begins_with_its_ends(wrap):
    line = np.array([[3.0, 1.0], [0.0, 4.0], [1.0, 3.0], [4.0, 0.0], [2.0, 2.0], [9.0, 9.0]], np.float32)
    assert wrap(places)(line, None, np.ones(6, bool)).tolist() == [3, 0, 4, 1, 2, 5]


@both
def test_places_of_the_widest_numbers_are_as_of_others(wrap):
    scores, alive = points(16, 2), np.ones(16, bool)
    wide = (scores - 0.5) * np.float32(3e38) * 2
    assert np.isfinite(wide).all()
    assert wrap(places)(wide, None, alive).tolist() == wrap(places)(scores, None, alive).tolist()


@both
@pytest.mark.parametrize(("rows", "objectives", "levels"), [(40, 2, None), (40, 3, 3), (300, 2, 12), (1, 2, None)])
def test_no_row_beats_a_nondominated_one(wrap, rows, objectives, levels):
    scores = points(rows, objectives, levels)
    alive = np.random.default_rng(3).uniform(size=rows) < 0.7
    expected = [a and not any(better(s, row) for s in scores[alive]) for a, row in zip(alive, scores, strict=True)]
    np.testing.assert_array_equal(wrap(nondominated)(scores, alive), expected)


@both
def test_equal_rows_are_nondominated_together_and_dead_ones_never(wrap):
    scores = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [INF, INF]], np.float32)
    alive = np.array([True, True, True, False, False])
    assert wrap(nondominated)(scores, alive).tolist() == [True, True, True, False, False]
    assert not np.any(wrap(nondominated)(scores, np.zeros(5, bool)))


@both
@pytest.mark.parametrize("levels", [None, 5])
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_hypervolume_is_that_of_the_cells_that_are_dominated(wrap, objectives, levels):
    scores = points(70, objectives, levels, seed=objectives) * 3.0 - 1.0
    scores = np.concatenate([scores[scores.sum(axis=1) > 0.3], scores[:4] + 2.0])  # many on the front; some outside
    reference = np.array([1.5, 1.2, 1.8], np.float32)[:objectives]
    found = wrap(hypervolume)(scores, reference)
    assert found.shape == ()
    assert found.dtype == jnp.float32
    expected = filled(scores, reference)
    assert expected > 0
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@both
@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_only_living_points_before_the_reference_count(wrap, objectives):
    reference, half = np.ones(objectives, np.float32), np.full((1, objectives), 0.5, np.float32)
    beyond = half.copy()
    beyond[0, -1] = 1.0
    failed, dead = np.full_like(half, INF), half * 0.2
    scores = np.concatenate([failed, half, beyond, dead, half])
    alive = np.array([True, True, True, False, True])
    measure = wrap(hypervolume)
    np.testing.assert_allclose(measure(scores, reference, alive), 0.5**objectives, rtol=1e-6)
    np.testing.assert_allclose(measure(scores, reference), 0.9**objectives, rtol=1e-6)
    np.testing.assert_allclose(measure(half, reference), 0.5**objectives, rtol=1e-6)
    assert float(measure(scores, reference, np.zeros(5, bool))) == 0.0
    assert float(measure(beyond, reference)) == 0.0


@both
def test_the_hypervolume_of_four_objectives_is_refused(wrap):
    with pytest.raises(ValueError, match=r"objectives=4.*1, 2 and 3"):
        wrap(hypervolume)(np.zeros((2, 4), np.float32), np.ones(4, np.float32))
