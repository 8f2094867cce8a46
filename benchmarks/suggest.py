"""Milliseconds per proposed trial beside Optuna's Gaussian process, at the same numbers of known trials.

Run: python -m benchmarks.suggest [--dimensions 6 20] [--known 50 200 500 1000] [--turns 5] [--long 100000]
         [--quick]

Both are given the same random trials of Rosenbrock's function. Then follow rounds of proposing, evaluating and telling:
jaxhpt one trial a round, or 32, inside its loop; Optuna, which has no batches, one. So everybody fits a model anew in
each round, and the function itself takes microseconds. The contenders take turns; the ratios are medians over them.
Compilation and a first round are left out. All have one thread; run it alone on the machine. At last jaxhpt searches
alone for many trials, 256 at a time, and tells what one costs early and late.
"""

import argparse
import dataclasses
import functools
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.common import THREADS, assemble, missing, parsed, take_turns
from benchmarks.records import Table, save
from jaxhpt.core.history import Known
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.training.blackbox import blackbox_task

ROSENBROCK = jaxhpt.problems.rosenbrock
ROUNDS = 3  # timed at a time
MOST = 60  # rounds there is room for
SEED = 3
EXERCISES = ("jaxhpt/algorithms/model_based", "jaxhpt/surrogates", "jaxhpt/engine", "jaxhpt/core")
QUICK = {"dimensions": [6], "known": [50], "turns": 1, "long": 2_000}


@functools.cache
def known_trials(dimensions, num):
    """Return random settings in [0, 1] and their values: f32[n, D], f32[n]."""
    unit = np.random.default_rng(SEED).uniform(size=(num, dimensions)).astype(np.float32)
    points = ROSENBROCK.low + unit * (ROSENBROCK.high - ROSENBROCK.low)
    return unit, np.asarray(jax.vmap(ROSENBROCK.function)(points))


def ours(dimensions, num, batch):
    """Return what runs rounds in batches, and tells milliseconds a trial."""
    space = jaxhpt.Space.of(ROSENBROCK.space(dimensions))
    task = dataclasses.replace(blackbox_task(ROSENBROCK, space), direction="min")
    program, data = assemble(task, space, jaxhpt.Bayesian(), MOST * batch, batch, num)
    unit, values = known_trials(dimensions, num)
    known = Known(space.snap(jnp.asarray(unit)), jnp.asarray(values)[:, None])
    now = [begin(program, jax.random.key(SEED), known)]

    def run(rounds=ROUNDS):
        begun = time.perf_counter()
        now[0], summary = dispatch(program, now[0], data, jnp.int32(rounds))
        jax.block_until_ready(summary)
        return 1e3 * (time.perf_counter() - begun) / (rounds * batch)

    run(1)
    return run


def optunas(dimensions, num):
    """Return what runs rounds of one, and tells milliseconds a trial."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = ROSENBROCK.space(dimensions)
    ranges = {n: optuna.distributions.FloatDistribution(d.low, d.high) for n, d in space.items()}
    unit, values = known_trials(dimensions, num)
    study = optuna.create_study(sampler=optuna.samplers.GPSampler(seed=SEED))
    for row, value in zip(unit.astype(np.float64), values, strict=True):
        params = {n: d.low + u * (d.high - d.low) for (n, d), u in zip(ranges.items(), row, strict=True)}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=ranges, value=float(value)))
    function = jax.jit(ROSENBROCK.function)

    def run(rounds=ROUNDS):
        begun = time.perf_counter()
        for _ in range(rounds):
            trial = study.ask(ranges)
            study.tell(trial, float(function(np.array([trial.params[n] for n in space], np.float32))))
        return 1e3 * (time.perf_counter() - begun) / rounds

    run(1)
    return run


def compare(dimensions, num, turns):
    """Return a row of the table."""
    contenders = {
        "one": ours(dimensions, num, 1),
        "batch": ours(dimensions, num, 32),
        "optuna": optunas(dimensions, num),
    }
    times = take_turns(turns, contenders)
    one, batch = (np.median(times["optuna"] / times[name]) for name in ("one", "batch"))
    return str(dimensions), str(num), *(np.median(times[name]) for name in ("optuna", "one", "batch")), one, batch


def long_search(trials):
    """Return the milliseconds a trial along one long search."""
    seen = [(0, 0.0)]
    result = jaxhpt.minimize(
        ROSENBROCK, ROSENBROCK.space(6), algorithm="bayesian", trials=trials, lanes=256, progress=False,
        callbacks=[lambda now: seen.append((now.finished, now.seconds))],
    )  # fmt: skip
    done, seconds = np.array(seen).T
    ends = np.linspace(0, trials, 11)
    steps = np.diff(np.interp(ends, done, seconds)) / np.diff(ends)
    tenths = " ".join(f"{1e3 * step:.2f}" for step in steps)
    head = ("trials", "seconds", "best", "ms a trial in each tenth")
    row = (f"{trials:,}", result.stats.seconds, result.best.value, tenths)
    return Table("a long search, 256 trials at a time", head, [row], ("{}", "{:.1f}", "{:.2g}", "{}"))


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[6, 20])
    parser.add_argument("--known", type=int, nargs="+", default=[50, 200, 500, 1000])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--long", type=int, default=100_000)
    options = parsed(parser, QUICK)
    if any(os.environ.get(name) != value for name, value in THREADS.items()):  # read when jax and torch are imported
        sys.exit(subprocess.call([sys.executable, "-m", "benchmarks.suggest", *sys.argv[1:]], env=os.environ | THREADS))
    if absent := missing("optuna", "torch"):
        print(f"skipped, not installed: {' '.join(absent)}")
        return
    rows = [compare(d, n, options.turns) for d in options.dimensions for n in options.known]
    head = ("D", "known", "Optuna GP, ms", "jaxhpt one by one, ms", "jaxhpt 32 at once, ms a trial")
    head += ("times as fast, one by one", "times as fast, 32 at once")
    title = f"milliseconds a proposed trial, medians of {options.turns} turns"
    beside = Table(title, head, rows, ("{}", "{}", *["{:.3g}"] * 3, "{:.1f}", "{:.0f}"), labels=2)
    save("suggest", [beside, long_search(options.long)], options, EXERCISES, ("optuna", "torch"))


if __name__ == "__main__":
    main()
