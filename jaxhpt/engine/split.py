"""Split execution: each part of an event is a program of its own; what decides is parted from what trains.

Only the weights are in pools; what decides, a copy from one pool to another too, knows lanes alone.
"""

import contextlib
from typing import Any

import jax
import numpy as np

from jaxhpt.algorithms.base import Designed
from jaxhpt.core.history import Known
from jaxhpt.core.lanes import Onset
from jaxhpt.core.typing import Key
from jaxhpt.engine import event
from jaxhpt.engine.carrying import Carried, on_host, onto
from jaxhpt.engine.compiling import SOON, Function, shapes_of
from jaxhpt.engine.pools import AlikePools, Pools
from jaxhpt.engine.programs import Programs
from jaxhpt.engine.raising import gone_on, like_of, sizes_of
from jaxhpt.engine.settle import settle, summary
from jaxhpt.engine.state import Places, Program, StudyState, Summary
from jaxhpt.engine.steering import Steering
from jaxhpt.engine.structured import StructuredPools
from jaxhpt.training.hosts import alone
from jaxhpt.training.pool import Data, Orders, Report
from jaxhpt.training.structures import Structures

AHEAD = 8  # events that the host may run ahead of an accelerator

BEGIN = Function(event.begin, 1, options=SOON)
PROPOSE = Function(event.propose, 2, donated=(0,), options=SOON)
INSTRUCT = Function(event.instruct, 4, options=SOON)
SETTLE = Function(settle, 1, donated=(0,), options=SOON)
SUMMARY = Function(summary, 1, options=SOON)


class Split:
    """A search whose programs are called one by one.

    The first trials do not wait for the algorithm's model: while they train, what follows is compiled.

    Args:
      program: all that is static.
      root: the root key.
      known: before.
      data: on device.
      structures: of the space.
      carried: of a search that goes on; None for one that begins.

    Attributes:
      best: weights of the winner as of the last look, without the lane axis.
      summary: as of the last look.
      told: what was done where memory did not suffice.
      steering: orders to it.
    """

    def __init__(
        self,
        program: Program,
        root: Key,
        known: Known | None,
        data: Data,
        structures: Structures | None = None,
        carried: Carried | None = None,
    ) -> None:
        self.program, self.told = program, list[str]()
        several = structures is not None and bool(structures.space.structural)
        threads = structures.layout.num_cores if structures is not None and several else 1
        self._programs = Programs(program.devices, threads)
        self._waits = jax.default_backend() == "cpu"  # elsewhere the host runs ahead of the device
        with contextlib.ExitStack() as undone:
            undone.callback(self._programs.close)
            given = self._programs.put((root, known, np.int32(program.problem.trials)))
            root, self.data = given[0], self._programs.put(data)
            self.study: StudyState = self._programs.call("begin", BEGIN, program.study, *given)
            self._pools = self._made(root, structures)
            undone.callback(self._pools.close)
            self._done, self._events, self.steering = 0, 0, Steering(program)
            if carried is None:
                self._open()
            else:
                self._go_on(carried, like_of(program, carried.facts["sizes"], root, known))
            self._prepare()
            self._look()
            undone.pop_all()

    def _made(self, root: Key, structures: Structures | None) -> Pools:
        if structures is not None and structures.space.structural:
            return StructuredPools(self.program, root, self.data, self._programs, structures, self.told)
        return AlikePools(self.program, root, self.data, self._programs, self.told)

    @property
    def devices(self) -> int:
        """Devices that share the lanes."""
        return self._pools.devices

    @property
    def compile_seconds(self) -> float:
        """Seconds for which the search waited for programs."""
        return self._programs.seconds

    def run(self, grains: int) -> None:
        """Train for at most so many grains, less where the search ends before, or must wait for a program; look."""
        try:
            while grains > 0 and not self._ended():
                grains -= self._some(grains)
                if self._done == self.program.pool.grains and alone() and self._would_wait():
                    break
        except BaseException:
            with contextlib.suppress(Exception):  # what ended before it is known, unless that was lost, too
                self._look()
            raise
        self._look()

    def _ended(self) -> bool:
        """Tell whether the search has ended; where the host runs ahead, it waits for the answer at some events only."""
        looks = self._waits or (self._done == self.program.pool.grains and self._events % AHEAD == 0)
        return looks and bool(self.study.finished)

    def _some(self, grains: int) -> int:
        """Train for at most so many grains of one event, and settle it where it ends; return how many they were."""
        if self._done == self.program.pool.grains:
            self.study = self.steering.due(self.study)
            self._open()
        if self._done == 0:
            self._pools.fill()
        first, last = self._done, min(self._done + grains, self.program.pool.grains)
        reports, self._done = self._pools.advance(first, last), last
        if last == self.program.pool.grains:
            self._close(reports)
        return last - first

    def close(self) -> None:
        """Leave nothing running, but for what cannot be stopped."""
        self._programs.close()
        self._pools.close()

    def _open(self) -> None:
        """Begin an event: propose, and instruct."""
        designed = self._designed(self._events)
        name = "design" if designed else "propose"
        given = (self.program.study, designed, self.study, *self._pools.opened())
        self.study, self._places = self._programs.call(name, PROPOSE, *given)
        self._pools.begin(self._places, self._instructed())
        self._done, self._events = 0, self._events + 1

    def _instructed(self) -> tuple[Orders, ...]:
        """Make the orders of an event from where its trials are."""
        functions, scheduler = self.program.pool.functions, self.program.study.scheduler
        known = (self.program.ranges, scheduler, functions.steps, self.program.pools, self.data.captured.steps)
        orders, self._lanes, self._scored = self._programs.call("instruct", INSTRUCT, *known, self._places)
        found: tuple[Orders, ...] = orders
        return found

    def carried(self) -> Carried:
        """Copy all that it needs to go on from here."""
        pools, facts = self._pools.carried()
        return Carried(on_host((self.study, self._places, pools)), facts | self._facts())

    def _facts(self) -> dict[str, Any]:
        return {"done": self._done, "events": self._events, "sizes": sizes_of(self.program)}

    def _go_on(self, carried: Carried, like: StudyState) -> None:
        """Stand where another search stood, whose study had shapes `like` these."""
        problem, lanes = self.program.problem, (self.program.problem.lanes,)
        fresh, unit = self._programs.put(
            (np.zeros(lanes, bool), np.zeros((*lanes, problem.num_dimensions), np.float32))
        )
        onset = None if like.history.begun is None else Onset(like.lanes.trial, like.lanes.steps)
        both = (like, Places(fresh, unit, like.lanes, like.lane_notes, like.clock, onset))
        num = len(jax.tree.leaves(both))
        state, places = self._programs.put(onto(both, carried.arrays[:num]))
        if carried.moved is not None:
            unit = np.where(places.lanes.live[:, None], carried.moved(np.asarray(places.unit)), places.unit)
            places = self._programs.put(places._replace(unit=unit))
        self.study = self._programs.put(gone_on(self.program, carried, state, self.study))
        self._places = places
        self._done, self._events = carried.facts["done"], carried.facts["events"]
        self._pools.go_on(places, self._instructed(), carried._replace(arrays=carried.arrays[num:]))
        if self._done == self.program.pool.grains:
            self._lanes = self.study.lanes

    def _designed(self, events: int) -> bool:
        """Tell whether all that the next event asks for is of a design, so that the model is not needed."""
        algorithm, problem = self.program.study.algorithm, self.program.study.problem
        if not isinstance(algorithm, Designed):
            return False
        last, none_ended = problem.prior + (events + 1) * problem.lanes, events == 0 and problem.prior == 0
        return algorithm.in_design(problem, last, none_ended)

    def _would_wait(self) -> bool:
        """Tell whether the next event needs a program that is being compiled."""
        return self._programs.is_coming("propose") and not self._designed(self._events)

    def _prepare(self) -> None:
        """Begin to compile what comes after the first training."""
        study, zero, lanes = shapes_of(self.study), shapes_of(self._programs.number(0)), shapes_of(self._lanes)
        after = (lanes, shapes_of(self._scored), self._pools.report_shapes())
        self._programs.later("summary", SUMMARY, self.program.study, study, lanes, zero)
        self._programs.later("settle", SETTLE, self.program.study, study, *after)
        more = self.program.problem.trials > self.program.problem.lanes
        if more and not self._designed(self.program.problem.trials):
            self._programs.later("propose", PROPOSE, self.program.study, False, study, *shapes_of(self._pools.opened()))

    def _close(self, reports: tuple[Report, ...]) -> None:
        """End an event: settle, keep, move."""
        given = (self.program.study, self.study, self._lanes, self._scored, reports)
        self.study, moves = self._programs.call("settle", SETTLE, *given)
        self._pools.settle(moves)
        self._lanes = self.study.lanes

    def _look(self) -> None:
        done = 0 if self._done == self.program.pool.grains else self._done * self.program.pool.grain
        given = (self.program.study, self.study, self._lanes, self._programs.number(done))
        self.summary: Summary = jax.block_until_ready(self._programs.call("summary", SUMMARY, *given))
        self.best: Any = self._pools.best  # it goes with the summary
