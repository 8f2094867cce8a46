"""GreyGuided: where mutations go, by what the history shows of each dimension, and that they go there."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import NSGA2, Choice, Float, Genetic, GreyGuided, Int, QuasiRandom, Random, Space, When
from jaxhpt.algorithms.hybrids.grey_guided import Steerable
from jaxhpt.algorithms.variation import Focus, genes
from jaxhpt.core import history
from jaxhpt.core.history import Status
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE

CAPACITY, LANES, NUM = 96, 8, 4000
BOX = Space.of({f"x{i}": Float(0, 1) for i in range(6)})
MIXED = Space.of(
    {
        "x": Float(0, 1),
        "n": Int(0, 30),
        "c": Choice(["a", "b", "c"]),
        "w": When("c", "b", {"u": Float(0, 1), "k": ["p", "q"]}),
    }
)
GUIDED = GreyGuided(Random(), least=0.2, narrowing=0.8)


@functools.cache
def problem(space, objectives=("loss",)):
    columns = choose(objectives, objectives=dict.fromkeys(objectives, "min"))
    return Problem(space, columns, trials=CAPACITY, lanes=LANES, schedule=Schedule(1, 1))


@functools.cache
def reader(space, guided, objectives):
    """Tell of a finished history, and say where mutations go, compiled."""
    made = problem(space, objectives)

    def read(past):
        rows = jnp.where(past.status >= Status.DONE, jnp.arange(CAPACITY, dtype=jnp.int32), NONE)
        state = guided.tell(jax.random.key(0), guided.init(jax.random.key(0), made), past, made, rows)
        return guided.focus(state, past, made)

    return jax.jit(read)


@functools.cache
def units(space, seed=0):
    return np.asarray(space.snap(jax.random.uniform(jax.random.key(seed), (CAPACITY, space.num_dimensions))))


def seen(space, scores, num=CAPACITY, status=Status.DONE):
    """Make a history of `num` random settings with scores f32[C] or f32[C, K]."""
    scores = np.reshape(np.asarray(scores, np.float32), (CAPACITY, -1))
    there = np.arange(CAPACITY)[:, None] < num
    empty = history.empty_history(problem(space, tuple("ab"[: scores.shape[1]]) if scores.shape[1] > 1 else ("loss",)))
    state = np.where(there[:, 0], np.broadcast_to(status, CAPACITY), Status.EMPTY).astype(np.int8)
    return empty._replace(
        unit=jnp.where(there, units(space), 0.0),
        metrics=jnp.asarray(np.where(there, scores, np.inf)),
        status=jnp.asarray(state),
        num_rows=jnp.int32(num),
    )


def focus(space, scores, num=CAPACITY, status=Status.DONE, guided=GUIDED):
    """Say where mutations go after `num` trials at random settings."""
    objectives = ("a", "b") if np.ndim(scores) > 1 else ("loss",)
    found = reader(space, guided, objectives)(seen(space, scores, num, status))
    return Focus(*(np.asarray(part) for part in found))


def assert_sane(found, space, least=0.2):
    np.testing.assert_allclose(found.weight.mean(), 1.0, rtol=1e-5)
    assert np.all(found.weight >= least - 1e-6)
    assert np.all((found.low >= 0) & (found.low <= found.high) & (found.high <= 1))
    unordered = genes(space).unordered
    np.testing.assert_array_equal(found.low[unordered], 0.0)
    np.testing.assert_array_equal(found.high[unordered], 1.0)


def middle(unit):
    return (unit[:, 0] - 0.5) ** 2


def slope(unit):
    return unit[:, 0]


def by_choice(unit):
    column = MIXED.names.index("c")
    return np.abs(unit[:, column] - 0.5) + 0.1 * unit[:, MIXED.names.index("x")]


@pytest.mark.parametrize("effect", [middle, slope])
def test_a_dimension_that_matters_gets_many_mutations_and_others_the_least(effect):
    found = focus(BOX, effect(units(BOX)))
    assert_sane(found, BOX)
    assert found.weight[0] > 2.0
    assert np.all(found.weight[1:] < 0.9)


@pytest.mark.parametrize("effect", [middle, slope])
def test_ranges_close_in_on_the_best_trials_and_contain_them(effect):
    scores = effect(units(BOX))
    found, best = focus(BOX, scores), units(BOX)[np.argsort(scores)[:8]]
    assert np.all((best >= found.low) & (best <= found.high))
    assert found.high[0] - found.low[0] < 0.6
    assert np.all(found.high[1:] - found.low[1:] > 0.9)


def test_two_objectives_are_guided_too():
    unit = units(BOX)
    scores = np.stack([(unit[:, 0] - 0.2) ** 2, (unit[:, 0] - 0.8) ** 2], axis=1)
    found = focus(BOX, scores, guided=GreyGuided(NSGA2(population=8), least=0.2))
    assert_sane(found, BOX)
    assert found.weight[0] == found.weight.max()


def test_a_choice_that_matters_gets_mutations_and_keeps_all_its_values():
    found = focus(MIXED, by_choice(units(MIXED)))
    assert_sane(found, MIXED)
    assert found.weight[MIXED.names.index("c")] == found.weight.max()
    assert found.weight.max() > 2.0


def alike(found):
    np.testing.assert_allclose(found.weight, 1.0, rtol=1e-6)
    np.testing.assert_array_equal(found.low, 0.0)
    np.testing.assert_array_equal(found.high, 1.0)


def test_all_are_alike_until_enough_trials_have_ended():
    scores = middle(units(BOX))
    alike(focus(BOX, scores, 0))
    alike(focus(BOX, scores, 4))
    assert focus(BOX, scores, 48).weight[0] > 2.0


@pytest.mark.parametrize(
    ("score", "status"), [(np.inf, Status.FAILED), (1.0, Status.DONE), (1.0, Status.STOPPED), (1.0, Status.RUNNING)]
)
def test_all_are_alike_where_scores_tell_nothing(score, status):
    alike(focus(BOX, np.full(CAPACITY, score), status=status))


def test_trials_that_ended_early_or_still_run_are_not_graded():
    scores = np.asarray(middle(units(BOX)))
    whole = np.arange(CAPACITY) < 40
    cut = np.where(whole, Status.DONE, Status.STOPPED)
    np.testing.assert_array_equal(
        focus(BOX, scores, status=cut).weight, focus(BOX, np.where(whole, scores, 0.0), status=cut).weight
    )
    assert focus(BOX, scores, status=cut).weight[0] > 2.0


def test_failed_trials_are_graded_as_the_worst():
    unit = units(BOX)
    scores = np.where(unit[:, 2] > 0.6, np.inf, unit[:, 3] * 0.01)
    status = np.where(np.isinf(scores), Status.FAILED, Status.DONE)
    found = focus(BOX, scores, status=status)
    assert found.weight[2] > 1.5
    assert found.high[2] < 0.9


@functools.cache
def steerer(algorithm, space):
    made = problem(space)

    def steered(key, past, focus):
        state = algorithm.init(jax.random.key(0), made)
        rows = jnp.arange(CAPACITY, dtype=jnp.int32)
        state = algorithm.tell(jax.random.key(0), state, past, made, rows)
        return algorithm.steered(key, state, past, made, NUM, jnp.int32(NUM), focus)[0].unit

    return jax.jit(steered)


WEIGHT = (2.4, 1.2, 0.6, 0.6, 0.6, 0.6)
LOW, HIGH = (0.3, 0.0, 0.2, 0.0, 0.0, 0.5), (0.4, 1.0, 0.8, 0.5, 1.0, 0.5)


def test_mutations_follow_the_weights_and_are_shortened_by_the_ranges():
    """Children that are not crossed have one parent: a gene of none of the members is a mutation."""
    algorithm = Genetic(population=8, crossover_rate=0.0, mutation_rate=1 / 6, avoid_duplicates=False)
    past, whole = seen(BOX, middle(units(BOX))), Focus(jnp.array(WEIGHT), jnp.zeros(6), jnp.ones(6))
    given = whole._replace(low=jnp.array(LOW), high=jnp.array(HIGH))
    far, near = (np.asarray(steerer(algorithm, BOX)(jax.random.key(1), past, f)) for f in (whole, given))
    members = units(BOX)[np.argsort(middle(units(BOX)))[:8]]
    kept = far[:, None] == members
    mutated = ~np.any(kept, axis=1)
    np.testing.assert_allclose(mutated.mean(axis=0), np.array(WEIGHT) / 6, atol=5 * np.sqrt(0.25 / NUM))
    sure = kept.sum(axis=2).max(axis=1) > 0
    parent = members[kept.sum(axis=2).argmax(axis=1)]
    shorter = parent + (far - parent) * (np.array(HIGH) - np.array(LOW))
    np.testing.assert_allclose(near[sure], shorter[sure], atol=1e-6)


def test_random_draws_lie_in_the_ranges_evenly():
    given = Focus(jnp.ones(6), jnp.array(LOW), jnp.array(HIGH))
    drawn = np.asarray(steerer(Random(), BOX)(jax.random.key(1), seen(BOX, middle(units(BOX))), given))
    low, high = np.array(LOW, np.float32), np.array(HIGH, np.float32)
    assert np.all((drawn >= low) & (drawn <= high))
    np.testing.assert_allclose(drawn.mean(axis=0), (low + high) / 2, atol=5 / np.sqrt(12 * NUM))
    np.testing.assert_allclose(drawn.std(axis=0), (high - low) / np.sqrt(12), atol=0.02)


def valley(h, key):
    return jnp.where(h["y"] > 0.9, jnp.inf, (h["x"] - 0.4) ** 2 + 0.01 * h["y"])


@functools.cache
def searched(seed=0, events="all"):
    """Search after earlier trials, with failures."""
    rng = np.random.default_rng(0)
    prior = [({"x": x, "y": y}, 1.0 + x) for x, y in rng.uniform(size=(20, 2)).tolist()]
    options = {"prior": prior, "seed": seed, "events_per_dispatch": events, "lanes": LANES, "progress": False}
    space, algorithm = {"x": Float(0, 1), "y": Float(0, 1)}, GreyGuided(Genetic(population=8))
    return jaxhpt.minimize(valley, space, algorithm=algorithm, trials=64, **options).history


def test_a_search_after_earlier_trials_gives_the_same_bits_whatever_a_dispatch_is(same_bits):
    same_bits(searched(events=3), searched())
    assert np.any(np.asarray(searched(1).unit) != np.asarray(searched().unit))
    scores = np.asarray(searched().metrics[20:, 0])
    assert np.any(np.isinf(scores))
    assert scores.min() < 0.01


@pytest.mark.parametrize("algorithm", [Genetic(), NSGA2(), Random()])
def test_what_can_be_steered(algorithm):
    assert isinstance(algorithm, Steerable)
    assert GreyGuided(algorithm).num_points(BOX) is None


def test_notes_are_those_of_the_algorithm():
    for adaptive in (False, True):
        part = Genetic(adaptive=adaptive)
        assert GreyGuided(part).note(problem(BOX)) == part.note(problem(BOX))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: GreyGuided(QuasiRandom()), TypeError, "algorithm=QuasiRandom"),
        (lambda: GreyGuided("genetic"), TypeError, "algorithm='genetic'"),
        (lambda: GreyGuided(Genetic), TypeError, "algorithm"),
        (lambda: GreyGuided(GreyGuided(Random())), TypeError, "algorithm=GreyGuided"),
        (lambda: GreyGuided(Random(), least=-0.1), ValueError, "least=-0.1"),
        (lambda: GreyGuided(Random(), least=1.1), ValueError, "least=1.1"),
        (lambda: GreyGuided(Random(), narrowing=-0.1), ValueError, "narrowing=-0.1"),
        (lambda: GreyGuided(Random(), narrowing=1.0), ValueError, "narrowing=1.0"),
        (lambda: GreyGuided(Genetic()).init(jax.random.key(0), problem(BOX, ("a", "b"))), ValueError, "Genetic"),
    ],
)
def test_what_cannot_be_steered_or_is_out_of_range_is_refused_by_its_name(make, error, text):
    with pytest.raises(error, match=text):
        make()
