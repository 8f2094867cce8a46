"""The files of a run: written whole or not at all, and by one process at a time."""

import contextlib
import json
import os
import pathlib
import socket
import tempfile
import time
from typing import Any

from jaxhpt.core.checks import require
from jaxhpt.core.files import write_text

MANIFEST, LOG, CALLS, CHECKPOINTS, LOCK, COMMANDS, CONFIRMED, ORDERS, BEST = (
    "manifest.json", "trials.jsonl", "calls.jsonl", "checkpoints", "lock", "commands",
    "confirmed.npz", "commands.jsonl", "best",
)  # fmt: skip
GIVEN_UP = 60.0  # seconds after which a lock that says nothing of its owner is taken over


class RunError(ValueError):
    """A run directory cannot be used as it is: it is damaged, in use, or holds another run."""


def folder_of(run_dir: Any) -> pathlib.Path | None:
    """Return the folder that a user names, made where there is none; None for none.

    Raises:
      TypeError, ValueError: no path, or a file.
    """
    if run_dir is None:
        return None
    if not isinstance(run_dir, str | pathlib.Path) or not str(run_dir):
        raise TypeError(f"run_dir={run_dir!r}: must be a path, such as 'runs/first'")
    folder = pathlib.Path(run_dir).absolute()
    require(not folder.exists() or folder.is_dir(), "run_dir", str(run_dir), "a directory, not a file")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"run_dir={str(run_dir)!r}: cannot be made: {error}; take another directory") from error
    return folder


def require_whole(folder: pathlib.Path) -> None:
    """Raise where a folder has remains of a run, but not what says which.

    Raises:
      RunError: it has.
    """
    left = [name for name in (LOG, CALLS, CHECKPOINTS, ORDERS) if (folder / name).exists()]
    if left and not (folder / MANIFEST).exists():
        where = f"run_dir={str(folder)!r}"
        remedy = "remove them, or take another directory"
        raise RunError(f"{where}: has {', '.join(left)} of a run without its {MANIFEST}; {remedy}")


def write_json(path: pathlib.Path, content: Any) -> None:
    """Write a file as `write_text` does."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False))


def read_json(path: pathlib.Path) -> Any:
    """Read a file that `write_json` wrote.

    Raises:
      RunError: it is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged, no JSON: {error}") from error


class Lock:
    """One process at a time in a run directory.

    A lock of a process of this machine that is gone is taken over. One of another machine cannot be looked at from
    here, so it stays until a person takes it away.

    Args:
      folder: of the run.

    Raises:
      RunError: another process is in it.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self._path, self.held = folder / LOCK, True
        for _ in range(3):
            if self._taken():
                return
            self._require_stale()
        raise RunError(f"run_dir={str(folder)!r}: other processes keep taking it")

    def _taken(self) -> bool:
        mine = json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid())})
        try:
            return self._linked(mine)
        except OSError as error:
            where = f"run_dir={str(self._path.parent)!r}"
            raise RunError(f"{where}: cannot be written: {error}; take another directory") from error

    def _linked(self, content: str) -> bool:
        """Make the lock, whole or not at all; that fails where there is one, on network file systems too."""
        with tempfile.NamedTemporaryFile("w", dir=self._path.parent, prefix=".lock-", delete=False) as file:
            file.write(content)
        try:
            os.link(file.name, self._path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            with contextlib.suppress(FileExistsError), self._path.open("x") as lock:
                lock.write(content)
                return True
            return False
        finally:
            os.unlink(file.name)
        return True

    def _require_stale(self) -> None:
        """Take away the lock of a process that is gone."""
        try:
            host, pid, began = _owner(self._path)
        except FileNotFoundError:
            return
        except RunError:
            if time.time() - self._path.stat().st_mtime < GIVEN_UP:
                raise RunError(
                    f"run_dir: {self._path} does not tell whose it is; remove it if no search runs"
                ) from None
            host, pid, began = socket.gethostname(), -1, None
        where = f"run_dir={str(self._path.parent)!r}: process {pid} on {host} runs in it"
        if host != socket.gethostname():
            raise RunError(f"{where}; if it is gone, remove {self._path}")
        if pid == os.getpid() or (_alive(pid) and _began(pid) == began):
            raise RunError(f"{where}; wait for its end, or take another run_dir")
        self._path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let others in; once."""
        if self.held:
            self._path.unlink(missing_ok=True)
        self.held = False


def held(folder: pathlib.Path) -> bool:
    """Tell whether a process is in a run directory; one of another machine counts as there."""
    try:
        host, pid, began = _owner(folder / LOCK)
    except FileNotFoundError:
        return False
    except RunError:
        return True
    return host != socket.gethostname() or (_alive(pid) and _began(pid) == began)


def _owner(path: pathlib.Path) -> tuple[str, int, str | None]:
    """Read a lock: the host and the process that hold it, and when that began.

    Raises:
      FileNotFoundError: there is none.
      RunError: it does not tell whose it is.
    """
    try:
        owner = read_json(path)
        return str(owner["host"]), int(owner["pid"]), owner["began"]
    except (KeyError, TypeError, ValueError) as error:  # a RunError is a ValueError
        raise RunError(f"{path}: does not tell whose it is") from error


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return pid > 0


def _began(pid: int) -> str | None:
    """Return when a process began, so that another of the same number is told apart; None where nobody tells."""
    with contextlib.suppress(OSError, IndexError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    return None
