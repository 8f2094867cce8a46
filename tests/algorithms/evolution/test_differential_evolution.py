"""Differential evolution: competition, archive and memory against plain Python, draws within their ranges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import DifferentialEvolution, Float, Space
from jaxhpt.algorithms.evolution import differential_evolution as module
from jaxhpt.algorithms.evolution.differential_evolution import DifferentialEvolutionNote
from jaxhpt.core import history
from jaxhpt.core.history import Made
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE

SIZE, CAPACITY = 5, 60
BOX = Space.of({"x": Float(0, 1), "y": Float(0, 1), "z": Float(0, 1)})
CHOICES = Space.of({name: ["p", "q", "r"] for name in "abcd"})
DE = DifferentialEvolution(population=SIZE)


def problem():
    return Problem(BOX, choose(("loss",)), trials=CAPACITY, lanes=4, schedule=Schedule(1, 1))


def past_of(scores, notes, seed=0):
    """Make a history of random settings: scores f32[N] and notes f32[N, 3], NaN for others, both by row."""
    num, past, notes = len(scores), history.empty_history(problem(), DE.note(problem())), np.asarray(notes, np.float32)
    unit, metrics = np.array(past.unit), np.array(past.metrics)
    unit[:num] = np.random.default_rng(seed).uniform(size=(num, 3))
    metrics[:num, 0], own = scores, ~np.isnan(notes[:, 2])
    note = DifferentialEvolutionNote(jnp.asarray(notes[own, :2]), jnp.asarray(notes[own, 2], jnp.int32))
    rows, made = jnp.asarray(np.flatnonzero(own), jnp.int32), Made(note, jnp.zeros(own.sum(), jnp.int8))
    past = history.open_rows(past, rows, past.unit[: len(rows)], jnp.int32(0), made)
    return past._replace(unit=jnp.asarray(unit), metrics=jnp.asarray(metrics), num_rows=jnp.int32(num))


@functools.cache
def teller():
    return jax.jit(lambda state, past, rows: DE.tell(jax.random.key(0), state, past, problem(), rows))


@functools.cache
def asker(num):
    return jax.jit(lambda key, state, past: DE.ask(key, state, past, problem(), num, jnp.int32(num)))


def told(scores, notes, events, state=None):
    past = past_of(scores, notes)
    state = DE.init(jax.random.key(0), problem()) if state is None else state
    for rows in events:
        lanes = [*rows, *[NONE] * (4 - len(rows))]  # one width, one program
        state = teller()(state, past, jnp.asarray(lanes, jnp.int32))
    return state


def note(slot, weight=0.5, rate=0.5):
    return [weight, rate, slot]


class Plain:
    """The same competition in plain Python and double precision."""

    def __init__(self, scores, notes):
        self.scores, self.notes = [*map(float, scores), np.inf], np.asarray(notes, np.float64)
        self.members, self.archive, self.archived = [NONE] * SIZE, [NONE] * SIZE, 0
        self.memory, self.place, self.wins, self.told = np.full((2, module.MEMORY), 0.5), 0, [], 0

    def value(self, row):
        return self.scores[row] if row < NONE else np.inf

    def tell(self, rows):
        before = list(self.members)
        worst = sorted(range(SIZE), key=lambda place: (-self.value(before[place]), place))
        rivals, foreign = {}, 0
        for row in (r for r in rows if r < NONE):
            slot = self.notes[row, 2]
            if np.isnan(slot):
                slot, foreign = worst[foreign % SIZE], foreign + 1
            else:
                self.told += self.value(row) < np.inf  # failed children teach nothing
                gain = self.value(before[int(slot)]) - self.value(row)
                if 0 < gain < np.inf:
                    self.wins.append((gain, self.notes[row, :2]))
            rivals.setdefault(int(slot), []).append(row)
        for slot in sorted(rivals):
            best = min(rivals[slot], key=lambda r: (self.value(r), r))
            if np.isfinite(self.value(best)) and self.value(best) <= self.value(before[slot]):
                self.members[slot] = best
                if before[slot] < NONE:
                    self.archive[self.archived % SIZE] = before[slot]
                    self.archived += 1
        if self.told >= SIZE:
            self.learn()

    def learn(self):
        if self.wins:
            gains, rates = np.array([g for g, _ in self.wins]), np.array([r for _, r in self.wins])
            self.memory[:, self.place] = (gains @ rates**2) / (gains @ rates)
            self.place = (self.place + 1) % module.MEMORY
        self.wins, self.told = [], 0


@pytest.mark.parametrize("seed", range(4))
def test_telling_is_as_in_plain_python(seed):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=CAPACITY) * np.linspace(3, 1, CAPACITY)
    scores = np.where(rng.uniform(size=CAPACITY) < 0.15, np.inf, scores).astype(np.float32)
    notes = rng.uniform(0.1, 1.0, size=(CAPACITY, 3)).astype(np.float32)
    notes[:, 2] = rng.integers(0, SIZE, CAPACITY)
    notes[rng.uniform(size=CAPACITY) < 0.15] = np.nan
    past, plain, state = past_of(scores, notes), Plain(scores, notes), DE.init(jax.random.key(0), problem())
    for rows in rng.permutation(CAPACITY).reshape(15, 4):
        given = np.where((np.arange(4) == 3) & (rows % 2 == 0), NONE, rows)
        state = teller()(state, past, jnp.asarray(given, jnp.int32))
        plain.tell(given.tolist())
        assert state.members.tolist() == plain.members
        assert state.archive.tolist() == plain.archive
        assert (int(state.archived), int(state.place)) == (plain.archived, plain.place)
        np.testing.assert_allclose(state.memory, plain.memory, rtol=1e-4)
    assert plain.archived > SIZE
    assert np.any(plain.memory != 0.5)


def test_the_better_of_two_children_of_one_target_wins_and_the_target_is_kept_in_the_archive():
    state = told([9.0, 2.0, 1.0, 1.5], [note(2)] * 4, [[0], [1, 2, 3, NONE]])
    assert state.members.tolist() == [NONE, NONE, 2, NONE, NONE]
    assert state.archive.tolist() == [0] + [NONE] * 4


@pytest.mark.parametrize(("score", "wins"), [(0.99, True), (1.0, True), (1.01, False), (np.inf, False)])
def test_a_child_replaces_its_target_if_it_is_no_worse(score, wins):
    state = told([1.0, score], [note(3)] * 2, [[0], [1]])
    assert int(state.members[3]) == int(wins)
    assert int(state.archived) == int(wins)


def test_rows_of_others_replace_the_worst_members_only_if_they_are_better():
    notes = [note(slot) for slot in range(5)] + [[np.nan] * 3] * 3
    scores = [5.0, 1.0, 9.0, 2.0, 7.0, 8.0, 7.5, 0.5]  # the worst are at places 2, 4, 0
    state = told(scores, notes, [[0, 1, 2, 3], [4], [5, 6, 7]])
    assert state.members.tolist() == [7, 1, 5, 3, 4]
    np.testing.assert_array_equal(state.memory, 0.5)


def test_lanes_without_a_row_do_not_turn_rows_of_others_away_from_the_worst_member():
    notes = [note(slot) for slot in range(5)] + [[np.nan] * 3]
    state = told([5.0, 1.0, 9.0, 2.0, 7.0, 8.0], notes, [[0, 1, 2, 3], [4], [NONE, NONE, 5, NONE]])
    assert state.members.tolist() == [0, 1, 5, 3, 4]


def test_the_memory_moves_once_for_every_population_told():
    scores = [10.0] * 5 + [6.0, 8.0, 11.0, 12.0, 13.0]
    notes = [note(slot) for slot in range(5)] + [note(0, 0.2, 0.9), note(1, 0.8, 0.3), note(2), note(3), note(4)]
    state = told(scores, notes, [[0, 1, 2, 3], [4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(state.memory, 0.5)
    state = told(scores, notes, [[9]], state)
    weight, rate = (4 * 0.04 + 2 * 0.64) / (4 * 0.2 + 2 * 0.8), (4 * 0.81 + 2 * 0.09) / (4 * 0.9 + 2 * 0.3)
    np.testing.assert_allclose(state.memory[:, 0], [weight, rate], rtol=1e-5)
    np.testing.assert_array_equal(state.memory[:, 1:], 0.5)
    assert int(state.place) == 1
    assert int(state.gains.num_scored) == 0


def test_a_gain_without_bounds_counts_as_a_large_one():
    scores = [1e30] * 5 + [1.0] * 5
    notes = [note(slot, 0.5 + 0.1 * (slot % 2), 0.9) for slot in range(5)] * 2
    state = told(scores, notes, [[0, 1, 2, 3], [4], [5, 6, 7, 8], [9]])
    assert np.isfinite(state.memory).all()
    assert 0.5 < float(state.memory[0, 0]) < 0.6


@pytest.mark.parametrize(("weight", "rate"), [(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)])
def test_weights_are_drawn_above_0_up_to_1_and_rates_from_0_to_1(weight, rate):
    memory = jnp.stack([jnp.full(module.MEMORY, weight), jnp.full(module.MEMORY, rate)])
    past = past_of(np.arange(5.0), [note(slot) for slot in range(5)])
    state = told(np.arange(5.0), [note(slot) for slot in range(5)], [[0, 1, 2, 3], [4]])._replace(memory=memory)
    found, _ = asker(1000)(jax.random.key(0), state, past)
    rates = np.asarray(found.note.rates, np.float64)
    assert np.all((rates[:, 0] > 0) & (rates[:, 0] <= 1))
    assert np.all((rates[:, 1] >= 0) & (rates[:, 1] <= 1))
    np.testing.assert_array_equal(found.note.slot, np.arange(1000) % SIZE)
    assert abs(np.median(rates[:, 1]) - rate) < 0.02
    assert np.all((found.unit >= 0) & (found.unit <= 1))


@pytest.mark.parametrize("centre", [0.1, 0.5])
def test_weights_follow_a_cauchy_distribution_cut_off_at_0(centre):
    uniform = (np.arange(2000) + 0.5) / 2000
    drawn = np.asarray(module._weight(jnp.asarray(uniform, jnp.float32), jnp.full(2000, centre)), np.float64)
    below = 0.5 + np.arctan(-centre / 0.1) / np.pi
    share = (0.5 + np.arctan((drawn - centre) / 0.1) / np.pi - below) / (1 - below)
    inside = (drawn > 1.01e-3) & (drawn < 1)
    np.testing.assert_allclose(share[inside], uniform[inside], atol=1e-4)
    assert inside.mean() > 0.9


def crossed(weight, rate, rows, space, num=4000):
    """Return children of the same four rows: target, best, a and b."""
    units = [jnp.broadcast_to(jnp.asarray(row, jnp.float32), (num, len(row))) for row in rows]
    draw = module._Draw(*units, jnp.full(num, weight), jnp.full(num, rate))
    return np.asarray(jax.jit(lambda key: module._cross(key, draw, space))(jax.random.key(0)))


def test_children_take_the_choices_that_partners_agree_on_and_draw_the_others():
    low, middle, high = np.asarray(CHOICES.snap(jnp.array([[0.0] * 4, [0.5] * 4, [1.0] * 4])))[:, 0]
    target, best = [low, low, low, high], [high, low, middle, high]
    a, b = [low, middle, high, low], [low, middle, middle, high]  # of the first two genes they agree
    children = crossed(0.3, 1.0, [target, best, a, b], CHOICES)
    assert np.mean(children[:, 0] == high) == pytest.approx(0.3, abs=5 * np.sqrt(0.21 / 4000))
    assert set(children[:, 0]) == {low, high}
    assert set(children[:, 1]) == {low}
    for column in (2, 3):
        shares = [np.mean(children[:, column] == value) for value in (low, middle, high)]
        np.testing.assert_allclose(shares, 1 / 3, atol=5 * np.sqrt(2 / 9 / 4000))


def test_children_of_continuous_rows_are_the_mutant_folded_halfway_at_the_ends():
    target, best, a, b = np.array([[0.5, 0.1, 0.9], [0.7, 0.0, 1.0], [0.2, 0.1, 0.9], [0.4, 0.9, 0.1]])
    mutant = target + 0.5 * (best - target) + 0.5 * (a - b)
    expected = np.where(mutant < 0, target / 2, np.where(mutant > 1, (target + 1) / 2, mutant))
    assert np.any(expected != mutant)
    np.testing.assert_allclose(crossed(0.5, 1.0, [target, best, a, b], BOX, 3), [expected] * 3, atol=1e-6)


def test_one_gene_is_crossed_at_least_and_the_others_at_their_rate():
    rows = [[0.2] * 3, [0.6] * 3, [0.5] * 3, [0.5] * 3]
    moved = [np.abs(crossed(0.5, rate, rows, BOX) - 0.2) > 1e-6 for rate in (0.0, 0.4)]
    assert np.all(moved[0].sum(axis=1) == 1)
    np.testing.assert_allclose(moved[0].mean(axis=0), 1 / 3, atol=0.04)
    np.testing.assert_allclose(moved[1].mean(axis=0), 1 / 3 + 2 / 3 * 0.4, atol=0.04)
