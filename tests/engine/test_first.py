"""Settings that a user wants to be tried before what the algorithm proposes."""

import numpy as np
import pytest
from covering import covered_by

import jaxhpt
from jaxhpt import Float, Int, When

SPACE = {"x": Float(0, 1), "n": Int(1, 4)}
FIRST = [{"x": 0.25, "n": 3}, {"x": 0.5, "n": 1}, {"x": 0.75, "n": 4}]


def loss(h):
    return (h["x"] - 0.5) ** 2 + h["n"]


def run(**options):
    return jaxhpt.minimize(loss, SPACE, **{"trials": 16, "lanes": 2, "progress": False, "first": FIRST, **options})


ALGORITHMS = ("random", "quasi_random", "genetic", "bayesian", "cma_es", "grid")


@pytest.mark.parametrize("algorithm", covered_by(["quasi_random", "genetic", "bayesian", "grid"], ALGORITHMS))
def test_they_are_the_first_trials_and_count_as_such(algorithm):
    result = run(algorithm=jaxhpt.CMAES(population=4) if algorithm == "cma_es" else algorithm)
    assert [t.hparams for t in result.trials[:3]] == FIRST
    assert result.stats.trials == 16
    assert result.trials[1].value == 1.0
    units = {tuple(row) for row in np.asarray(result.history.unit)}
    assert len(units) == 16 or algorithm == "grid"  # which has the corners of its own


@pytest.mark.parametrize("lanes", [1, 3, 8])
def test_they_come_first_whatever_the_lanes(lanes):
    result = run(lanes=lanes, algorithm="quasi_random")
    assert [t.hparams for t in result.trials[:3]] == FIRST


def test_what_was_known_is_tried_again_where_it_is_wanted():
    space, known = {"x": Int(1, 8)}, [({"x": 3}, 3.0)]
    result = jaxhpt.minimize(
        lambda h: h["x"] * 1.0, space, algorithm="genetic", trials=4, lanes=2, prior=known, progress=False,
        first=[{"x": 3}, {"x": 5}],
    )  # fmt: skip
    assert [t.hparams["x"] for t in result.trials[:3]] == [3, 3, 5]
    assert len({t.hparams["x"] for t in result.trials}) == 4


def test_a_grid_is_walked_to_its_end_after_them():
    space = {"n": Int(1, 4), "m": Int(1, 3)}
    first = [{"n": 2, "m": 2}]
    result = jaxhpt.minimize(lambda h: h["n"] * 10 + h["m"], space, algorithm="grid", first=first, progress=False)
    assert result.trials[0].hparams == first[0]
    assert len({tuple(t.hparams.values()) for t in result.trials}) == 12


def test_a_tuner_asks_for_them_first_and_other_settings_of_a_finite_space_after_them():
    space = {"n": Int(1, 3), "m": Int(1, 3)}
    tuner = jaxhpt.Tuner(
        space, algorithm="genetic", trials=9, first=[{"n": 1, "m": 1}, {"n": 3, "m": 2}], progress=False
    )
    seen = []
    while asked := tuner.ask(2):
        seen += [tuple(a.hparams.values()) for a in asked]
        tuner.tell(asked, [a.hparams["n"] - a.hparams["m"] for a in asked])
    assert seen[:2] == [(1, 1), (2, 3)]  # by name: m, n
    assert len(set(seen)) == 9


def test_they_come_after_what_was_known_and_trials_may_be_given():
    earlier = run(trials=4, first=())
    result = run(trials=4, first=earlier.top(1), prior=earlier)
    assert result.trials[4].hparams == earlier.top(1)[0].hparams
    assert [t.status for t in result.trials] == ["prior"] * 4 + ["done"] * 4


@pytest.mark.parametrize(
    ("first", "error", "message"),
    [
        ({"x": 0.1, "n": 1}, TypeError, r"must be a list of settings, such as \[\{'lr': 0.01\}\]"),
        ([{"x": 2.0, "n": 1}], ValueError, r"first\[0\]: x: value=2.0: must be within \[0, 1\]"),
        ([{"x": 0.5}], ValueError, r"first\[0\]: hparams=.*structure of the space"),
        ([{"x": 0.5, "n": 1}, {"x": 0.5, "n": 1}], ValueError, r"first\[1\]=.*another setting than those before"),
        ([{"x": 0.1 * i, "n": 1} for i in range(9)], ValueError, "no more settings than the 8 trials"),
        ([{"x": 0.5, "n": 1.5}], ValueError, r"first\[0\]: n"),
    ],
)
def test_what_does_not_fit_is_refused(first, error, message):
    with pytest.raises(error, match=message):
        run(first=first, trials=8)


def test_conditional_parts_are_written_as_in_results():
    space = {"opt": ["sgd", "adam"], "b2": When("opt", "adam", Float(0.9, 0.99))}
    first = [{"opt": "sgd", "b2": None}, {"opt": "adam", "b2": 0.95}]
    result = jaxhpt.minimize(
        lambda h: h["b2"] + (h["opt"] == "adam"), space, trials=4, algorithm="random", first=first, progress=False
    )
    assert [t.hparams for t in result.trials[:2]] == first
