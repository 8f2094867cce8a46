"""Shared pieces: small tasks whose answers are known, digits, and a counter of compilations."""

import contextlib
import gc
import importlib.metadata
import itertools
import os
import pathlib

# Tests compile far more than they run: light optimisation halves their time, and so does the older way to fuse
# operations, which 0.10 still has; a later one ends at a flag it does not know. It multiplies and adds in one rounding
# here and in two there, as programs differ, so no bits would compare; before AVX2 there is no such instruction. The
# threads of processes that run side by side would wait for each other, and parts of programs take up memory maps. Set
# before JAX wakes up.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_multi_thread_eigen=false --xla_cpu_parallel_codegen_split_count=1"
    + " --xla_cpu_use_fusion_emitters=false --xla_cpu_max_isa=AVX"
    * importlib.metadata.version("jaxlib").startswith("0.10."),
)

# The threads of two processes on two cores spin where they wait for each other, for up to three times the work: each
# worker of pytest-xdist has a core of its own.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER.startswith("gw") and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(WORKER[2:]) % len(cores)]})

# What is compiled in one process is not to be found in another: the cache has tests of its own.
os.environ.setdefault("JAXHPT_CACHE", "off")

import shapes

shapes.hold("jaxhpt.core", "jaxhpt.surrogates", "jaxhpt.engine")  # before the package is imported

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import jaxhpt
from jaxhpt.engine import compiling

# Tracing makes many small things that live on: looking through all of them every 700 takes a tenth of the time.
gc.freeze()
gc.set_threshold(50_000, 20, 20)

MOST_MAPS = 40_000  # of the 65,530 memory maps that Linux gives a process
MANY_MAPS = 12_000  # after a file, whose programs no other file needs
BETWEEN = 16  # tests between two looks at them
_looks = itertools.count()


def let_go_beyond(most):
    """Let go of compiled programs where a process holds more memory maps than `most`: four a program, about."""
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > most:
        jax.clear_caches()
        compiling.forget()


@pytest.fixture(autouse=True)
def let_go():
    """Let go of programs before the process runs out of memory maps."""
    yield
    if next(_looks) % BETWEEN == 0:
        let_go_beyond(MOST_MAPS)


@pytest.fixture(autouse=True, scope="module")
def let_go_after_a_file():
    """Let go of programs sooner where little is compiled again: they take gigabytes."""
    yield
    let_go_beyond(MANY_MAPS)


class LinearModel:
    """Least squares by gradient descent, in plain JAX; four weights, known to be 1, 2, 3, 4."""

    target = np.array([1.0, 2.0, 3.0, 4.0], np.float32)

    @staticmethod
    def init(key, hparams):
        return {"w": jax.random.normal(key, (4,)) * hparams.get("scale", 0.1)}

    @staticmethod
    def step(state, batch, hparams, key):
        def loss(w):
            data = batch.data if isinstance(batch, jaxhpt.Batch) else batch
            return jaxhpt.batch_mean((data["x"] @ w - data["y"]) ** 2, batch)

        noise = jax.random.normal(key, (4,)) * 1e-3
        return {"w": state["w"] - hparams["lr"] * (jax.grad(loss)(state["w"]) + noise)}

    @staticmethod
    def evaluate(state, valid, hparams):
        return {"loss": jnp.mean((valid["x"] @ state["w"] - valid["y"]) ** 2), "size": jnp.sum(jnp.abs(state["w"]))}


def linear_data(rows, seed):
    x = np.random.default_rng(seed).normal(size=(rows, 4)).astype(np.float32)
    return {"x": x, "y": x @ LinearModel.target}


@pytest.fixture(scope="session")
def linear():
    """Return a task of least squares: 50 rows, batches of 16, 24 steps."""
    return jaxhpt.Task(
        LinearModel.init,
        LinearModel.step,
        LinearModel.evaluate,
        train_data=linear_data(50, 0),
        valid_data=linear_data(30, 1),
        batch_size=16,
        steps=24,
        objective="loss",
    )


@pytest.fixture(scope="session")
def lr_space():
    """Return a space of one learning rate; all of it converges."""
    return {"lr": jaxhpt.Float(1e-3, 0.3, log=True)}


@pytest.fixture(scope="session")
def digits():
    """Return ((x, y), (x, y)) of scikit-learn's digits: 1,437 and 360 rows."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16.0).astype(np.float32), y.astype(np.int32)
    order = np.random.default_rng(0).permutation(len(x))
    train, valid = order[:1437], order[1437:]
    return (x[train], y[train]), (x[valid], y[valid])


@pytest.fixture
def compilations():
    """Return a context manager that lists the seconds of each compilation inside it."""

    @contextlib.contextmanager
    def watch():
        seen = []

        def listen(event, duration, **kwargs):
            if event == "/jax/core/compile/backend_compile_duration":
                seen.append(duration)

        jax.monitoring.register_event_duration_secs_listener(listen)
        try:
            yield seen
        finally:
            jax.monitoring.unregister_event_duration_listener(listen)

    return watch


@pytest.fixture(scope="session")
def same_bits():
    """Return an assertion that two pytrees are equal to the bit."""

    def check(a, b):
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
            np.testing.assert_array_equal(np.asarray(x), np.asarray(y))

    return check


@pytest.fixture(scope="session")
def bounded():
    """Search for the corner (1, 1) where x + y must be at most 1: the best there is is 1/2, on the bound."""

    def search(**options):
        return jaxhpt.minimize(
            lambda h, key: {"loss": (h["x"] - 1) ** 2 + (h["y"] - 1) ** 2, "size": h["x"] + h["y"]},
            {"x": jaxhpt.Float(0, 1), "y": jaxhpt.Float(0, 1)}, objective="loss", constraints={"size": ("<=", 1.0)},
            progress=False, **options,
        )  # fmt: skip

    return search
