"""Split execution: each part of an event is a program of its own, and pools train side by side, from threads.

Bits do not depend on the threads: an event ends when all pools have trained, and is then settled as one. Only the
weights are in pools; what decides, a copy from one pool to another too, knows lanes alone.
"""

import concurrent.futures
import contextlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxhpt.algorithms.base import Designed
from jaxhpt.core.arrays import zeros
from jaxhpt.core.history import Known
from jaxhpt.core.typing import Array, Key, TrainState
from jaxhpt.engine import event
from jaxhpt.engine.compiling import SOON, Background, Function, shapes_of
from jaxhpt.engine.settle import settle, summary
from jaxhpt.engine.state import Program, StudyState, Summary
from jaxhpt.training.batches import Batches
from jaxhpt.training.pool import Data, Pool, PoolState, Report, keep, move, vacant

AHEAD = 8  # events that the host may run ahead of an accelerator


def _vacant(
    shapes: tuple[jax.ShapeDtypeStruct, ...], structure: Any, batches: Batches, lanes: int, interval: int, pools: int
) -> tuple[tuple[PoolState, ...], TrainState]:
    """Make pools whose lanes hold no trial, and the weights of no winner, of a state's shapes and structure."""
    state = jax.tree.unflatten(structure, shapes)
    return tuple(vacant(state, batches, lanes, interval) for _ in range(pools)), zeros(state)


BEGIN = Function(event.begin, 1, options=SOON)
VACANT = Function(_vacant, 6, options=SOON)
PROPOSE = Function(event.propose, 2, donated=(0,), options=SOON)
INSTRUCT = Function(event.instruct, 4, options=SOON)
FILL = Function(Pool.fill, 1, donated=(0,), options=SOON)
ADVANCE = Function(Pool.advance, 1, donated=(0,))
SETTLE = Function(settle, 1, donated=(0,), options=SOON)
SUMMARY = Function(summary, 1, options=SOON)
KEEP = Function(keep, 0, options=SOON)
MOVE = Function(move, 0, donated=(0,), options=SOON)


class Split:
    """A search whose programs are called one by one.

    The first trials do not wait for the algorithm's model: while they train, what follows is compiled.

    Attributes:
      best: weights of the winner as of the last look, without the lane axis.
      summary: as of the last look.
      compile_seconds: for which the search waited for programs.
    """

    def __init__(self, program: Program, root: Key, known: Known | None, data: Data) -> None:
        self.program, self.data, self.root = program, data, root
        self.compile_seconds = 0.0
        self._programs: dict[str, Callable] = {}
        self._coming: dict[str, concurrent.futures.Future] = {}
        self._background = Background()
        self._threads = concurrent.futures.ThreadPoolExecutor(program.pools, thread_name_prefix="jaxhpt-pool")
        self._waits = jax.default_backend() == "cpu"  # elsewhere the host runs ahead of the device
        self.study: StudyState = self._call(
            "begin", BEGIN, program.study, root, known, self._number(program.problem.trials)
        )
        self._pools: Any
        self._best: TrainState
        self._pools, self._best = self._call("vacant", VACANT, *self._room())
        self._done, self._events = 0, 0
        self._open()
        self._prepare()
        self._look()

    def _room(self) -> tuple:
        """Return what is known of weights without the functions that make them."""
        pool, (shapes, structure) = self.program.pool, jax.tree.flatten(self.program.pool.functions.state)
        return tuple(shapes), structure, pool.batches, pool.lanes, pool.interval, self.program.pools

    def run(self, grains: int) -> None:
        """Train for at most so many grains, less where the search ends before, or must wait for a program; look."""
        try:
            while grains > 0 and not self._ended():
                grains -= self._some(grains)
                if self._done == self.program.pool.grains and self._would_wait():
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
            self._open()
        if self._done == 0:
            self._fill()
        first, last = self._done, min(self._done + grains, self.program.pool.grains)
        reports, self._done = self._advance(first, last), last
        if last == self.program.pool.grains:
            self._close(reports)
        return last - first

    def close(self) -> None:
        """Leave nothing running, but for what cannot be stopped."""
        self._background.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> None:
        """Begin an event: propose, and instruct."""
        designed = self._designed(self._events)
        name = "design" if designed else "propose"
        self.study, places = self._call(name, PROPOSE, self.program.study, designed, self.study)
        functions, scheduler = self.program.pool.functions, self.program.study.scheduler
        given = (self.program.ranges, scheduler, functions.steps, self.program.pools, self.data.captured.steps)
        self._orders, self._lanes, self._scored = self._call("instruct", INSTRUCT, *given, places)
        self._done, self._events = 0, self._events + 1

    def _fill(self) -> None:
        """Start the trials of all pools."""
        filled = [self._call("fill", FILL, self.program.pool, *self._arguments(i)) for i in range(self.program.pools)]
        self._pools = tuple(filled)

    def _designed(self, events: int) -> bool:
        """Tell whether all that the next event asks for is of a design, so that the model is not needed."""
        algorithm, problem = self.program.study.algorithm, self.program.study.problem
        if not isinstance(algorithm, Designed):
            return False
        last, none_ended = problem.prior + (events + 1) * problem.lanes, events == 0 and problem.prior == 0
        return algorithm.in_design(problem, last, none_ended)

    def _would_wait(self) -> bool:
        """Tell whether the next event needs a program that is being compiled."""
        coming = self._coming.get("propose")
        return coming is not None and not coming.done() and not self._designed(self._events)

    def _prepare(self) -> None:
        """Compile what trains, and begin to compile what comes after it."""
        self._program("fill", FILL, self.program.pool, *self._arguments(0))
        self._program("advance", ADVANCE, self.program.pool, *self._arguments(0), self._number(0), self._number(0))
        study, report = shapes_of(self.study), self._report_shape()
        after = (shapes_of(self._lanes), shapes_of(self._scored), (report,) * self.program.pools)
        self._later("summary", SUMMARY, self.program.study, study, shapes_of(self._lanes), shapes_of(self._number(0)))
        self._later("settle", SETTLE, self.program.study, study, *after)
        self._later("keep", KEEP, shapes_of(self._pools), shapes_of(self._best), shapes_of(self._number(0)))
        more = self.program.problem.trials > self.program.problem.lanes
        if more and not self._designed(self.program.problem.trials):
            self._later("propose", PROPOSE, self.program.study, False, study)

    def _report_shape(self) -> Any:
        lanes, metrics = self.program.pool.lanes, len(self.program.pool.metrics.names)
        shapes: Any = (((lanes, metrics), np.float32), ((lanes,), np.bool_))
        parts: Any = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
        return Report(*parts)

    def _advance(self, first: int, last: int) -> tuple[Report, ...]:
        """Train all pools side by side."""
        program, pools = self._programs["advance"], range(self.program.pools)
        span = self._number(first), self._number(last)

        def one(i: int) -> tuple[PoolState, Report]:
            found: tuple[PoolState, Report] = program(*self._arguments(i), *span)
            return jax.block_until_ready(found) if self._waits else found

        trained = [one(0)] if len(pools) == 1 else list(self._threads.map(one, pools))
        self._pools, reports = zip(*trained, strict=True)
        return reports

    def _arguments(self, i: int) -> tuple:
        return self._pools[i], self._orders[i], self.data, self.root

    def _close(self, reports: tuple[Report, ...]) -> None:
        """End an event: settle, keep, move."""
        given = (self.program.study, self.study, self._lanes, self._scored, reports)
        self.study, moves = self._call("settle", SETTLE, *given)
        self._best = self._call("keep", KEEP, self._pools, self._best, moves.keep)
        if moves.target.size:
            self._pools = self._call("move", MOVE, self._pools, moves.source, moves.target)
        self._lanes = self.study.lanes

    def _look(self) -> None:
        done = 0 if self._done == self.program.pool.grains else self._done * self.program.pool.grain
        given = (self.program.study, self.study, self._lanes, self._number(done))
        self.summary: Summary = jax.block_until_ready(self._call("summary", SUMMARY, *given))
        self.best: TrainState = self._best  # it goes with the summary

    def _number(self, value: int) -> Array:
        return jax.device_put(np.int32(value))

    def _call(self, name: str, function: Function, *arguments: Any) -> Any:
        return self._program(name, function, *arguments)(*arguments[function.static :])

    def _program(self, name: str, function: Function, *arguments: Any) -> Callable:
        """Return a program, which is waited for, or compiled now, where it is used first."""
        if name not in self._programs:
            begun = time.perf_counter()
            coming = self._coming.pop(name, None)
            self._programs[name] = coming.result() if coming else function.program(*arguments)
            self.compile_seconds += time.perf_counter() - begun
        return self._programs[name]

    def _later(self, name: str, function: Function, *arguments: Any) -> None:
        self._coming[name] = self._background.compile(function, *arguments)
