"""A run that is killed at any moment goes on to the bits of one that was not, and its log has each trial once."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import jaxhpt

HERE = pathlib.Path(__file__).parent
WHOLE = ("random", "genetic", "cma_es", "tpe", "bayesian")  # of different kinds
OTHERS = ("asha", "promoted", "hyperband", "pbt", "structures", "search_many", "fused", "median_stop", "quasi_random")
DEVICES = ("genetic on 4", "fused on 4", "pbt on 4", "structures on 4", "search_many on 3")


def begun(kind, folder, out):
    """Begin a run, of a kind, or of a kind on several simulated devices, as in "genetic on 4"."""
    kind, _, devices = kind.partition(" on ")
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"} if devices else {}
    command = [sys.executable, str(HERE / "killed_run.py"), kind, str(folder), str(out)]
    return subprocess.Popen(command, env={**os.environ, **flags})


def logged(folder):
    path = folder / "trials.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def killed(kind, folder, moments, out):
    """Run, killing it after so many more trials each time; return how often that came in time."""
    times = 0
    for moment in moments:
        before, run = logged(folder), begun(kind, folder, out)
        while run.poll() is None and logged(folder) < before + moment:
            time.sleep(0.002)
        time.sleep(random.random() * 0.05)
        if run.poll() is None:
            times += 1
            run.send_signal(signal.SIGKILL)
        run.wait()
        if out.exists():
            break
        look = jaxhpt.load(folder)  # of a killed run
        results = look if isinstance(look, list) else [look]
        assert sum(r.stats.trials + r.stats.copies for r in results) >= logged(folder)
    if not out.exists():
        assert begun(kind, folder, out).wait() == 0
    return times


def require_same(kind, tmp_path, moments):
    one, other, folder = tmp_path / "one.npz", tmp_path / "other.npz", tmp_path / "run"
    assert begun(kind, tmp_path / "whole", one).wait() == 0
    times = killed(kind, folder, moments, other)
    with np.load(one) as a, np.load(other) as b:
        assert sorted(a) == sorted(b)
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
    lines = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    names = [(line.get("search", 0), line["trial"]) for line in lines]
    assert len(set(names)) == len(names)
    with np.load(one) as a:
        ended = sum(int((a[name] >= 2).sum()) for name in a if name.endswith("/status"))
    assert len(names) == ended
    found = jaxhpt.load(folder)
    assert (found if isinstance(found, list) else [found])[0].stats.ended == "finished"
    return times


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    random.seed(0)
    assert require_same("genetic", tmp_path, [1, 24]) >= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", WHOLE)
def test_killed_at_twenty_moments(kind, tmp_path):
    random.seed(hash(kind) % 1000)
    require_same(kind, tmp_path, [random.choice([1, 1, 4, 8, 8, 8]) for _ in range(20)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*OTHERS, *DEVICES])
def test_killed_at_three_moments(kind, tmp_path):
    require_same(kind, tmp_path, [1, 16, 24])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_in_order(number, tmp_path):
    folder, out = tmp_path / "run", tmp_path / "out.npz"
    run = begun("genetic", folder, out)
    while logged(folder) < 8 and run.poll() is None:
        time.sleep(0.01)
    os.kill(run.pid, number)
    assert run.wait(60) == 0
    assert out.exists()
    ended = json.loads((folder / "manifest.json").read_text())["ended"]
    assert ended == {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}[number]
    assert not (folder / "lock").exists()
