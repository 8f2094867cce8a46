"""Orders to a running search, carried out between two events: try a setting, drop a trial.

An order that was carried out has the number of events before it, so that a run that goes on repeats it there.
"""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.history import Status, close
from jaxhpt.core.typing import NOBODY, NONE, Array
from jaxhpt.engine.compiling import SOON, Function
from jaxhpt.engine.settle import tell
from jaxhpt.engine.state import Program, Study, StudyState


@dataclasses.dataclass(frozen=True)
class Order:
    """What a running search is told.

    Attributes:
      kind: "try" or "drop".
      value: a snapped setting as a list [D]; the number of a trial.
      event: before which it is carried out; None for as soon as may be.
      source: by which name it was given; empty for none.
    """

    kind: str
    value: Any
    event: int | None = None
    source: str = ""


def _tried(study: Study, state: StudyState, unit: Array) -> tuple[StudyState, Array]:
    """Put a setting f32[D] before all that waits for a free lane; False where there is no place."""
    queue, lanes = state.queue, study.problem.lanes
    place = jnp.argmin(queue.valid).astype(jnp.int32)
    some = ~queue.valid[place]
    order = jnp.where(jnp.arange(lanes, dtype=jnp.int32) == 0, place, jnp.arange(lanes, dtype=jnp.int32))
    order = order.at[place].set(jnp.int32(0))
    queue = queue._replace(
        unit=queue.unit.at[place].set(unit),
        note=jax.tree.map(lambda a: a.at[place].set(jnp.zeros(a.shape[1:], a.dtype)), queue.note),
        valid=queue.valid.at[place].set(True),
        author=queue.author.at[place].set(jnp.int8(NOBODY)),
    )
    queue = jax.tree.map(lambda a: a[order], queue)
    return jax.tree.map(lambda a, b: jnp.where(some, a, b), state._replace(queue=queue), state), some


def _dropped(study: Study, state: StudyState, row: Array) -> tuple[StudyState, Array]:
    """Stop the trial of a row i32[] that is in a lane; False where it is in none."""
    there = state.lanes.trial == row
    rows = jnp.where(there, state.lanes.trial, NONE)
    history = close(state.history, rows, jnp.int8(Status.STOPPED))
    lanes = state.lanes._replace(
        trial=jnp.where(there, NONE, state.lanes.trial), budget=jnp.where(there, 0, state.lanes.budget)
    )
    return tell(study, state._replace(history=history, lanes=lanes), rows), jnp.any(there)


TRIED = Function(_tried, 1, options=SOON)
DROPPED = Function(_dropped, 1, options=SOON)


def carried_out(program: Program, state: StudyState, order: Order) -> tuple[StudyState, bool, str]:
    """Carry out an order between two events.

    Args:
      program: all that is static.
      state: of the study.
      order: that is due.

    Returns:
      The state; whether it was done, rather than waits for a free place; and what was wrong with it, if anything.
    """
    if order.kind == "try":
        given = _begun(program, state) + int(np.sum(np.asarray(state.queue.valid)))
        if given < state.history.first.shape[0]:  # those that are tried first are counted by the rows
            return state, False, ""
        if int(state.history.num_trials) <= given:
            return state, True, "no trial is left: raise their number first"
        state, done = TRIED(program.study, state, jnp.asarray(order.value, jnp.float32))
        return state, bool(done), ""
    state, done = DROPPED(program.study, state, jnp.int32(order.value))
    return state, True, "" if bool(done) else f"trial {order.value} is not running"


def _begun(program: Program, state: StudyState) -> int:
    return int(state.history.num_rows) - int(state.copied) - program.problem.prior


class Steered(Protocol):
    """What takes orders.

    Attributes:
      done: orders that were carried out or refused, and what was wrong with them, if anything.
    """

    done: list[tuple[Order, str]]

    def take(self, order: Order) -> None:
        """Take an order."""
        ...


class Unsteered:
    """Many searches, which refuse orders: these do not say which search they mean."""

    def __init__(self) -> None:
        self.done: list[tuple[Order, str]] = []

    def take(self, order: Order) -> None:
        """Refuse an order."""
        self.done.append((order, "many searches at once take no orders but to pause and to stop"))


class Steering:
    """The orders of a search under way.

    Args:
      program: all that is static.

    Attributes:
      done: orders that were carried out, with their events, and what was wrong with them, if anything.
    """

    def __init__(self, program: Program) -> None:
        self._program, self._orders = program, list[Order]()
        self.done: list[tuple[Order, str]] = []

    @property
    def waits(self) -> bool:
        """Whether there are orders."""
        return bool(self._orders)

    def take(self, order: Order) -> None:
        """Take an order, to be carried out before the next event, or before the one that it names."""
        self._orders.append(order)

    def free(self, events: int, clock: int) -> int:
        """Return how many events, at most so many, may run before an order is due."""
        named = [order.event for order in self._orders if order.event is not None]
        if len(named) < len(self._orders):
            return min(events, 1)  # one that waits for a place
        return max(1, min([events, *(event - clock for event in named)])) if named else events

    def due(self, state: StudyState) -> StudyState:
        """Carry out what is due before the event that follows."""
        if not self._orders:
            return state
        clock, waiting = int(state.clock), list[Order]()
        for order in self._orders:
            if order.event is not None and order.event > clock:
                waiting.append(order)
                continue
            state, done, wrong = carried_out(self._program, state, order)
            if done:
                self.done.append((dataclasses.replace(order, event=clock), wrong))
            else:
                waiting.append(order)
        self._orders = waiting
        return state
