"""Importance on functions whose answer is known, beside scikit-learn; the compromise on fronts worked by hand."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

import jaxhpt
from jaxhpt.core.history import Status

METHODS = ["permutation", "grey"]
every_method = pytest.mark.parametrize("method", METHODS)
TRIALS = 96


def told(space, function, trials=TRIALS, seed=0, **options):
    """Evaluate random settings outside JAX; None is a failure."""
    tuner = jaxhpt.Tuner(space, algorithm="random", trials=trials, seed=seed, **options)
    asked = tuner.ask(trials)
    tuner.tell(asked, [function(trial.hparams) for trial in asked])
    return tuner.result


SPACE = {  # one for all, so that each method is compiled once
    "c": ["a", "b", "c"],
    "w": jaxhpt.When("c", ["b", "c"], {"u": jaxhpt.Float(0, 1)}),
    "x": jaxhpt.Float(0, 1),
    "y": jaxhpt.Float(0, 1),
    "idle": jaxhpt.Int(1, 8),
}


@functools.cache
def plain():
    """Variances: 4.05 of x, whose optimum is inside, .33 of y, none of the others."""
    return told(SPACE, lambda h: 27 * (h["x"] - 0.5) ** 2 + 2 * h["y"])


@every_method
def test_known_effects_come_in_their_order_and_what_has_none_has_little(method):
    shares = plain().importance(method)
    assert set(shares) == {"c", "w.u", "x", "y", "idle"}
    assert list(shares)[:2] == ["x", "y"]
    assert shares["x"] > 0.7
    assert shares["idle"] + shares["c"] + shares["w.u"] < 0.06
    assert sum(shares.values()) == pytest.approx(1.0)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert plain().importance(method) == shares


@every_method
def test_choices_and_conditional_parts_have_their_share(method):
    shares = told(SPACE, lambda h: (3.0 if h["c"] == "a" else 8 * (h["w"]["u"] - 0.4) ** 2) + 0.2 * h["y"]).importance(
        method
    )
    assert list(shares)[:2] == ["c", "w.u"]
    assert shares["x"] + shares["idle"] < 0.06


def test_only_shuffling_sees_what_two_dimensions_do_together():
    result = told(SPACE, lambda h: (h["x"] - 0.5) * (h["y"] - 0.5))
    shares = result.importance()
    assert min(shares["x"], shares["y"]) > 0.35
    assert result.importance("grey") != pytest.approx(shares, abs=0.1)


def test_the_order_is_that_of_scikit_learn():
    result = told(SPACE, lambda h: 9 * (h["x"] - 0.5) ** 2 + 1.2 * h["y"] + 0.7 * (h["c"] == "b"))
    unit, score = result.history.unit, result.history.metrics[:, 0]
    model = RandomForestRegressor(100, random_state=0).fit(unit, score)
    theirs = permutation_importance(model, unit, score, n_repeats=8, random_state=0).importances_mean
    names = result.space.names
    assert list(result.importance())[:3] == [names[i] for i in np.argsort(-theirs)[:3]] == ["x", "y", "c"]


@every_method
def test_failures_count_as_the_worst(method):
    result = told(SPACE, lambda h: None if h["y"] > 0.5 else 0.1 * h["x"])
    shares = result.importance(method)
    assert next(iter(shares)) == "y"
    assert np.isfinite(list(shares.values())).all()


@every_method
def test_where_all_is_equal_so_are_the_shares(method):
    assert told(SPACE, lambda h: 1.0).importance(method) == dict.fromkeys(plain().space.names, 0.2)


def test_each_objective_has_its_own_and_direction_does_not_matter():
    result = told(
        {"x": jaxhpt.Float(0, 1), "y": jaxhpt.Float(0, 1)},
        lambda h: {"gain": -((h["x"] - 0.5) ** 2), "cost": h["y"] ** 2},
        objectives={"gain": "max", "cost": "min"},
    )
    assert next(iter(result.importance("grey"))) == "x"
    assert next(iter(result.importance("grey", objective="cost"))) == "y"
    with pytest.raises(ValueError, match=r"objective='costs': unknown; did you mean 'cost'\? choose one of"):
        result.importance(objective="costs")


def test_a_search_on_device_has_importance_too_and_one_dimension_has_all():
    result = jaxhpt.minimize(lambda h, key: h["x"] ** 2, {"x": jaxhpt.Float(0, 1)}, trials=16, progress=False)
    assert result.importance("grey") == {"x": 1.0}


def test_trials_that_were_stopped_count_by_how_far_they_came():
    """What remains after t steps depends on the rate; a score says little without its steps."""
    task = jaxhpt.Task(
        init=lambda key, h: jnp.float32(2.0),
        step=lambda w, batch, h, key: w * (1 - 0.1 * h["rate"]) + 0.0 * h["idle"],
        evaluate=lambda w, data, h: {"loss": w},
        steps=27,
    )
    space = {"idle": jaxhpt.Float(0, 1), "rate": jaxhpt.Float(0, 1)}
    stop = jaxhpt.ASHA(min_steps=3)
    result = jaxhpt.search(task, space, trials=96, lanes=16, scheduler=stop, algorithm="random", progress=False)
    assert (result.history.status == Status.STOPPED).sum() > 48
    assert result.importance()["rate"] > 0.9
    few = result.history._replace(status=np.full_like(result.history.status, Status.STOPPED))
    with pytest.raises(ValueError, match=r"0 trials ended .*'permutation' counts stopped trials, too"):
        dataclasses.replace(result, history=few).importance("grey")


def test_errors_name_the_remedy():
    with pytest.raises(ValueError, match=r"method='gray': unknown; did you mean 'grey'\? choose one of"):
        plain().importance("gray")
    with pytest.raises(ValueError, match="7 trials ended with a finite objective, 8 are needed; run more trials"):
        told(SPACE, lambda h: h["x"], trials=7).importance()


# The front by hand: error and size over (0, 3), (1, 1), (3, 0); images (1, 0), (2/3, 2/3), (0, 1); coefficients
# 1/2 / (d + 1/2): (1, 1/3), (3/5, 3/5), (1/3, 1). Equal weights: 2/3, 3/5, 2/3; the first by error wins the tie.
POINTS = {"a": (0.0, 3.0), "b": (1.0, 1.0), "c": (3.0, 0.0), "d": (3.0, 3.0)}


def fronted(points, scale=(1.0, 1.0), signs=("min", "min"), **options):
    names = list(points)
    tuner = jaxhpt.Tuner(
        {"p": names}, algorithm="grid", objectives={"error": signs[0], "size": signs[1]}, trials=len(names), **options
    )
    asked = tuner.ask(len(names))
    values = [np.array(points[t.hparams["p"]]) * scale for t in asked]
    tuner.tell(asked, [{"error": float(e), "size": float(s)} for e, s in values])
    return tuner.result


def chosen(result, weights=None):
    return result.compromise(weights).hparams["p"]


def test_the_compromise_is_the_one_worked_by_hand():
    assert chosen(fronted(POINTS)) == "a"
    assert chosen(fronted({**POINTS, "b": (0.5, 0.5)})) == "b"


WEIGHTS = [
    ({"error": 1, "size": 0}, "a"),
    ({"error": 2, "size": 1}, "a"),
    ({"error": 1, "size": 1.1}, "c"),
    ({"size": 2}, "c"),
]


@pytest.mark.parametrize(("weights", "name"), WEIGHTS)
def test_weights_move_the_choice_to_the_ends(weights, name):
    assert chosen(fronted(POINTS), weights) == name


def test_units_and_directions_do_not_matter():
    points = {**POINTS, "b": (0.5, 0.5)}
    assert chosen(fronted(points, scale=(1e6, 1e-4))) == "b"
    assert chosen(fronted(points, scale=(-1.0, 5.0), signs=("max", "min"))) == "b"


def test_with_one_objective_the_compromise_is_the_best():
    result = plain()
    assert result.compromise().id == result.best.id
    assert result.compromise({"score": 3.0}).id == result.best.id


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"eror": 1}, r"'eror' is no objective; did you mean 'error'\?"),
        ({"error": -1}, r"weights\['error'\]=-1: must be a finite number, at least 0"),
        ({"error": float("nan")}, "must be a finite number"),
        ({"error": 0, "size": 0}, "must be above 0 for one objective at least"),
        ({}, "must be above 0"),
    ],
)
def test_wrong_weights_are_named(weights, message):
    with pytest.raises(ValueError, match=message):
        fronted(POINTS).compromise(weights)


def test_an_empty_front_has_no_compromise():
    result = fronted(POINTS, constraints={"size": ("<=", -1.0)})
    with pytest.raises(RuntimeError, match="no trial is done and feasible"):
        result.compromise()
