"""How much stopping early saves: against published results, against Optuna, and against training everything.

Run: python -m benchmarks.fidelity [--parts lcbench synchronous digits] [--contenders tpe+hyperband ...]
         [--tasks 167168 3945 ...] [--seeds 30] [--peer-seeds 5] [--network-seeds 10] [--lanes 4]
         [--processes 2] [--data DIR]

Part lcbench: the best error that any trial reported, of LCBench's surrogate, after a quarter and after all of 6,544
epochs, which are 125 whole trainings, as the sum over all lanes; beside Optuna's TPE and Hyperband, one at a time.
Regret of lcbench:167168 as published for YAHPO-MF: 0 at .1062, 1 at .8294. Part synchronous: what stopping for good
loses against successive halving that waits for all and goes on with the best, both of random settings. Part digits:
trials a second and the best accuracy of 1,024 trainings of a network, with and without ASHA. Part population: the loss
of the language model of examples/pbt.py after population-based training, and under the best of as many fixed settings
drawn at random, trained for as many steps. The same seeds give the same values.
"""

import argparse
import multiprocessing
import os
import pathlib
import runpy
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxhpt
from benchmarks import problems
from benchmarks.common import BATCH, THREADS, assemble, data_option, digits, machine, missing, mlp_functions, table
from jaxhpt.engine.loop import begin, dispatch

BUDGET = 6544
SHARES = (0.25, 1.0)
PUBLISHED = problems.PUBLISHED.removeprefix("lcbench:")
LITERATURE = {  # regret of lcbench:167168 at a quarter and at the whole budget
    "Random": (0.161, 0.1214), "SMAC": (0.143, 0.0125), "HB": (0.133, 0.0879), "BOHB": (0.108, 0.0398),
    "DEHB": (0.134, 0.0769), "SMAC-HB": (0.112, 0.0217), "Optuna": (0.121, 0.0577),
}  # fmt: skip
ETA, SHORTEST = 3, 2  # of Hyperband, for all: rungs after 2, 6 and 18 epochs
CONTENDERS = {
    "bayesian+hyperband": (jaxhpt.Bayesian(limit=256), jaxhpt.Hyperband(ETA, SHORTEST)),
    "bayesian+asha": (jaxhpt.Bayesian(limit=256), jaxhpt.ASHA(ETA, SHORTEST)),
    "tpe+hyperband": (jaxhpt.TPE(), jaxhpt.Hyperband(ETA, SHORTEST)),
    "tpe+asha": (jaxhpt.TPE(), jaxhpt.ASHA(ETA, SHORTEST)),
    "differential_evolution+hyperband": (jaxhpt.DifferentialEvolution(), jaxhpt.Hyperband(ETA, SHORTEST)),
    "random+asha": (jaxhpt.Random(), jaxhpt.ASHA(ETA, SHORTEST)),
    "bayesian": (jaxhpt.Bayesian(), jaxhpt.RunToEnd()),
}
OPTUNA = "optuna tpe+hyperband"
TRIALS, LANES, STEPS = 1024, 64, 300  # of part digits
MODELS, LONG = 16, 1000  # of part population
NETWORK = {"lr": jaxhpt.Float(1e-5, 1.0, log=True), "b1": jaxhpt.Float(0.0, 0.99)}


def task_of(problem):
    """Make a training of it: a step is an epoch. What tells tasks apart is data, so they share a program."""
    given, curve = jax.tree.map(lambda a: jnp.asarray(a)[None], problem.moved(0)), problem.curve
    return jaxhpt.Task(
        init=lambda key, h: jnp.float32(0.0), step=lambda epoch, rows, h, key: epoch + 1.0, steps=problems.EPOCH,
        evaluate=lambda epoch, given, h: {"loss": curve(h, jax.tree.map(lambda a: a[0], given), epoch)},
        valid_data=given,
    )  # fmt: skip


def ours(problem, name, lanes, seeds):
    """Return the best errors f64[S, 2] after each share of the budget, and the median seconds of a search."""
    algorithm, scheduler = CONTENDERS[name]
    program, data = assemble(task_of(problem), problem.space, algorithm, BUDGET // SHORTEST, lanes, scheduler=scheduler)
    best, seconds, _ = spend(program, data, seeds)
    return best, seconds


def spend(program, data, seeds):
    """Search with every seed until the budget is spent.

    Returns the best errors f64[S, 2] after each share of it, the median seconds, and the mean number of trials begun.
    """
    dispatch(program, begin(program, jax.random.key(0)), data, program.grains_of(0))  # compiles
    events = [int(share * BUDGET / (program.problem.lanes * program.problem.interval)) for share in SHARES]
    best, seconds, trials = [], [], []
    for seed in range(seeds):
        carry, began, found = begin(program, jax.random.key(seed)), time.perf_counter(), []
        for until, done in zip(events, (0, *events), strict=False):
            carry, _ = dispatch(program, carry, data, program.grains_of(until - done))
            found.append(float(jnp.min(carry.history.curve)))
        best.append(found)
        seconds.append(time.perf_counter() - began)
        trials.append(int(carry.history.count))
    return np.array(best), np.median(seconds), np.mean(trials)


def optuna_search(problem, seeds):
    """Let Optuna search: as `ours`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = jax.jit(lambda h, given: jax.vmap(lambda e: problem.curve(h, given, e))(1.0 + jnp.arange(problems.EPOCH)))
    given, ranges = jax.tree.map(jnp.asarray, problem.moved(0)), problem.distributions()
    best, seconds = [], []
    for seed in range(seeds):
        pruner = optuna.pruners.HyperbandPruner(SHORTEST, problems.EPOCH, ETA)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner)
        told, began = [], time.perf_counter()
        while len(told) < BUDGET:
            trial = study.ask(ranges)
            told += _reported(study, trial, curves(problem.decoded(trial.params), given))
        best.append([min(told[: int(share * BUDGET)]) for share in SHARES])
        seconds.append(time.perf_counter() - began)
    return np.array(best), np.median(seconds)


def _reported(study, trial, curve):
    """Report a curve epoch by epoch until Optuna prunes: what was reported."""
    import optuna

    told = []
    for epoch, value in enumerate(np.asarray(curve).tolist(), start=1):
        told.append(value)
        trial.report(value, epoch)
        if epoch < problems.EPOCH and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return told
    study.tell(trial, told[-1])
    return told


def measure(job):
    """Run one contender on one task."""
    task, name, options = job
    problem = problems.load(f"lcbench:{task}", options.data)
    if name == OPTUNA:
        return optuna_search(problem, options.peer_seeds)
    return ours(problem, name, options.lanes, options.seeds)


def lcbench(options, pool):
    """Print errors, and on how many tasks ours are below Optuna's."""
    peers = [] if missing("optuna") else [OPTUNA]
    names, tasks = [*options.contenders, *peers], present(options)
    if not tasks:
        return
    jobs = [(task, name, options) for task in tasks for name in names]
    runs = dict(zip(((j[0], j[1]) for j in jobs), pool.map(measure, jobs, chunksize=1), strict=True))
    print(
        f"\nPart lcbench: mean of the best error after {BUDGET // 4} and {BUDGET} epochs, seconds of a search;", end=" "
    )
    print(f"{options.lanes} lanes, {options.seeds} seeds, {options.peer_seeds} of Optuna", flush=True)
    rows = [(task, *(_cell(*runs[task, name]) for name in names)) for task in tasks]
    table(["task", *names], rows)
    if PUBLISHED in tasks:
        published(names, {name: runs[PUBLISHED, name][0] for name in names})
    for name in options.contenders if peers else []:
        print(f"{name}: at most the mean error of {OPTUNA} on", end=" ")
        mine, peer = (np.array([runs[task, n][0].mean(axis=0) for task in tasks]) for n in (name, OPTUNA))
        won = np.sum(mine <= peer, axis=0)
        print(f"{won[0]} of {len(tasks)} tasks at a quarter, {won[1]} at the end", flush=True)


def _cell(best, seconds):
    quarter, whole = best.mean(axis=0)
    return f"{quarter:.4g}, {whole:.4g}; {seconds:.1f} s"


def published(names, found):
    """Print regrets beside published ones."""
    print(f"\nlcbench:{PUBLISHED}: mean normalised regret ± standard error, beside published results", flush=True)
    rows = [(f"published: {name}", *map(str, values)) for name, values in LITERATURE.items()]
    for name in names:
        regret = problems.regret(found[name])
        error = regret.std(axis=0, ddof=1) / len(regret) ** 0.5 if len(regret) > 1 else np.zeros(2)
        rows.append((name, *(f"{m:.4f} ± {e:.4f}" for m, e in zip(regret.mean(axis=0), error, strict=True))))
    table(["", "at a quarter", "at the end"], rows)


def present(options):
    """Return the tasks that are wanted and have data."""
    tasks = [t for t in options.tasks if problems.load(f"lcbench:{t}", options.data) is not None]
    if not tasks:
        print(f"skipped, no data in {options.data}", flush=True)
    return tasks


def synchronous(options, pool):
    """Print what stopping for good loses, on random settings."""
    tasks = present(options)
    if not tasks:
        return
    waiting = pool.map(halving, [(task, options) for task in tasks], chunksize=1)
    stopping = pool.map(measure, [(task, "random+asha", options) for task in tasks], chunksize=1)
    print(f"\nPart synchronous: mean of the best error after {BUDGET // 4} and {BUDGET} epochs, {options.seeds} seeds")
    rows = []
    for task, kept, (lost, _) in zip(tasks, waiting, stopping, strict=True):
        rows.append((task, *(f"{v:.4g}" for v in (*kept.mean(axis=0), *lost.mean(axis=0)))))
    table(["task", "halving, a quarter", "halving, the end", "random+asha, a quarter", "random+asha, the end"], rows)
    means = np.array(
        [(kept.mean(axis=0), lost.mean(axis=0)) for kept, (lost, _) in zip(waiting, stopping, strict=True)]
    )
    better = np.sum(means[:, 1] <= means[:, 0], axis=0)
    print(f"stopping is at least as good on {better[0]} and {better[1]} of {len(tasks)} tasks", flush=True)


def halving(job):
    """Halve batches of random settings in step, going on with the best, until the budget is spent: f64[S, 2]."""
    task, options = job
    problem = problems.load(f"lcbench:{task}", options.data)
    rungs = np.array([2, 6, 18, problems.EPOCH], np.float32)  # as those of Hyperband above
    given = jax.tree.map(jnp.asarray, problem.moved(0))
    many = ETA ** (len(rungs) - 1)

    @jax.jit
    def errors(key):
        unit = jax.random.uniform(key, (many, problem.space.num_dimensions))

        def one(row):
            hparams = problem.space.decode(row)
            return jax.vmap(lambda epoch: problem.curve(hparams, given, epoch))(rungs)

        return jax.vmap(one)(problem.space.snap(unit))

    best = []
    for seed in range(options.seeds):
        told, keys = [], iter(jax.random.split(jax.random.key(seed), BUDGET // (many * SHORTEST)))
        while len(told) < BUDGET:
            told += _halved(np.asarray(errors(next(keys))), rungs.astype(int))
        best.append([min(told[: int(share * BUDGET)]) for share in SHARES])
    return np.array(best)


def _halved(errors, rungs):
    """Return what is known after each epoch of one batch, errors f32[N, R]: its report, or +inf between reports."""
    told, alive, before = [], np.arange(len(errors)), 0
    for i, rung in enumerate(rungs):
        for row in alive:
            told += [np.inf] * int(rung - before - 1) + [float(errors[row, i])]
        alive, before = alive[np.argsort(errors[alive, i], kind="stable")[: max(1, len(alive) // ETA)]], rung
    return told


def networks(options, pool):
    """Print trials a second, how busy the lanes are, and the best accuracy, with ASHA and without."""
    runs = {name: [network(name, seed) for seed in range(options.network_seeds)] for name in ("run_to_end", "asha")}
    speed, accuracy, busy = (
        {name: np.array([run[i] for run in many]) for name, many in runs.items()} for i in range(3)
    )
    print(f"\nPart digits: {TRIALS} trials, {LANES} lanes, {STEPS} steps; medians of {options.network_seeds} seeds")
    rows = [
        (
            name,
            f"{np.median(speed[name]):.0f}",
            f"{np.median(busy[name]):.1%}",
            f"{accuracy[name].mean():.4f}",
            f"{accuracy[name].min():.4f}",
        )
        for name in runs
    ]
    table(["", "trials a second", "lanes busy until the drain", "best accuracy, mean", "worst of the seeds"], rows)
    print(f"times the trials a second, median of the seeds: {np.median(speed['asha'] / speed['run_to_end']):.2f}")
    lost = 100 * (accuracy["run_to_end"] - accuracy["asha"]).mean()
    print(f"points of the best accuracy lost, mean of the seeds: {lost:.2f}", flush=True)


def network(scheduler, seed):
    """Search once for speed, and look at the lanes once more: trials a second, best accuracy, share of busy lanes."""
    init, step, evaluate = mlp_functions((64, 64, 10), lambda h: optax.adam(h["lr"], b1=h["b1"]))
    train, valid = digits()
    lanes = []

    def search(**options):
        return jaxhpt.search(
            step, NETWORK, init=init, evaluate=evaluate, train_data=train, valid_data=valid, batch_size=BATCH,
            steps=STEPS, trials=TRIALS, lanes=LANES, algorithm="random", scheduler=scheduler, seed=seed, progress=False,
            **options,
        )  # fmt: skip

    result = search(events_per_dispatch="all")
    if seed == 0:  # compiled by now
        result = search(events_per_dispatch="all")
    search(events_per_dispatch=1, callbacks=[lambda now: lanes.append((now.started, now.lanes_busy))])
    started, busy = np.array(lanes).T
    return result.stats.trials_per_second, result.best.value, busy[started < TRIALS].mean() / LANES


def population(options, pool):
    """Print losses of population-based training, and of fixed settings at as many steps."""
    kinds = {
        "best fixed": None,
        "pbt": jaxhpt.PBT(perturbation_interval=LONG // 40),
        "pb2": jaxhpt.PB2(perturbation_interval=LONG // 40),
    }
    jobs = [(kind, seed) for seed in range(options.network_seeds) for kind in kinds.values()]
    loss = np.array(pool.starmap(language_model, jobs, chunksize=1)).reshape(-1, len(kinds))
    print(f"\nPart population: {MODELS} models, {LONG} steps, {options.network_seeds} seeds; nats a character")
    rows = [
        (name, *(f"{v:.4f}" for v in (loss[:, i].mean(), *np.quantile(loss[:, i], [0, 0.5, 1]))))
        for i, name in enumerate(kinds)
    ]
    table(["", "mean", "least", "median", "largest"], rows)
    for i, name in enumerate(kinds):
        print(f"{name}: below the best fixed on {np.sum(loss[:, i] < loss[:, 0])} of {len(loss)} seeds", flush=True)


def language_model(scheduler, seed):
    """Train a population: the loss of the best."""
    example = runpy.run_path(str(pathlib.Path(__file__).parent.parent / "examples" / "pbt.py"))
    result = jaxhpt.search(
        example["task"](LONG), example["SPACE"], trials=MODELS, lanes=MODELS, algorithm="random", seed=seed,
        scheduler=scheduler or "run_to_end", progress=False,
    )  # fmt: skip
    return result.best.value


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--contenders", nargs="*", choices=CONTENDERS, metavar="NAME", help=" ".join(CONTENDERS))
    parser.add_argument("--tasks", nargs="+", choices=problems.INSTANCES, metavar="TASK", default=problems.INSTANCES)
    for name, number in (("seeds", 30), ("peer-seeds", 5), ("network-seeds", 10), ("lanes", 4), ("processes", 2)):
        parser.add_argument(f"--{name}", type=int, default=number)
    data_option(parser)
    options = parser.parse_args()
    options.contenders = list(CONTENDERS) if options.contenders is None else options.contenders
    return options


PARTS = {"lcbench": lcbench, "synchronous": synchronous, "digits": networks, "population": population}


def main():
    """Run what the command line asks for."""
    options = parse()
    print(machine("optuna"), flush=True)
    os.environ.update(THREADS)  # for the processes that are started next: one thread each
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in options.parts:
            PARTS[part](options, pool)


if __name__ == "__main__":
    main()
