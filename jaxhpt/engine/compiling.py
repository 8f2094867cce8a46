"""Programs: compiled once in a process, kept for the next one, and made in the background where they can wait."""

import collections
import concurrent.futures
import dataclasses
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from jaxhpt.engine import cache
from jaxhpt.training.devices import WHOLE, devices_of
from jaxhpt.training.sharded import specs_of

MOST_PROGRAMS = 128  # in a process, whose memory maps they take up; those not used for longest go first


class Made(NamedTuple):
    """What compiling a program took, in seconds of processor time.

    Attributes:
      name: of the function.
      trace: to trace it.
      lower: to lower it.
      compile: to compile it; what other threads did meanwhile is counted.
    """

    name: str
    trace: float
    lower: float
    compile: float


made: collections.deque[Made] = collections.deque(maxlen=MOST_PROGRAMS)  # in this process, the latest last; not loaded
_programs: collections.OrderedDict[Any, concurrent.futures.Future] = collections.OrderedDict()
_lock = threading.Lock()
_here = threading.local()


# What runs once an event, or less, is compiled in a fifth to a half of the time so, and runs as long. The parts that
# are compiled side by side each take up memory maps, of which Linux gives a process 65,530: four, not 32.
SOON: Mapping[str, Any] = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 4,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Function:
    """A pure function that is compiled for static values and for shapes.

    Attributes:
      call: (*static, *arguments) -> arrays.
      static: how many of its first arguments are static: values that are hashable, and spell what is compiled.
      donated: places among the arguments, counted without the static ones, whose buffers are given away.
      options: of the compiler; left out where it does not know them.
      out: what it returns of several devices, a prefix of its tree: `CUT` where each has a part, `WHOLE` where all have
        the same.
    """

    call: Callable
    static: int
    donated: tuple[int, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    out: Any = WHOLE

    def __call__(self, *arguments: Any) -> Any:
        """Run it, compiled."""
        return self.program(*arguments)(*arguments[self.static :])

    def program(self, *arguments: Any) -> Callable:
        """Return the program for static values, and arguments or their shapes; it takes what is not static."""
        static, rest = arguments[: self.static], arguments[self.static :]
        if jax.config.values["jax_disable_jit"]:
            return self._run(static, rest)
        shapes = _shapes(rest)
        key = (self.call, static, shapes, cache.settings())
        with _lock:
            coming, mine = _programs.get(key), key not in _programs
            if coming is None:
                coming = _programs[key] = concurrent.futures.Future()
            _programs.move_to_end(key)
            while len(_programs) > MOST_PROGRAMS:
                _programs.popitem(last=False)
        if mine:  # who else wants it meanwhile waits for it
            self._make(coming, key, static, rest, shapes)
        return coming.result()

    def _make(self, coming: concurrent.futures.Future, key: Any, static: tuple, rest: tuple, shapes: Any) -> None:
        try:
            coming.set_result(self._kept(static, rest, shapes))
        except BaseException as error:
            with _lock:
                _programs.pop(key, None)
            coming.set_exception(error)

    @property
    def chosen(self) -> dict[str, Any]:
        """Options of the compiler, but for those that the user has set."""
        flags = os.environ.get("XLA_FLAGS", "")
        return {name: value for name, value in self.options.items() if name not in flags}

    def _kept(self, static: tuple, rest: tuple, shapes: Any) -> Callable:
        """Load the program, or compile it and keep it."""
        spelling = (self.call.__module__, self.call.__qualname__, static, shapes, self.chosen)
        name = cache.key_of(*spelling) if cache.folder() else None
        found = cache.load(name) if name else None
        if found is not None:
            return found
        program = self._compiled(static, rest)
        if name:
            cache.save(name, program)
        return program

    def _compiled(self, static: tuple, rest: tuple) -> Any:
        begun, _here.compiling = time.thread_time(), True
        try:
            traced = jax.jit(self._run(static, rest), donate_argnums=self.donated).trace(*rest)
            known, lowered = time.thread_time(), traced.lower()
            ready, sent = time.thread_time(), time.process_time()
            program = _compiled(lowered, self.chosen)
        finally:
            _here.compiling = False
        spent = (known - begun, ready - known, time.process_time() - sent)
        made.append(Made(self.call.__qualname__, *spent))
        return program

    def _run(self, static: tuple, rest: tuple) -> Callable:
        """Return the function of what is not static, on all devices where the arguments lie."""
        devices = devices_of(rest)
        if devices is not None:
            return devices.program(self.call, static, specs_of(rest), self.out)
        run = functools.partial(self.call, *static)
        functools.update_wrapper(run, self.call)
        return run


def is_compiling() -> bool:
    """Tell whether this thread is compiling."""
    return getattr(_here, "compiling", False)


def _compiled(lowered: Any, options: dict[str, Any]) -> Any:
    """Compile, without the options where the compiler does not know them."""
    try:
        return lowered.compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if not options or "option" not in str(error):
            raise
        return lowered.compile()


def forget() -> None:
    """Let go of all programs of this process; they are compiled again where they are needed."""
    with _lock:
        _programs.clear()


def _shapes(arguments: tuple) -> Any:
    """Return what a program knows of its arguments."""
    leaves, tree = jax.tree.flatten(arguments)
    facts = ((leaf.shape, str(leaf.dtype), bool(getattr(leaf, "weak_type", False)), _place(leaf)) for leaf in leaves)
    return tuple(facts), tree


def _place(leaf: Any) -> Any:
    """Return where an array has to stay; None where it may be brought to any device, as most may."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf.sharding
    away = getattr(leaf, "committed", False) and leaf.devices() != {jax.local_devices()[0]}
    return leaf.sharding if away else None


class Background:
    """Compiles in other threads, the program that was asked for first first.

    Where the thread that asks has settings of its own, which another would not see, it is done at once.

    Args:
      threads: how many; XLA uses little more than one core for a program.
    """

    def __init__(self, threads: int = 1) -> None:
        self._executor = concurrent.futures.ThreadPoolExecutor(threads, thread_name_prefix="jaxhpt-compile")
        self._alike = self._executor.submit(cache.settings).result() == cache.settings()

    def compile(self, function: Function, *arguments: Any) -> concurrent.futures.Future:
        """Begin to compile for static values, and arguments or their shapes: a future program."""
        if self._alike:
            return self._executor.submit(function.program, *arguments)
        done: concurrent.futures.Future = concurrent.futures.Future()
        done.set_result(function.program(*arguments))
        return done

    def close(self) -> None:
        """Begin nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


def shapes_of(arguments: Any) -> Any:
    """Return the shapes of arrays, for which a program can be compiled before there are any."""
    return jax.tree.map(_shape_of, arguments)


def _shape_of(array: Any) -> jax.ShapeDtypeStruct:
    place = _place(array)  # which also tells programs of one device from those of another
    return jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=place)
