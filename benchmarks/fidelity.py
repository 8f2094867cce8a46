"""How much stopping early saves: against published results, against Optuna, and against training everything.

Run: python -m benchmarks.fidelity [--parts lcbench synchronous digits] [--contenders tpe+hyperband ...]
         [--tasks 167168 3945 ...] [--seeds 30] [--peer-seeds 5] [--network-seeds 10] [--lanes 4]
         [--processes 2] [--data DIR] [--quick]

Part lcbench: the best error that any trial reported, of LCBench's surrogate, after a quarter and after all of 6,544
epochs, which are 125 whole trainings, as the sum over all lanes; beside Optuna's TPE and Hyperband, one at a time, with
TPE in its default, which is multivariate, and with independent dimensions. "promote" goes on later with what it
stopped. Regret of lcbench:167168 as published for YAHPO-MF: 0 at .1062, 1 at .8294. Part synchronous: what stopping for
good, and going on later, lose against successive halving that waits for all, of random settings, on LCBench and on the
text networks of TaskSet. Part digits: trials a
second and the best accuracy of 1,024 trainings of a network, with and without ASHA. Part population: the loss of the
language model of examples/pbt.py after population-based training, and under the best of as many fixed settings drawn at
random, trained for as many steps. The same seeds give the same values.
"""

import argparse
import multiprocessing
import os
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks import peers, problems, stopped_trainings
from benchmarks.common import THREADS, assemble, data_option, missing, parsed
from benchmarks.records import Table, save
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
    "bayesian+hyperband, promote": (jaxhpt.Bayesian(limit=256), jaxhpt.Hyperband(ETA, SHORTEST, promote=True)),
    "tpe+hyperband, promote": (jaxhpt.TPE(), jaxhpt.Hyperband(ETA, SHORTEST, promote=True)),
    "tpe+asha, promote": (jaxhpt.TPE(), jaxhpt.ASHA(ETA, SHORTEST, promote=True)),
    "random+asha, promote": (jaxhpt.Random(), jaxhpt.ASHA(ETA, SHORTEST, promote=True)),
    "bayesian": (jaxhpt.Bayesian(), jaxhpt.RunToEnd()),
}
OPTUNA = {"optuna tpe+hyperband, default": "tpe", "optuna tpe+hyperband, multivariate=False": "tpe_independent"}
EXERCISES = {
    "lcbench": ("jaxhpt/schedulers", "jaxhpt/algorithms", "jaxhpt/surrogates", "benchmarks/problems.py"),
    "synchronous": ("jaxhpt/schedulers", "benchmarks/problems.py"),
    "digits": (
        "jaxhpt/schedulers",
        "jaxhpt/engine",
        "jaxhpt/training",
        "jaxhpt/core",
        "benchmarks/stopped_trainings.py",
    ),
    "population": ("jaxhpt/schedulers", "examples/pbt.py", "benchmarks/stopped_trainings.py"),
}


def task_of(problem):
    """Make a training of it: a step is an epoch. What tells tasks apart is data, so they share a program."""
    given, curve = jax.tree.map(lambda a: jnp.asarray(a)[None], problem.moved(0)), problem.curve
    return jaxhpt.Task(
        init=lambda key, h: jnp.float32(0.0), step=lambda epoch, rows, h, key: epoch + 1.0, steps=problem.epochs,
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
    dispatch(program, begin(program, jax.random.key(0)), data, jnp.int32(0))  # compiles
    events = [int(share * BUDGET / (program.problem.lanes * program.problem.schedule.interval)) for share in SHARES]
    best, seconds, trials = [], [], []
    for seed in range(seeds):
        carry, began, found = begin(program, jax.random.key(seed)), time.perf_counter(), []
        for until, done in zip(events, (0, *events), strict=False):
            carry, _ = dispatch(program, carry, data, jnp.int32(until - done))
            found.append(float(jnp.min(carry.study.history.curve)))
        best.append(found)
        seconds.append(time.perf_counter() - began)
        trials.append(int(carry.study.history.num_rows))
    return np.array(best), np.median(seconds), np.mean(trials)


def optuna_search(problem, kind, seeds):
    """Let Optuna search with a sampler of `benchmarks.peers`: as `ours`."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves = jax.jit(lambda h, given: jax.vmap(lambda e: problem.curve(h, given, e))(1.0 + jnp.arange(problem.epochs)))
    given, ranges = jax.tree.map(jnp.asarray, problem.moved(0)), problem.distributions()
    best, seconds = [], []
    for seed in range(seeds):
        pruner = optuna.pruners.HyperbandPruner(SHORTEST, problem.epochs, ETA)
        study = optuna.create_study(sampler=peers.sampler(kind, seed), pruner=pruner)
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
        if epoch < len(curve) and trial.should_prune():
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return told
    study.tell(trial, told[-1])
    return told


def measure(job):
    """Run one contender on one task."""
    task, name, options = job
    problem = problems.load(task, options.data)
    if name in OPTUNA:
        return optuna_search(problem, OPTUNA[name], options.peer_seeds)
    return ours(problem, name, options.lanes, options.seeds)


def lcbench(options, pool):
    """Return errors, and on how many tasks ours are below Optuna's."""
    rivals = [] if missing("optuna") else list(OPTUNA)
    names, tasks = [*options.contenders, *rivals], present(options, "lcbench", options.tasks)
    if not tasks:
        return []
    jobs = [(f"lcbench:{task}", name, options) for task in tasks for name in names]
    runs = dict(
        zip(((j[0].removeprefix("lcbench:"), j[1]) for j in jobs), pool.map(measure, jobs, chunksize=1), strict=True)
    )
    title = f"mean of the best error after {BUDGET // 4} and {BUDGET} epochs, seconds of a search;"
    title += f" {options.lanes} lanes, {options.seeds} seeds, {options.peer_seeds} of Optuna"
    rows = [(task, *(_cell(*runs[task, name]) for name in names)) for task in tasks]
    tables = [Table(title, ("task", *names), rows, ("{}", *["{quarter:.4g}, {end:.4g}; {seconds:.1f} s"] * len(names)))]
    if PUBLISHED in tasks:
        tables += published(names, {name: runs[PUBLISHED, name][0] for name in names})
    means = {name: np.array([runs[task, name][0].mean(axis=0) for task in tasks]) for name in names}
    for rival in rivals:
        won = [(n, *np.sum(means[n] <= means[rival], axis=0), len(tasks)) for n in options.contenders]
        title = f"tasks on which the mean error is at most that of {rival}"
        tables.append(Table(title, ("", "at a quarter", "at the end", "of"), won))
    return tables


def _cell(best, seconds):
    quarter, whole = best.mean(axis=0)
    return {"quarter": quarter, "end": whole, "seconds": seconds}


def published(names, found):
    """Return regrets, and published ones."""
    rows = []
    for name in names:
        regret = problems.regret(found[name])
        error = regret.std(axis=0, ddof=1) / len(regret) ** 0.5 if len(regret) > 1 else np.zeros(2)
        rows.append((name, *({"mean": m, "error": e} for m, e in zip(regret.mean(axis=0), error, strict=True))))
    head, form = ("", "at a quarter", "at the end"), "{mean:.4f} ± {error:.4f}"
    title = f"lcbench:{PUBLISHED}: mean normalised regret ± standard error"
    before = [(f"published: {name}", *values) for name, values in LITERATURE.items()]
    return [
        Table(title, head, rows, ("{}", form, form)),
        Table(f"lcbench:{PUBLISHED}: published regrets", head, before, ("{}", "{:.3f}", "{:.4f}")),
    ]


def present(options, family, tasks):
    """Return those of the tasks that have data."""
    tasks = [task for task in tasks if problems.load(f"{family}:{task}", options.data) is not None]
    if not tasks:
        print(f"{family}: skipped, no data in {options.data}", flush=True)
    return tasks


def synchronous(options, pool):
    """Return what stopping for good, and going on later, lose, on random settings."""
    texts = problems.TEXTS[: 1 if options.quick else None]
    return [
        table
        for family, tasks in (("lcbench", options.tasks), ("taskset", texts))
        for table in _synchronous(options, pool, family, present(options, family, tasks))
    ]


def _synchronous(options, pool, family, tasks):
    if not tasks:
        return []
    names, kinds = [f"{family}:{task}" for task in tasks], ("random+asha", "random+asha, promote")
    waiting = pool.map(halving, [(name, options) for name in names], chunksize=1)
    others = [pool.map(measure, [(name, kind, options) for name in names], chunksize=1) for kind in kinds]
    found = [waiting, *([best for best, _ in runs] for runs in others)]
    means = np.array([[best.mean(axis=0) for best in runs] for runs in zip(*found, strict=True)])
    rows = [(task, *mean.ravel()) for task, mean in zip(tasks, means, strict=True)]
    title = f"{family}: mean of the best value after {BUDGET // 4} and {BUDGET} epochs, {options.seeds} seeds"
    head = ("task", *(f"{kind}, {when}" for kind in ("halving", *kinds) for when in ("a quarter", "the end")))
    return [Table(title, head, rows, ("{}", *["{:.4g}"] * 6), lines=_compared(means, ("halving", *kinds)))]


def _compared(means, kinds):
    """Say on how many tasks each kind, the second axis of means f64[N, K, 2], is at least as good as those before."""
    told = []
    for i, j in ((1, 0), (2, 0), (2, 1)):
        quarter, end = np.sum(means[:, i] <= means[:, j], axis=0)
        told.append(f"{kinds[i]} is at least as good as {kinds[j]} on {quarter} and {end} of {len(means)} tasks")
    return tuple(told)


def halving(job):
    """Halve batches of random settings in step, going on with the best, until the budget is spent: f64[S, 2]."""
    name, options = job
    problem = problems.load(name, options.data)
    rungs = np.array([2, 6, 18, problem.epochs], np.float32)  # as those of Hyperband above
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


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--contenders", nargs="*", choices=CONTENDERS, metavar="NAME", help=" ".join(CONTENDERS))
    parser.add_argument("--tasks", nargs="+", choices=problems.INSTANCES, metavar="TASK", default=problems.INSTANCES)
    for name, number in (("seeds", 30), ("peer-seeds", 5), ("network-seeds", 10), ("lanes", 4), ("processes", 2)):
        parser.add_argument(f"--{name}", type=int, default=number)
    data_option(parser)
    options = parsed(parser, QUICK)
    options.contenders = list(CONTENDERS) if options.contenders is None else options.contenders
    return options


QUICK = {
    "tasks": ["3945"], "contenders": ["tpe+hyperband"],
    "seeds": 2, "peer_seeds": 1, "network_seeds": 1, "processes": 1,
}  # fmt: skip
PARTS = {
    "lcbench": lcbench,
    "synchronous": synchronous,
    "digits": stopped_trainings.networks,
    "population": stopped_trainings.population,
}


def main():
    """Run what the command line asks for."""
    options = parse()
    os.environ.update(THREADS)  # for the processes that are started next: one thread each
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in options.parts:
            name = f"fidelity-{part}" + f"-{options.tasks[0]}" * (part == "lcbench" and len(options.tasks) == 1)
            if tables := PARTS[part](options, pool):
                save(name, tables, options, EXERCISES[part], ("optuna",))


if __name__ == "__main__":
    main()
