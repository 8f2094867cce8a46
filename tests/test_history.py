"""History: rows open, report and close where they should, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Float, Space, history
from jaxhpt.history import Status
from jaxhpt.numerics import fingerprint
from jaxhpt.objectives import Columns, Objective
from jaxhpt.problem import Problem

C = 6


@pytest.fixture(scope="module")
def problem():
    """Return a problem of 6 trials, 2 dimensions, 2 metrics and 3 reports."""
    space, columns = Space.of({"x": Float(0, 1), "y": Float(0, 1)}), Columns((Objective("loss", "min"),), ("size",))
    return Problem(space, columns, trials=C, lanes=3, steps=30, interval=10, reports=3)


@pytest.fixture(scope="module")
def opened(problem):
    """Return a history with rows 0 and 1 opened at tick 5 by three lanes of which one has none."""
    unit = jnp.array([[0.1, 0.2], [0.9, 0.9], [0.3, 0.4]])
    note = jnp.array([[1.0], [9.0], [2.0]])
    rows = jnp.array([0, C, 1], jnp.int32)
    return jax.jit(history.open_rows)(history.empty(problem, notes=1), rows, unit, note, jnp.int32(5))


def changed(before, after):
    """Return the names of the columns that differ, with the rows that do."""
    found = {}
    for name, a, b in zip(before._fields, before, after, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        differs = np.atleast_1d(np.asarray((a != b) & ~((a != a) & (b != b))))
        rows = np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))
        if len(rows):
            found[name] = rows.tolist()
    return found


def test_an_empty_history_has_no_trial(problem):
    empty = history.empty(problem, notes=2)
    assert int(empty.count) == 0
    assert set(empty.status.tolist()) == {Status.EMPTY}
    assert np.all(np.isposinf(empty.metrics))
    assert np.all(np.isposinf(empty.curve))
    assert np.all(np.isnan(empty.note))
    assert set(empty.parent.tolist()) == {-1}
    shapes = {"unit": (C, 2), "metrics": (C, 2), "curve": (C, 3), "note": (C, 2), "count": ()}
    assert {name: getattr(empty, name).shape for name in shapes} == shapes
    assert not any(leaf.weak_type for leaf in empty)
    assert not np.any(empty.ok)


def test_opening_writes_the_rows_it_is_given_and_drops_row_c(problem, opened):
    touched = changed(history.empty(problem, notes=1), opened)
    rows = [0, 1]
    columns = ("unit", "status", "start", "note", "fingerprint")
    assert touched == {**dict.fromkeys(columns, rows), "count": [0]}
    np.testing.assert_array_equal(opened.unit[:2], np.array([[0.1, 0.2], [0.3, 0.4]], np.float32))
    np.testing.assert_array_equal(opened.fingerprint[:2], fingerprint(opened.unit[:2]))
    assert opened.note[:2, 0].tolist() == [1.0, 2.0]
    assert opened.start[:2].tolist() == [5, 5]
    assert opened.status[:2].tolist() == [Status.RUNNING] * 2
    assert int(opened.count) == 2


def test_reporting_writes_the_latest_scores_and_one_place_of_the_curve(opened):
    rows = jnp.array([1, C, C], jnp.int32)
    scores = jnp.array([[0.5, 7.0], [8.0, 8.0], [9.0, 9.0]])
    steps, place = jnp.array([20, 80, 90], jnp.int32), jnp.array([1, 0, 2], jnp.int32)
    told = jax.jit(history.report)(opened, rows, scores, steps, place)
    assert changed(opened, told) == {"metrics": [1], "curve": [1], "steps": [1]}
    assert told.metrics[1].tolist() == [0.5, 7.0]
    assert told.curve[1].tolist() == [np.inf, 0.5, np.inf]
    assert int(told.steps[1]) == 20
    assert told.ok.tolist() == [False, True, False, False, False, False]

    again = history.report(told, rows, scores * 2, steps + 10, place + 1)
    assert again.metrics[1].tolist() == [1.0, 14.0]
    assert again.curve[1].tolist() == [np.inf, 0.5, 1.0]


def test_closing_writes_the_status_alone(opened):
    status = jnp.array([Status.FAILED, Status.DONE, Status.STOPPED], jnp.int8)
    ended = jax.jit(history.close)(opened, jnp.array([C, 1, 0], jnp.int32), status)
    assert changed(opened, ended) == {"status": [0, 1]}
    assert ended.status[:2].tolist() == [Status.STOPPED, Status.DONE]


def test_writes_to_no_row_change_nothing(opened):
    none = jnp.full(3, C, jnp.int32)
    some, scores = jnp.ones((3, 2)), jnp.zeros((3, 2))
    assert changed(opened, history.open_rows(opened, none, some, some[:, :1], jnp.int32(9))) == {}
    assert changed(opened, history.report(opened, none, scores, none, jnp.zeros(3, jnp.int32))) == {}
    assert changed(opened, history.close(opened, none, jnp.ones(3, jnp.int8))) == {}
