"""Ctrl-C, and the signal by which a machine is taken back: a search ends in order, and a compilation is not broken off.

An exception in the middle of a compilation ends the process with a crash of jaxlib, so it waits for its end.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from jaxhpt.engine.compiling import is_compiling

ENDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
ENDING = "ending in order; again to end at once"
HELD = "interrupted; ends once the program that is being compiled is there"


def say(text: str) -> None:
    """Write a line for people from a handler of signals, where `print` may be running."""
    with contextlib.suppress(OSError):  # a terminal that is closed
        os.write(2, f"\njaxhpt: {text}\n".encode())


class Signals:
    """What came since the search began.

    Args:
      told: told what comes of a signal, in its handler.

    Attributes:
      ending: why it is to end in order: "interrupted" or "terminated"; empty for no reason.
      at_once: whether the user has asked for it twice, during a compilation.
    """

    def __init__(self, told: Callable[[str], None] = say) -> None:
        self.ending, self.at_once, self._told = "", False, told

    def come(self, number: int, frame: Any) -> None:
        """Note the first; the second interrupts at once, where that is safe."""
        again, self.ending = bool(self.ending), self.ending or ENDS[signal.Signals(number)]
        if is_compiling() or not again:
            self._told(HELD if is_compiling() else ENDING)
        if again and is_compiling():
            self.at_once = True
        elif again:
            raise KeyboardInterrupt

    def require_patience(self) -> None:
        """Raise what had to wait for a compilation."""
        if self.at_once:
            raise KeyboardInterrupt


@contextlib.contextmanager
def signals(terminates: bool, told: Callable[[str], None] = say) -> Iterator[Signals]:
    """Note Ctrl-C, in the main thread, where alone it can be noted.

    Args:
      terminates: whether SIGTERM ends the search in order, too; without, it ends the process, as it does by default.
      told: told what comes of it, in the handler: it must not print as others may be printing.
    """
    noted = Signals(told)
    if threading.current_thread() is not threading.main_thread():
        yield noted
        return
    usual = {number: signal.getsignal(number) for number in ENDS if terminates or number == signal.SIGINT}
    for number in usual:
        signal.signal(number, noted.come)
    try:
        yield noted
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
