"""Trials a second: the lanes loop beside the ways people tune small models today, in one run.

Run: python -m benchmarks.throughput [--lanes 16 32 64] [--repeats 5] [--quick]

All contenders train the same MLP on digits: 300 steps of 128 rows, learning rate as the hyperparameter, scored
once a trial on 360 rows. Compilation is not counted. The contenders take turns in short runs, and the ratios are
medians over the turns, so that a busy moment of the machine does not decide.
"""

import argparse
import functools
import itertools
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxhpt
from benchmarks.common import BATCH, digits, mlp_functions, parsed, take_turns, timed
from benchmarks.records import Table, save

STEPS = 300
DEVICES = 2  # of a CPU, for the hand-written loop that takes two
EPOCHS = (10, 20, 30)
ROUNDS_EACH = 2  # of a contender in a turn
ROUNDS = 16  # trials a lane, as 1,024 trials on 64 lanes
SIZES = {"64-64-10": (64, 64, 10), "64-128-128-10": (64, 128, 128, 10)}
EXERCISES = ("jaxhpt/engine", "jaxhpt/training", "jaxhpt/core")
QUICK = {"repeats": 1, "lanes": [16]}
SPACE = {"lr": jaxhpt.Float(1e-4, 1e-1, log=True)}


def optimizer(hparams):
    """Adam with the trial's learning rate."""
    return optax.adam(hparams["lr"])


def lanes_loop(sizes, lanes, trials, space=None, steps=STEPS, cores="auto"):
    """jaxhpt: seconds of a search, compilation not included."""
    init, step, evaluate = mlp_functions(sizes, optimizer)
    train, valid = digits()
    result = jaxhpt.search(
        step, space or SPACE, init=init, evaluate=evaluate, train_data=train, valid_data=valid, batch_size=BATCH,
        steps=steps, trials=trials, lanes=lanes, algorithm="random", progress=False, events_per_dispatch="all",
        cores=cores,
    )  # fmt: skip
    return result.stats.seconds


@functools.cache
def _hand_written(sizes, lanes, steps, masked):
    """vmap over lanes, scan over steps, batches shared: what an expert writes by hand."""
    init, step, evaluate = mlp_functions(sizes, optimizer)

    @jax.jit
    def train(key, lr, budget, train_data, valid_data):
        rows = train_data[0].shape[0]
        hparams = {"lr": lr}
        state = jax.vmap(init)(jax.random.split(key, lanes), hparams)
        per_epoch = -(-rows // BATCH)
        epochs = jax.random.split(key, -(-steps // per_epoch))
        orders = jax.vmap(lambda k: jax.random.permutation(k, rows))(epochs)
        places = jnp.arange(per_epoch * BATCH) % rows
        index = orders[:, places].reshape(-1, BATCH)[:steps]

        def one(state, x):
            i, rows = x
            batch = jax.tree.map(lambda a: a[rows], train_data)
            new = jax.vmap(step, in_axes=(0, None, 0, None))(state, batch, hparams, key)
            if masked:
                live = i < budget
                keep = lambda n, o: jnp.where(live.reshape(live.shape + (1,) * (n.ndim - 1)), n, o)  # noqa: E731
                new = jax.tree.map(keep, new, state)
            return new, None

        state, _ = jax.lax.scan(one, state, (jnp.arange(steps), index))
        return jax.vmap(evaluate, in_axes=(0, None, 0))(state, valid_data, hparams)["accuracy"]

    return train


def hand_written(sizes, lanes, trials, steps=STEPS, budgets=None):
    """Seconds of as many rounds of the hand-written loop as the trials need."""
    train = _hand_written(sizes, lanes, steps, budgets is not None)
    data = jax.tree.map(jnp.asarray, digits())
    rng = np.random.default_rng(0)
    rounds = math.ceil(trials / lanes)
    lrs = jnp.asarray(10.0 ** rng.uniform(-4, -1, (rounds, lanes)), jnp.float32)
    chosen = jnp.asarray(rng.choice(budgets or [steps], (rounds, lanes)), jnp.int32)
    keys = jax.random.split(jax.random.key(0), rounds)
    jax.block_until_ready(train(keys[0], lrs[0], chosen[0], *data))

    def run():
        return [train(k, lr, b, *data) for k, lr, b in zip(keys, lrs, chosen, strict=True)]

    return timed(run)[0]


class TwoDevices:
    """The hand-written loop over two devices of a CPU, in a process of its own, which alone has two."""

    def __init__(self):
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={DEVICES}"
        command = [sys.executable, "-m", "benchmarks.throughput", "--serve"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
        self._process = subprocess.Popen(command, env={**os.environ, "XLA_FLAGS": flags}, **pipes)

    def seconds(self, name, lanes, trials):
        """Have it run; return its seconds."""
        print(name, lanes, trials, file=self._process.stdin)
        return float(self._process.stdout.readline())

    def close(self):
        """Let it end."""
        self._process.stdin.close()
        self._process.wait()


def serve():
    """Answer lines of a model, lanes and trials with seconds."""
    for line in sys.stdin:
        name, lanes, trials = line.split()
        print(sharded(SIZES[name], int(lanes), int(trials)), flush=True)


@functools.cache
def _sharded(sizes, lanes):
    """The hand-written loop, its lanes shared out to devices."""
    mesh, local = (
        jax.sharding.Mesh(np.array(jax.devices()), ("lanes",)),
        _hand_written(sizes, lanes // DEVICES, STEPS, False),
    )
    every, mine = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("lanes")
    specs = {"in_specs": (every, mine, mine, every, every), "out_specs": mine}
    return jax.jit(jax.shard_map(local, mesh=mesh, check_vma=False, **specs))


def sharded(sizes, lanes, trials):
    """Seconds of as many rounds on all devices as the trials need."""
    train, rounds = _sharded(sizes, lanes), math.ceil(trials / lanes)
    data, rng = jax.tree.map(jnp.asarray, digits()), np.random.default_rng(0)
    lrs = jnp.asarray(10.0 ** rng.uniform(-4, -1, (rounds, lanes)), jnp.float32)
    keys, budget = jax.random.split(jax.random.key(0), rounds), jnp.full(lanes, STEPS, jnp.int32)
    jax.block_until_ready(train(keys[0], lrs[0], budget, *data))
    return timed(lambda: [train(k, lr, budget, *data) for k, lr in zip(keys, lrs, strict=True)])[0]


@functools.cache
def _single(sizes):
    train = _hand_written(sizes, 1, STEPS, False)
    data = jax.tree.map(jnp.asarray, digits())
    budget = jnp.full(1, STEPS, jnp.int32)

    def run(seed, lr):
        return float(train(jax.random.key(seed), jnp.full(1, lr, jnp.float32), budget, *data)[0])

    run(0, 1e-3)
    return run


def one_by_one(sizes, trials):
    """Seconds of a jitted training called for one trial after the other."""
    run, rng = _single(sizes), np.random.default_rng(0)
    return timed(lambda: [run(seed, 10.0 ** rng.uniform(-4, -1)) for seed in range(trials)])[0]


def optuna_jitted(sizes, trials):
    """Seconds of Optuna's default sampler driving the same jitted training; None without Optuna."""
    run = _single(sizes)
    return _optuna(lambda trial: run(trial.number, trial.suggest_float("lr", 1e-4, 1e-1, log=True)), trials)


def optuna_torch(sizes, trials):
    """Seconds of Optuna driving an eager PyTorch loop on one thread; None without either."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(1)
    (x, y), (x_valid, y_valid) = [[torch.as_tensor(a) for a in pair] for pair in digits()]
    y, y_valid = y.long(), y_valid.long()

    def objective(trial):
        layers = [m for a, b in itertools.pairwise(sizes) for m in (torch.nn.Linear(a, b), torch.nn.ReLU())]
        model = torch.nn.Sequential(*layers[:-1])
        adam = torch.optim.Adam(model.parameters(), trial.suggest_float("lr", 1e-4, 1e-1, log=True))
        for step in range(STEPS):
            if step % -(-len(x) // BATCH) == 0:
                order = torch.randperm(len(x))
            rows = order.roll(-step * BATCH)[:BATCH]
            adam.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            adam.step()
        return (model(x_valid).argmax(-1) == y_valid).float().mean().item()

    return _optuna(objective, trials)


def _optuna(objective, trials):
    try:
        import optuna
    except ImportError:
        return None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    return timed(lambda: study.optimize(objective, n_trials=trials))[0]


def report(title, contenders, counts, repeats):
    """Run the contenders and return their median pace, and that of the lanes loop beside the hand-written one.

    The ratio is taken within each turn, each at its best lane count, and its median over the turns is shown:
    a machine that slows down does so for both.
    """
    seconds = take_turns(repeats, contenders)
    pace = {name: counts[name] / runs for name, runs in seconds.items()}
    kinds = dict.fromkeys(name.rsplit(",", 1)[0] for name in pace if "lanes" in name or "hand" in name)
    best = {kind: np.max([v for k, v in pace.items() if k.rsplit(",", 1)[0] == kind], axis=0) for kind in kinds}
    base = best[next(kind for kind in kinds if kind.startswith("hand"))]
    for label in contenders.keys() - pace.keys():
        print(f"{label}: skipped, not installed")
    rows = [(k, np.median(v), np.median(v / base)) for k, v in pace.items()]
    beside = [(kind, float(np.median(v / base)), " ".join(f"{r:.2f}" for r in v / base)) for kind, v in best.items()]
    head = ("contender, lanes", "trials/s", "of hand-written at its best")
    return [
        Table(title, head, rows, ("{}", "{:.1f}", "{:.2f}")),
        Table(
            "over the hand-written loop, each at its best", ("", "median of the turns", "turns"), beside,
            ("{}", "{:.3f}", "{}"),
        ),
    ]  # fmt: skip


def compare(name, options):
    """Return one model's tables."""
    sizes, few = SIZES[name], 8
    counts, contenders, two = {}, {}, TwoDevices()
    for lanes in options.lanes:
        for label, run in (
            ("lanes loop", functools.partial(lanes_loop, sizes)),
            ("lanes loop on one core", functools.partial(lanes_loop, sizes, cores=1)),
            ("hand-written vmap+scan", functools.partial(hand_written, sizes)),
            ("hand-written, two devices", functools.partial(two.seconds, name)),
        ):
            contenders[f"{label}, {lanes}"] = functools.partial(run, lanes, ROUNDS_EACH * lanes)
            counts[f"{label}, {lanes}"] = ROUNDS_EACH * lanes
    for label, run in (
        ("jitted, one by one", one_by_one),
        ("Optuna + jitted", optuna_jitted),
        ("Optuna + eager PyTorch", optuna_torch),
    ):
        contenders[label], counts[label] = functools.partial(run, sizes, few), few
    tables = report(f"{name}, {STEPS} steps of {BATCH}", contenders, counts, options.repeats)
    two.close()
    return tables


def compare_epochs(options):
    """Return the pace with epochs in 10, 20, 30 beside a masked loop that trains everyone to 30."""
    sizes = SIZES["64-64-10"]
    per_epoch = -(-len(digits()[0][0]) // BATCH)
    space = {**SPACE, "epochs": list(EPOCHS)}
    budgets = [e * per_epoch for e in EPOCHS]
    contenders, counts = {}, {}
    for lanes in options.lanes:
        total = ROUNDS * lanes
        ours, base = f"lanes loop, {lanes}", f"hand-written, masked, {lanes}"
        contenders[ours] = functools.partial(lanes_loop, sizes, lanes, total, space, "epochs")
        contenders[base] = functools.partial(hand_written, sizes, lanes, total, budgets[-1], budgets)
        counts |= {ours: total, base: total}
    title = f"64-64-10, epochs in 10, 20, 30 as a hyperparameter, {ROUNDS} trials a lane"
    return report(title, contenders, counts, options.repeats)


def first_trials():
    """Return the seconds from the call to the first finished trials of the quickstart, cold and warm cache."""
    quickstart = pathlib.Path(__file__).parent.parent / "examples" / "quickstart.py"
    code = "import quickstart; print('first', quickstart.main(128).stats.first_seconds)"
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        places = os.pathsep.join([str(quickstart.parent), str(quickstart.parent.parent)])
        settings = {"JAXHPT_CACHE_DIR": cache}
        for label in ("cold", "warm"):
            begun = time.perf_counter()
            env = {**os.environ, **settings, "PYTHONPATH": places}
            out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
            wall = time.perf_counter() - begun
            first = next(line.split()[1] for line in out.stdout.splitlines() if line.startswith("first"))
            rows.append((label, float(first), wall))
    head = ("compilation cache", "first trials, s", "whole process with 128 trials, s")
    return [Table("quickstart: from the call to the first finished trials", head, rows, ("{}", "{:.1f}", "{:.1f}"))]


def main():
    """Run what the command line asks for."""
    if sys.argv[1:] == ["--serve"]:
        return serve()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--repeats", type=int, default=5)
    options = parsed(parser, QUICK)
    for name in list(SIZES)[: 1 if options.quick else None]:
        save(f"throughput-{name}", compare(name, options), options, EXERCISES, ("optuna", "torch"))
    save("throughput-epochs", compare_epochs(options), options, EXERCISES)
    save("throughput-quickstart", first_trials(), options, ("jaxhpt", "examples/quickstart.py"))
    return None


if __name__ == "__main__":
    main()
