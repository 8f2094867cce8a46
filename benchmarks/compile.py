"""Time to the answer, compilation counted: what a user waits for, and where it goes.

Run: python -m benchmarks.compile [--trials 64 200 1000] [--algorithms auto random ...] [--repeats 3] [--quick]

Trains an MLP of 64-64-10 on digits for 300 steps of 128 rows, the learning rate searched. Each measurement is a process
of its own: "cold" finds no compiled program on disk, "warm" is the second process. Beside them: Optuna, its TPE in its
default, over one jitted training, as people tune a small model today. Seconds are from the call on, imports and data
not counted; the contenders take turns, and ratios are medians over the turns. Then, for each algorithm, what its
programs take to trace, to lower and to compile, in seconds of processor time, on a function of two dimensions.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

import jaxhpt
from benchmarks.common import BATCH, digits, missing, mlp_functions, parsed
from benchmarks.records import Table, save
from benchmarks.throughput import SIZES, SPACE, STEPS, optimizer

EXERCISES = ("jaxhpt",)
QUICK = {"trials": [16], "repeats": 1, "algorithms": ["random"]}
ALGORITHMS = ("random", "quasi_random", "genetic", "differential_evolution", "cma_es", "tpe", "bayesian", "auto")
CONTENDERS = ("optuna", "auto", "auto asha")
FUNCTION_TRIALS = 256


def search(scheduler, trials):
    """Return the seconds to the answer and to the first trials of a search, and its best accuracy."""
    init, step, evaluate = mlp_functions(SIZES["64-64-10"], optimizer)
    train, valid = digits()
    begun = time.perf_counter()
    result = jaxhpt.search(
        step, SPACE, init=init, evaluate=evaluate, train_data=train, valid_data=valid, batch_size=BATCH, steps=STEPS,
        trials=trials, algorithm="auto", scheduler=scheduler, progress=False,
    )  # fmt: skip
    best = result.best.value
    return {"seconds": time.perf_counter() - begun, "first": result.stats.first_seconds, "best": best}


def optuna_search(trials):
    """Return the same of Optuna, over one jitted training."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    init, step, evaluate = mlp_functions(SIZES["64-64-10"], optimizer)
    train, valid = digits()
    begun, ended = time.perf_counter(), []

    @jax.jit
    def trained(key, lr):
        hparams, rows = {"lr": lr}, train[0].shape[0]
        data = jax.tree.map(jax.numpy.asarray, train)

        def one(i, state):
            index = jax.random.randint(jax.random.fold_in(key, i), (BATCH,), 0, rows)
            return step(state, jax.tree.map(lambda a: a[index], data), hparams, key)

        state = jax.lax.fori_loop(0, STEPS, one, init(key, hparams))
        return evaluate(state, jax.tree.map(jax.numpy.asarray, valid), hparams)["accuracy"]

    def objective(trial):
        value = float(trained(jax.random.key(trial.number), trial.suggest_float("lr", 1e-4, 1e-1, log=True)))
        ended.append(time.perf_counter() - begun)
        return value

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=trials)
    return {"seconds": time.perf_counter() - begun, "first": ended[0], "best": study.best_value}


def programs(algorithm):
    """Return what the programs of a search of a function take: name to (trace, lower, compile), and the seconds."""
    from jaxhpt.engine import compiling

    branin = jaxhpt.problems.branin
    begun = time.perf_counter()
    jaxhpt.minimize(branin, branin.space(), algorithm=algorithm, trials=FUNCTION_TRIALS, progress=False)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "made": [[m.name, m.trace, m.lower, m.compile] for m in compiling.made]}


def measured(kind, *arguments, cache):
    """Run a measurement in a process of its own."""
    environment = {**os.environ, **({"JAXHPT_CACHE_DIR": cache} if cache else {"JAXHPT_CACHE": "off"})}
    command = [sys.executable, "-m", "benchmarks.compile", "--one", kind, *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def one(kind, *arguments):
    """Measure in this process, and print what was found."""
    run = {
        "optuna": lambda trials: optuna_search(int(trials)),
        "auto": lambda trials: search("run_to_end", int(trials)),
        "auto asha": lambda trials: search("asha", int(trials)),
        "programs": programs,
    }
    if kind != "programs":
        digits()
    print(json.dumps(run[kind](*arguments)))


def turn(contenders, trials):
    """Measure every contender once: name to what was found, ours cold and warm."""
    found = {}
    for name in contenders:
        if name == "optuna":
            found[name] = measured(name, trials, cache=None)
            continue
        with tempfile.TemporaryDirectory() as folder:
            found[f"{name}, cold"] = measured(name, trials, cache=folder)
            found[f"{name}, warm"] = measured(name, trials, cache=folder)
    return found


def answers(trials, repeats, contenders):
    """Return the rows of the table of answers for one number of trials."""
    turns = [turn(contenders, trials) for _ in range(repeats)]
    rows = []
    for name in turns[0]:
        found = {key: np.array([t[name][key] for t in turns]) for key in ("seconds", "first", "best")}
        middle = {key: float(np.median(values)) for key, values in found.items()}
        peer = np.array([t["optuna"]["seconds"] for t in turns]) if "optuna" in turns[0] else None
        ratio = None if peer is None else float(np.median(found["seconds"] / peer))
        rows.append([trials, name, middle["seconds"], middle["first"], ratio, middle["best"]])
    return rows


def parts(algorithms):
    """Return the rows of the table of programs: an algorithm's, cold, then warm."""
    rows = []
    for name in algorithms:
        with tempfile.TemporaryDirectory() as folder:
            cold, warm = (measured("programs", name, cache=folder) for _ in range(2))
        spent = np.array([row[1:] for row in cold["made"]])
        proposing = sum(sum(row[1:]) for row in cold["made"] if row[0] == "propose")
        rows.append([name, *map(float, spent.sum(axis=0)), proposing, cold["seconds"], warm["seconds"]])
    return rows


def main():
    if sys.argv[1:2] == ["--one"]:
        return one(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[64, 200, 1000])
    parser.add_argument("--algorithms", nargs="+", default=list(ALGORITHMS), choices=ALGORITHMS)
    parser.add_argument("--repeats", type=int, default=3)
    options = parsed(parser, QUICK)
    contenders = CONTENDERS[1 if missing("optuna") else 0 :]
    rows = [row for trials in options.trials for row in answers(trials, options.repeats, contenders)]
    columns = ("trials", "search", "seconds to the answer", "to the first trials", "over Optuna's", "accuracy")
    title = "Time to the answer: digits, 64-64-10, 300 steps"
    waits = Table(title, columns, rows, ("{}", "{}", "{:.1f}", "{:.1f}", "{:.2f}", "{:.4f}"), labels=2)
    columns = ("algorithm", "trace", "lower", "compile", "of that, proposing", "cold", "warm")
    title = (
        f"Where it goes: a function of 2 dimensions, {FUNCTION_TRIALS} trials; the last two are seconds to the answer"
    )
    where = Table(title, columns, parts(options.algorithms), ("{}", *["{:.2f}"] * 6))
    save("compile", [waits, where], options, EXERCISES, peers=("optuna",))
    return None


if __name__ == "__main__":
    main()
