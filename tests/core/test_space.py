"""Space: properties of random nested spaces, conditions, constants, grids and errors."""

import copy
import dataclasses
import math
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxhpt import Bool, Choice, Float, Int, Space, When

ROWS = 8
seeds = st.integers(0, 2**31 - 1)
repeatable = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def ints(step):
    return st.builds(lambda low, n, k: Int(low, low + n * k, step=k), st.integers(-9, 9), st.integers(1, 40), step)


floats = st.one_of(
    st.builds(lambda low, width: Float(low, low + width), st.integers(-9, 9), st.integers(1, 9)),
    st.builds(lambda low, factor: Float(low, low * factor, log=True), st.floats(1e-6, 1.0), st.integers(2, 10_000)),
    st.builds(lambda low, n: Float(low, low + n * 0.25, step=0.25), st.integers(-9, 9), st.integers(1, 40)),
)
logs = st.sampled_from([Int(1, 2, log=True), Int(3, 500, log=True), Int(60_000, 60_100, log=True)])
choices = st.sampled_from([[1, 2, 3], Choice(["a", "b"]), Choice([0.1, 1.0, 7]), Bool(), Choice([(8,), (8, 8), None])])
dimensions = st.one_of(floats, ints(st.just(1)), ints(st.integers(2, 5)), logs, choices)
constants = st.sampled_from([3, 2.5, "relu", None, np.tanh, frozenset({1})])


def conditional(parts):
    """A sibling Choice that decides, and a part that exists for some of its values."""
    wanted = st.sampled_from(["p", ["q", "r"]])
    return st.builds(lambda value, part: {"kind": ["p", "q", "r"], "part": When("kind", value, part)}, wanted, parts)


def nested(parts):
    keys = st.sampled_from("abcd")
    return st.one_of(st.dictionaries(keys, parts, min_size=1, max_size=3), st.tuples(parts, parts), conditional(parts))


trees = st.recursive(st.one_of(dimensions, constants), nested, max_leaves=6)
# A conditional part and one plain dimension are in every space, so that none is empty.
spaces = st.builds(lambda a, b, c: Space.of({"x": a, "sub": b, "rest": c}), dimensions, conditional(dimensions), trees)


def rows(space, seed):
    shape = (ROWS, space.num_dimensions)
    return jnp.asarray(np.random.default_rng(seed).uniform(-0.05, 1.05, shape), jnp.float32)


def assert_same_bits(a, b):
    np.testing.assert_array_equal(np.asarray(a).view(np.uint32), np.asarray(b).view(np.uint32))


@repeatable
@given(spaces, seeds)
def test_snapping_twice_is_snapping_once_to_the_bit(space, seed):
    snapped = space.snap(rows(space, seed))
    assert snapped.dtype == jnp.float32
    assert bool(jnp.all((snapped >= 0) & (snapped <= 1)))
    assert_same_bits(space.snap(snapped), snapped)


@repeatable
@given(spaces, seeds)
def test_a_snapped_row_decodes_to_the_same_values_where_they_exist(space, seed):
    unit = jnp.clip(rows(space, seed), 0.0, 1.0)
    snapped = space.snap(unit)
    active = np.asarray(space.active(unit))
    np.testing.assert_array_equal(active, space.active(snapped))
    for i, (before, after) in enumerate(zip(space.values(unit), space.values(snapped), strict=True)):
        assert before.dtype == after.dtype == space.dimensions[i].dtype
        np.testing.assert_array_equal(np.asarray(before)[active[:, i]], np.asarray(after)[active[:, i]])


@repeatable
@given(spaces, seeds)
def test_encoding_a_label_gives_the_row_back(space, seed):
    snapped = space.snap(rows(space, seed))
    for row, label in zip(snapped, space.labels(snapped), strict=True):
        again = space.encode(label)
        for i, dimension in enumerate(space.dimensions):
            if dimension.levels is None:
                np.testing.assert_allclose(again[i], row[i], atol=1e-5)
            else:
                assert_same_bits(again[i], row[i])


@repeatable
@given(spaces, seeds)
def test_rows_that_differ_only_where_nothing_exists_are_one_row(space, seed):
    unit = rows(space, seed)
    other = jnp.where(space.active(space.snap(unit)), unit, rows(space, seed + 1))
    assert_same_bits(space.snap(other), space.snap(unit))


@repeatable
@given(spaces, seeds)
def test_what_does_not_exist_rests_at_one_value_and_shows_none(space, seed):
    snapped = np.asarray(space.snap(rows(space, seed)))
    labels = space.label_rows(snapped)
    for unit, label, active in zip(snapped, labels, np.asarray(space.active(snapped)), strict=True):
        for i in np.flatnonzero(~active):
            assert label[i] is None
            assert_same_bits(unit[i], space.dimensions[i].snap(jnp.float32(0.5)))


@pytest.fixture(scope="module")
def deep():
    """Return a space with nested conditions, a tuple and constants."""
    return Space.of(
        {
            "opt": {
                "rule": ["sgd", "adam", "lion"],
                "lr": Float(0.0, 1.0),
                "adam": When("rule", ["adam", "lion"], {"b1": Float(0.0, 1.0), "fancy": Bool()}),
                "extra": When("opt.adam.fancy", True, Int(1, 4)),
            },
            "layers": (Int(1, 8), Choice([8, 16])),
            "name": "net",
        }
    )


def test_a_space_keeps_its_names_its_structure_and_its_constants(deep):
    expected = ("layers.0", "layers.1", "opt.adam.b1", "opt.adam.fancy", "opt.extra", "opt.lr", "opt.rule")
    assert deep.names == expected
    hparams = deep.decode(jnp.full((3, 7), 0.4, jnp.float32))
    assert hparams["name"] == "net"
    assert type(hparams["layers"]) is tuple
    assert hparams["opt"]["lr"].shape == (3,)
    assert hparams["opt"]["adam"]["fancy"].dtype == jnp.bool_
    assert deep.size is None
    assert Space.of({"a": [1, 2, 3], "b": Int(0, 4)}).size == 15


def test_a_constant_reaches_the_user_as_the_very_object():
    marks = {"f": np.tanh, "n": None, "s": "relu", "i": 3, "t": (1, 2.5)}
    decoded = Space.of({"x": Float(0, 1), **marks}).decode(jnp.zeros((1,), jnp.float32))
    del decoded["x"]
    assert decoded == marks
    assert type(decoded["i"]) is int


def test_a_nested_condition_exists_only_under_all_its_parents(deep):
    names = list(deep.names)
    row = {"rule": "adam", "lr": 0.5, "adam": {"b1": 0.25, "fancy": True}, "extra": 3}
    for change, exists in [
        ({}, {"opt.adam.b1", "opt.adam.fancy", "opt.extra"}),
        ({"adam": {"b1": 0.25, "fancy": False}, "extra": None}, {"opt.adam.b1", "opt.adam.fancy"}),
        ({"rule": "sgd", "adam": {"b1": None, "fancy": None}, "extra": None}, set()),
    ]:
        unit = deep.encode({"opt": {**row, **change}, "layers": (2, 16), "name": "net"})
        active = {n for n, a in zip(names, deep.active(jnp.asarray(unit)), strict=True) if a}
        assert active - {"layers.0", "layers.1", "opt.lr", "opt.rule"} == exists
        assert deep.label(unit)["opt"] == {**row, **change}


def test_a_parent_is_a_sibling_first_and_a_path_from_the_root_else():
    space = Space.of(
        {
            "kind": ["x", "y"],
            "sub": {"kind": ["s", "t"], "near": When("kind", "t", Int(1, 2))},
            "other": {"far": When("sub.kind", "s", Int(1, 2)), "top": When("kind", "y", Int(1, 2))},
        }
    )
    parents = {n: space.names[c[0].parent] for n, c in zip(space.names, space.conditions, strict=True) if c}
    assert parents == {"sub.near": "sub.kind", "other.far": "sub.kind", "other.top": "kind"}


def test_a_condition_on_several_values_or_on_a_switch_holds_for_each():
    space = Space.of(
        {"a": [1, 2, 3], "b": When("a", [1, 3], Float(0, 1)), "c": Bool(), "d": When("c", True, Int(0, 3))}
    )
    unit = jnp.asarray([[(i + 0.5) / 3, 0.1, c, 0.1] for i in range(3) for c in (0.2, 0.8)], jnp.float32)
    active = np.asarray(space.active(unit))
    np.testing.assert_array_equal(active[:, 1], [True, True, False, False, True, True])
    np.testing.assert_array_equal(active[:, 3], [False, True] * 3)


def test_snapping_gives_the_same_bits_alone_in_a_batch_and_compiled():
    space = Space.of({"i": Int(0, 6), "l": Int(1, 7, log=True), "c": When("b", True, [1, 2, 3]), "b": Bool()})
    unit = rows(space, 5)
    snapped = space.snap(unit)
    assert_same_bits(jax.jit(space.snap)(unit), snapped)
    assert_same_bits(jax.vmap(space.snap)(unit), snapped)
    for row, label, want in zip(unit, space.labels(snapped), snapped, strict=True):
        assert_same_bits(space.snap(row), want)
        assert_same_bits(space.encode(label), want)


def test_spaces_are_equal_by_value():
    def build(constant=1, values=(1, 2), high=1.0):
        return Space.of({"x": Float(0.0, high), "c": constant, "v": list(values), "w": When("v", values[0], Int(0, 3))})

    assert build() == build()
    assert hash(build()) == hash(build())
    different = [build(2), build(1.0), build(True), build(values=(2, 1)), build(values=(1.0, 2.0)), build(high=2.0)]
    assert all(build() != other for other in different)
    assert build(values=(0, 1)) != build(values=(False, True))
    assert Space.of(build()) == build()


@pytest.mark.parametrize(
    "constants",
    [
        [1, 1.0, True, np.int32(1)],
        [(1,), (1.0,), (True,)],
        [0.0, -0.0],
        [("a", (1,)), ("a", (1.0,))],
        [frozenset({1}), frozenset({1.0})],
    ],
    ids=repr,
)
def test_constants_and_values_that_differ_in_type_alone_make_other_spaces(constants):
    spaces = [Space.of({"x": Float(0, 1), "c": constant}) for constant in constants]
    assert len(set(spaces)) == len(constants)
    choices = [Space.of([constant]) for constant in constants if not isinstance(constant, np.generic)]
    assert len(set(choices)) == len(choices)


def test_a_space_pickles_and_copies():
    spec = {"x": Float(0, 1, step=0.1), "n": Int(1, 9, log=True), "k": ["a", None], "on": Bool(), "c": math.nan}
    space = Space.of({**spec, "w": When("on", True, ([1, 2], Choice([0.1, 1])))})
    for again in (pickle.loads(pickle.dumps(space)), copy.deepcopy(space), Space.of(space)):
        assert again == space
        assert hash(again) == hash(space)
        row = np.full((1, space.num_dimensions), 0.7, np.float32)
        assert again.label_rows(row) == space.label_rows(row)


def test_constants_are_known_by_name():
    space = Space.of({"x": Float(0, 1), "opt": {"batch_size": 64, "f": np.tanh}, "on": Bool(), "n": None,
                      "w": When("on", True, {"rate": 0.5, "y": [1, 2]}), "t": (3, "s")})  # fmt: skip
    expected = {"opt.batch_size": 64, "opt.f": np.tanh, "n": None, "w.rate": 0.5, "t.0": 3, "t.1": "s"}
    assert space.constants == expected
    assert Space.of(Float(0, 1)).constants == {}


def test_a_value_is_found_as_results_and_functions_have_it():
    space = Space.of({"r": [0.1, 1, 10], "b": [32, 64], "on": Bool()})
    row = space.encode({"r": 0.1, "b": 64, "on": True})
    for r, b, on in [(np.float32(0.1), np.int64(64), np.bool_(True)), (float(np.float32(0.1)), 64.0, True)]:
        assert_same_bits(space.encode({"r": r, "b": b, "on": on}), row)
    with pytest.raises(ValueError, match="on: value=1"):
        space.encode({"r": 0.1, "b": 64, "on": 1})


def test_none_may_be_a_value_of_a_choice():
    space = Space.of({"clip": [None, "norm"], "on": Bool(), "w": When("on", True, [None, "x"])})
    for setting in ({"clip": None, "on": True, "w": None}, {"clip": "norm", "on": True, "w": "x"}):
        assert space.label(space.encode(setting)) == setting


def test_a_single_dimension_is_a_space():
    space = Space.of(Float(0.0, 2.0))
    assert space.names == ("value",)
    assert float(space.decode(jnp.array([0.5]))) == 1.0
    assert space.label(space.encode(1.5)) == 1.5


def test_a_grid_holds_every_combination_once():
    space = Space.of({"a": [1, 2, 3, 4, 5, 6, 7], "b": Bool(), "c": Int(1, 3, log=True)})
    grid = space.grid(3)
    labels = {tuple(row) for row in space.label_rows(grid)}
    assert labels == {(a, b, c) for a in range(1, 8) for b in (False, True) for c in (1, 2, 3)}
    assert len(grid) == len(labels)
    assert grid.dtype == np.float32
    assert_same_bits(space.snap(jnp.asarray(grid)), grid)


def test_a_grid_counts_what_does_not_exist_once():
    space = Space.of({"a": ["p", "q"], "b": When("a", "q", Int(1, 4)), "c": When("a", "p", Bool())})
    labels = [tuple(row) for row in space.label_rows(space.grid(9))]
    expected = {("p", None, False), ("p", None, True), *(("q", b, None) for b in range(1, 5))}
    assert set(labels) == expected
    assert len(labels) == len(expected)


def test_a_grid_that_is_too_large_is_refused():
    with pytest.raises(ValueError, match="grid size=10000000"):
        Space.of({f"x{i}": Float(0, 1) for i in range(7)}).grid(10)


@dataclasses.dataclass(eq=True)
class Unhashable:
    """Has no hash."""

    value: int = 0


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({}, ValueError, "at least one"),
        ({"x": 1}, ValueError, "at least one"),
        ({"x": Float(0, 1), "c": np.zeros(2)}, TypeError, "'c'.*hashable.*ndarray"),
        ({"x": Float(0, 1), "c": {"d": Unhashable()}}, TypeError, "'c.d'.*hashable.*Unhashable"),
        ({"rule": ["a", "b"], "x": When("rul", "a", Int(0, 1))}, ValueError, "'rul'.*did you mean 'rule'"),
        ({"rule": ["a", "b"], "x": When("rule", "c", Int(0, 1))}, ValueError, "When value='c'.*'rule'"),
        ({"rule": ["a", "b"], "x": When("rule", ["a", "c"], Int(0, 1))}, ValueError, "When value='c'"),
        ({"n": Int(0, 3), "x": When("n", 1, Int(0, 1))}, TypeError, "'n'.*Choice"),
        ({"a": When("b", 1, [1, 2]), "b": When("a", 1, [1, 2])}, ValueError, "depends on itself"),
        ({"a": When("a", 1, [1, 2])}, ValueError, "'a' depends on itself"),
        ({"a.b": Float(0, 1), "a": {"b": Float(0, 1)}}, ValueError, "a.b.*distinct"),
    ],
)
def test_a_wrong_space_says_what_is_wrong(spec, error, message):
    with pytest.raises(error, match=message):
        Space.of(spec)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        ({"opt": {"lr": 2.0}, "act": "relu"}, "opt.lr: value=2.0"),
        ({"opt": {"lr": "fast"}, "act": "relu"}, "opt.lr: "),
        ({"opt": {"lr": 0.5}, "act": "gelu"}, "act: value='gelu'.*relu"),
        ({"opt": {}, "act": "relu"}, "structure of the space"),
        ({"opt": {"lr": 0.5}}, "structure of the space"),
    ],
)
def test_a_setting_that_does_not_fit_names_the_dimension(hparams, message):
    with pytest.raises(ValueError, match=message):
        Space.of({"opt": {"lr": Float(0, 1)}, "act": Choice(["relu", "tanh"])}).encode(hparams)


def test_a_value_that_is_missing_is_named():
    space = Space.of({"x": Float(0, 1), "n": Int(1, 3)})
    with pytest.raises(ValueError, match="complete: 'x' is None"):
        space.encode({"x": None, "n": 2})
