"""Ctrl-C, and the signal by which a machine is taken back: a search ends in order, and a compilation is not broken off.

An exception in the middle of a compilation ends the process with a crash of jaxlib, so it waits for its end.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from jaxhpt.engine.compiling import is_compiling

ENDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
HELD = b"\njaxhpt: interrupted; ends once the program that is being compiled is there\n"


class Signals:
    """What came since the search began.

    Attributes:
      ending: why it is to end in order: "interrupted" or "terminated"; empty for no reason.
      at_once: whether the user has asked for it twice, during a compilation.
    """

    def __init__(self) -> None:
        self.ending, self.at_once = "", False

    def come(self, number: int, frame: Any) -> None:
        """Note the first; the second interrupts at once, where that is safe."""
        if is_compiling():
            os.write(2, HELD)  # `print` may be running
        again, self.ending = bool(self.ending), self.ending or ENDS[signal.Signals(number)]
        if again and is_compiling():
            self.at_once = True
        elif again:
            raise KeyboardInterrupt

    def require_patience(self) -> None:
        """Raise what had to wait for a compilation."""
        if self.at_once:
            raise KeyboardInterrupt


@contextlib.contextmanager
def signals(terminates: bool) -> Iterator[Signals]:
    """Note Ctrl-C, in the main thread, where alone it can be noted.

    Args:
      terminates: whether SIGTERM ends the search in order, too; without, it ends the process, as it does by default.
    """
    noted = Signals()
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
