"""Functions compared by value: what makes two of them one program, and what does not."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt.training.identity import Pinned

SCALE = 2.0
STEPS = [1, 2]


def make(inner=1, default=2, only=3):
    def function(x, y=default, *, z=only):
        return x * inner + y + z

    return function


def reads_global(x):
    return x * SCALE


def calls_helper(x):
    return reads_global(x) + 1


def nested(x):
    return [SCALE * v for v in (lambda: x)()]


def reads_list(x):
    return x * STEPS[0]


def ping(x):
    return pong(x)


def pong(x):
    return ping(x)


def ladder(depth):
    """Return the first of `depth` functions, each of which calls the next two."""
    lines = [f"def f{i}(x): return f{i + 1}(x) + f{i + 2}(x)" for i in range(depth)]
    space = {}
    exec("\n".join([*lines, f"def f{depth}(x): return x", f"def f{depth + 1}(x): return x"]), space)
    return space["f0"]


def assert_same(a, b):
    assert Pinned(a) == Pinned(b)
    assert hash(Pinned(a)) == hash(Pinned(b))


def test_a_closure_that_is_built_again_is_the_same():
    assert make() is not make()
    assert_same(make(), make())
    assert_same(make((1, [2, {"a": 3}])), make((1, [2, {"a": 3}])))


@pytest.mark.parametrize("change", [{"inner": 5}, {"default": 5}, {"only": 5}])
def test_a_changed_closure_or_default_is_another_function(change):
    assert Pinned(make(**change)) != Pinned(make())


@pytest.mark.parametrize("argument", ["inner", "default", "only"])
@pytest.mark.parametrize("other", [1.0, True])
def test_equal_numbers_of_other_types_are_not_the_same(argument, other):
    assert Pinned(make(**{argument: 1})) != Pinned(make(**{argument: other}))
    assert Pinned(make(**{argument: (0, [1])})) != Pinned(make(**{argument: (0, [other])}))


def test_a_changed_constant_is_another_function():
    def build(text):
        space = {}
        exec(f"def f(x): return x + {text}", space)
        return space["f"]

    assert_same(build("1"), build("1"))
    assert len({Pinned(build(text)) for text in ("1", "1.0", "True", "2")}) == 4


def test_functions_of_different_lines_are_different_functions():
    first = lambda x: x + 1  # noqa: E731
    second = lambda x: x + 2  # noqa: E731
    assert Pinned(first) != Pinned(second)
    assert_same(first, first)


@pytest.mark.parametrize("function", [reads_global, calls_helper, nested, functools.partial(calls_helper, 1)])
def test_a_changed_global_is_a_changed_function(function, monkeypatch):
    before = Pinned(function)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert Pinned(function) != before
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    assert Pinned(function) == before


def test_a_changed_global_under_a_decorator_is_a_changed_function(monkeypatch):
    decorated = functools.wraps(reads_global)(lambda x: reads_global(x) + 1)
    before = Pinned(decorated)
    monkeypatch.setitem(globals(), "SCALE", 3.0)
    assert Pinned(decorated) != before


def test_a_list_that_was_changed_in_place_is_a_change():
    before = Pinned(reads_list)
    STEPS.append(7)
    try:
        assert Pinned(reads_list) != before
    finally:
        STEPS.pop()
    assert Pinned(reads_list) == before


def test_partials_are_compared_by_function_and_arguments():
    def build(*args, **keywords):
        return functools.partial(reads_global, *args, **keywords)

    assert_same(build(1, y=[2]), build(1, y=[2]))
    assert len({Pinned(p) for p in (build(1), build(2), build(1.0), build(1, y=1), build(1, z=1))}) == 5
    assert_same(functools.partial(make(), 1), functools.partial(make(), 1))


@dataclasses.dataclass(frozen=True)
class Frozen:
    width: int

    def run(self, x):
        return x * self.width

    def walk(self, x):
        return x + self.width


@dataclasses.dataclass
class Open:
    width: int

    def run(self, x):
        return x * self.width


def test_bound_methods_are_compared_by_what_they_are_bound_to():
    assert_same(Frozen(3).run, Frozen(3).run)
    assert Pinned(Frozen(3).run) != Pinned(Frozen(4).run)
    assert Pinned(Frozen(3).run) != Pinned(Frozen(3).walk)
    one = Open(3)
    assert_same(one.run, one.run)
    assert Pinned(one.run) != Pinned(Open(3).run)


def test_arrays_are_compared_by_identity():
    table = np.ones(3)
    assert_same(make(table), make(table))
    assert Pinned(make(table)) != Pinned(make(np.ones(3)))
    device = jnp.ones(3)
    assert_same(make(device), make(device))
    assert Pinned(make(device)) != Pinned(make(jnp.ones(3)))


def test_an_array_lives_as_long_as_what_stands_for_it():
    """Otherwise another array at the same address would pass for it."""
    pinned = [Pinned(make(np.full(3, i))) for i in range(50)]
    assert len(set(pinned)) == 50


def test_functions_that_call_themselves_or_each_other_have_an_end():
    def build():
        def down(x):
            return x if x < 1 else down(x - 1)

        return down

    assert_same(build(), build())
    assert_same(ping, ping)
    assert Pinned(ping) != Pinned(pong)
    loop = []
    loop.append(loop)
    assert_same(make(loop), make(loop))


def test_helpers_that_share_helpers_are_each_looked_at_once():
    """Followed along every path, 60 such functions would take longer than anybody lives."""
    assert_same(ladder(60), ladder(60))
    assert Pinned(ladder(60)) != Pinned(ladder(59))


def test_a_pinned_function_is_called_and_shown_like_the_function():
    assert Pinned(make())(10, y=1) == make()(10, y=1)
    assert repr(Pinned(ping)) == "ping"
    assert Pinned(ping) != ping
