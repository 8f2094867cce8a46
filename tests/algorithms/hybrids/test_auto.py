"""Auto: which algorithm it is where, and that it is that algorithm to the bit."""

import functools
import itertools

import pytest

import jaxhpt
from jaxhpt import CMAES, NSGA2, TPE, Auto, Bayesian, Bool, Float, Genetic, Grid, Int, QuasiRandom, Screen, Space, When
from jaxhpt.algorithms import ALGORITHMS, Algorithm
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule

TABLE = {"a": Int(0, 3), "b": ["p", "q", "r"]}  # 12 settings
SPACES = {
    "table": TABLE,
    "256": {"a": Int(0, 15), "b": Int(0, 15)},
    "257": {"a": Int(0, 256)},
    "plane": {"x": Float(0, 1), "y": Float(0, 1)},
    "wide": {f"x{i}": Float(0, 1) for i in range(20)},
    "mixed": {"x": Float(0, 1), "n": Int(0, 3)},
    "conditional": {"on": Bool(), "w": When("on", True, {"n": Int(0, 4)})},  # 6 settings
}
GRID, PLAIN, BRED = Grid(points=256), Bayesian(), Screen(Genetic())


def problem(space, trials, objectives=1, lanes=4, prior=0, steps=1):
    names = tuple("abc"[:objectives])
    columns = choose(names, objectives=dict.fromkeys(names, "min"))
    return Problem(Space.of(space), columns, trials, lanes, Schedule(steps, 1, int(steps > 1)), prior=prior)


@pytest.mark.parametrize(
    ("space", "trials", "options", "expected"),
    [
        ("table", 12, {}, GRID),
        ("table", 5000, {"objectives": 2}, GRID),
        ("table", 11, {}, QuasiRandom()),  # cut short, a design is better than a part of a grid
        ("256", 256, {}, GRID),
        ("256", 255, {}, PLAIN),
        ("257", 1000, {}, PLAIN),
        ("plane", 1, {}, QuasiRandom()),
        ("plane", 16, {}, QuasiRandom()),  # twice the least design, 8
        ("plane", 16, {"objectives": 2}, QuasiRandom()),
        ("plane", 17, {}, PLAIN),
        ("wide", 80, {}, QuasiRandom()),  # twice 2 D
        ("wide", 81, {}, PLAIN),
        ("plane", 8, {"prior": 8}, QuasiRandom()),
        ("plane", 8, {"prior": 9}, PLAIN),
        ("plane", 64, {"lanes": 31, "prior": 1}, PLAIN),
        ("plane", 64, {"lanes": 32, "objectives": 2}, QuasiRandom()),
        ("plane", 65, {"lanes": 32, "objectives": 2}, PLAIN),
        ("conditional", 6, {}, GRID),
        ("conditional", 5, {}, QuasiRandom()),
        ("plane", 5000, {}, PLAIN),
        ("plane", 5000, {"lanes": 31}, PLAIN),
        ("plane", 5000, {"lanes": 32}, BRED),
        ("plane", 65, {"lanes": 32}, BRED),
        ("plane", 64, {"lanes": 32, "prior": 1}, BRED),
        ("257", 1000, {"lanes": 32}, BRED),
        ("plane", 5000, {"objectives": 2, "lanes": 32}, PLAIN),
        ("plane", 5001, {"objectives": 2, "lanes": 32}, NSGA2()),
        ("plane", 5001, {}, CMAES()),
        ("plane", 5001, {"steps": 2}, TPE()),  # judged before their end
        ("plane", 5000, {"steps": 2, "lanes": 32}, PLAIN),
        ("mixed", 5001, {}, TPE()),
        ("257", 5001, {}, TPE()),
    ],
)
def test_it_is_what_the_table_says(space, trials, options, expected):
    assert Auto().chosen(problem(SPACES[space], trials, **options)) == expected


def test_it_is_known_by_name_and_follows_the_protocol():
    assert ALGORITHMS["auto"] is Auto
    assert isinstance(Auto(), Algorithm)
    assert hash(Auto()) == hash(Auto())
    assert Auto() == Auto()


@pytest.mark.parametrize("trials", [12, 5001])
def test_its_notes_are_those_of_what_it_chose(trials):
    made = problem(SPACES["plane"], trials)
    assert Auto().note(made) == Auto().chosen(made).note(made)
    assert Auto().num_authors(made) == Auto().chosen(made).num_authors(made)
    assert Auto().note(problem(SPACES["plane"], 5001)) == CMAES().note(problem(SPACES["plane"], 5001))


@pytest.mark.parametrize(
    ("space", "points"), [("table", 12), ("256", 256), ("257", None), ("plane", None), ("conditional", 6)]
)
def test_it_has_an_end_where_there_are_few_settings(space, points):
    assert Auto().num_points(Space.of(SPACES[space])) == points


def table(h, key):
    return (h["a"] - 2.0) ** 2 + h["b"]


@functools.cache
def tabled(trials=None, algorithm="auto", events_per_dispatch="all", prior=None):
    options = {"lanes": 8, "progress": False, "events_per_dispatch": events_per_dispatch, "prior": prior}
    return jaxhpt.minimize(table, TABLE, algorithm=algorithm, trials=trials, **options)


def settings(result, first=0):
    return sorted((trial.hparams["a"], trial.hparams["b"]) for trial in result.trials[first:])


@pytest.mark.parametrize("trials", [None, 12, 100])
def test_a_space_of_few_settings_is_tried_whole_each_once(trials):
    result = tabled(trials)
    assert settings(result) == list(itertools.product(range(4), "pqr"))
    assert result.stats.trials == 12
    assert result.best.hparams == {"a": 2, "b": "p"}


def test_it_is_so_after_earlier_trials_too():
    result = tabled.__wrapped__(prior=[({"a": n, "b": "q"}, 5.0) for n in (0, 1, 2, 3, 3)])
    assert [t.status for t in result.trials] == ["prior"] * 5 + ["done"] * 12
    assert settings(result, 5) == list(itertools.product(range(4), "pqr"))


def test_it_is_the_algorithm_it_chose_to_the_bit(same_bits):
    same_bits(tabled().history, tabled(algorithm=GRID).history)
    same_bits(tabled().history, tabled(events_per_dispatch=1).history)


def test_a_tuner_asks_for_each_setting_once():
    tuner = jaxhpt.Tuner(TABLE, algorithm="auto", trials=40)
    while trials := tuner.ask(8):
        tuner.tell(trials, [float(table({**t.hparams, "b": "pqr".index(t.hparams["b"])}, None)) for t in trials])
    assert settings(tuner.result) == list(itertools.product(range(4), "pqr"))
    assert tuner.result.best.hparams == {"a": 2, "b": "p"}
