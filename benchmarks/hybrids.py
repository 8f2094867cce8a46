"""Quality of algorithms that work together, beside each alone.

Run: python -m benchmarks.hybrids [--trials 200 1000] [--lanes 64] [--contenders genetic bayesian screen tpe ...]
         [--problems branin lcbench:3945 ...] [--seeds 20] [--peer-seeds 5] [--first 10000] [--processes 2]
         [--data DIR] [--keep DIR] [--quick]

Minimises standard functions (those of benchmarks.bayesian, with their optima moved), LCBench's surrogate and tables of
real trainings, in batches of as many trials as there are lanes. What counts is the best value; ranks are of the medians
over the seeds, the mean over the problems, of one family and of all. Then: on which problems the grid before a model is
not better than the grid alone, and on which it is worse than the model with its own design, by a one-sided Mann-Whitney
test at .05, problem by problem (one in twenty by chance alone) and with false discoveries controlled. Problems without
data are skipped. The same seeds give the same values. It takes hours: with
--keep what is measured is kept in a folder, to go on from, by what was run where. "auto" is run as what it chooses, so
where that is a contender, it is measured once, and has its rank. Beside them runs Optuna's TPE, in its default and with
independent dimensions, its best in batches (`benchmarks.peers`).
"""

import argparse
import hashlib
import multiprocessing
import os
import pathlib

import jax
import numpy as np
from scipy.stats import false_discovery_control, mannwhitneyu, rankdata

import jaxhpt
from benchmarks import peers, problems
from benchmarks.bayesian import Part
from benchmarks.common import THREADS, UNSEEN, data_option, first_option, minima, missing, parsed
from benchmarks.records import QUARTILES, Table, save, spread
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.engine import compiling

GRID = jaxhpt.Grid(points=4)
CONTENDERS = {
    "random": jaxhpt.Random(),
    "grid": GRID,
    "genetic": jaxhpt.Genetic(),
    "bayesian": jaxhpt.Bayesian(),
    "screen": jaxhpt.Screen(jaxhpt.Genetic()),
    "chain": jaxhpt.Chain(GRID, jaxhpt.Bayesian()),
    "portfolio": jaxhpt.Portfolio(jaxhpt.Bayesian(), jaxhpt.TPE(), jaxhpt.Genetic()),
    "grey_guided": jaxhpt.GreyGuided(jaxhpt.Genetic()),
    "auto": jaxhpt.Auto(),
}
PEERS = {"tpe": peers.PEERS["tpe"], "tpe_independent": peers.PEERS["tpe_independent"]}
LABELS = {name: name for name in CONTENDERS} | {name: peer.label for name, peer in PEERS.items()}
LANES = 64
EXERCISES = ("jaxhpt/algorithms", "jaxhpt/surrogates", "benchmarks/problems.py", "benchmarks/peers.py")
QUICK = {
    "trials": [64], "lanes": 16, "seeds": 2, "peer_seeds": 2, "processes": 1,
    "problems": ["branin", "hpobench_mlp:kc1"],
    "contenders": ["genetic", "bayesian", "screen", "auto", *PEERS],
}  # fmt: skip
LEVEL = 0.05
_compiled: list = []  # what the programs of this process are of


def measure(job):
    """Run one contender on one problem, or recall it: the best values f64[S], and the median seconds of a search."""
    name, contender, trials, options = job
    problem, seeds = problems.load(name, options.data), options.seeds
    if contender in PEERS:
        algorithm, seeds = PEERS[contender], options.peer_seeds
    else:
        algorithm = settled(CONTENDERS[contender], problem, trials, options.lanes)
        trials = min(trials, algorithm.num_points(problem.space) or trials)
    if options.keep is None:
        return run(name, problem, contender, algorithm, trials, options)
    what = f"{algorithm} {name} {trials} {options.lanes} {options.first} {seeds}"
    path = options.keep / f"{hashlib.sha256(what.encode()).hexdigest()[:16]}.npz"
    if not path.exists():
        best, seconds = run(name, problem, contender, algorithm, trials, options)
        np.savez(path, best=best, seconds=seconds, what=what)
    with np.load(path) as kept:
        return kept["best"], kept["seconds"]


def run(name, problem, contender, algorithm, trials, options):
    """Search one problem with all seeds, after another one's programs are let go."""
    if contender in PEERS:
        seeds = range(options.first, options.first + options.peer_seeds)
        return peers.search(problem, contender, Part(trials, options.lanes, (), ()), seeds)
    kind = (algorithm, trials, name.split(":")[0])
    if kind not in _compiled:  # a process that keeps a hundred runs out of memory maps
        jax.clear_caches()
        compiling.forget()
        _compiled[:] = [kind]
    return minima(problem, algorithm, trials, options.lanes, range(options.first, options.first + options.seeds))


def settled(algorithm, problem, trials, lanes):
    """Return what an algorithm that chooses another one chooses, else itself."""
    if not isinstance(algorithm, jaxhpt.Auto):
        return algorithm
    return algorithm.chosen(Problem(problem.space, choose(("loss",)), trials, lanes, Schedule(1, 1)))


def present(options):
    """Return the problems that are wanted and have data, by family."""
    found = {}
    for family, names in problems.FAMILIES.items():
        wanted = [n for n in names if options.problems is None or n in options.problems]
        there = [n for n in wanted if problems.load(n, options.data) is not None]
        if len(there) < len(wanted):
            print(f"{family}: {len(wanted) - len(there)} problems skipped, no data in {options.data}", flush=True)
        found |= {family: there} if there else {}
    return found


def compare(trials, options, pool):
    """Return medians and quartiles, mean ranks, and what becomes of a grid."""
    families, names = present(options), installed(options)
    tasks = [task for family in families.values() for task in family]
    jobs = [(task, name, trials, options) for name in names for task in tasks]  # tasks that share a program together
    runs = dict(zip(((j[0], j[1]) for j in jobs), pool.map(measure, jobs, chunksize=1), strict=True))
    title = f"{trials} trials in batches of {options.lanes}, {options.seeds} seeds, {options.peer_seeds} of peers:"
    title += " median [quartiles] of the best value, seconds of a search"
    labels = [LABELS[name] for name in names]
    rows = [(task, *(spread(*runs[task, name]) for name in names)) for task in tasks]
    medians = {task: {name: np.median(runs[task, name][0]) for name in names} for task in tasks}
    ranks = {task: ranked(task, found, trials, options) for task, found in medians.items()}
    groups = {**families, "all": tasks} if len(families) > 1 else families
    means = [(f"{g}, {len(found)}", *np.mean([ranks[task] for task in found], axis=0)) for g, found in groups.items()]
    lines = ()
    if {"grid", "bayesian", "chain"} <= set(names):
        lines = gridded({task: {name: runs[task, name][0] for name in names} for task in tasks})
    return [
        Table(title, ("problem", *labels), rows, ("{}", *[QUARTILES] * len(names))),
        Table("mean ranks of the medians", ("", *labels), means, ("{}", *["{:.2f}"] * len(names)), lines=lines),
    ]


def installed(options):
    """Return the contenders that are wanted and installed."""
    absent = [name for name in options.contenders if name in PEERS and missing(*PEERS[name].needs)]
    for name in absent:
        print(f"{LABELS[name]}: skipped, not installed", flush=True)
    return [name for name in options.contenders if name not in absent]


def ranked(task, medians, trials, options):
    """Rank the contenders on a problem; none beside itself: "auto" has the rank of what it chose."""
    chosen = settled(CONTENDERS["auto"], problems.load(task, options.data), trials, options.lanes)
    twin = next((name for name in medians if CONTENDERS.get(name) == chosen), "auto")
    alone = [name for name in medians if name != "auto" or twin == "auto"]
    ranks = dict(zip(alone, rankdata([medians[name] for name in alone]), strict=True))
    return [ranks[twin if name == "auto" else name] for name in medians]


def gridded(found):
    """Say where the grid before a model is not better than the grid, and where it is worse than the model alone."""
    less = {task: np.median(best["chain"]) - np.median(best["grid"]) for task, best in found.items()}
    tests = [mannwhitneyu(best["chain"], best["bayesian"], alternative="greater").pvalue for best in found.values()]
    counts = f"better than grid on {sum(v < 0 for v in less.values())}"
    counts += f", equal on {_listed(t for t, v in less.items() if v == 0)}"
    lines = [f"chain, of {len(found)} problems: {counts}, worse on {_listed(t for t, v in less.items() if v > 0)}"]
    for label, values in (("p", tests), ("adjusted p", false_discovery_control(tests))):
        worse = [task for task, p in zip(found, values, strict=True) if p < LEVEL]
        lines.append(f"worse than bayesian, {label} < {LEVEL}, on {_listed(worse)}")
    return lines


def _listed(tasks):
    """Write how many they are, and which."""
    tasks = list(tasks)
    return f"{len(tasks)} ({', '.join(tasks)})" if tasks else "none"


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    known = [name for names in problems.FAMILIES.values() for name in names]
    names = list(LABELS)
    parser.add_argument("--contenders", nargs="+", choices=names, default=names, metavar="NAME", help=" ".join(names))
    parser.add_argument("--problems", nargs="+", choices=known, metavar="NAME", help=" ".join(known))
    parser.add_argument("--trials", nargs="+", type=int, default=[200, 1000])
    for name, number in (("lanes", LANES), ("seeds", 20), ("peer-seeds", 5), ("processes", 2)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR")
    first_option(parser)
    data_option(parser)
    return parsed(parser, QUICK)


def main():
    """Run what the command line asks for."""
    options = parse()
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    os.environ.update(THREADS)  # for the processes that are started next: one thread each
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for trials in options.trials:
            name = f"hybrids-{trials}" + f"-lanes-{options.lanes}" * (options.lanes != LANES)
            name += f"-first-{options.first}" * (options.first != UNSEEN)
            save(name, compare(trials, options, pool), options, EXERCISES, ("optuna",))


if __name__ == "__main__":
    main()
