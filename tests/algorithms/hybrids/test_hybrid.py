"""Chain, Portfolio and Screen: who proposes what and is told what, against their parts run by hand and plain Python."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import (
    NSGA2,
    Bayesian,
    Chain,
    DifferentialEvolution,
    Float,
    Genetic,
    Grid,
    Int,
    Portfolio,
    QuasiRandom,
    Random,
    Screen,
    Space,
)
from jaxhpt.algorithms.base import AlgorithmDefaults, column, informed, is_own, proposals
from jaxhpt.algorithms.hybrids.portfolio import MEMORY, TOP, PortfolioState
from jaxhpt.core import history
from jaxhpt.core.history import Known, Status
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.qmc import sobol
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NOBODY, NONE

LANES, CAPACITY = 8, 64
PLANE = Space.of({"x": Float(0, 1), "y": Float(0, 1)})
BOX = Space.of({name: Float(0, 1) for name in "abcd"})
BOARD = Space.of({name: Int(0, 8) for name in "abcd"})
SMALL = Bayesian(limit=64, candidates=64, num_ascents=4)


class NearState(NamedTuple):
    """Proposals that will be used; what it was told: rows with a note of its own, their notes together, and others."""

    asked: jax.Array
    own: jax.Array
    notes: jax.Array
    others: jax.Array


@dataclasses.dataclass(frozen=True)
class Near(AlgorithmDefaults):
    """Propose settings near one place; number them within the event."""

    place: float
    width: float = 0.05

    def note(self, problem):
        return column(jnp.float32)

    def init(self, key, problem):
        return NearState(jnp.int32(0), jnp.int32(0), jnp.float32(0), jnp.int32(0))

    def ask(self, key, state, past, problem, num, count):
        wide = jax.random.uniform(key, (num, problem.num_dimensions), minval=-1.0) * self.width
        unit = jnp.clip(self.place + wide, 0.0, 1.0)
        return proposals(unit, jnp.arange(num, dtype=jnp.float32)), state._replace(asked=state.asked + count)

    def tell(self, key, state, past, problem, finished):
        own = is_own(past, finished)
        others = jnp.sum((finished < NONE) & ~own, dtype=jnp.int32)
        notes = state.notes + jnp.sum(jnp.where(own, past.note[finished], 0.0))
        own = state.own + jnp.sum(own, dtype=jnp.int32)
        return NearState(state.asked, own, notes, state.others + others)


GOOD, FAIR, BAD = Near(0.3), Near(0.5), Near(0.9)


class Search(NamedTuple):
    """A search without training."""

    state: object
    past: history.History


def problem(space=PLANE, trials=CAPACITY, lanes=LANES):
    return Problem(space, choose(("loss",)), trials=trials, lanes=lanes, schedule=Schedule(1, 1))


def bowl(unit):
    return jnp.sum((unit - 0.3) ** 2, axis=1)


@functools.cache
def eventful(algorithm, made):
    """Return one event, compiled: ask, try, tell; whoever has a number in i32[L] `fate` fails (1) or is foreign (2)."""

    def one(key, search, count, fate):
        found, state = algorithm.ask(key, search.state, search.past, made, made.lanes, count)
        rows = jnp.where(jnp.arange(made.lanes) < count, search.past.next_rows(made.lanes), NONE)
        unit = made.space.snap(found.unit)
        whose = found.made._replace(author=jnp.where(fate == 2, jnp.int8(NOBODY), found.author))
        past = history.open_rows(search.past, rows, unit, jnp.int32(0), whose)
        score = jnp.where(fate == 1, jnp.inf, bowl(unit))[:, None]
        past = history.report(past, rows, score, jnp.ones_like(rows), jnp.zeros_like(rows))
        status = jnp.where(fate == 1, Status.FAILED, Status.DONE).astype(jnp.int8)
        past = history.close(past, rows, status)
        return Search(algorithm.tell(key, state, past, made, rows), past), found

    return jax.jit(one)


def begun(algorithm, made):
    return Search(algorithm.init(jax.random.key(0), made), history.empty_history(made, algorithm.note(made)))


def run(algorithm, made, counts, fate=0, search=None, seed=1):
    """Run events; return the search and the proposals that were used."""
    search, used = begun(algorithm, made) if search is None else search, []
    for index, count in enumerate(counts):
        key, fates = jax.random.fold_in(jax.random.key(seed), index), jnp.broadcast_to(fate, made.lanes)
        search, found = eventful(algorithm, made)(key, search, jnp.int32(count), fates)
        assert np.all(np.asarray(found.valid)[:count])
        used.append(jax.tree.map(lambda a, n=count: np.asarray(a)[:n], found))
    return search, used


COUNTS = (3, 5, 0, 7, 1, 4)  # of a chain that hands over after 4 and after 10


def test_a_chain_proposes_what_its_parts_do_in_order_across_their_borders():
    parts, made = (Grid(points=2), QuasiRandom(), GOOD), problem()
    chain = Chain(*parts, trials=6)
    search, used = run(chain, made, COUNTS)
    states = [part.init(jax.random.fold_in(jax.random.key(0), i), made) for i, part in enumerate(parts)]
    asked, ends = 0, (4, 10, CAPACITY)
    for event, count in enumerate(COUNTS):
        key, expected = jax.random.fold_in(jax.random.key(1), event), []
        for i, part in enumerate(parts):
            begin = ends[i - 1] if i else 0
            mine = max(min(asked + count, ends[i]) - max(asked, begin), 0)
            args = (
                jax.random.fold_in(key, i),
                states[i],
                history.empty_history(made, part.note(made)),
                made,
                LANES,
                jnp.int32(mine),
            )
            found, states[i] = part.ask(*args)
            expected.extend(np.asarray(made.space.snap(found.unit))[:mine])
        np.testing.assert_array_equal(made.space.snap(used[event].unit), np.reshape(expected, (count, 2)))
        asked += count
    assert int(search.state.asked) == sum(COUNTS)


def test_each_part_of_a_chain_is_told_its_own_notes_and_that_others_have_none():
    search, used = run(Chain(FAIR, GOOD, trials=10), problem(), COUNTS)
    whose = np.concatenate([found.author for found in used])
    assert whose.tolist() == [0] * 10 + [1] * 10
    for i, part in enumerate(search.state.parts):
        notes = np.concatenate([found.note[i][found.author == i] for found in used])
        assert (int(part.asked), int(part.own), int(part.others)) == (10, 10, 10)
        assert float(part.notes) == np.sum(notes)


@pytest.mark.parametrize(
    ("chain", "points"),
    [
        (Chain(Grid(points=2), Grid(points=3)), 4 + 9),  # 4 are fewer than the 8 of a design
        (Chain(Grid(points=4), Grid(points=3)), 8 + 9),
        (Chain(Grid(points=2), Grid(points=3), trials=3), 3 + 9),
        (Chain(Random(), Grid(points=2), trials=20), 20 + 4),
        (Chain(Grid(points=2), Random(), trials=20), None),
        (Chain(Chain(Random(), Grid(points=2)), Grid(points=3), trials=50), 12 + 9),
    ],
)
def test_a_chain_ends_where_its_last_part_does(chain, points):
    assert chain.num_points(PLANE) == points


def test_a_chain_of_grids_is_tried_whole():
    chain = Chain(Grid(points=2), Grid(points=3))
    result = jaxhpt.minimize(lambda h, key: h["x"] + h["y"], PLANE, algorithm=chain, lanes=LANES, progress=False)
    units = [PLANE.grid(2), PLANE.grid(3)]
    for unit, tried in zip(units, np.split(np.asarray(result.history.unit), [4]), strict=True):
        assert sorted(map(tuple, unit.tolist())) == sorted(map(tuple, tried.tolist()))


MIX = Portfolio(BAD, GOOD, FAIR, least=0.05)


def test_a_mix_shares_alike_at_first_and_then_gives_to_who_finds_more():
    search = begun(MIX, problem())
    np.testing.assert_allclose(MIX.shares(search.state), 1 / 3, rtol=1e-6)
    search, _ = run(MIX, problem(), [LANES] * 6)
    bad, good, fair = np.asarray(MIX.shares(search.state))
    assert good > 0.5
    assert 0.05 <= bad <= fair < good
    np.testing.assert_allclose(bad + good + fair, 1.0, rtol=1e-6)


def test_proposals_of_a_mix_are_of_their_author_and_each_is_told_its_own():
    search, used = run(MIX, problem(), COUNTS)
    who, unit = (np.concatenate([getattr(found, field) for found in used]) for field in ("author", "unit"))
    places = np.array([part.place for part in MIX.parts])
    assert np.all(np.abs(unit - places[who][:, None]) <= 0.0501)
    assert len(set(who.tolist())) == 3
    for i, part in enumerate(search.state.parts):
        note = np.concatenate([found.note[i] for found in used])
        assert (int(part.own), int(part.others)) == (np.sum(who == i), np.sum(who != i))
        assert float(part.notes) == np.sum(note[who == i])
        np.testing.assert_array_equal(note[who != i], 0)


def test_parts_of_a_mix_number_their_proposals_by_themselves():
    _, used = run(MIX, problem(), COUNTS)
    for found in used:
        for i in range(3):
            mine = found.note[i][found.author == i]
            assert mine.tolist() == list(range(len(mine)))


@pytest.mark.parametrize("fate", [1, 2])
def test_failed_rows_and_rows_of_others_earn_nothing(fate):
    search, _ = run(MIX, problem(), [LANES] * 2, fate)
    np.testing.assert_array_equal(search.state.credit, 0.0)
    assert np.all(np.asarray(search.state.used) > 0) == (fate == 1)
    assert np.all(np.asarray(search.state.used) == 0) == (fate == 2)


def test_earlier_trials_earn_nothing_but_are_what_new_ones_must_beat():
    made = dataclasses.replace(problem(), prior=20)
    unit = jax.random.uniform(jax.random.key(5), (20, 2))
    known = Known(unit, bowl(unit)[:, None])
    _, state = jax.jit(lambda key: informed(MIX, key, made, known))(jax.random.key(0))
    np.testing.assert_allclose(MIX.shares(state), 1 / 3, rtol=1e-6)
    assert state.best.tolist() == np.argsort(bowl(unit))[:TOP].tolist()


def test_credit_is_as_in_plain_python():
    rng, made = np.random.default_rng(0), problem()
    scores = np.where(rng.uniform(size=CAPACITY) < 0.2, np.inf, rng.uniform(size=CAPACITY)).astype(np.float32)
    who = rng.integers(-1, 3, CAPACITY)  # -1: a row of others
    author = jnp.asarray(np.where(who < 0, NOBODY, who), jnp.int8)
    past = history.empty_history(made, MIX.note(made))._replace(
        metrics=jnp.asarray(scores[:, None]), author=author, num_rows=jnp.int32(CAPACITY)
    )
    tell = jax.jit(lambda state, rows: MIX.tell(jax.random.key(0), state, past, made, rows))
    state, credit, used, told = begun(MIX, made).state, np.zeros(3), np.zeros(3), []
    for rows in rng.permutation(CAPACITY).reshape(-1, LANES):
        rows = rows[: rng.integers(0, LANES + 1)]
        state = tell(state, jnp.asarray([*rows, *[NONE] * (LANES - len(rows))], jnp.int32))
        told.extend(rows.tolist())
        best = sorted((r for r in told if np.isfinite(scores[r])), key=lambda r: scores[r])[:TOP]
        for i in range(3):
            mine = [r for r in rows if who[r] == i]
            fade = np.exp(-len(mine) / MEMORY)
            credit[i] = credit[i] * fade + sum(1 - best.index(r) / TOP for r in mine if r in best)
            used[i] = used[i] * fade + len(mine)
        np.testing.assert_allclose(state.credit, credit, rtol=1e-5)
        np.testing.assert_allclose(state.used, used, rtol=1e-5)
        assert [r for r in state.best.tolist() if r < NONE] == best
    rate = (credit + 0.5) / (used + 1)
    np.testing.assert_allclose(MIX.shares(state), 0.05 + 0.85 * rate / rate.sum(), rtol=1e-5)


@functools.cache
def shared_out(num):
    """Return whose each of `num` proposals is, for a key and what each earned, compiled."""
    made = problem()

    def whose(key, credit):
        state = begun(MIX, made).state._replace(credit=credit, used=jnp.full(3, 20.0))
        found, _ = MIX.ask(key, state, history.empty_history(made, MIX.note(made)), made, num, jnp.int32(num))
        return found.author, MIX.shares(state)

    return jax.jit(jax.vmap(whose, in_axes=(0, None)))


@pytest.mark.parametrize("credit", [(5.0, 5.0, 5.0), (0.0, 16.0, 2.0), (9.0, 0.0, 0.0), (1.0, 2.0, 12.0)])
def test_64_proposals_are_shared_out_to_within_two(credit):
    whose, shares = shared_out(64)(jax.random.split(jax.random.key(2), 32), jnp.array(credit))
    counts = np.array([np.bincount(row.astype(int), minlength=3) for row in np.asarray(whose)])
    assert np.all(np.abs(counts - 64 * np.asarray(shares)) <= 2.0)
    assert len(np.unique(counts, axis=0)) > 1  # another beginning in every event


def test_a_screen_lays_out_the_design_of_its_model_and_then_picks_among_children():
    breeder, made = Near(0.4, 0.3), problem(BOARD, lanes=1)
    screen = Screen(breeder, factor=2, model=SMALL)
    search, used = run(screen, made, [1] * 16)
    assert int(search.state.parts[1].fitted)
    assert int(search.state.parts[0].asked) == 8 * 256  # nothing is bred for the design
    scramble = begun(screen, made).state.parts[1].scramble
    design = made.space.snap(sobol(scramble, jnp.arange(8), made.num_dimensions))
    np.testing.assert_array_equal(np.concatenate([found.unit for found in used[:8]]), design)
    picked = []
    for event, found in enumerate(used):
        key = jax.random.fold_in(jax.random.key(1), event)
        bred, _ = breeder.ask(jax.random.fold_in(key, 0), begun(breeder, made).state, None, made, 256, jnp.int32(1))
        unit, note, author = np.asarray(made.space.snap(bred.unit)), found.note[0][0], found.author[0]
        if event < 8:
            assert author == 1
        elif author == 1:
            assert not np.any(np.all(unit == found.unit, axis=1))
        else:  # numbers of few levels follow no gradient: it is the child itself
            np.testing.assert_array_equal(made.space.snap(found.unit[0]), unit[int(note)])
            picked.append(int(note))
    assert len(set(picked)) > 1
    assert len(np.unique(search.past.unit[8:16], axis=0)) == 8


def test_a_screen_steps_from_the_best_trials_where_its_children_are_no_good():
    made = problem(Space.of({name: Int(0, 8) for name in "abcdef"}))
    search, _ = run(Screen(Near(0.95), factor=2, model=SMALL), made, [LANES] * 8)
    unit = np.asarray(search.past.unit)
    order = np.argsort(bowl(unit[:56]))[:16]
    changed = np.sum(unit[56:, None] != unit[order], axis=2)
    assert np.mean(np.min(changed, axis=1) <= 2) > 0.5  # of places drawn all over the space, one in thirty


EVOLUTION = DifferentialEvolution(population=8)
SCREENED = Chain(Grid(points=2), Screen(EVOLUTION, factor=2, model=SMALL), trials=16)


@functools.cache
def evolved():
    """Return a search by a grid of 16, then by a screen of differential evolution."""
    return run(SCREENED, problem(BOX), [LANES] * 7)


def test_a_model_after_a_grid_lays_out_no_design_of_its_own():
    search, used = evolved()
    grid, first = np.concatenate([bowl(found.unit) for found in used[:2]]), bowl(used[2].unit)
    assert int(search.state.parts[1].parts[1].fitted)
    assert np.median(first) < np.min(grid)


def test_a_screen_is_far_better_than_its_breeder():
    def usual(algorithm):
        searches = (run(algorithm, problem(BOX), [LANES] * 7, seed=seed)[0] for seed in range(1, 10))
        return np.median([np.asarray(search.past.metrics[:, 0]).min() for search in searches])

    assert usual(SCREENED) < 0.1 * usual(EVOLUTION)


def test_picks_compete_for_the_places_that_their_children_were_bred_for():
    search, _ = evolved()
    slots, members = np.asarray(search.past.note[1][0].slot), np.asarray(search.state.parts[1].parts[0].members)
    bred = np.flatnonzero(search.past.author[:56] == 1)  # 0 is the grid, 2 the model
    assert bred.min() >= 16
    assert set(slots[bred]) <= set(range(8))
    own = np.asarray(search.past.author)[members] == 1
    assert np.any(own)
    np.testing.assert_array_equal(slots[members][own], np.flatnonzero(own))


def climbing():
    """Return a task whose loss falls with its steps to that of a bowl, and fails in a corner."""

    def evaluate(state, data, h):
        left = jnp.exp(-state)
        loss = (h["x"] - 0.3) ** 2 + 0.1 * (h["n"] - 4.0) ** 2 + left
        return {"loss": jnp.where(h["n"] > 7, jnp.nan, loss)}

    return jaxhpt.Task(
        init=lambda key, h: jnp.zeros(()), step=lambda state, batch, h, key: state + 1.0, evaluate=evaluate, steps=9
    )


@functools.cache
def halved(events="all", seed=0):
    """Search by several algorithms together, after earlier trials, while a scheduler stops the worse ones."""
    rng = np.random.default_rng(0)
    prior = [({"x": x, "n": int(n)}, 2 * x) for x, n in zip(rng.uniform(size=6), rng.integers(0, 9, 6), strict=True)]
    algorithm = Chain(Grid(points=2), Portfolio(Random(), DifferentialEvolution(population=4)), trials=3)
    options = {"prior": prior, "scheduler": jaxhpt.ASHA(), "lanes": 4, "progress": False, "seed": seed}
    space = {"x": Float(0, 1), "n": Int(0, 8)}
    return jaxhpt.search(climbing(), space, algorithm=algorithm, trials=60, events_per_dispatch=events, **options)


def test_a_chain_and_a_mix_search_after_earlier_trials_under_a_scheduler(same_bits):
    result = halved()
    status = [trial.status for trial in result.trials]
    assert status[:6] == ["prior"] * 6
    assert {"done", "stopped", "failed"} == set(status[6:])
    assert len(status) == 66
    author = result.history.author
    assert author[:9].tolist() == [NOBODY] * 6 + [0] * 3
    assert set(author[9:].tolist()) == {1, 2}
    assert result.best.value < 0.02
    same_bits(halved(events=1).history, result.history)
    assert np.any(np.asarray(halved(seed=1).history.unit) != np.asarray(result.history.unit))


@functools.cache
def fronted(algorithm, events="all"):
    """Search for two bowls at once, after earlier trials, with failures."""
    prior = [({"x": x, "y": 0.5}, {"a": x, "b": 1.5 - x}) for x in (0.1, 0.5, 0.9)]
    return jaxhpt.minimize(
        lambda h, key: {"a": jnp.where(h["y"] < -0.9, jnp.inf, h["x"] ** 2 + h["y"] ** 2), "b": (h["x"] - 1) ** 2},
        {"x": Float(0, 1), "y": Float(-1, 1)}, objectives={"a": "min", "b": "min"}, algorithm=algorithm,
        trials=64, lanes=LANES, prior=prior, events_per_dispatch=events, progress=False,
    )  # fmt: skip


@pytest.mark.slow
def test_a_screen_of_nsga2_spreads_over_a_front(same_bits):
    screen = Screen(NSGA2(population=8), factor=2, model=SMALL)
    result = fronted(screen)
    best = 1.0 - 1.0 / 6.0  # the area below (1, 1) that the true front a = (1 - sqrt(b))^2 dominates
    assert result.hypervolume({"a": 1.0, "b": 1.0}) > 0.945 * best
    assert {trial.status for trial in result.trials} == {"prior", "done", "failed"}
    same_bits(fronted(screen, 1).history, result.history)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Chain(), ValueError, "algorithms"),
        (lambda: Chain(Random()), ValueError, "algorithms"),
        (lambda: Chain(Random(), "genetic"), TypeError, "algorithms='genetic'"),
        (lambda: Chain(Random, Genetic()), TypeError, "algorithms"),
        (lambda: Chain(Random(), Genetic(), trials=0), ValueError, "trials=0"),
        (lambda: Chain(Random(), Genetic(), trials=2.5), TypeError, "trials=2.5"),
        (lambda: Portfolio(Random()), ValueError, "algorithms"),
        (lambda: Portfolio(Random(), None), TypeError, "algorithms=None"),
        (lambda: Portfolio(Random(), Genetic(), least=-0.1), ValueError, "least=-0.1"),
        (lambda: Portfolio(Random(), Genetic(), least=0.51), ValueError, "least=0.51"),
        (lambda: Screen("genetic"), TypeError, "breeder='genetic'"),
        (lambda: Screen(Genetic), TypeError, "breeder"),
        (lambda: Screen(Genetic(), factor=1), ValueError, "factor=1"),
        (lambda: Screen(Genetic(), factor=2.0), TypeError, "factor=2.0"),
        (lambda: Screen(Genetic(), model=Genetic()), TypeError, "model"),
        (lambda: Portfolio(Random(), Grid()).init(jax.random.key(0), problem()), ValueError, "algorithms=Grid"),
        (lambda: Screen(Grid()).init(jax.random.key(0), problem()), ValueError, "breeder=Grid"),
    ],
)
def test_what_cannot_be_combined_is_refused_by_its_name(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_an_algorithm_with_an_end_may_be_a_part_of_a_mix_before_one_that_has_none():
    state = Portfolio(Random(), Chain(Grid(points=2), Random())).init(jax.random.key(0), problem())
    assert isinstance(state, PortfolioState)
