"""Where memory does not suffice: fewer lanes before anything has trained, smaller groups of them after that.

A program takes all its memory when it is called, whatever it then does. So it is called once for nothing, while lanes
are vacant and nothing can be lost. Later it is called only where what it takes is there.
"""

import dataclasses
import re
import threading
import warnings
from collections.abc import Callable, Hashable
from typing import Any

import jax

from jaxhpt.engine.compiling import Function
from jaxhpt.engine.state import Program
from jaxhpt.training.layout import divisor
from jaxhpt.training.memory import compiled_bytes, footprint, free_bytes
from jaxhpt.training.pool import Pool

SMALL = 1 << 26  # bytes, below which nobody looks whether they are there: looking takes half a millisecond
EXHAUSTED = re.compile("RESOURCE_EXHAUSTED|out of memory", re.IGNORECASE)
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


class TooLittleMemoryError(MemoryError):
    """A program would take more than there is."""


def exhausted(error: BaseException) -> bool:
    """Tell whether it is memory that did not suffice, of whichever kind of device."""
    told = isinstance(error, jax.errors.JaxRuntimeError) and EXHAUSTED.search(str(error)) is not None
    return told or isinstance(error, MemoryError)


def require_free(need: int) -> None:
    """Raise where less is free than a program needs.

    On a CPU alone: there the system ends a process that takes too much; elsewhere the device says so itself.

    Raises:
      TooLittleMemoryError: it is.
    """
    if need < SMALL or jax.default_backend() != "cpu":
        return
    free = free_bytes(jax.local_devices()[0])
    if free is not None and need > free:
        raise TooLittleMemoryError(f"training takes {_spoken(need)}, of which {_spoken(free)} are free")


def smaller(program: Program) -> Program | None:
    """Return a search that takes less memory, before anything has trained; None where there is none.

    Where the number of lanes was left to us it is halved. Where it is the user's, fewer of them train by one `vmap`.
    """
    lanes = program.problem.lanes
    if program.adapts and lanes > program.pool.parts:
        return _with_lanes(program, lanes // 2)
    pool = halved(program.pool)
    return None if pool is None else dataclasses.replace(program, pool=pool)


def _with_lanes(program: Program, lanes: int) -> Program:
    """Return a search of so many lanes, or nearly, as many on each device."""
    pool, parts = program.pool, program.pool.parts
    pools = divisor(max(1, lanes // parts), program.pools)
    each = max(1, lanes // (parts * pools))
    scored, lanes = None if pool.scored is None else divisor(each, pool.scored), each * parts * pools
    return dataclasses.replace(
        program,
        study=dataclasses.replace(program.study, problem=dataclasses.replace(program.study.problem, lanes=lanes)),
        problem=dataclasses.replace(program.problem, lanes=lanes),
        pool=dataclasses.replace(pool, lanes=each, microbatch=divisor(each, pool.microbatch), scored=scored),
        pools=pools,
    )


def halved(pool: Pool) -> Pool | None:
    """Return a pool of which half as many lanes train, or are evaluated, by one `vmap`; None where it is one by one."""
    scored, need = pool.scored or pool.microbatch, footprint(pool.functions)
    trains = pool.microbatch * max(need.step.lane, need.init.lane)
    if scored > 1 and (scored * need.evaluate.lane > trains or pool.microbatch == 1):
        return dataclasses.replace(pool, scored=divisor(pool.lanes, scored // 2))
    if pool.microbatch == 1:
        return None
    group = divisor(pool.lanes, pool.microbatch // 2)
    return dataclasses.replace(pool, microbatch=group, scored=None if scored >= group else scored)


def halved_inside(program: Program) -> Program | None:
    """Do the same to a search that is one program."""
    pool = halved(program.pool)
    return None if pool is None else dataclasses.replace(program, pool=pool)


class Fitting:
    """A compiled program that is made anew, for smaller groups of lanes, each time memory does not suffice.

    Nothing is lost by that, as long as its arguments are still there: it is called again with them.

    Args:
      function: whose one static value says how lanes are grouped.
      static: the value at first.
      shapes: of its other arguments, or these.
      halve: value -> the next smaller one; None where there is none.
      told: list that takes what was done, in words.
      where: words that follow, on what it is done to; "" for none.
    """

    def __init__(
        self,
        function: Function,
        static: Any,
        shapes: tuple,
        halve: Callable[[Any], Any],
        told: list[str],
        where: str = "",
    ) -> None:
        self._function, self._static, self._halve, self._told = function, static, halve, told
        self._where = where
        self._run = function.program(static, *shapes)
        self._need = compiled_bytes(self._run) or 0
        self._lock = threading.Lock()

    @classmethod
    def compiled(
        cls, function: Function, static: Any, shapes: tuple, halve: Callable[[Any], Any], told: list[str], where: str
    ) -> "Fitting":
        """Make it, for smaller groups where compiling itself takes more than there is; arguments as of the class.

        Raises:
          JaxRuntimeError, MemoryError: it is the smallest already.
        """
        while True:
            try:
                return cls(function, static, shapes, halve, told, where)
            except (jax.errors.JaxRuntimeError, MemoryError) as error:
                less = halve(static) if exhausted(error) else None
                if less is None:
                    raise
                tell(told, grouped(less) + where, error)
                static = less

    def shrink(self, shapes: tuple, error: Exception) -> None:
        """Make it smaller, as `error` says that memory did not suffice.

        Raises:
          TooLittleMemoryError, JaxRuntimeError: that error, where it is the smallest already.
        """
        self._shrink(self._static, shapes, error)

    def require_room(self, shapes: tuple, times: int = 1) -> None:
        """See to it that it may be called so many times at once; make it smaller until it may.

        Raises:
          TooLittleMemoryError: it is the smallest already.
        """
        while True:
            static, need = self._static, self._need
            try:
                return require_free(need * times)
            except TooLittleMemoryError as error:
                self._shrink(static, shapes, error)

    def rehearse(self, times: int, *arguments: Any) -> Any:
        """Call it for nothing, so that what does not fit shows before anything can be lost.

        Raises:
          TooLittleMemoryError, JaxRuntimeError: it does not fit.
        """
        require_free(self._need * times)
        return jax.block_until_ready(self._run(*arguments))

    def __call__(self, *arguments: Any) -> Any:
        """Run it, on arguments of which it may take buffers."""
        while True:
            with self._lock:
                static, run = self._static, self._run
            try:
                found = run(*arguments)
                return jax.block_until_ready(found) if jax.default_backend() == "cpu" else found
            except jax.errors.JaxRuntimeError as error:
                if not exhausted(error) or _lost(arguments):
                    raise
                self._shrink(static, arguments, error)

    def _shrink(self, static: Hashable, shapes: tuple, error: Exception) -> None:
        """Make it smaller than it was for `static`; leave it where another thread has done so meanwhile."""
        with self._lock:
            while self._static is static:
                less = self._halve(static)
                if less is None:
                    raise error
                tell(self._told, grouped(less) + self._where, error)
                try:
                    self._run, self._static = self._function.program(less, *shapes), less
                    self._need = compiled_bytes(self._run) or 0
                except jax.errors.JaxRuntimeError as again:
                    if not exhausted(again):
                        raise
                    static, error = less, again
                    self._static = less


def grouped(static: Pool | Program) -> str:
    """Say how lanes are grouped."""
    pool = static if isinstance(static, Pool) else static.pool
    scored = pool.scored or pool.microbatch
    return f"{pool.microbatch} at once in training, {scored} in evaluation"


def laid_out(program: Program) -> str:
    """Say how many lanes there are, and how they are grouped."""
    return f"{program.problem.lanes} lanes, {grouped(program)}"


def tell(told: list[str], now: str, error: Exception) -> None:
    """Note, and warn, that less is done at once."""
    told.append(f"memory did not suffice; going on with {now} ({_reason(error)})")
    warnings.warn(told[-1], stacklevel=2)


def too_little(error: Exception) -> TooLittleMemoryError:
    """Say that a search does not fit, however few lanes train at once."""
    remedy = "give fewer lanes=, a smaller batch_size= or model, or less valid_data="
    return TooLittleMemoryError(f"memory does not suffice for one lane at a time: {remedy} ({_reason(error)})")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _lost(arguments: Any) -> bool:
    """Tell whether a program has taken the buffers that it was given."""
    return any(leaf.is_deleted() for leaf in jax.tree.leaves(arguments) if isinstance(leaf, jax.Array))


def _spoken(size: float) -> str:
    """Say a number of bytes."""
    for unit in UNITS[:-1]:
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} {UNITS[-1]}"
