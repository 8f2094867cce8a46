"""Whole and real numbers of Python, NumPy and JAX are taken alike; booleans, text and arrays of several are not."""

import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.checks import number, plain, require_count, whole

EIGHTS = [8, np.int64(8), np.int32(8), np.uint8(8), np.array(8), jnp.int32(8), jnp.array(8, jnp.int32)]
NO_WHOLE = [True, np.bool_(True), np.array(True), jnp.bool_(True), 8.0, np.float32(8), "8", None, np.array([8])]


@pytest.mark.parametrize("value", EIGHTS, ids=lambda v: type(v).__name__)
def test_a_whole_number_of_any_library_becomes_an_int(value):
    for read in (require_count, whole, number):
        found = read("trials", value)
        assert found == 8
        assert type(found) is int


@pytest.mark.parametrize("value", NO_WHOLE, ids=repr)
def test_what_is_no_whole_number_is_refused(value):
    for read in (require_count, whole):
        with pytest.raises(TypeError, match=r"trials=.*must be an int"):
            read("trials", value)


def test_a_count_is_at_least_one_and_an_id_may_be_none_of_them():
    assert whole("trial", np.int64(0)) == 0
    with pytest.raises(ValueError, match="lanes=0: must be at least 1"):
        require_count("lanes", np.int64(0))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.1), 0.1),
        (jnp.float32(0.1), 0.1),
        (np.float16(0.5), 0.5),
        (jnp.bfloat16(0.25), 0.25),
        (np.float64(0.1), 0.1),
        (np.array(2.5), 2.5),
        (3, 3),
        (-0.0, 0.0),
    ],
)
def test_a_real_number_of_any_library_becomes_the_shortest_that_it_stands_for(value, expected):
    found = number("low", value)
    assert type(found) is type(expected)
    assert str(found) == str(expected)


@pytest.mark.parametrize("value", ["0.1", None, True, np.bool_(False), [1.0], np.ones(1), 1j, np.array("0.1")])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(TypeError, match=r"low=.*must be a number"):
        number("low", value)


def test_scalars_become_plain_within_tuples_and_other_things_stay():
    found = plain((np.int64(1), (jnp.float32(0.1), "a"), None))
    assert found == (1, (0.1, "a"), None)
    assert type(found[0]) is int
    array = np.ones(2)
    assert plain(array) is array


def test_settings_keep_plain_ints():
    eight = np.int64(8)
    settings = [
        (jaxhpt.Genetic(population=eight, elites=np.int64(2)), ("population", "elites")),
        (jaxhpt.DifferentialEvolution(population=eight), ("population",)),
        (jaxhpt.CMAES(population=eight, restarts=np.int64(1)), ("population", "restarts")),
        (jaxhpt.TPE(initial=eight, num_good=eight, candidates=eight), ("initial", "num_good", "candidates")),
        (jaxhpt.Grid(points=eight), ("points",)),
        (jaxhpt.Chain(jaxhpt.Random(), jaxhpt.Genetic(), trials=eight), ("trials",)),
        (jaxhpt.ASHA(eta=eight, min_steps=eight), ("eta", "min_steps")),
        (jaxhpt.Hyperband(brackets=eight), ("brackets",)),
        (jaxhpt.MedianStop(min_steps=eight, min_trials=eight), ("min_steps", "min_trials")),
        (jaxhpt.EarlyStopping(patience=eight, eval_interval=eight), ("patience", "eval_interval")),
    ]
    for made, fields in settings:
        for field in fields:
            assert type(getattr(made, field)) is int, (made, field)


def test_a_search_takes_whole_numbers_of_numpy():
    result = jaxhpt.minimize(
        lambda h, key: 1.0 * h["x"], {"x": jaxhpt.Int(np.int64(-4), np.int32(4))}, algorithm="random",
        trials=np.int64(8), lanes=np.int32(4), interval=np.int64(1), events_per_dispatch=np.int64(2), progress=False,
    )  # fmt: skip
    assert result.stats.trials == 8
    assert type(result._problem.capacity) is int
    assert len(jaxhpt.Tuner({"x": [1, 2]}, trials=np.int64(2), lanes=np.int64(2)).ask(np.int64(2))) == 2
