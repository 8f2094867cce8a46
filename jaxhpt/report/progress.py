"""Progress of a search: one live line in a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from jaxhpt.report.snapshot import Snapshot

PLAIN_SECONDS = 10.0  # between two plain lines


class Display(Protocol):
    """What shows a search; made by `display`."""

    def compiling(self) -> None:
        """Say that the program is being compiled."""
        ...

    def update(self, snapshot: Snapshot) -> None:
        """Show where the search stands."""
        ...

    def close(self) -> None:
        """Leave the last state on the screen."""
        ...


def display(wanted: bool, console: Console | None = None) -> Display:
    """Choose the display: none, a live line in a terminal, or plain lines."""
    if not wanted:
        return _Silent()
    console = console or Console(file=sys.stderr)
    return _Live(console) if console.is_terminal else _Plain(console)


class _Silent:
    def compiling(self) -> None: ...

    def update(self, snapshot: Snapshot) -> None: ...

    def close(self) -> None: ...


class _Fact(ProgressColumn):
    """One fact of the latest snapshot."""

    def __init__(self, style: str, show: Any) -> None:
        self.style, self.show = style, show
        super().__init__()

    def render(self, task: Task) -> Text:
        snapshot = task.fields["snapshot"]
        return Text(self.show(snapshot) if snapshot else "", style=self.style)


class _Live:
    """A bar with lanes busy, best so far, pace and time left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            _Fact("green", lambda s: f"{s.finished:,}/{s.trials:,} trials"),
            _Fact("cyan", lambda s: f"{s.lanes_busy}/{s.lanes} lanes"),
            _Fact("magenta", _best),
            _Fact("yellow", lambda s: f"{s.trials_per_second:,.1f} trials/s"),
            _Fact("dim", _left),
            console=console,
        )
        self._task = self._progress.add_task("starting", total=None, snapshot=None)
        self._progress.start()

    def compiling(self) -> None:
        self._progress.update(self._task, description="compiling ...")

    def update(self, snapshot: Snapshot) -> None:
        self._progress.update(
            self._task,
            description="searching",
            total=snapshot.trials,
            completed=snapshot.finished,
            snapshot=snapshot,
        )

    def close(self) -> None:
        self._progress.update(self._task, description="searched")
        self._progress.stop()


class _Plain:
    """A line now and then, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = -PLAIN_SECONDS
        self._latest: Snapshot | None = None

    def compiling(self) -> None:
        self._say("compiling ...")

    def update(self, snapshot: Snapshot) -> None:
        self._latest = snapshot
        if time.monotonic() - self._shown >= PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._latest = None
            self._say(_line(snapshot))

    def close(self) -> None:
        if self._latest is not None:
            self._say(_line(self._latest))

    def _say(self, text: str) -> None:
        self._console.print(f"jaxhpt: {text}", highlight=False, soft_wrap=True)


def _line(s: Snapshot) -> str:
    facts = [f"{s.finished:,}/{s.trials:,} trials", f"{s.lanes_busy}/{s.lanes} lanes busy", _best(s)]
    facts += [f"{s.trials_per_second:,.1f} trials/s", _left(s)]
    if s.failed:
        facts.append(f"{s.failed:,} failed")
    return " · ".join(fact for fact in facts if fact)


def _best(s: Snapshot) -> str:
    return "" if s.best_value is None else f"best {s.objective} {s.best_value:.5g}"


def _left(s: Snapshot) -> str:
    if s.eta is None or s.finished >= s.trials:
        return f"{s.seconds:.1f} s"
    return f"{s.eta:,.0f} s left"
