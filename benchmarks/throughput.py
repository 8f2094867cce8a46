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
from benchmarks.common import BATCH, digits, machine, mlp_functions, table, take_turns, timed

STEPS = 300
EPOCHS = (10, 20, 30)
ROUNDS = 16  # trials a lane, as 1,024 trials on 64 lanes
SIZES = {"64-64-10": (64, 64, 10), "64-128-128-10": (64, 128, 128, 10)}
SPACE = {"lr": jaxhpt.Float(1e-4, 1e-1, log=True)}


def optimizer(hparams):
    """Adam with the trial's learning rate."""
    return optax.adam(hparams["lr"])


def lanes_loop(sizes, lanes, trials, space=None, steps=STEPS):
    """jaxhpt: seconds of a search, compilation not included."""
    init, step, evaluate = mlp_functions(sizes, optimizer)
    train, valid = digits()
    result = jaxhpt.search(
        step, space or SPACE, init=init, evaluate=evaluate, train_data=train, valid_data=valid, batch_size=BATCH,
        steps=steps, trials=trials, lanes=lanes, algorithm="random", progress=False, events_per_dispatch="all",
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
    """Run the contenders and print their median pace, and that of the lanes loop beside the hand-written one.

    The ratio is taken within each turn, each at its best lane count, and its median over the turns is printed:
    a machine that slows down does so for both.
    """
    seconds = take_turns(repeats, contenders)
    pace = {name: counts[name] / runs for name, runs in seconds.items()}
    ours, base = (np.max([v for k, v in pace.items() if k.startswith(kind)], axis=0) for kind in ("lanes", "hand"))
    print(f"\n{title}")
    table(
        ["contender, lanes", "trials/s", "of hand-written at its best"],
        [(k, f"{np.median(v):.1f}", f"{np.median(v / base):.2f}") for k, v in pace.items()],
    )
    for label in contenders.keys() - pace.keys():
        print(f"{label}: skipped, not installed")
    ratios = " ".join(f"{ratio:.2f}" for ratio in ours / base)
    print(f"lanes loop / hand-written, each at its best: {np.median(ours / base):.3f} (turns: {ratios})", flush=True)


def compare(name, options):
    """Print one model's table."""
    sizes, few = SIZES[name], 8
    counts, contenders = {}, {}
    for lanes in options.lanes:
        for label, run in (("lanes loop", lanes_loop), ("hand-written vmap+scan", hand_written)):
            contenders[f"{label}, {lanes}"] = functools.partial(run, sizes, lanes, 2 * lanes)
            counts[f"{label}, {lanes}"] = 2 * lanes
    for label, run in (
        ("jitted, one by one", one_by_one),
        ("Optuna + jitted", optuna_jitted),
        ("Optuna + eager PyTorch", optuna_torch),
    ):
        contenders[label], counts[label] = functools.partial(run, sizes, few), few
    report(f"{name}, {STEPS} steps of {BATCH}", contenders, counts, options.repeats)


def compare_epochs(options):
    """Print the pace with epochs in 10, 20, 30 beside a masked loop that trains everyone to 30."""
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
    report(title, contenders, counts, options.repeats)


def first_trials():
    """Print the seconds from the call to the first finished trials of the quickstart, cold and warm cache."""
    quickstart = pathlib.Path(__file__).parent.parent / "examples" / "quickstart.py"
    code = "import quickstart; print('first', quickstart.main(128).stats.first_seconds)"
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        places = os.pathsep.join([str(quickstart.parent), str(quickstart.parent.parent)])
        settings = {"JAX_COMPILATION_CACHE_DIR": cache, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        for label in ("cold", "warm"):
            begun = time.perf_counter()
            env = {**os.environ, **settings, "PYTHONPATH": places}
            out = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
            wall = time.perf_counter() - begun
            first = next(line.split()[1] for line in out.stdout.splitlines() if line.startswith("first"))
            rows.append((label, f"{float(first):.1f}", f"{wall:.1f}"))
    print("\nquickstart: from the call to the first finished trials")
    table(["compilation cache", "first trials, s", "whole process with 128 trials, s"], rows)


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one model, one repeat")
    options = parser.parse_args()
    options.repeats = 1 if options.quick else options.repeats
    print(machine(), flush=True)
    for name in list(SIZES)[: 1 if options.quick else None]:
        compare(name, options)
    compare_epochs(options)
    first_trials()


if __name__ == "__main__":
    main()
