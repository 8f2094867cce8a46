"""Many searches are shared out over devices and cores, and do less at once where memory does not suffice."""

import json
import os
import pathlib
import subprocess
import sys
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.engine import memory
from jaxhpt.engine.many import shared_out

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("num", "most", "parts"), [(1, 8, 1), (6, 4, 3), (7, 4, 4), (8, 4, 4), (9, 8, 5), (500, 8, 8), (5, 2, 2), (3, 0, 1)]
)
def test_as_few_parts_as_are_no_larger(num, most, parts):
    assert shared_out(num, most) == parts
    assert -(-num // parts) == -(-num // max(1, most))


@pytest.fixture(scope="module")
def told():
    """Return what became of searches on four devices."""
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=4"
    here = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    script = [sys.executable, str(ROOT / "tests" / "engine" / "many_devices.py")]
    done = subprocess.run(script, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_all_devices_have_a_part_and_wait_for_nobody(told):
    assert told["all"] == told["seven"] == ["[0, 1, 2, 3]"]
    assert told["ragged"] == ["[0, 1, 2]"]  # five searches, no more than two each


def test_results_are_the_same_bits_on_one_device_and_on_four(told):
    assert told["same"]
    assert told["seven, same"]
    assert told["ragged, same"]


def test_data_that_lie_on_one_device_stay_there(told):
    assert told["put on one"] == ["[2]"]
    assert told["by default on one"] == ["[1]"]


def test_results_come_to_one_device_and_replay_there(told):
    assert told["homes"] == ["0"]
    assert told["replayed"][0] == pytest.approx(told["replayed"][1], rel=1e-5)


def search(**options):
    """Search twice for a number."""
    return jaxhpt.search_many(
        lambda w, batch, h, key: w - h["lr"] * w, {"lr": jaxhpt.Float(0.1, 1.0)}, init=lambda key, h: jnp.ones(4),
        evaluate=lambda w, data, h: {"loss": jnp.sum(w**2)}, seed=[0, 1], steps=4, trials=8, algorithm="random",
        cores=1, progress=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize(("lanes", "looks", "words"), [(4, 1, "2 at once in training"), ("auto", 3, "1 at once")])
def test_where_memory_does_not_suffice_less_is_done_at_once(monkeypatch, lanes, looks, words):
    plain, tight = search(lanes=lanes), iter([0] * looks)
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "free_bytes", lambda device: next(tight, 1 << 40))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = search(lanes=lanes)
    assert [str(w.message) for w in seen if w.category is UserWarning] == list(found[0].stats.memory)
    assert len(found[1].stats.memory) == looks
    assert words in found[1].stats.memory[-1]
    for one, other in zip(found, plain, strict=True):
        np.testing.assert_array_equal(one.history.unit, other.history.unit)
        np.testing.assert_allclose(one.history.metrics, other.history.metrics, rtol=1e-5)


def test_memory_that_is_gone_later_is_noticed_between_dispatches(monkeypatch):
    full = []
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "free_bytes", lambda device: 0 if len(full) == 1 and not full.append(1) else 1 << 40)
    with pytest.warns(UserWarning, match="2 at once in training"):
        found = search(lanes=4, callbacks=[lambda snapshot: full.append(0)], events_per_dispatch=1)
    assert [trial.status for trial in found[1].trials] == ["done"] * 8
