"""What benchmarks share: digits, the training of an MLP, searches, timing, and a table with machine and versions."""

import dataclasses
import functools
import importlib.metadata
import importlib.util
import itertools
import os
import pathlib
import platform
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jaxhpt
from jaxhpt.core.space import Space
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.engine.state import Program
from jaxhpt.schedulers import RunToEnd
from jaxhpt.search import _pool

BATCH = 128
ALL = jnp.int32(2**20)  # events; more than there are
UNSEEN = 10_000  # from this seed on; settings were chosen with earlier ones
THREADS = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


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


def take_turns(repeats, contenders):
    """Run all contenders in turn, `repeats` times over; return the seconds of each, of those installed."""
    seconds = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, run in contenders.items():
            seconds[name].append(run())
    return {name: np.asarray(runs) for name, runs in seconds.items() if None not in runs}


def assemble(task, space, algorithm, trials, lanes, prior=0, scheduler=None, interval="auto"):
    """Return the program and the data of a search, to be dispatched by hand."""
    scheduler = scheduler or RunToEnd()
    pool, data, _ = _pool(task, Space.of(space), trials, lanes, interval, scheduler)
    pool = dataclasses.replace(pool, problem=dataclasses.replace(pool.problem, prior=prior))
    return Program(pool, algorithm, scheduler), data


def minima(problem, algorithm, trials, lanes, seeds):
    """Search one of `benchmarks.problems` with each of S seeds: the best values f64[S], and the median seconds of one.

    The optimum may be moved with the seed. Problems of one kind share a compiled program.
    """

    def one_row(moved):  # data of a task has a leading axis
        return jax.tree.map(lambda a: jnp.asarray(a)[None], moved)

    function = problem.function  # with the problem itself, its name would tell the programs of a kind apart
    task = jaxhpt.Task(
        init=lambda key, h: jnp.zeros(()), step=lambda state, rows, h, key: state, steps=1,
        evaluate=lambda state, moved, h: {"loss": function(h, jax.tree.map(lambda a: a[0], moved))},
        valid_data=one_row(problem.moved(0)),
    )  # fmt: skip
    program, data = assemble(task, problem.space, algorithm, trials, lanes)
    dispatch(program, begin(program, jax.random.key(0)), data, program.grains_of(0))  # compiles
    best, seconds = [], []
    for seed in seeds:
        moved = one_row(problem.moved(seed))
        carry, began = begin(program, jax.random.key(seed)), time.perf_counter()
        carry, _ = dispatch(program, carry, data._replace(valid=moved), ALL)
        best.append(float(jnp.min(carry.history.metrics[:, 0])))
        seconds.append(time.perf_counter() - began)
    return np.array(best), np.median(seconds)


def quartiles(best, seconds):
    """Write values f64[S] as their median and quartiles, and the seconds of a search."""
    low, middle, high = np.quantile(best, [0.25, 0.5, 0.75])
    return f"{middle:.4g} [{low:.3g}, {high:.3g}], {seconds:.2f} s"


def first_option(parser):
    """Add --first, the first seed: by default none that any setting of ours was chosen with."""
    parser.add_argument("--first", type=int, default=UNSEEN, metavar="SEED")


def data_option(parser):
    """Add --data, the folder of real tasks: by default JAXHPT_DATA, else ../shared/data."""
    default = os.environ.get("JAXHPT_DATA", pathlib.Path(__file__).parent.parent.parent / "shared" / "data")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path(default))


def missing(*modules):
    """Return those of the modules that are not installed."""
    return [name for name in modules if importlib.util.find_spec(name) is None]


def machine(*peers):
    """Describe the machine and the versions in one line: ours, and those of the peers that are installed."""
    device = jax.devices()[0]
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", *peers)
    versions = " ".join(f"{name} {version}" for name in packages if (version := _version(name)))
    where = f"{device.device_kind} x{jax.device_count()}, {os.cpu_count()} cores"
    return f"{where}, Python {platform.python_version()}, {versions}"


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def table(head, rows):
    """Print a Markdown table."""
    cells = [list(map(str, row)) for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    print("\n".join([lines[0], rule, *lines[1:]]), flush=True)
