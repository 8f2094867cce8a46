"""What a running search is told by files in its directory, from another process; what becomes of it; the log of it."""

import contextlib
import dataclasses
import json
import os
import pathlib
import time
import uuid
from collections.abc import Collection
from typing import Any

from jaxhpt.core.checks import MAX_TRIALS, number, require, suggest, whole
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.showing import shown
from jaxhpt.core.space import Space
from jaxhpt.engine.steering import Order
from jaxhpt.store.files import COMMANDS, LOCK, MANIFEST, ORDERS, RunError, held, read_json, write_json
from jaxhpt.store.log import read_lines

KINDS = ("stop", "pause", "resume", "try", "drop", "trials")
NOW = ("stop", "pause", "resume")  # of the search that runs, and of none that goes on later
LOOK_SECONDS = 0.1  # from one look at what became of a command to the next


@dataclasses.dataclass(frozen=True)
class Command:
    """What a run is told.

    Attributes:
      kind: one of `KINDS`.
      value: name to value for "try"; a whole number for "drop" and "trials"; None for the others.
      source: the file that it came by; empty for none.
    """

    kind: str
    value: Any = None
    source: str = ""

    def __post_init__(self) -> None:
        require(self.kind in KINDS, "command", self.kind, f"one of {', '.join(KINDS)}; {suggest(self.kind, KINDS)}")
        if self.kind in ("drop", "trials"):
            least = 1 if self.kind == "trials" else 0
            require(whole(self.kind, self.value) >= least, self.kind, self.value, f"a whole number from {least} on")
            require(self.value <= MAX_TRIALS, self.kind, self.value, "at most 2**30")
        elif self.kind == "try":
            require(isinstance(self.value, dict), "try", self.value, 'a setting, such as {"lr": 0.01}')
        else:
            require(self.value is None, self.kind, self.value, "without a value")


@dataclasses.dataclass(frozen=True)
class Told:
    """What became of a command.

    Attributes:
      taken: whether the search has done it, or refused it; else it waits.
      event: before which it was done; None of what is done between any two.
      wrong: why it was refused; empty where it was not.
    """

    taken: bool = False
    event: int | None = None
    wrong: str = ""


def tell(run_dir: str | pathlib.Path, kind: str, value: Any = None, wait: float = 0.0) -> Told:
    """Tell a search that runs in a directory what to do; it looks about every second.

    Args:
      run_dir: of the run.
      kind: "stop" ends it in order, "pause" and "resume" do what they say, "try" tries a setting next, "drop" stops a
        trial that is running, "trials" sets how many there are in all.
      value: of "try" a dict of the values of all dimensions by their names, of "drop" a trial's id, of "trials" their
        number.
      wait: seconds, at most, until the search has taken it; 0 does not wait.

    Returns:
      What became of it by then.

    Raises:
      ValueError, TypeError: no run, no such command, or one to stop, pause or resume a search where none runs.
    """
    seconds = float(number("wait", wait))
    require(seconds >= 0, "wait", wait, "0 or more seconds")
    folder, command = pathlib.Path(run_dir), Command(kind, value)
    require((folder / MANIFEST).exists(), "run_dir", str(run_dir), f"the directory of a run, with a {MANIFEST}")
    way = read_json(folder / MANIFEST).get("way")
    require(way != "Tuner", "run_dir", str(run_dir), "of a search: a Tuner takes no commands")
    if kind in NOW and not held(folder):
        raise RunError(f"run_dir={str(run_dir)!r}: no search runs there, so there is none to {kind}")
    if kind == "try":
        order_of(command, Space.from_spec(read_json(folder / MANIFEST)["space"]))
    (folder / COMMANDS).mkdir(exist_ok=True)
    path = folder / COMMANDS / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
    write_json(path, {"kind": kind, "value": value})
    return _became(folder, path.name, seconds)


def _became(folder: pathlib.Path, source: str, seconds: float) -> Told:
    """Wait until a command is in the log, or no search runs any more."""
    until = time.monotonic() + seconds
    while True:
        runs = held(folder)  # before the log is read, as a search writes it before it ends
        for line in read_lines(folder / ORDERS, _line)[0]:
            if line["source"] == source:
                return Told(True, line["event"], line["wrong"])
        if not runs or time.monotonic() >= until:
            return Told()
        time.sleep(LOOK_SECONDS)


def waiting(folder: pathlib.Path) -> frozenset[str]:
    """Return the names of the files of commands that nobody has taken."""
    return frozenset(path.name for path in (folder / COMMANDS).glob("*.json"))


def paused(folder: pathlib.Path) -> bool:
    """Tell whether the search that runs in a directory has been told to pause, and not to go on."""
    try:
        since = (folder / LOCK).stat().st_mtime
    except OSError:
        return False
    lines = [line for line in read_lines(folder / ORDERS, _line)[0] if line.get("time", 0.0) >= since]
    kinds = [line["kind"] for line in lines if line["event"] is None and not line["wrong"]]
    return kinds[-1:] == ["pause"]  # more trials let it go on, too


def order_of(command: Command, space: Space) -> Order:
    """Return what the search is to do for "try" or "drop".

    Raises:
      ValueError: a setting that is not in the space.
    """
    if command.kind == "drop":
        return Order("drop", int(command.value), source=command.source)
    given, left = dict(command.value), [name for name in command.value if name not in space.names]
    require(not left, "try", left, f"names of the space; {suggest(str(left[0]), space.names) if left else ''}")
    values = [
        _by_name(_tuple(given.get(name)), dimension)
        for name, dimension in zip(space.names, space.dimensions, strict=True)
    ]
    return Order("try", space.encode(space.assemble(values)).tolist(), source=command.source)


def _by_name(value: Any, dimension: Dimension) -> Any:
    """Return for a text the value that is written so, such as a function; a text that is itself one stays."""
    named = {shown(choice): choice for choice in getattr(dimension, "values", ()) if not isinstance(choice, str)}
    return named.get(value, value) if isinstance(value, str) else value


def _tuple(value: Any) -> Any:
    """Return a list of JSON as the tuple that it stands for."""
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


class Commands:
    """The commands of one run. The file of one goes when it has been done and is in the log: a kill loses none.

    Args:
      folder: of the run.
      space: the user's own.
      before: names of the files of those that waited before the search began, which was not what they were to stop.
    """

    def __init__(self, folder: pathlib.Path, space: Space, before: Collection[str] = ()) -> None:
        self._folder, self._space, self._before, self._taken = folder, space, before, set[str]()
        self.logged, whole_bytes = read_lines(folder / ORDERS, _line)
        if (folder / ORDERS).exists():
            os.truncate(folder / ORDERS, whole_bytes)
        for line in self.logged:  # done, and killed before the file was taken away
            self._remove(line["source"])

    def take(self) -> list[Command]:
        """Return the commands that came since the last time, in order."""
        found = []
        for path in sorted((self._folder / COMMANDS).glob("*.json")):
            if path.name in self._taken:
                continue
            self._taken.add(path.name)
            try:
                told = read_json(path)
                command = Command(told["kind"], told["value"], path.name)
            except (RunError, OSError, ValueError, TypeError, KeyError) as error:
                self._write("?", None, path.name, None, f"{path.name}: {error}")
                continue
            if command.kind in NOW and path.name in self._before:
                self.log(command, wrong=f"told before this search began: {command.kind} is for one that runs")
            else:
                found.append(command)
        return found

    def order(self, command: Command) -> Order | None:
        """Return what is to be done for a command; None, and a line in the log, where it cannot be."""
        try:
            return order_of(command, self._space)
        except (ValueError, TypeError) as error:
            self.log(command, None, str(error))
            return None

    def again(self, done: int) -> list[Order]:
        """Return the orders that were carried out after the first so many, each with its event."""
        orders = [line for line in self.logged if line["event"] is not None]
        return [Order(line["kind"], line["value"], line["event"], line["source"]) for line in orders[done:]]

    def log(self, told: Command | Order, event: int | None = None, wrong: str = "") -> None:
        """Write down what was done, the event before which it was, and what was wrong with it, if anything."""
        self._write(told.kind, told.value, told.source, event, wrong)

    def _write(self, kind: str, value: Any, source: str, event: int | None, wrong: str) -> None:
        line = {"kind": kind, "value": value, "event": event, "wrong": wrong, "time": time.time(), "source": source}
        self.logged.append(line)
        with (self._folder / ORDERS).open("a") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self._remove(source)

    def _remove(self, source: str) -> None:
        if source:
            with contextlib.suppress(OSError):  # what cannot be read, such as a directory, may not go either
                (self._folder / COMMANDS / source).unlink()


def _line(line: Any) -> None:
    """Raise unless a line is one of the log."""
    line["kind"], line["value"], line["event"]
    if pathlib.PurePath(line["source"]).name != line["source"]:
        raise ValueError("its source is no name of a file")
