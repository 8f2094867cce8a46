"""Several devices: the same trials and scores as on one, and nothing crosses between them but what has to."""

import json
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxhpt

ROOT = pathlib.Path(__file__).parents[2]
KINDS = {
    "genetic": (),
    "copies": ("split", "fused", "cut models", "one model on all"),
    "parked": ("split", "fused", "cut models", "one model on all"),
    "a model": (),
    "replicas": ("cut models",),
    "trained on": ("split", "fused", "cut models"),
}
LEAVES = {"u32[]", "u32[3]", "u32[4,6]", "u32[6,1]", "u32[2]"}  # of one model: flag, half, two layers, key and wave


@pytest.fixture(scope="module")
def told():
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=8"
    here = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    script = [sys.executable, str(pathlib.Path(__file__).with_name("sharded_runs.py"))]
    done = subprocess.run(script, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", KINDS)
def test_eight_devices_find_what_one_finds(told, kind):
    one = told[kind]["one device"]
    assert one["devices"] == 1
    for how in KINDS[kind] or ("split",):
        several = told[kind][how]
        assert several["devices"] == (2 if how == "one model on all" else 8)
        cut = how in ("cut models", "one model on all")  # a model that is whole is handed out as one
        assert several["places"] == (several["devices"] if cut else 1)
        assert several["parents"] == one["parents"]
        assert several["status"] == one["status"]
        np.testing.assert_allclose(several["unit"], one["unit"], atol=1e-5)
        np.testing.assert_allclose(several["scores"], one["scores"], rtol=1e-4)
        np.testing.assert_allclose(several["replayed"], several["value"], rtol=1e-4)
        for a, b in zip(several["best"], one["best"], strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_parked_trials_go_on_on_any_device(told):
    assert sum(parent < 2**31 - 1 for parent in told["parked"]["split"]["parents"]) > 3


def test_data_may_lie_on_another_mesh_than_the_search(told):
    """Whose axes may be of any kind: a trial is trained again on it, too."""
    one, other = told["data of another mesh"]
    np.testing.assert_allclose(one["scores"], other["scores"], rtol=1e-4)
    for found in (one, other):
        np.testing.assert_allclose(found["replayed"], found["value"], rtol=1e-4)


def test_a_mesh_that_is_in_force_is_refused(told):
    assert told["set_mesh"].startswith("jax.set_mesh: AbstractMesh('lanes': 8")
    assert told["set_mesh"].endswith("is in force; search outside of it, and say mesh= for the devices of the search")


def test_structures_are_shared_out_over_devices(told):
    one, several = told["structures"]["one device"], told["structures"]["several"]
    assert (one["devices"], several["devices"]) == (1, 8)
    np.testing.assert_array_equal(several["unit"], one["unit"])
    np.testing.assert_allclose(several["scores"], one["scores"], rtol=1e-5)
    np.testing.assert_allclose(several["replayed"], several["value"], rtol=1e-5)


def test_devices_exchange_scores_and_rows_that_are_copied_alone(told):
    """Read from the compiled programs: what they send, and its shapes. 16 lanes, 1 metric, 6 copies at most."""
    found = {name: lines for name, lines in told["exchanged"].items() if name != "_train_again"}
    scores = ["all-gather f32[16,1]{1,0}", "all-gather pred[16]{0}"]
    assert found.pop("advance") == scores
    (kept,), (moved,) = found.pop("keep"), found.pop("move")
    assert set(kept.removeprefix("all-reduce (").rstrip(")").split(", ")) == {_laid(leaf) for leaf in LEAVES}
    rows = {leaf.replace("[", "[6,").replace(",]", "]") for leaf in LEAVES}
    assert set(moved.removeprefix("all-reduce (").rstrip(")").split(", ")) == {_laid(leaf) for leaf in rows}
    assert set(found) == {"begin", "_vacant", "propose", "instruct", "fill", "settle", "summary"}
    assert not any(found.values())
    fused = {name: lines for name, lines in told["exchanged fused"].items() if name != "_train_again"}
    assert fused.pop("_dispatch") == sorted([*scores, kept, moved])
    assert not any(fused.values())


def _laid(shape):
    rank = 0 if shape.endswith("[]") else shape.count(",") + 1
    return f"{shape}{{{','.join(map(str, reversed(range(rank))))}}}" if rank else shape


def test_lanes_are_shared_equally(told):
    """By as many devices as divide lanes that were asked for; "auto" is a multiple."""
    assert told["fewer"] == {"lanes 12": [6, 12], "lanes 7": [7, 7]}
    assert told["auto"] == [8, 16, 9]
    assert told["errors"] == [
        "lanes=12: must be a multiple of 8, the devices that share them",
        "mesh: its axes ['model'] are for models that are cut, and nothing says how: give partition=(path, shape) -> "
        "jax.sharding.PartitionSpec, or a mesh with the axis 'lanes' alone",
        "partition of 'half'=P('model',): must be of lengths that 2 devices divide: (3,)",
        "partition of 'half'=P('lanes',): must be of the axes ['model'] of mesh",
    ]


@pytest.mark.parametrize("mesh", [jax.devices(), "lanes", 8])
def test_what_is_no_mesh_is_refused(mesh, linear):
    with pytest.raises(TypeError, match=r"mesh=.*: must be None, or a jax.sharding.Mesh with an axis named \"lanes\""):
        jaxhpt.search(linear, {"lr": jaxhpt.Float(0.1, 0.2)}, mesh=mesh, progress=False)


def test_a_mesh_without_lanes_is_refused(linear):
    with pytest.raises(ValueError, match=r"mesh=.*: must be None, or a jax.sharding.Mesh with an axis named \"lanes\""):
        jaxhpt.search(linear, {"lr": jaxhpt.Float(0.1, 0.2)}, mesh=jax.make_mesh((1,), ("data",)), progress=False)


def test_a_mesh_of_one_device_is_one_device(linear):
    one = {"trials": 4, "lanes": 2, "cores": 1, "algorithm": "random", "progress": False}
    plain = jaxhpt.search(linear, {"lr": jaxhpt.Float(0.1, 0.2)}, **one)
    found = jaxhpt.search(linear, {"lr": jaxhpt.Float(0.1, 0.2)}, mesh=jax.make_mesh((1,), ("lanes",)), **one)
    np.testing.assert_allclose(found.history.metrics, plain.history.metrics, rtol=1e-5)
    assert found.stats.devices == 1
