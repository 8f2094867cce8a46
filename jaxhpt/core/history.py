"""History: fixed-capacity columns, one row a trial. The data of every algorithm is a view on it.

A row is opened when its trial starts, so running trials are in it too. Row ids that are written through use
NONE for "none": with `mode="drop"` such a write vanishes, where -1 would wrap and overwrite the last row. No
state holds the capacity, so that it may grow.
"""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxhpt.core.arrays import zeros
from jaxhpt.core.hashing import contained, empty_table, fingerprint, inserted, repeats
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NOBODY, NONE, Array, PyTree


class Status(enum.IntEnum):
    """Where a row's trial stands."""

    EMPTY = 0
    RUNNING = 1
    DONE = 2  # trained for its whole budget
    STOPPED = 3  # ended early by a scheduler
    FAILED = 4  # an objective was not finite
    PRIOR = 5  # known before the search began


class Known(NamedTuple):
    """Trials of earlier searches.

    Attributes:
      unit: f32[P, D] snapped settings.
      metrics: f32[P, K] scores, minimised; +inf where failed or not known.
      first: f32[F, D] settings that are to be tried before all others; None for none.
      begun: i32[E] training steps behind the first E of these, which begin from weights that there are; None for none.
    """

    unit: Array
    metrics: Array
    first: Array | None = None
    begun: Array | None = None


class Begun(NamedTuple):
    """The first E of the settings that are tried first: they begin from weights that there are.

    Attributes:
      steps: i32[E] training steps that these have behind them.
      row: i32[E] the trials that began with them; NONE for those that wait.
    """

    steps: Array
    row: Array


class Made(NamedTuple):
    """By whom settings were proposed.

    Attributes:
      note: pytree of [L, ...] what the algorithm keeps with each.
      author: i8[L] which of its parts; 0 where it has none.
    """

    note: PyTree
    author: Array


class Origin(NamedTuple):
    """What copies go on from.

    Attributes:
      parent: i32[L] rows whose weights they have.
      steps: i32[L] training steps that these have behind them.
    """

    parent: Array
    steps: Array


class History(NamedTuple):
    """Trials as columns; the row id is the trial id.

    Attributes:
      unit: f32[C, D] snapped settings.
      status: i8[C] a `Status`.
      metrics: f32[C, K] scores of the latest report, minimised; +inf before it and where failed, never NaN.
      curve: f32[C, R] reports of the first objective; +inf where there is none.
      steps: i32[C] training steps at the latest report, or behind the weights that a row began with.
      start: i32[C] tick of the batch stream at which the trial started.
      parent: i32[C] row it was copied from; NONE for none.
      note: pytree of [C, ...] what the algorithm keeps with the row; 0 where it is not its own.
      author: i8[C] which part of the algorithm proposed the row, 0 where it has no parts; NOBODY for rows of others:
        what was known before, what the user wants to be tried first, copies.
      tried: u32[T] a hash table of the settings, see `hashing`; T is a power of two, at least 4 C.
      num_rows: i32[] rows opened so far.
      num_trials: i32[] trials to open in all, copies and earlier ones not counted.
      first: f32[F, D] settings, snapped, that are tried before all others.
      begun: those of them that begin from weights; None for none.
    """

    unit: Array
    status: Array
    metrics: Array
    curve: Array
    steps: Array
    start: Array
    parent: Array
    note: PyTree
    author: Array
    tried: Array
    num_rows: Array
    num_trials: Array
    first: Array
    begun: Begun | None = None

    @property
    def ok(self) -> Array:
        """bool[C]: rows whose scores may be learned from."""
        return jnp.isfinite(self.metrics[:, 0])

    def next_rows(self, num: int) -> Array:
        """Return the rows that the next `num` trials will have: i32[num]. They number all proposals."""
        return self.num_rows + jnp.arange(num, dtype=jnp.int32)


def empty_history(
    problem: Problem, note: PyTree = (), first: Array | None = None, begun: Array | None = None
) -> History:
    """Make a history without trials.

    Args:
      problem: static.
      note: pytree of `jax.ShapeDtypeStruct`, what the algorithm keeps with one row; see `Algorithm.note`.
      first: f32[F, D] settings, snapped, that come before all others; None for none.
      begun: i32[E] training steps behind the first E of them; None where none begins from weights.
    """
    rows = problem.capacity
    return History(
        unit=jnp.zeros((rows, problem.num_dimensions), jnp.float32),
        status=jnp.zeros(rows, jnp.int8),
        metrics=jnp.full((rows, problem.num_metrics), jnp.inf, jnp.float32),
        curve=jnp.full((rows, problem.schedule.reports), jnp.inf, jnp.float32),
        steps=jnp.zeros(rows, jnp.int32),
        start=jnp.zeros(rows, jnp.int32),
        parent=jnp.full(rows, NONE, jnp.int32),
        note=zeros(note, rows),
        author=jnp.full(rows, NOBODY, jnp.int8),
        tried=empty_table(rows),
        num_rows=jnp.zeros((), jnp.int32),
        num_trials=jnp.full((), problem.trials, jnp.int32),
        first=jnp.zeros((0, problem.num_dimensions), jnp.float32) if first is None else first,
        begun=None if begun is None else Begun(begun, jnp.full_like(begun, NONE)),
    )


def open_rows(
    history: History,
    rows: Array,
    unit: Array,
    tick: Array,
    made: Made | None = None,
    origin: Origin | None = None,
) -> History:
    """Start trials.

    Args:
      history: the columns.
      rows: i32[L] fresh row ids, in order from `history.num_rows`; NONE for none.
      unit: f32[L, D] snapped settings.
      tick: i32[] tick of the batch stream.
      made: by whom they were proposed; None where by no algorithm.
      origin: what they go on from; None where they begin afresh.
    """
    if origin is not None:
        history = history._replace(
            parent=history.parent.at[rows].set(origin.parent, mode="drop"),
            steps=history.steps.at[rows].set(origin.steps, mode="drop"),
        )
    if made is not None:
        history = history._replace(
            note=jax.tree.map(lambda old, new: old.at[rows].set(new, mode="drop"), history.note, made.note),
            author=history.author.at[rows].set(made.author, mode="drop"),
        )
    fresh = rows < NONE
    return history._replace(
        unit=history.unit.at[rows].set(unit, mode="drop"),
        status=history.status.at[rows].set(jnp.int8(Status.RUNNING), mode="drop"),
        start=history.start.at[rows].set(tick, mode="drop"),
        tried=inserted(history.tried, fingerprint(unit), fresh)[0],
        num_rows=history.num_rows + jnp.sum(fresh, dtype=jnp.int32),
    )


def behind(history: History, rows: Array) -> Array:
    """Return the steps behind the weights that rows i32[L] began with, of those from an earlier search: i32[L]."""
    if history.begun is None:
        return jnp.zeros_like(rows)
    mine = (rows[:, None] == history.begun.row[None]) & (rows < NONE)[:, None]
    return jnp.sum(jnp.where(mine, history.begun.steps[None], 0), axis=1, dtype=jnp.int32)


def first_rows(history: History, num: int) -> History:
    """Return a history of the first `num` rows; a search has a few more than it opens, so that programs are shared."""
    single = {
        "tried": history.tried,
        "num_rows": history.num_rows,
        "num_trials": history.num_trials,
        "first": history.first,
        "begun": history.begun,
    }
    return jax.tree.map(lambda column: column[:num] if column.ndim else column, history)._replace(**single)


def remember(history: History, known: Known) -> tuple[History, Array]:
    """Enter the trials of earlier searches into an empty history; return it and their rows, i32[P]."""
    rows = jnp.arange(known.unit.shape[0], dtype=jnp.int32)
    history = open_rows(history, rows, known.unit, jnp.zeros((), jnp.int32))
    history = history._replace(metrics=history.metrics.at[rows].set(known.metrics))
    return close(history, rows, jnp.int8(Status.PRIOR)), rows


def is_tried(history: History, unit: Array) -> Array:
    """Tell which settings were tried before, or run: snapped f32[Q, D] -> bool[Q].

    A few looks into a hash table, however many rows there are. No repeat is overlooked. Of new settings, one in
    2^32 / C is taken for a repeat, because its 32-bit hash is that of another: it is then the last that is proposed,
    or never.
    """
    return contained(history.tried, fingerprint(unit))


def repeated(history: History, unit: Array, wanted: Array | None = None) -> Array:
    """Tell which settings were tried before, or stand earlier in the same rows.

    Args:
      history: all trials, running ones too.
      unit: f32[Q, D] snapped.
      wanted: bool[Q] which rows count at all; None is all.

    Returns:
      bool[Q].
    """
    marks = fingerprint(unit)
    again = contained(history.tried, marks)
    return (again if wanted is None else again & wanted) | repeats(marks, wanted)


def report(history: History, rows: Array, scores: Array, steps: Array, place: Array) -> History:
    """Write the latest scores of trials.

    Args:
      history: the columns.
      rows: i32[L] rows that report; NONE for none.
      scores: f32[L, K] minimised; +inf where failed.
      steps: i32[L] training steps done.
      place: i32[L] column of the curve, in [0, R).
    """
    return history._replace(
        metrics=history.metrics.at[rows].set(scores, mode="drop"),
        curve=history.curve.at[rows, place].set(scores[:, 0], mode="drop"),
        steps=history.steps.at[rows].set(steps, mode="drop"),
    )


def close(history: History, rows: Array, status: Array) -> History:
    """End trials: rows i32[L] (NONE for none) take status i8[L]."""
    return history._replace(status=history.status.at[rows].set(status, mode="drop"))
