"""A search runs on the device where its data has been put, and says so where there are several: on two devices."""

import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).parents[2]
SCRIPT = """
import sys
import jax, jax.numpy as jnp, numpy as np, pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec
import jaxhpt

X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
one, other = jax.devices()


def search(put, execution):
    data = {"x": put(X), "y": put(X.sum(1))}

    def loss(w, batch):
        return jnp.mean((batch["x"] @ w - batch["y"]) ** 2)

    return jaxhpt.search(
        lambda w, batch, h, key: w - h["lr"] * jax.grad(loss)(w, batch), {"lr": jaxhpt.Float(0.01, 0.3)},
        init=lambda key, h: jax.random.normal(key, (4,)), evaluate=lambda w, valid, h: loss(w, valid), direction="min",
        train_data=data, valid_data=data, batch_size=8, steps=4, trials=8, lanes=4, cores=2, algorithm="genetic",
        scheduler=jaxhpt.PBT(perturbation_interval=2), execution=execution, progress=False,
    )


for execution in ("split", "fused"):
    plain = search(lambda a: a, execution)
    for place in (one, other):
        for default in (one, other):
            with jax.default_device(default):
                found = search(lambda a: jax.device_put(a, place), execution)
            assert found.best_state.devices() == {place}, (execution, place, default)
            np.testing.assert_array_equal(found.history.metrics, plain.history.metrics)
            assert abs(found.replay(found.best)[1]["score"] - found.best.value) < 1e-5
    with jax.default_device(other):
        found = search(lambda a: a, execution)
    assert found.best_state.devices() == {other}
    np.testing.assert_array_equal(found.history.metrics, plain.history.metrics)
    assert found.replay(found.best)[0].shape == (4,)
    whole = NamedSharding(Mesh(np.array([one, other]), ("rows",)), PartitionSpec("rows"))
    with pytest.raises(ValueError, match="train_data, valid_data: arrays lie on 2 devices, .*; give their mesh as"):
        search(lambda a: jax.device_put(a, whole), execution)
"""


def test_a_search_runs_where_its_data_has_been_put():
    flags = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=2"
    here = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
