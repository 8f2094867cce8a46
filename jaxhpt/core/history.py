"""History: fixed-capacity columns, one row a trial. The data of every algorithm is a view on it.

A row is opened when its trial starts, so running trials are in it too. Row ids that are written through use
NONE for "none": with `mode="drop"` such a write vanishes, where -1 would wrap and overwrite the last row. No
state holds the capacity, so that it may grow.
"""

import enum
from typing import NamedTuple

import jax.numpy as jnp

from jaxhpt.core.hashing import contained, empty_table, fingerprint, inserted, repeats
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import NONE, Array


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
    """

    unit: Array
    metrics: Array
    first: Array | None = None


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
      steps: i32[C] training steps at the latest report, or at the copy that a row began with.
      start: i32[C] tick of the batch stream at which the trial started.
      parent: i32[C] row it was copied from; NONE for none.
      note: f32[C, M] what the algorithm keeps with the row; NaN for rows that are not its own.
      fingerprint: u32[C] hash of `unit`.
      tried: u32[T] a hash table of the fingerprints, see `hashing`; T is a power of two, at least 4 C.
      count: i32[] rows opened so far.
      first: f32[F, D] settings, snapped, that are tried before all others.
    """

    unit: Array
    status: Array
    metrics: Array
    curve: Array
    steps: Array
    start: Array
    parent: Array
    note: Array
    fingerprint: Array
    tried: Array
    count: Array  # type: ignore[assignment]  # hides tuple.count, which nobody needs here
    first: Array

    @property
    def ok(self) -> Array:
        """bool[C]: rows whose scores may be learned from."""
        return jnp.isfinite(self.metrics[:, 0])

    def next_rows(self, num: int) -> Array:
        """Return the rows that the next `num` trials will have: i32[num]. They number all proposals."""
        return self.count + jnp.arange(num, dtype=jnp.int32)


def empty_history(problem: Problem, notes: int = 0, first: Array | None = None) -> History:
    """Make a history without trials, `notes` columns wide in `note`, before whose trials `first` f32[F, D] come."""
    rows = problem.capacity
    return History(
        unit=jnp.zeros((rows, problem.num_dimensions), jnp.float32),
        status=jnp.zeros(rows, jnp.int8),
        metrics=jnp.full((rows, problem.num_metrics), jnp.inf, jnp.float32),
        curve=jnp.full((rows, problem.reports), jnp.inf, jnp.float32),
        steps=jnp.zeros(rows, jnp.int32),
        start=jnp.zeros(rows, jnp.int32),
        parent=jnp.full(rows, NONE, jnp.int32),
        note=jnp.full((rows, notes), jnp.nan, jnp.float32),
        fingerprint=jnp.zeros(rows, jnp.uint32),
        tried=empty_table(rows),
        count=jnp.zeros((), jnp.int32),
        first=jnp.zeros((0, problem.num_dimensions), jnp.float32) if first is None else first,
    )


def open_rows(
    history: History, rows: Array, unit: Array, note: Array, tick: Array, origin: Origin | None = None
) -> History:
    """Start trials.

    Args:
      history: the columns.
      rows: i32[L] fresh row ids, in order from `history.count`; NONE for none.
      unit: f32[L, D] snapped settings.
      note: f32[L, M].
      tick: i32[] tick of the batch stream.
      origin: what they go on from; None where they begin afresh.
    """
    if origin is not None:
        history = history._replace(
            parent=history.parent.at[rows].set(origin.parent, mode="drop"),
            steps=history.steps.at[rows].set(origin.steps, mode="drop"),
        )
    fresh, marks = rows < NONE, fingerprint(unit)
    return history._replace(
        unit=history.unit.at[rows].set(unit, mode="drop"),
        status=history.status.at[rows].set(jnp.int8(Status.RUNNING), mode="drop"),
        start=history.start.at[rows].set(tick, mode="drop"),
        note=history.note.at[rows].set(note, mode="drop"),
        fingerprint=history.fingerprint.at[rows].set(marks, mode="drop"),
        tried=inserted(history.tried, marks, fresh)[0],
        count=history.count + jnp.sum(fresh, dtype=jnp.int32),
    )


def remember(history: History, known: Known) -> tuple[History, Array]:
    """Enter the trials of earlier searches into an empty history; return it and their rows, i32[P]."""
    rows = jnp.arange(known.unit.shape[0], dtype=jnp.int32)
    foreign = jnp.full((rows.shape[0], history.note.shape[1]), jnp.nan, jnp.float32)
    history = open_rows(history, rows, known.unit, foreign, jnp.zeros((), jnp.int32))
    history = history._replace(metrics=history.metrics.at[rows].set(known.metrics))
    return close(history, rows, jnp.int8(Status.PRIOR)), rows


def seen(history: History, unit: Array) -> Array:
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
