"""Progress of a search: live lines in a terminal and in a notebook, plain lines elsewhere."""

import html
import sys
import threading
import time
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.errors import LiveError
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from jaxhpt.engine.signals import say
from jaxhpt.engine.snapshot import Display, Silent, Snapshot
from jaxhpt.report.live import Beneath

PLAIN_SECONDS, NOTEBOOK_SECONDS = 10.0, 0.5  # between two plain lines, and two looks of a notebook
BAR, NAMES, NOTEBOOK_COLUMNS = 10, 7, 72  # columns of the bar, of the names beneath it, and of a notebook's lines
ROOM = 8  # rows of a terminal that has room for more than the bar
_STYLES = {"best": "magenta", "lanes": "cyan", "ended": "dim"}


def display(wanted: bool, console: Console | None = None) -> Display:
    """Choose the display: none, live lines in a terminal or a notebook, or plain lines."""
    if not wanted:
        return Silent()
    console = console or Console(file=sys.stderr)
    if console.is_jupyter:
        return _Notebook()
    if not console.is_terminal:
        return _Plain(console)
    try:
        return _Live(console)
    except LiveError:  # another search has the line
        return _Plain(console)


class _Facts(ProgressColumn):
    """The facts of the latest snapshot that there is room for in the line; before the first, the seconds so far."""

    max_refresh = None

    def __init__(self, console: Console) -> None:
        self._console = console
        super().__init__()

    def render(self, task: Task) -> Text:
        snapshot, room = task.fields["snapshot"], self._console.width - BAR - len(task.description) - 3
        facts = _facts(snapshot) if snapshot else [(f"{task.elapsed or 0.0:.0f} s", "dim")]
        for least in _DISPENSABLE:
            if sum(len(text) + 1 for text, _ in facts) > room and len(facts) > least:
                del facts[least]
        return Text(" ").join(Text(text, style=style) for text, style in facts if text)


_DISPENSABLE = (1, 2, 1)  # places in the facts of what is left out first: lanes, then the pace, then the best


def _facts(s: Snapshot) -> list[tuple[str, str]]:
    """Return facts and their styles: trials, lanes, best, pace, time left."""
    return [
        (f"{s.finished:,}/{s.trials:,} trials", "green"),
        (f"{s.lanes_busy}/{s.lanes} lanes", "cyan"),
        (_best(s), "magenta"),
        (f"{s.trials_per_second:,.1f} trials/s", "yellow"),
        (_left(s), "dim"),
    ]


class _Lines(Progress):
    """A bar, and what stands beneath it where the terminal has room for that."""

    def __init__(self, console: Console) -> None:
        self.beneath, self.ended, self.note, self._terminal = Beneath(), False, "", console
        bar = BarColumn(bar_width=BAR)
        super().__init__(TextColumn("[bold]{task.description}"), bar, _Facts(console), console=console)

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.note and not self.ended:
            yield Text(f"jaxhpt: {self.note}", style="bold")
        if self._terminal.height >= ROOM and not self._terminal.options.ascii_only:
            for name, text in self.beneath.lines(self._terminal.width - NAMES, self.ended):
                yield Text.assemble((name.ljust(NAMES), "dim"), (text, _STYLES[name]))


class _Live:
    """A bar with best so far, time left, and as room allows pace and lanes busy; never wider than the terminal."""

    def __init__(self, console: Console) -> None:
        self._progress = _Lines(console)
        self._task = self._progress.add_task("starting", total=None, snapshot=None)
        self._progress.start()

    def compiling(self, known: str = "") -> None:
        if known:
            self._progress.console.print(f"jaxhpt: {known}", highlight=False, markup=False)
        self._progress.update(self._task, description="compiling ...")

    def update(self, snapshot: Snapshot) -> None:
        self._progress.beneath.see(snapshot)
        self._progress.update(
            self._task,
            description="searching",
            total=snapshot.trials,
            completed=snapshot.finished + snapshot.under_way,
            snapshot=snapshot,
        )

    def ending(self, text: str) -> None:
        self._progress.note = text  # drawn by the thread that draws all

    def close(self) -> None:
        self._progress.ended = True
        self._progress.update(self._task, description="searched")
        self._progress.stop()


class _Notebook:
    """The same lines in a cell's output, written anew now and then."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self._html, self._beneath, self._shown, self._ended, self._note = HTML, Beneath(), 0.0, False, ""
        self._handle = display(HTML(""), display_id=True)

    def compiling(self, known: str = "") -> None:
        self._write(f"{known}; compiling ..." if known else "compiling ...", [])

    def update(self, snapshot: Snapshot) -> None:
        self._beneath.see(snapshot)
        if time.monotonic() - self._shown >= NOTEBOOK_SECONDS:
            self._draw()

    def ending(self, text: str) -> None:
        self._note = text  # until the next look

    def close(self) -> None:
        self._ended = True
        self._draw()

    def _draw(self) -> None:
        if self._beneath.snapshot is not None:
            self._shown = time.monotonic()
            self._write(_line(self._beneath.snapshot), self._beneath.lines(NOTEBOOK_COLUMNS, self._ended))

    def _write(self, line: str, beneath: Sequence[tuple[str, str]]) -> None:
        lines = [line, *(f"{name.ljust(NAMES)}{text}" for name, text in beneath)]
        lines += [f"jaxhpt: {self._note}"] if self._note and not self._ended else []
        self._handle.update(self._html(f"<pre style='margin:0'>{html.escape(chr(10).join(lines))}</pre>"))


class _Plain:
    """A line now and then, for logs."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = -PLAIN_SECONDS
        self._latest: Snapshot | None = None
        self._begun = threading.Event()
        self._begun.set()

    def compiling(self, known: str = "") -> None:
        if known:
            self._say(known)
        self._say("compiling ...")
        self._begun.clear()
        threading.Thread(target=self._wait, args=(time.monotonic(), self._begun), daemon=True).start()

    def update(self, snapshot: Snapshot) -> None:
        self._begun.set()
        self._latest = snapshot
        if time.monotonic() - self._shown >= PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._latest = None
            self._say(_line(snapshot))

    def ending(self, text: str) -> None:
        say(text)

    def close(self) -> None:
        self._begun.set()
        if self._latest is not None:
            self._say(_line(self._latest))

    def _wait(self, since: float, begun: threading.Event) -> None:
        """Say how long it has been compiling, now and then, until the search begins."""
        while not begun.wait(PLAIN_SECONDS):
            self._say(f"compiling ... {time.monotonic() - since:.0f} s")

    def _say(self, text: str) -> None:
        text = text.replace(" · ", ", ") if self._console.options.ascii_only else text
        self._console.print(f"jaxhpt: {text}", markup=False, highlight=False, soft_wrap=True)


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
