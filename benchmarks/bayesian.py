"""Quality of Bayesian optimisation beside Optuna's samplers, at equal trials.

Run: python -m benchmarks.bayesian [--seeds 20] [--peer-seeds 10] [--parts batch sequential] [--functions branin ...]
         [--processes 2]

Standard functions whose optimum is moved by up to a fifth of the range in every dimension, differently for each seed
(Branin and Hartmann-6 stay where they are), the same for all contenders. Part batch: 512 trials in batches of 32, each
batch proposed before any of it is told. Part sequential: 100 trials, one at a time. What counts is the best value.
Optuna: TPE with multivariate=False and CMA-ES with a population of 32 in batches, those and the GP sampler one by one.
Times are of whole searches, compilation left out. The same seeds give the same values.
"""

import argparse
import functools
import multiprocessing
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.common import THREADS, assemble, machine, missing, table
from jaxhpt.loop import begin, dispatch

FUNCTIONS = {  # dimensions, whether the optimum is moved
    "branin": (2, False),
    "hartmann6": (6, False),
    "ackley": (10, True),
    "levy": (6, True),
    "rosenbrock": (8, True),
}
PARTS = {"batch": (512, 32), "sequential": (100, 1)}  # trials, batch
PEERS = {"batch": ("tpe", "cma_es"), "sequential": ("tpe", "cma_es", "gp")}
SHIFT = 0.2  # of the range, at most
ALL = jnp.int32(2**20)  # events; more than there are


def shift(name, seed):
    """Return where the optimum goes, in units of the range: f32[D]."""
    dimensions, moved = FUNCTIONS[name]
    rng = np.random.default_rng(1000 + seed)
    return rng.uniform(-SHIFT, SHIFT, dimensions).astype(np.float32) * moved


def evaluated(name):
    """Return a function of a point and a shift: f32[D], f32[D] -> f32[]."""
    kind, (dimensions, _) = getattr(jaxhpt.problems, name), FUNCTIONS[name]
    width = np.broadcast_to(np.float32(kind.high) - np.float32(kind.low), dimensions)
    return lambda x, moved: kind.function(x - moved * width)


def ours(name, algorithm, part, seeds):
    """Let jaxhpt minimise: the best values f64[S], and the median seconds of a search."""
    dimensions, (trials, batch) = FUNCTIONS[name][0], PARTS[part]
    function = evaluated(name)
    task = jaxhpt.Task(
        init=lambda key, h: jnp.zeros(()), step=lambda state, rows, h, key: state, steps=1,
        evaluate=lambda state, moved, h: {"loss": function(jnp.stack([h[f"x{i}"] for i in range(dimensions)]), moved)},
        valid_data=jnp.zeros(dimensions),
    )  # fmt: skip
    space = getattr(jaxhpt.problems, name).space(dimensions)
    program, data = assemble(task, space, algorithm, trials, batch)
    dispatch(program, begin(program, jax.random.key(0)), data, jnp.int32(0))  # compiles
    best, seconds = [], []
    for seed in range(seeds):
        carry, began = begin(program, jax.random.key(seed)), time.perf_counter()
        carry, _ = dispatch(program, carry, data._replace(valid=jnp.asarray(shift(name, seed))), ALL)
        best.append(float(jnp.min(carry.history.metrics[:, 0])))
        seconds.append(time.perf_counter() - began)
    return np.array(best), np.median(seconds)


def sampler(kind, seed):
    """Make one of Optuna's samplers."""
    import optuna

    if kind == "tpe":
        return optuna.samplers.TPESampler(seed=seed, multivariate=False)
    if kind == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    return optuna.samplers.CmaEsSampler(seed=seed, popsize=32)


def optuna_search(name, kind, part, seeds):
    """Let Optuna minimise: as `ours`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    function, (trials, batch) = jax.jit(evaluated(name)), PARTS[part]
    space = getattr(jaxhpt.problems, name).space(FUNCTIONS[name][0])
    ranges = {n: optuna.distributions.FloatDistribution(d.low, d.high) for n, d in space.items()}
    best, seconds = [], []
    for seed in range(seeds):
        study, began, moved = optuna.create_study(sampler=sampler(kind, seed)), time.perf_counter(), shift(name, seed)
        for _ in range(trials // batch):
            asked = [study.ask(ranges) for _ in range(batch)]
            for trial in asked:
                x = np.array([trial.params[n] for n in space], np.float32)
                study.tell(trial, float(function(x, moved)))
        best.append(study.best_value)
        seconds.append(time.perf_counter() - began)
    return np.array(best), np.median(seconds)


def contenders(part):
    """Return what runs: name -> (function, seconds) by seeds."""
    peers = {f"optuna {k}": functools.partial(optuna_search, kind=k) for k in PEERS[part]}
    return {"jaxhpt bayesian": functools.partial(ours, algorithm=jaxhpt.Bayesian()), **peers}


def measure(job):
    """Run one contender on one function."""
    part, name, contender, seeds = job
    return contenders(part)[contender](name, part=part, seeds=seeds)


def compare(part, options, pool):
    """Print medians, quartiles and mean ranks."""
    names = list(contenders(part))
    jobs = [
        (part, f, n, options.peer_seeds if "optuna" in n else options.seeds) for f in options.functions for n in names
    ]
    found = dict(zip(((j[1], j[2]) for j in jobs), pool.map(measure, jobs, chunksize=1), strict=True))
    rows, ranks = [], []
    for function in options.functions:
        medians = np.array([np.median(found[function, n][0]) for n in names])
        ranks.append([1 + np.sum(medians < m) for m in medians])
        rows.append((function, *(_cell(*found[function, n]) for n in names)))
    rows.append(("mean rank", *(f"{r:.2f}" for r in np.mean(ranks, axis=0))))
    trials, batch = PARTS[part]
    print(
        f"\n{trials} trials in batches of {batch}: median [quartiles] of the best value, seconds of a search;", end=" "
    )
    print(f"{options.seeds} seeds of jaxhpt, {options.peer_seeds} of the others", flush=True)
    table(["function", *names], rows)


def _cell(best, seconds):
    low, middle, high = np.quantile(best, [0.25, 0.5, 0.75])
    return f"{middle:.4g} [{low:.3g}, {high:.3g}], {seconds:.2f} s"


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--peer-seeds", type=int, default=10)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--functions", nargs="+", choices=FUNCTIONS, default=list(FUNCTIONS))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    print(machine("optuna", "cmaes", "torch"), flush=True)
    if absent := missing("optuna", "cmaes", "torch"):
        print(f"skipped, not installed: {' '.join(absent)}")
        return
    os.environ.update(THREADS)  # for the processes that are started next: one thread each
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in options.parts:
            compare(part, options, pool)


if __name__ == "__main__":
    main()
