"""What a running search is told by files in its directory, from another process, and the log of it."""

import contextlib
import dataclasses
import json
import os
import pathlib
import time
import uuid
from typing import Any

from jaxhpt.core.checks import MAX_TRIALS, require, suggest, whole
from jaxhpt.core.containing import known_by_name
from jaxhpt.core.space import Space
from jaxhpt.engine.steering import Order
from jaxhpt.store.files import COMMANDS, MANIFEST, ORDERS, RunError, read_json, write_json
from jaxhpt.store.log import read_lines

KINDS = ("stop", "pause", "resume", "try", "drop", "trials")


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


def tell(run_dir: str | pathlib.Path, kind: str, value: Any = None) -> None:
    """Tell a search that runs in a directory what to do; it looks about every second.

    Args:
      run_dir: of the run.
      kind: "stop" ends it in order, "pause" and "resume" do what they say, "try" tries a setting next, "drop" stops a
        trial that is running, "trials" sets how many there are in all.
      value: of "try" a dict of the values of all dimensions by their names, of "drop" a trial's id, of "trials" their
        number.

    Raises:
      ValueError, TypeError: no run, or no such command.
    """
    folder, command = pathlib.Path(run_dir), Command(kind, value)
    require((folder / MANIFEST).exists(), "run_dir", str(run_dir), f"the directory of a run, with a {MANIFEST}")
    if kind == "try":
        order_of(command, Space.from_spec(read_json(folder / MANIFEST)["space"]))
    (folder / COMMANDS).mkdir(exist_ok=True)
    path = folder / COMMANDS / f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.json"
    write_json(path, {"kind": kind, "value": value})


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
        known_by_name(_tuple(given.get(name)), dimension)
        for name, dimension in zip(space.names, space.dimensions, strict=True)
    ]
    return Order("try", space.encode(space.assemble(values)).tolist(), source=command.source)


def _tuple(value: Any) -> Any:
    """Return a list of JSON as the tuple that it stands for."""
    return tuple(map(_tuple, value)) if isinstance(value, list) else value


class Commands:
    """The commands of one run. The file of one goes when it has been done and is in the log: a kill loses none.

    Args:
      folder: of the run.
      space: the user's own.
    """

    def __init__(self, folder: pathlib.Path, space: Space) -> None:
        self._folder, self._space, self._taken = folder, space, set[str]()
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
                found.append(Command(told["kind"], told["value"], path.name))
            except (RunError, OSError, ValueError, TypeError, KeyError) as error:
                self._write("?", None, path.name, None, f"{path.name}: {error}")
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
