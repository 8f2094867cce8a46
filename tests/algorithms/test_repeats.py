"""No setting twice: while an untried one of a finite space is left, only who means to repeat proposes a tried one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covered_by

import jaxhpt
from jaxhpt import (
    NSGA2,
    TPE,
    Bayesian,
    Bool,
    Chain,
    Choice,
    DifferentialEvolution,
    Float,
    Genetic,
    GreyGuided,
    Int,
    Portfolio,
    QuasiRandom,
    Random,
    Refine,
    Screen,
    Space,
    When,
)
from jaxhpt.algorithms import ALGORITHMS
from jaxhpt.algorithms.base import proposals
from jaxhpt.algorithms.enumeration import settings
from jaxhpt.algorithms.evolution.cma_es import CMAESNote, _samples
from jaxhpt.algorithms.model_based.batch import _promising
from jaxhpt.algorithms.model_based.tpe import _untried as drawn_untried
from jaxhpt.algorithms.untried import FEW, propose, untried
from jaxhpt.core import history
from jaxhpt.core.history import Made
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NOBODY
from jaxhpt.surrogates.kde import estimate, log_density

KEY = jax.random.key(0)
WHEN = {"k": ["a", "b", "c"], "w": When("k", "a", {"n": Int(1, 6), "f": Bool(), "v": When("f", True, [1, 2, 3])})}
SPACES = {
    "switch": {"f": Bool()},
    "int": {"a": Int(-3, 9)},
    "log": {"a": Int(1, 64, log=True)},
    "cube": {"a": Int(0, 2), "b": Int(0, 2), "c": Int(0, 2)},
    "when": WHEN,
    "mixed": {"a": Choice([3, 1, 2]), "b": Float(0.0, 1.0, step=0.25), "c": Int(1, 5, log=True), "d": Bool()},
}
SIZES = {"switch": 2, "int": 13, "log": 64, "cube": 27, "when": 26, "mixed": 150}
LARGE = Space.of({"a": Int(0, 99), "b": Int(1, 99, log=True), "c": Bool()})  # 19,800 settings
QUICK = Bayesian(limit=64, candidates=64, num_ascents=4, refit_steps=2)
NAMED = {name: kind() for name, kind in ALGORITHMS.items() if name not in ("auto", "random")}
COMBINED = {
    "chain": Chain(Random(), Genetic(), trials=5),
    "mix": Portfolio(Random(), TPE(), DifferentialEvolution()),
    "screen": Screen(Random(), factor=2, model=QUICK),
    "refine": Refine(Random(), share=0.5),
    "grey": GreyGuided(NSGA2()),
}
EVERY = {**NAMED, "bayesian": QUICK, **COMBINED}
# Every algorithm is asked for some number at once, and finds its own untried settings in some spaces; what was known
# before is asked of all of them.
NUMBERS = {
    1: ("grid", "genetic", "tpe", "chain"),
    3: ("quasi_random", "bayesian", "mix", "refine"),
    8: ("cma_es", "differential_evolution", "nsga2", "screen", "grey"),
}
MANY = {
    "bayesian": ("when", "log"),
    "cma_es": ("mixed", "int"),
    "genetic": ("when", "switch"),
    "tpe": ("when", "mixed"),
    "screen": ("int", "mixed"),
}
SEARCHED = ("grid", "genetic", "cma_es", "tpe", "bayesian", "chain", "screen", "refine", "auto")


def value(hparams):
    """Return a value that depends on all that exists, of any structure."""
    leaves = [leaf for leaf in jax.tree.leaves(hparams) if leaf is not None]
    return sum((i + 1) * (ord(v) - 98.0 if isinstance(v, str) else float(v)) for i, v in enumerate(leaves))


def all_of(space):
    return np.asarray(settings(Space.of(space), 10**6))


def asked_until_none_is_left(algorithm, name, num, prior=None, untold=0):
    """Ask a tuner for all settings of a space, `num` at once; every fifth fails, and `untold` go on running."""
    known = 0 if prior is None else len(prior)
    tuner = jaxhpt.Tuner(SPACES[name], algorithm=algorithm, trials=SIZES[name] - known, prior=prior, lanes=num)
    running = []
    while found := tuner.ask(num):
        running += found
        ended = max(len(running) - untold, 0)
        done, running = running[:ended], running[ended:]
        tuner.tell(done, [None if t.id % 5 == 4 else value(t.hparams) for t in done])
    return tuner


def assert_every_setting_was_tried_once(past, name, space):
    rows = np.asarray(past.unit)[: int(past.num_rows)]
    assert len(rows) == SIZES[name]
    assert len(np.unique(rows, axis=0)) == SIZES[name]
    assert {tuple(row) for row in rows.tolist()} == {tuple(row) for row in all_of(space).tolist()}


@pytest.mark.parametrize("space", SPACES)
def test_the_table_holds_every_setting_once(space):
    found, made = all_of(SPACES[space]), Space.of(SPACES[space])
    assert found.dtype == np.float32
    assert len(found) == SIZES[space]
    np.testing.assert_array_equal(np.unique(found, axis=0), np.unique(made.grid(1000), axis=0))
    np.testing.assert_array_equal(made.snap(jnp.asarray(found)), found)
    assert settings(made, SIZES[space] - 1) is None


def test_a_table_takes_no_longer_than_its_settings_though_the_combinations_are_without_number():
    parts = {f"p{i}": When("k", i, {"a": Int(1, 5), "b": Int(1, 2)}) for i in range(40)}
    space = Space.of({"k": list(range(40)), **parts})
    assert space.size == 40 * 10**40
    assert len(settings(space, 1000)) == 400


def test_a_continuous_space_has_no_table():
    assert settings(Space.of({"a": Int(0, 3), "b": Float(0, 1)}), 100) is None


@pytest.mark.parametrize(
    ("name", "num"),
    covered_by(
        ((n, num) for num, names in NUMBERS.items() for n in names), ((n, num) for n in EVERY for num in NUMBERS)
    ),
)
def test_a_tuner_asks_for_every_setting_once(name, num):
    space = "cube"
    past = asked_until_none_is_left(EVERY[name], space, num).result.history
    assert_every_setting_was_tried_once(past, space, SPACES[space])


@pytest.mark.parametrize(
    ("name", "space"),
    covered_by(
        ((n, s) for n, some in MANY.items() for s in some), ((n, s) for n in MANY for s in SPACES if s != "cube")
    ),
)
def test_so_it_is_in_a_space_of_any_kind_where_trials_run_on_and_fail(name, space):
    algorithm = EVERY.get(name, name)
    past = asked_until_none_is_left(algorithm, space, 3 if SIZES[space] < 100 else 8, untold=4).result.history
    assert_every_setting_was_tried_once(past, space, SPACES[space])


@pytest.mark.parametrize("name", EVERY)
def test_what_was_known_before_is_not_tried_again(name):
    space = Space.of(SPACES["cube"])
    prior = [(space.label(row), i % 7 or None) for i, row in enumerate(all_of(space)[::3])]
    past = asked_until_none_is_left(EVERY[name], "cube", 3, prior).result.history
    assert_every_setting_was_tried_once(past, "cube", space)


def objective(hparams, key):
    return sum((i + 1.0) * leaf.astype(jnp.float32) for i, leaf in enumerate(jax.tree.leaves(hparams)))


@pytest.mark.parametrize("name", covered_by(SEARCHED, [*EVERY, "auto"]))
def test_a_search_tries_every_setting_once(name):
    result = jaxhpt.minimize(
        objective, SPACES["cube"], algorithm=EVERY.get(name, name), trials=27, lanes=8, progress=False
    )
    assert_every_setting_was_tried_once(result.history, "cube", SPACES["cube"])


@pytest.mark.parametrize("name", ["genetic", "quasi_random", "screen"])
def test_a_space_that_is_searched_whole_is_searched_again(name):
    result = jaxhpt.minimize(objective, {"f": [1, 2, 3]}, algorithm=EVERY[name], trials=12, lanes=4, progress=False)
    rows = np.asarray(result.history.unit)
    assert len(rows) == 12
    assert sorted(rows[:3, 0].tolist()) == sorted(all_of({"f": [1, 2, 3]})[:, 0].tolist())


def test_a_grid_of_which_some_is_known_begins_with_the_rest():
    prior = [({"f": 1}, 1.0), ({"f": 3}, 3.0)]
    result = jaxhpt.minimize(objective, {"f": [1, 2, 3]}, algorithm="grid", prior=prior, lanes=1, progress=False)
    found = [t.hparams["f"] for t in result.trials if t.status == "done"]
    assert found[0] == 2
    assert sorted(found) == [1, 2, 3]


REPEATING = (Random(), Genetic(avoid_duplicates=False), GreyGuided(Random()), Chain(Random(), Random()))


@pytest.mark.parametrize("algorithm", REPEATING, ids=repr)
def test_who_means_to_repeat_does(algorithm):
    made = problem_of(SPACES["cube"])
    assert algorithm.may_repeat(made)
    past = history.empty_history(made, algorithm.note(made))
    state = algorithm.init(KEY, made)
    found, _ = jax.jit(propose, static_argnums=(0, 4, 5))(algorithm, KEY, state, past, made, 64, jnp.int32(64))
    plain, _ = jax.jit(algorithm.ask, static_argnums=(3, 4))(KEY, state, past, made, 64, jnp.int32(64))
    np.testing.assert_array_equal(found.unit, made.space.snap(plain.unit))


@pytest.mark.parametrize("algorithm", [*NAMED.values(), *COMBINED.values()], ids=repr)
def test_nobody_else_may(algorithm):
    assert not algorithm.may_repeat(problem_of(SPACES["cube"]))


def problem_of(space, trials=100):
    return Problem(Space.of(space), choose(("loss",)), trials=trials, lanes=8, schedule=Schedule(1, 1))


def tried(made, rows):
    """Return a history of which these rows have run."""
    return opened(made, np.asarray(rows, np.float32))


@functools.partial(jax.jit, static_argnums=0)
def opened(made, rows):
    ids = jnp.arange(len(rows), dtype=jnp.int32)
    return history.open_rows(history.empty_history(made), ids, rows, jnp.int32(0))


@functools.partial(jax.jit, static_argnames="problem")
def moved(key, found, past, problem, waiting=None):
    return untried(key, found, past, problem, waiting).unit


def test_what_repeats_goes_to_the_nearest_free_setting_and_what_is_new_stays():
    made = problem_of({"a": Int(0, 9), "k": ["x", "y"]})
    past = tried(made, [made.space.encode({"a": a, "k": "x"}) for a in (2, 3, 4)])
    rows = [{"a": a, "k": k} for a, k in ((3, "x"), (7, "y"), (4, "x"), (7, "y"), (5, "x"))]
    found = moved(KEY, proposals(jnp.stack([made.space.encode(row) for row in rows])), past, made)
    labels = made.space.labels(np.asarray(found))
    assert labels[1] == rows[1]
    assert labels[4] == rows[4]
    assert labels[0] == {"a": 1, "k": "x"}  # of those at a distance of 2, the one that no other proposal takes
    assert labels[2] == {"a": 6, "k": "x"}
    assert labels[3] in ({"a": 6, "k": "y"}, {"a": 8, "k": "y"})


def test_proposals_that_are_not_valid_take_nothing_and_those_that_wait_keep_their_places():
    made = problem_of({"a": Int(0, 3)})
    at = lambda *values: jnp.stack([made.space.encode({"a": a}) for a in values])  # noqa: E731
    waiting = proposals(at(0, 1), valid=jnp.array([True, False]))
    given = proposals(at(0, 2, 1, 3), valid=jnp.array([True, False, True, True]))
    found = np.asarray(moved(KEY, given, tried(made, at(3)), made, waiting))
    # The first goes to 2, as all others wait, run, or are proposed; for the last nothing is left.
    assert [label["a"] for label in made.space.labels(found)] == [2, 2, 1, 3]


def test_those_for_which_nothing_is_left_come_last_with_their_notes():
    made = problem_of({"a": Int(0, 2)})
    at = lambda *values: jnp.stack([made.space.encode({"a": a}) for a in values])  # noqa: E731
    given = proposals(at(1, 1, 1, 0, 2), jnp.arange(5, dtype=jnp.int32), jnp.arange(5) < 4)
    found = jax.jit(untried, static_argnums=3)(KEY, given, tried(made, at(1)), made)
    assert [label["a"] for label in made.space.labels(np.asarray(found.unit))] == [2, 0, 2, 1, 1]
    assert found.note.tolist() == [0, 3, 4, 1, 2]
    assert found.valid.tolist() == [True, True, False, True, True]


def test_the_first_settings_of_a_queue_are_not_proposed_again():
    made, algorithm = problem_of({"a": Int(0, 7)}), QuasiRandom()
    waiting = proposals(jnp.asarray(all_of({"a": Int(0, 7)})[:4]))
    state = algorithm.init(KEY, made)
    given = (algorithm, KEY, state, history.empty_history(made), made, 4, jnp.int32(4), waiting)
    found, _ = jax.jit(propose, static_argnums=(0, 4, 5))(*given)
    both = np.concatenate([waiting.unit, found.unit])
    assert len(np.unique(both, axis=0)) == 8


@pytest.mark.parametrize("trials", [100, 6000, 20_000])
def test_of_a_large_space_no_setting_is_proposed_twice_either(trials):
    made, table = problem_of(LARGE, trials), all_of(LARGE)
    assert len(table) == 19_800 > FEW
    known = min(trials, len(table) - 40)  # of the largest, 40 settings are left
    past = tried(made, np.random.default_rng(0).permutation(table)[:known])
    given = proposals(jnp.asarray(past.unit[:32]), valid=jnp.arange(32) < 30)
    found = np.asarray(moved(KEY, given, past, made))
    rows = {tuple(row) for row in np.asarray(past.unit[:known]).tolist()}
    new = {tuple(row) for row in found[:30].tolist()}
    assert len(new) == 30
    assert not new & rows
    np.testing.assert_array_equal(found[30:], given.unit[30:])
    np.testing.assert_array_equal(made.space.snap(jnp.asarray(found)), found)


def test_steps_from_a_repeat_lead_not_far_in_a_large_space():
    made = problem_of({"a": Int(0, 9999)})
    past = tried(made, [made.space.encode({"a": a}) for a in range(5000, 5008)])
    found = np.asarray(moved(KEY, proposals(past.unit[:8]), past, made))
    assert np.abs(found - 0.5).max() < 0.2


def test_where_nothing_is_left_proposals_stay():
    made = problem_of(SPACES["cube"])
    past = tried(made, all_of(SPACES["cube"]))
    found = moved(KEY, proposals(past.unit[:8]), past, made)
    np.testing.assert_array_equal(found, past.unit[:8])


def test_a_continuous_space_is_left_alone():
    """Nothing is traced for it, though it has repeats, too: settings without a continuous dimension."""
    made, algorithm = problem_of({"k": ["a", "b"], "w": When("k", "a", Float(0, 1))}), QuasiRandom()
    past, state = history.empty_history(made), algorithm.init(KEY, made)
    texts = [
        str(jax.make_jaxpr(lambda state, past, f=f: f(state, past))(state, past))
        for f in (
            lambda state, past: propose(algorithm, KEY, state, past, made, 4, jnp.int32(4))[0].unit,
            lambda state, past: made.space.snap(algorithm.ask(KEY, state, past, made, 4, jnp.int32(4))[0].unit),
        )
    ]
    assert "while" not in texts[0].replace(texts[1], "")
    assert texts[0].count("\n") <= texts[1].count("\n") + 10


def test_the_best_of_the_untried_come_first_on_a_shortlist():
    score = np.random.default_rng(0).normal(size=40).astype(np.float32)
    order = np.argsort(score)
    tried = np.isin(np.arange(40), order[:12])  # the best by far, if they were not tried
    kept = np.asarray(_promising(jnp.asarray(np.tile(score, (3, 1))), jnp.asarray(tried), 30))
    np.testing.assert_array_equal(np.sort(kept[:28]), np.sort(order[12:]))
    assert score[kept[0]] == score[~tried].min()
    assert tried[kept[28:]].all()


def test_tpe_draws_from_the_untried_only():
    made, table = problem_of(SPACES["mixed"]), all_of(SPACES["mixed"])
    past = tried(made, table[:99])
    density = jax.jit(estimate, static_argnums=2)(jnp.asarray(table[:4]), jnp.ones(4, bool), made.space)
    given = (KEY, density, past, jnp.asarray(table), 4000, made.space, jnp.float32(1.0))
    found = jax.jit(drawn_untried, static_argnums=(4, 5))(*given)
    assert not np.any(history.is_tried(past, found))
    _, counts = np.unique(np.asarray(found), axis=0, return_counts=True)
    chance = np.exp(np.asarray(log_density(density, jnp.asarray(table[99:]), made.space), np.float64))
    assert counts.max() / 4000 == pytest.approx(chance.max() / chance.sum(), rel=0.2)


def test_cma_es_does_not_take_a_moved_sample_for_what_it_drew():
    made = problem_of({"a": Int(0, 9)})
    sample = jnp.array([[0.31], [1.7], [0.31], [0.31]], jnp.float32)
    unit = made.space.snap(jnp.array([[0.31], [1.0], [0.85], [0.31]], jnp.float32))
    whose = Made(CMAESNote(sample, jnp.zeros(4, jnp.int32)), jnp.array([0, 0, 0, NOBODY], jnp.int8))
    rows = jnp.arange(4, dtype=jnp.int32)
    past = history.open_rows(history.empty_history(made, jaxhpt.CMAES().note(made)), rows, unit, jnp.int32(0), whose)
    drawn, own = _samples(past, made, rows)
    np.testing.assert_array_equal(drawn, sample)
    assert own.tolist() == [True, True, False, False]
