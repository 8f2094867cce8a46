"""History: rows open, report and close where they should, and nowhere else."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxhpt import Float, Space
from jaxhpt.algorithms.base import column
from jaxhpt.core import history
from jaxhpt.core.hashing import fingerprint
from jaxhpt.core.history import Made, Status
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NOBODY, NONE

C = 6


class Note(NamedTuple):
    """What an algorithm might keep: columns of its own dtypes and shapes."""

    rate: object
    place: object


NOTE = Note(column(jnp.float32, 1), column(jnp.int32))


@pytest.fixture(scope="module")
def problem():
    """Return a problem of 6 trials, 2 dimensions, 2 metrics and 3 reports."""
    space, columns = Space.of({"x": Float(0, 1), "y": Float(0, 1)}), MetricSpec((Objective("loss", "min"),), ("size",))
    return Problem(space, columns, trials=C, lanes=3, schedule=Schedule(30, 10, 10))


@pytest.fixture(scope="module")
def opened(problem):
    """Return a history with rows 0 and 1 opened at tick 5 by three lanes of which one has none."""
    unit = jnp.array([[0.1, 0.2], [0.9, 0.9], [0.3, 0.4]])
    made = Made(Note(jnp.array([[1.0], [9.0], [2.0]]), jnp.array([7, 8, 9], jnp.int32)), jnp.array([0, 0, 3], jnp.int8))
    rows = jnp.array([0, NONE, 1], jnp.int32)
    return jax.jit(history.open_rows)(history.empty_history(problem, NOTE), rows, unit, jnp.int32(5), made)


def changed(before, after):
    """Return the names of the columns that differ, with the rows that do."""
    found = {}
    for name, a, b in zip(before._fields, before, after, strict=True):
        if name == "note":
            found.update({f"note.{part}": rows for part, rows in changed(a, b).items()})
            continue
        if a is b is None:
            continue
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        if not a.size:
            continue
        differs = np.atleast_1d(np.asarray((a != b) & ~((a != a) & (b != b))))
        rows = np.flatnonzero(differs.reshape(len(differs), -1).any(axis=1))
        if len(rows):
            found[name] = rows.tolist()
    return found


def test_an_empty_history_has_no_trial(problem):
    empty = history.empty_history(problem, NOTE)
    assert int(empty.num_rows) == 0
    assert set(empty.status.tolist()) == {Status.EMPTY}
    assert np.all(np.isposinf(empty.metrics))
    assert np.all(np.isposinf(empty.curve))
    assert set(empty.author.tolist()) == {NOBODY}
    assert set(empty.parent.tolist()) == {NONE}
    shapes = {"unit": (C, 2), "metrics": (C, 2), "curve": (C, 3), "num_rows": ()}
    assert {name: getattr(empty, name).shape for name in shapes} == shapes
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(empty))
    assert not np.any(empty.ok)


def test_opening_writes_the_rows_it_is_given_and_drops_row_c(problem, opened):
    touched = changed(history.empty_history(problem, NOTE), opened)
    rows = [0, 1]
    columns = ("unit", "status", "start", "note.rate", "note.place", "author")
    assert len(touched.pop("tried")) == 2
    assert touched == {**dict.fromkeys(columns, rows), "num_rows": [0]}
    np.testing.assert_array_equal(opened.unit[:2], np.array([[0.1, 0.2], [0.3, 0.4]], np.float32))
    assert set(np.asarray(opened.tried).tolist()) == {0, *fingerprint(opened.unit[:2]).tolist()}
    assert opened.note.rate[:2].tolist() == [[1.0], [2.0]]
    assert opened.note.place[:2].tolist() == [7, 9]
    assert opened.author.tolist() == [0, 3] + [NOBODY] * (C - 2)
    assert opened.start[:2].tolist() == [5, 5]
    assert opened.status[:2].tolist() == [Status.RUNNING] * 2
    assert int(opened.num_rows) == 2


def test_the_next_rows_go_on_from_those_that_were_opened(problem, opened):
    for past, rows in ((history.empty_history(problem), [0, 1, 2]), (opened, [2, 3, 4])):
        found = past.next_rows(3)
        assert found.dtype == jnp.int32
        assert found.tolist() == rows


def test_what_was_opened_is_seen_and_nothing_else(opened):
    unit = jnp.array([[0.1, 0.2], [0.9, 0.9], [0.3, 0.4], [0.4, 0.3], [0.0, 0.0]])
    assert history.is_tried(opened, unit).tolist() == [True, False, True, False, False]
    assert jax.jit(history.is_tried)(opened, unit).tolist() == [True, False, True, False, False]


def test_a_fresh_history_has_seen_nothing(problem):
    unit = jnp.concatenate([jnp.zeros((1, 2)), jax.random.uniform(jax.random.key(0), (500, 2))])
    assert not np.any(jax.jit(history.is_tried)(history.empty_history(problem), unit))


@pytest.mark.parametrize("lanes", [16, 1024])
def test_a_full_history_overlooks_no_repeat_and_takes_next_to_nothing_new_for_one(problem, lanes):
    capacity = 2048
    unit = jax.random.uniform(jax.random.key(1), (capacity, 2))
    batches = jnp.arange(capacity, dtype=jnp.int32).reshape(-1, lanes), unit.reshape(-1, lanes, 2)

    def start(columns, batch):
        return history.open_rows(columns, *batch, jnp.int32(0)), None

    empty = history.empty_history(dataclasses.replace(problem, trials=capacity))
    full, _ = jax.jit(lambda columns, batches: jax.lax.scan(start, columns, batches))(empty, batches)
    assert int(full.num_rows) == capacity
    look = jax.jit(history.is_tried)
    assert np.all(look(full, unit))
    assert np.sum(look(full, jax.random.uniform(jax.random.key(2), (20_000, 2)))) <= 1


def test_equal_rows_that_start_together_are_both_tried(problem):
    unit = jnp.tile(jnp.array([[0.25, 0.5]]), (C, 1))
    rows = jnp.arange(C, dtype=jnp.int32)
    twins = history.open_rows(history.empty_history(problem), rows, unit, jnp.int32(0))
    assert np.all(history.is_tried(twins, unit))
    assert not np.any(history.is_tried(twins, unit[:, ::-1]))


def test_only_rows_that_count_repeat_others_or_are_repeats(opened):
    unit = jnp.array([[0.1, 0.2], [0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [0.3, 0.4]])
    assert history.repeated(opened, unit).tolist() == [True, False, True, True, True]
    wanted = jnp.array([True, False, True, True, False])
    assert history.repeated(opened, unit, wanted).tolist() == [True, False, False, True, False]


def test_reporting_writes_the_latest_scores_and_one_place_of_the_curve(opened):
    rows = jnp.array([1, NONE, NONE], jnp.int32)
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
    ended = jax.jit(history.close)(opened, jnp.array([NONE, 1, 0], jnp.int32), status)
    assert changed(opened, ended) == {"status": [0, 1]}
    assert ended.status[:2].tolist() == [Status.STOPPED, Status.DONE]


def test_writes_to_no_row_change_nothing(opened):
    none = jnp.full(3, NONE, jnp.int32)
    some, scores = jnp.ones((3, 2)), jnp.zeros((3, 2))
    made = Made(Note(some[:, :1], none), jnp.ones(3, jnp.int8))
    assert changed(opened, history.open_rows(opened, none, some, jnp.int32(9), made)) == {}
    assert changed(opened, history.report(opened, none, scores, none, jnp.zeros(3, jnp.int32))) == {}
    assert changed(opened, history.close(opened, none, jnp.ones(3, jnp.int8))) == {}


def test_a_row_that_is_none_is_none_in_a_history_of_any_capacity(problem):
    """A row of the number of rows would be a trial once there is room for it: so none is beyond all."""
    larger = history.empty_history(dataclasses.replace(problem, trials=4 * C))
    rows, unit = jnp.array([0, NONE, C], jnp.int32), jnp.full((3, 2), 0.5)
    past = history.open_rows(larger, rows, unit, jnp.int32(0))
    assert np.flatnonzero(past.status == Status.RUNNING).tolist() == [0, C]
    assert int(past.num_rows) == 2
    assert set(past.parent.tolist()) == {NONE}
