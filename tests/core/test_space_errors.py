"""A range, a choice or a space that cannot mean what it says is refused early, with its name and the remedy."""

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import Bool, Choice, Float, Int, Space, When


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float(-3e38, 3e38), r"Float range=\(-3e\+38, 3e\+38\): must be no wider than float32 holds; halve it"),
        (lambda: Float(1.0, 10**400), "Float range.*finite"),
        (lambda: Float(0.0, 1e300), "Float range.*within float32"),
        (lambda: Float(1e8, 1e8 + 1), "Float range.*at least 256 float32 values wide, which are 8 apart.*distance"),
        (lambda: Float(16_777_216, 16_777_300), "Float range.*at least 256 float32 values"),
        (lambda: Float(1.0, 1.0 + 1e-6, log=True), "Float range.*at least 256 float32 values"),
        (lambda: Float(0.1, 0.1 + 1e-12), "Float range.*at least 256 float32 values"),
        (lambda: Float(np.float64(1e8), jnp.float32(1e8 + 8)), "Float range.*at least 256"),
        (lambda: Float(1.0, 1.0 + 1e-6, step=1e-8), "Float range.*float32 tells apart.*step=1e-08.*distance"),
        (lambda: Float(1e8, 1e8 + 100, step=1), "Float range.*tells apart"),
        (lambda: Float(2.0**23 + 0.5, 2.0**23 + 4.5, step=1), "Float range.*tells apart"),
        (lambda: Float(0, 1e-36, step=1e-37), "Float range.*tells apart"),
        (lambda: Float(0, 1, step=1e-320), "at most 4194304 values"),
        (lambda: Float(0, 100_000, step=0.13), "Float step=0.13.*divisor"),
        (lambda: Float(1e-60, 1e-40, log=True), "Float range.*float32's least"),
        (lambda: Float(1e-40, 1.0, log=True), "Float range.*float32's least"),
        (lambda: Float(0.0, 1e-40), "Float range.*float32's least"),
        (lambda: Int(0, 2**31), "Int range.*int32"),
        (lambda: Int(0, 10**400), "Int range.*int32"),
        (lambda: Int(0, 2**24), "Int range.*at most 4194304 values; take a larger step, or Float and round it"),
        (lambda: Choice([1e300, 1.0]), r"Choice values=\[1e\+300\]: must be within float32"),
        (lambda: Choice([1e-60, 1.0]), "Choice values=.*within float32, or 0"),
        (lambda: Choice([1e-40, 1.0]), "Choice values=.*within float32, or 0"),
        (lambda: Choice([0.1, 0.1 + 1e-12]), "Choice values.*float32 tells apart"),
        (lambda: Choice([2**24 + 1, 0.5]), r"Choice values=\[16777217\]: must be at most 2\*\*24"),
        (lambda: Choice([math.nan, 1.0]), "Choice values.*finite"),
        (lambda: Choice([math.inf, 1.0]), "Choice values.*finite"),
        (lambda: Choice(np.array([1.0, np.inf])), "Choice values.*finite"),
        (lambda: Space.of({"a": [True, False], "x": When("a", True, [1e300, 1.0])}), "space 'x': Choice values"),
    ],
)  # fmt: skip
def test_what_float32_cannot_hold_or_tell_apart_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "dimension",
    [
        Float(0, 3e38),
        Float(1e-37, 3e38, log=True),
        Float(0.9999, 1.0),
        Float(1e4, 1e4 + 1),
        Float(1e7, 1e7 + 100, step=1),
        Float(0, 1e-30),
        Int(0, 2**31 - 1, step=2**31 - 1),
        Int(-(2**30), 2**30 - 2**10, step=2**10),
        Choice([2**24, 0.5]),
        Choice([3e38, -3e38]),
        Choice([2**31 - 1, 1]),
    ],
    ids=repr,
)
def test_what_float32_holds_is_taken(dimension):
    unit = np.linspace(0, 1, 300, dtype=np.float32)
    values = np.float64(dimension.value(unit, np))
    assert np.isfinite(values).all()
    assert len(np.unique(values)) >= min(dimension.levels or 256, 200)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Float("1e-4", 1), "Float low='1e-4': must be a number, without quotes"),
        (lambda: Float(0, None), "Float high=None: must be a number"),
        (lambda: Float(False, 1), "Float low=False: must be a number"),
        (lambda: Float(0, np.ones(2)), "Float high=.*must be a number"),
        (lambda: Float(0, 1, step="0.1"), "Float step='0.1'"),
        (lambda: Float(1, 2, 0.1), "Float log=0.1: must be True or False; write a step as step=0.1"),
        (lambda: Int(1, 9, 2), "Int log=2: must be True or False; write a step as step=2"),
        (lambda: Int(1.0, 3), "Int low=1.0: must be an int; use Float"),
        (lambda: Int("1", 3), "Int low='1': must be an int"),
        (lambda: Int(np.float64(1), 3), "Int low=.*must be an int"),
        (lambda: Int(np.bool_(True), 3), "Int low=.*must be an int"),
        (lambda: Choice(3), r"Choice values=3: must be a list of values, such as \[3\]"),
        (lambda: Choice("a", "b"), r"Choice values=\('a', 'b'\): must be one list"),
        (lambda: Choice("abc"), r"Choice values='abc': must be a list of values, such as \['abc'\]"),
        (lambda: Choice(None), "Choice values=None: must be a list"),
        (lambda: Choice(np.array(3)), "Choice values=.*must be a list"),
        (lambda: Choice({"a", "b"}), "Choice values=.*must be a list.*order"),
        (lambda: Choice({"a": 1}), "Choice values=.*must be a list"),
        (lambda: Choice(Float(0, 1)), "Choice values=Float.*must be a list"),
        (lambda: Choice([[1], [2]]), "Choice values.*tuple"),
        (lambda: Choice([{"a": 1}]), "Choice values.*hashable"),
        (lambda: When(Bool(), True, Float(0, 1)), "When parent=Bool.*must be the name"),
    ],
)
def test_an_argument_of_another_type_is_named(make, message):
    with pytest.raises(TypeError, match=message):
        make()


@pytest.mark.parametrize(
    "values",
    [[None, 0.1, 0.5], [False, 0.1, 0.5], [True, 5], ["none", 0.1], [(8,), 8], [None, 1], [1, np.bool_(True)]],
    ids=repr,
)  # fmt: skip
def test_numbers_beside_other_things_are_refused(values):
    with pytest.raises(TypeError, match=r"Choice values=.*must be all numbers, or none.*their index.*When\("):
        Choice(values)
    with pytest.raises(TypeError, match="space 'rate': Choice values"):
        Space.of({"rate": values})


@pytest.mark.parametrize("values", [[1j, 2.0], [1j]], ids=repr)
def test_numbers_that_are_neither_int_nor_float_are_refused(values):
    with pytest.raises(TypeError, match="must be int or float"):
        Choice(values)


PARTS = [
    [Float(5, 6), Float(7, 8)],
    [1, Int(1, 3)],
    [When("a", True, Float(0, 1))],
    [Space.of({"x": Float(0, 1)})],
    [{"x": Float(0, 1)}, {"y": Float(0, 1)}],
    [[Float(0, 1)], [1, 2]],
    [(Float(0, 1), 1), (Float(0, 1), 2)],
    [Float, Int],
    [Bool, Bool()],
]


@pytest.mark.parametrize("values", PARTS, ids=range(len(PARTS)))
def test_a_list_that_holds_ranges_is_refused(values):
    message = "stands in a list, which means a choice between its values.*a name in a dict, or write a tuple"
    for make in (lambda: Space.of(values), lambda: Space.of({"x": {"y": values}, "z": Float(0, 1)})):
        with pytest.raises(TypeError, match=message):
            make()
    with pytest.raises(TypeError, match=message):
        Choice(tuple(values))


def test_a_tuple_of_ranges_is_several_values():
    assert Space.of((Float(5, 6), Float(7, 8))).names == ("0", "1")


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: None, TypeError, "space=None: must be a Float"),
        (lambda: lambda h: h, TypeError, "space=<function.*must be a Float"),
        (lambda: functools.partial(max, 1), TypeError, "space=.*must be a Float"),
        (lambda: {}, ValueError, "must hold at least one"),
        (lambda: (), ValueError, "must hold at least one"),
        (lambda: {"x": None}, ValueError, "must hold at least one"),
        (lambda: 3, ValueError, "must hold at least one"),
        (lambda: {1: Float(0, 1), "a": Float(0, 1)}, TypeError, "names of a dict must be of one kind"),
        (lambda: {"s": {1: Float(0, 1), "a": 2}}, TypeError, "names of a dict must be of one kind"),
        (lambda: {"x": Float}, TypeError, r"space 'x': Float is a class; call it, as in Float\(...\)"),
        (lambda: {"x": Bool, "y": Bool()}, TypeError, r"space 'x': Bool is a class; call it"),
        (lambda: Int, TypeError, "Int is a class"),
        (lambda: {"x": Space, "y": Bool()}, TypeError, "Space is a class"),
        (lambda: {"x": Space.of(Float(0, 1)), "y": Bool()}, TypeError, "space 'x': a Space stands in another"),
        (lambda: {"n": Int(1, 3), "x": When("n", 1, Float(0, 1))}, TypeError, "'n': must be a Choice, Bool or list"),
        (lambda: {"a": ["p"], "x": When("a", [], Bool())}, ValueError, "When value=.*one of"),
        (lambda: {"a": ["p", "q"], "x": When("a", ("p", "q"), Bool())}, ValueError, "When value=.*or a list of some"),
        (lambda: {"a": Bool(), "x": When("a", 1, Bool())}, ValueError, r"When value=1: must be one of \[False, True\]"),
        (lambda: {"a": Bool(), "x": When("a", True, Float)}, TypeError, "space 'x': Float is a class"),
    ],
)
def test_what_is_no_space_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        Space.of(make())


def test_the_error_comes_before_anything_is_traced():
    with pytest.raises(TypeError, match="stands in a list"):
        jaxhpt.minimize(lambda h, key: pytest.fail("traced"), [Float(5, 6), Float(7, 8)], progress=False)
