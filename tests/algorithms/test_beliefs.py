"""Beliefs: what is drawn around them, how they are weighed and how they fade, and that without any nothing changes."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxhpt
from jaxhpt import Bool, Choice, Float, Int, Space, When
from jaxhpt.algorithms import beliefs
from jaxhpt.core.encoded import encoded

MIXED = {
    "lr": Float(1e-5, 1e-1, log=True, near=1e-3, trust="high"),
    "x": Float(-1.0, 1.0, near=0.9),
    "free": Float(0.0, 1.0),
    "n": Int(1, 8, near=2),
    "wide": Int(8, 512, log=True, near=64, trust="high"),
    "act": Choice(["relu", "tanh", "gelu"], near="tanh", trust="high"),
    "size": Choice([16, 32, 64], near=32),
    "flag": Bool(near=True),
    "sub": When("act", "relu", {"slope": Float(0.0, 1.0, near=0.25)}),
}
SPACE = Space.of(MIXED)


def bowl(at):
    """Return a function whose best place is `at` in both dimensions."""
    return lambda h, key: (h["a"] - at) ** 2 + (h["b"] - at) ** 2


def square(near=None, trust=None):
    return {name: Float(0.0, 1.0, near=near, trust=trust) for name in ("a", "b")}


def column(name):
    return SPACE.names.index(name)


@pytest.mark.parametrize("space", [SPACE, encoded(SPACE), SPACE.bare()], ids=["own", "encoded", "bare"])
def test_beliefs_are_places_and_stay_with_every_form_of_a_space(space):
    row = SPACE.encode({
        "lr": 1e-3, "x": 0.9, "free": 0.5, "n": 2, "wide": 64, "act": "tanh", "size": 32, "flag": True,
        "sub": {"slope": None},
    })  # fmt: skip
    there = {i: belief for i, belief in enumerate(space.beliefs) if belief is not None}
    assert set(there) == set(range(space.num_dimensions)) - {column("free")}
    for i, belief in there.items():
        expected = 0.25 if i == column("sub.slope") else row[i]
        assert belief.unit == pytest.approx(expected, abs=1e-6)
        assert belief.high == (SPACE.names[i] in ("lr", "wide", "act"))
    assert hash(space) != hash(Space.of({name: part for name, part in MIXED.items() if name != "lr"}))


def test_a_space_without_beliefs_has_none():
    assert Space.of(square()).beliefs == ()
    assert Space.of(square(0.5)) != Space.of(square())
    assert Space.of(square(0.5)) == Space.of(square(0.5, "low"))


def test_a_belief_is_written():
    assert repr(Float(0.0, 1.0, near=0.5)) == "Float(low=0.0, high=1.0, log=False, step=None, near=0.5, trust='low')"
    assert str(SPACE.dimensions[column("flag")]) == "Bool(near=True, trust='low')"
    assert "near" not in repr(SPACE.dimensions[column("free")])
    for dimension in SPACE.dimensions:
        assert eval(repr(dimension)) == dimension or isinstance(dimension, Choice)


def test_draws_have_the_distribution_that_is_believed_in():
    num = 20_000
    rng = np.random.default_rng(0)
    unit = jnp.asarray(rng.uniform(size=(num, SPACE.num_dimensions)), jnp.float32)
    for chance, leaning in ((0.0, ("lr", "x")), (0.6, ("lr",)), (0.9, ())):
        found = np.asarray(beliefs.leaned(unit, jnp.full(num, chance, jnp.float32), SPACE))
        for name, centre, width in (("lr", 0.5, 0.1), ("x", 0.95, 0.2)):
            wanted = stats.truncnorm(-centre / width, (1 - centre) / width, centre, width)
            wanted = wanted if name in leaning else stats.uniform()
            assert stats.kstest(found[:, column(name)], wanted.cdf).statistic < 0.02
        share = np.mean(np.asarray(SPACE.dimensions[column("act")].level(found[:, column("act")])) == 1)
        assert share == pytest.approx(0.8 + 0.2 / 3 if chance < 0.75 else 1 / 3, abs=0.02)
        np.testing.assert_array_equal(found[:, column("free")], unit[:, column("free")])


@pytest.mark.parametrize("left", [1.0, 0.3])
def test_the_density_is_that_of_the_draws(left):
    space = Space.of({"a": Float(0, 1, near=0.8, trust="high"), "b": Float(0, 1, near=0.1), "c": Float(0, 1)})
    axis = (np.arange(200) + 0.5) / 200
    rows = np.stack(np.meshgrid(axis, axis, [0.5], indexing="ij"), axis=-1).astype(np.float32)
    density = np.exp(np.asarray(beliefs.log_belief(jnp.asarray(rows), jnp.float32(left), space), np.float64))
    assert density.mean() == pytest.approx(1.0, abs=1e-3)
    assert density.min() >= (1 - 0.75 * left) * 0.999
    best = np.unravel_index(density[..., 0].argmax(), (200, 200))
    assert [axis[i] for i in best] == pytest.approx([0.8, 0.1], abs=0.01)


def test_an_inactive_dimension_has_no_say():
    on, off = (
        SPACE.snap(jnp.full((1, SPACE.num_dimensions), 0.5, jnp.float32).at[0, column("act")].set(place))
        for place in (1 / 6, 0.5)
    )
    moved = off.at[0, column("sub.slope")].set(0.1)
    one = jnp.float32(1.0)
    assert beliefs.log_belief(off, one, SPACE) == beliefs.log_belief(moved, one, SPACE)
    there = on.at[0, column("sub.slope")].set(0.25)
    assert beliefs.log_belief(there, one, SPACE) > beliefs.log_belief(on, one, SPACE)


def test_influence_fades_with_trials():
    unit, trials = jnp.array([[0.5, 0.5]], jnp.float32), jnp.arange(1, 200, dtype=jnp.int32)
    space = Space.of(square(0.5, "high"))
    weights = [float(beliefs.weighed(unit, n, 10.0, space)[0]) for n in trials[::20]]
    expected = [float(beliefs.log_belief(unit, jnp.float32(1.0), space)[0]) * 10 / int(n) for n in trials[::20]]
    np.testing.assert_allclose(weights, expected, rtol=1e-5)
    assert beliefs.fading(jnp.array([0, 32, 96], jnp.int32)).tolist() == [1.0, 0.5, 0.25]


@pytest.mark.parametrize(
    "algorithm", ["random", "quasi_random", "genetic", "differential_evolution", "tpe", "bayesian"]
)
def test_first_trials_lean_to_a_belief(algorithm):
    result = jaxhpt.minimize(bowl(0.2), square(0.8, "high"), algorithm=algorithm, trials=32, lanes=8, progress=False)
    rows = np.array([[t.hparams["a"], t.hparams["b"]] for t in result.trials])
    near = np.abs(rows - 0.8).max(axis=1) < 0.2
    first, least = (32, 9) if algorithm == "random" else (8, 3)
    assert near[:first].sum() >= least  # of uniform ones a sixth
    if algorithm != "random":
        np.testing.assert_allclose(rows[0], 0.8, rtol=1e-6)


@pytest.mark.parametrize("algorithm", ["tpe", "bayesian", "cma_es"])
def test_a_wrong_belief_does_not_keep_a_search_from_the_best(algorithm):
    result = jaxhpt.minimize(bowl(0.1), square(0.9, "high"), algorithm=algorithm, trials=64, lanes=8, progress=False)
    assert math.sqrt(result.best.value) < 0.15


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(0.0, 1.0, near=2.0), r"Float near: value=2\.0: must be within \[0\.0, 1\.0\]"),
        (lambda: Float(0.0, 1.0, step=0.25, near=0.3), r"Float near: value=0\.3: must be a step"),
        (lambda: Int(1, 8, near=9), r"Int near: value=9: must be within \[1, 8\]"),
        (lambda: Int(1, 8, log=True, near=2.5), r"Int near: value=2\.5: must be a whole number"),
        (lambda: Choice(["a", "b"], near="c"), r"Choice near: value='c': must be one of"),
        (lambda: Bool(near=1), r"Bool near: value=1: must be one of"),
        (lambda: Float(0.0, 1.0, near=0.5, trust="hig"), r"Float trust='hig': must be 'low' or 'high'; did you mean"),
        (lambda: Float(0.0, 1.0, near=0.5, trust=0.9), r"Float trust=0\.9: must be 'low' or 'high'"),
        (lambda: Int(1, 8, trust="low"), r"Int trust='low': must be left out, or say near="),
        (lambda: Bool(trust="high"), r"Bool trust='high': must be left out"),
    ],
)
def test_a_belief_that_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_place_that_is_no_number_is_refused():
    with pytest.raises(TypeError, match=r"Float near: value='x'"):
        Float(0.0, 1.0, near="x")
