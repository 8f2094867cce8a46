"""The programs of one search: each is compiled where it is used first, or before that in another thread."""

import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np

from jaxhpt.core.typing import Array, PyTree
from jaxhpt.engine.compiling import Background, Function
from jaxhpt.training.devices import Devices, put_of


class Programs:
    """Programs by name, and what they are given.

    Args:
      devices: on which all of them run; None for one device.
      threads: that compile.

    Attributes:
      seconds: for which the search waited for programs.
    """

    def __init__(self, devices: Devices | None = None, threads: int = 1) -> None:
        self.seconds, self._devices = 0.0, devices
        self._ready: dict[Hashable, Callable] = {}
        self._coming: dict[Hashable, concurrent.futures.Future] = {}
        self._background = Background(threads)

    def call(self, name: Hashable, function: Function, *arguments: Any) -> Any:
        """Run a program, once it is there."""
        return self.get(name, function, *arguments)(*arguments[function.static :])

    def get(self, name: Hashable, function: Function, *arguments: Any) -> Callable:
        """Return a program, which is waited for, or compiled now, where it is used first."""
        if name not in self._ready:
            begun = time.perf_counter()
            coming = self._coming.pop(name, None)
            self._ready[name] = coming.result() if coming else function.program(*arguments)
            self.seconds += time.perf_counter() - begun
        return self._ready[name]

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count what is done inside as waiting for programs."""
        begun = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begun

    def later(self, name: Hashable, function: Function, *arguments: Any) -> None:
        """Begin to compile in another thread, for shapes."""
        if name not in self._ready and name not in self._coming:
            self._coming[name] = self._background.compile(function, *arguments)

    def is_ready(self, name: Hashable) -> bool:
        """Tell whether a program is there."""
        return name in self._ready or (name in self._coming and self._coming[name].done())

    def is_coming(self, name: Hashable) -> bool:
        """Tell whether a program is being compiled."""
        return name in self._coming and not self._coming[name].done()

    def drop(self, name: Hashable) -> None:
        """Let go of a program."""
        self._ready.pop(name, None)

    def put(self, tree: PyTree) -> PyTree:
        """Put arrays where the programs run."""
        return put_of(self._devices)(tree)

    def placed(self, shapes: PyTree) -> PyTree:
        """Return shapes of arrays that lie there."""
        return shapes if self._devices is None else self._devices.placed(shapes)

    def number(self, value: int) -> Array:
        """Put a whole number there: i32[]."""
        found: Array = self.put(np.int32(value))
        return found

    def numbers(self, *values: int) -> tuple[Array, ...]:
        """Put whole numbers there: i32[] each."""
        return tuple(map(self.number, values))

    def close(self) -> None:
        """Leave nothing running, but for what cannot be stopped."""
        self._background.close()
