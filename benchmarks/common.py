"""What benchmarks share: digits, the plain training of an MLP, timing, and a table with machine and versions."""

import functools
import importlib.metadata
import itertools
import os
import platform
import time

import jax
import jax.numpy as jnp
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

BATCH = 128


@functools.cache
def digits():
    """Return digits as ((x, y) for training, (x, y) for validation): 1,437 and 360 rows."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32")
    x_train, x_valid, y_train, y_valid = train_test_split(x, y.astype("int32"), test_size=360, random_state=0)
    return (x_train, y_train), (x_valid, y_valid)


def mlp_functions(sizes, optimizer):
    """Return init, step and evaluate of an MLP, as a user without jaxhpt would write them for one model."""

    def init(key, hparams):
        keys = jax.random.split(key, len(sizes) - 1)
        shapes = itertools.pairwise(sizes)
        weights = [
            {"w": jax.random.normal(k, (a, b)) * (2.0 / a) ** 0.5, "b": jnp.zeros(b)}
            for k, (a, b) in zip(keys, shapes, strict=True)
        ]
        return {"weights": weights, "opt": optimizer(hparams).init(weights)}

    def logits(weights, x):
        for layer in weights[:-1]:
            x = jax.nn.relu(x @ layer["w"] + layer["b"])
        return x @ weights[-1]["w"] + weights[-1]["b"]

    def loss(weights, batch):
        x, y = batch
        return optax.softmax_cross_entropy_with_integer_labels(logits(weights, x), y).mean()

    def step(state, batch, hparams, key):
        grads = jax.grad(loss)(state["weights"], batch)
        updates, opt = optimizer(hparams).update(grads, state["opt"], state["weights"])
        return {"weights": optax.apply_updates(state["weights"], updates), "opt": opt}

    def evaluate(state, valid, hparams):
        x, y = valid
        return {"accuracy": (logits(state["weights"], x).argmax(-1) == y).mean()}

    return init, step, evaluate


def timed(function, *args):
    """Run once; return seconds and the answer, when it is really there."""
    begun = time.perf_counter()
    answer = jax.block_until_ready(function(*args))
    return time.perf_counter() - begun, answer


def machine():
    """Describe the machine and the versions in one line."""
    device = jax.devices()[0]
    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    versions = " ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    where = f"{device.device_kind} x{jax.device_count()}, {os.cpu_count()} cores"
    return f"{where}, Python {platform.python_version()}, {versions}"


def table(head, rows):
    """Print a Markdown table."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    print("\n".join([lines[0], rule, *lines[1:]]), flush=True)
