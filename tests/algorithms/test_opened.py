"""Proposals that heed which structures there are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Choice, Float, Int, When
from jaxhpt.algorithms.base import proposals
from jaxhpt.algorithms.opened import Opened, confined
from jaxhpt.core.space import Space

SPACE = Space.of(
    {"kind": Choice(["a", "b", "c"], structural=True), "lr": Float(0, 1), "depth": Int(1, 4, structural=True)}
)


def rows(*settings):
    return np.array([SPACE.encode({"kind": k, "depth": d, "lr": lr}) for k, d, lr in settings]).reshape(-1, 3)


def opened(units, more, room=6):
    columns = list(SPACE.structural)
    table = np.zeros((room, len(columns)), np.float32)
    table[: len(units)] = units[:, columns]
    return Opened(jnp.asarray(table), jnp.int32(len(units)), jnp.int32(more))


def moved(given, there, more, own=None, valid=None, room=6):
    own = jnp.zeros(len(given), bool) if own is None else jnp.array(own)
    found = proposals(jnp.asarray(rows(*given)), valid=None if valid is None else jnp.array(valid))
    after = jax.jit(lambda f, o, g: confined(f, o, SPACE, g))(found, opened(rows(*there), more, room), own)
    settings = [SPACE.decode(np.asarray(row)) for row in np.asarray(after.unit)]
    return [("abc"[int(s["kind"])], int(s["depth"]), round(float(s["lr"]), 3)) for s in settings]


def test_the_first_new_structures_begin_and_the_others_go_to_the_nearest():
    given = [("a", 1, 0.1), ("b", 2, 0.2), ("b", 3, 0.3), ("b", 2, 0.4), ("c", 4, 0.5)]
    there = [("a", 1, 0.9), ("a", 4, 0.9)]
    assert moved(given, there, 1) == [
        ("a", 1, 0.1), ("b", 2, 0.2), ("b", 2, 0.3), ("b", 2, 0.4), ("a", 4, 0.5),
    ]  # fmt: skip
    assert moved(given, there, 9) == given
    assert moved(given, there, 0) == [(k, d, lr) for (k, d), (*_, lr) in zip(
        [("a", 1), ("a", 1), ("a", 4), ("a", 1), ("a", 4)], given, strict=True)]  # fmt: skip


def test_of_equally_near_ones_it_is_the_one_used_last():
    there = [("c", 2, 0.0), ("a", 2, 0.0)]
    assert moved([("b", 2, 0.5)], there, 0) == [("c", 2, 0.5)]
    assert moved([("b", 2, 0.5)], there[::-1], 0) == [("a", 2, 0.5)]


def test_the_users_own_stay_and_cost_nothing_and_the_first_of_all_begins():
    given = [("a", 1, 0.1), ("b", 2, 0.2), ("c", 4, 0.3)]
    assert moved(given, [("a", 4, 0)], 1, own=[True, True, False]) == given
    assert moved(given[:2], [], 0) == [("a", 1, 0.1), ("a", 1, 0.2)]
    assert moved(given[:2], [("c", 3, 0)], 1, valid=[False, True]) == given[:2]


def test_where_there_is_no_room_to_remember_more_may_begin_all_the_same():
    given = [("a", 1, 0.1), ("b", 2, 0.2), ("c", 4, 0.3)]
    assert moved(given, [("a", 4, 0)], 5, room=1) == given


@pytest.mark.parametrize("more", [0, 1])
def test_what_does_not_exist_stays_where_it_stands(more):
    space = Space.of(
        {"kind": Choice(["a", "b"], structural=True), "deep": When("kind", "b", {"depth": Int(1, 3, structural=True)})}
    )
    unit = jnp.asarray(np.array([space.encode({"kind": "b", "deep": {"depth": 3}})]))
    table = np.array([space.encode({"kind": "a", "deep": {"depth": None}})])
    there = Opened(jnp.asarray(table), jnp.int32(1), jnp.int32(more))
    found = confined(proposals(unit), there, space, jnp.zeros(1, bool)).unit
    np.testing.assert_array_equal(found, unit if more else table)
