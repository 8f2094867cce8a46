"""What benchmarks share: digits, the training of an MLP, searches, timing, options."""

import functools
import importlib.util
import itertools
import os
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import jaxhpt
from jaxhpt.core.history import Known
from jaxhpt.core.space import Space
from jaxhpt.engine.build import build
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.schedulers import RunToEnd
from jaxhpt.training.layout import Layout

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

    def begin(key):
        keys = jax.random.split(key, len(sizes) - 1)
        shapes = itertools.pairwise(sizes)
        return [
            {"w": jax.random.normal(k, (a, b)) * (2.0 / a) ** 0.5, "b": jnp.zeros(b)}
            for k, (a, b) in zip(keys, shapes, strict=True)
        ]

    def logits(weights, x):
        for layer in weights[:-1]:
            x = jax.nn.relu(x @ layer["w"] + layer["b"])
        return x @ weights[-1]["w"] + weights[-1]["b"]

    return classifier(begin, logits, optimizer)


def classifier(begin, logits, optimizer):
    """Return init, step and evaluate of a net with a logit for each class.

    Args:
      begin: key -> weights.
      logits: (weights, x) -> [rows, classes].
      optimizer: hparams -> optax optimiser.
    """

    def init(key, hparams):
        weights = begin(key)
        return {"weights": weights, "opt": optimizer(hparams).init(weights)}

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
    """Return the fused program and the data of a search, to be dispatched by hand; `prior` trials are known before."""
    space, layout = Space.of(space), Layout(lanes, execution="fused")

    def known(metrics):
        unit = jnp.zeros((prior, space.num_dimensions), jnp.float32)
        return Known(unit, jnp.zeros((prior, len(metrics.names)), jnp.float32), unit[:0])

    program, data, *_ = build(task, space, trials, algorithm, scheduler or RunToEnd(), layout, interval, known)
    return program, data


def minima(problem, algorithm, trials, lanes, seeds):
    """Search one of `benchmarks.problems` with each of S seeds: the best values f64[S], and the median seconds of one.

    Seconds are the processor's, of a process of one thread: a busy machine hardly changes them. The optimum may be
    moved with the seed. Problems of one kind share a compiled program.
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
    dispatch(program, begin(program, jax.random.key(0)), data, jnp.int32(0))  # compiles
    best, seconds = [], []
    for seed in seeds:
        moved = one_row(problem.moved(seed))
        carry, began = begin(program, jax.random.key(seed)), time.process_time()
        carry, _ = dispatch(program, carry, data._replace(valid=moved), ALL)
        best.append(float(jnp.min(carry.study.history.metrics[:, 0])))
        seconds.append(time.process_time() - began)
    return np.array(best), np.median(seconds)


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


def parsed(parser, quick):
    """Add --quick and --results, and read the command line.

    Args:
      parser: of the benchmark's own options.
      quick: option to value, taken with --quick where the option was not given.
    """
    parser.add_argument("--quick", action="store_true", help="tiny, to see that it runs: writes nothing by default")
    help = "where result files go; benchmarks/results by default"
    parser.add_argument("--results", type=pathlib.Path, metavar="DIR", help=help)
    if "--quick" in sys.argv:
        parser.set_defaults(**quick)
    return parser.parse_args()
