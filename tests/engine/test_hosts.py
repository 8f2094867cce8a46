"""Two processes of one search: they agree, the first one decides and calls back, and none outlives the other."""

import os
import pathlib
import socket
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = pathlib.Path(__file__).with_name("hosts_run.py")
PATIENCE = 240  # seconds, for what would wait for ever


@pytest.fixture
def pair():
    """Return a function that starts two processes of a search, which do not outlive the test."""
    running = []

    def start(deed):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = str(free.getsockname()[1])
        here = {**os.environ, "PYTHONPATH": str(ROOT)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        for place in "01":
            running.append(subprocess.Popen([sys.executable, str(SCRIPT), place, port, deed], env=here, **pipes))
        return running

    yield start
    for process in running:
        process.kill()
        process.communicate()


def lines(process):
    out, err = process.communicate(timeout=PATIENCE)
    assert "found" in out or "raised" in out, err[-3000:]
    return [line for line in out.splitlines() if line.split()[0] in ("found", "called", "raised", "refused")]


def test_two_processes_find_the_same_and_end_together(pair):
    one, other = map(lines, pair("agree"))
    for name in ("settings", "seed"):
        said = f"refused {name}: differ between the processes of the search; call it with the same arguments, on the "
        assert one.pop(0) == other.pop(0) == said + "same data, in all of them"
    assert one[0] == other[0]
    assert " 2 finished " in one[0]
    value, replayed = float(one[0].split()[1]), float(one[0].split()[-1])
    assert replayed == pytest.approx(value, rel=1e-4)
    assert (one[1], other[1]) == ("called back True", "called back False")
    assert one[2] == "raised ZeroDivisionError: of the callback"
    assert other[2] == "raised RuntimeError: another process of the search raised an error: see what it says"


def test_killing_one_ends_the_other_with_what_had_ended(pair):
    one, other = pair("go on")
    while not (line := one.stdout.readline()).startswith("going") or line.split()[1] == "0":
        assert line, one.stderr.read()[-3000:]
    other.kill()
    (said,) = lines(one)
    assert said.startswith(
        "raised RuntimeError: another process of the search has ended or cannot be reached; see what"
    )
    assert int(said.split()[-1]) >= 8
    assert one.returncode == 3
