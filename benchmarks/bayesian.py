"""Quality of Bayesian optimisation beside Optuna's samplers, BoTorch, hyperoptax and published results.

Run: python -m benchmarks.bayesian [--parts batch sequential real wide lcbench hyperoptax]
         [--contenders bayesian tpe ...] [--problems branin lcbench:3945 ...] [--seeds 20] [--peer-seeds 10]
         [--slow-seeds 3] [--regret-seeds 30] [--first 10000] [--processes 2] [--data DIR] [--join] [--quick]

Part batch: 512 trials of a standard function in batches of 32, each batch proposed before any of it is told.
Part sequential: 100 trials, one at a time. Part real: the same on LCBench's surrogate and on tables of real trainings.
Part wide: 1,000 trials in batches of 32, in 40 dimensions.
What counts is the best value. The optimum of a standard function is moved by up to a fifth of the range in every
dimension, differently for each seed (Branin and Hartmann-6 stay where they are), the same for all contenders.
Part lcbench: regret on one task after 125 full trainings, beside published figures. Part hyperoptax: its own benchmark.
Peers run in their default and in the best setting we found, see `benchmarks.peers`. BoTorch: its default process and
log expected improvement, of few seeds as it takes minutes. Times are the processor's, of whole searches, compilation
left out. The same seeds give the same values. Peers take hours: with --join, columns that are not run are those of the
last result file.
"""

import argparse
import multiprocessing
import os
from typing import NamedTuple

import numpy as np

import jaxhpt
from benchmarks import beside_hyperoptax, peers, problems
from benchmarks.common import THREADS, data_option, first_option, minima, missing, parsed
from benchmarks.records import QUARTILES, RESULTS, Table, read, save, spread


class Part(NamedTuple):
    """A comparison: trials, trials of a batch, what runs, and the families of problems."""

    trials: int
    batch: int
    contenders: tuple
    families: tuple


TPES = ("tpe", "tpe_independent")
CMAS = ("cma_es", "cma_es_32")
PARTS = {
    "batch": Part(512, 32, ("bayesian", "our_tpe", *TPES, *CMAS), ("standard",)),
    "sequential": Part(100, 1, ("bayesian", "our_tpe", *TPES, *CMAS, *peers.SLOW), ("standard",)),
    "real": Part(100, 1, ("bayesian", "our_tpe", *TPES, *CMAS, "gp", "gp_exact"), ("lcbench", "tables")),
    "wide": Part(1000, 32, ("bayesian", "our_bounds", "our_cma_es", "our_tpe", *TPES, *CMAS), ("wide",)),
    "lcbench": Part(125, 1, ("bayesian", "our_tpe", "random"), ("lcbench",)),
    "hyperoptax": Part(50, 1, (), ()),
}
OURS = {
    "bayesian": jaxhpt.Bayesian(),
    "our_bounds": jaxhpt.Bayesian(acquisition="bounds"),
    "our_cma_es": jaxhpt.CMAES(),
    "our_tpe": jaxhpt.TPE(),
    "random": jaxhpt.Random(),
}
NEEDS = {name: peer.needs for name, peer in peers.PEERS.items()}
LABELS = {name: f"jaxhpt {name.removeprefix('our_')}" for name in OURS} | {n: p.label for n, p in peers.PEERS.items()}
EXERCISES = (
    "jaxhpt/algorithms/model_based", "jaxhpt/algorithms/initial_design.py", "jaxhpt/surrogates",
    "benchmarks/problems.py", "benchmarks/peers.py",
)  # fmt: skip
NOTES = (
    "Each search runs in a process of one thread.",
    "Values are of seeds that chose no setting of ours; the optimum of a standard function is moved with the seed.",
)
PACKAGES = ("optuna", "cmaes", "torch", "botorch", "hyperoptax")
QUICK = {
    "parts": ["batch", "lcbench"], "problems": ["branin", "hpobench_mlp:kc1"], "seeds": 2, "peer_seeds": 2,
    "slow_seeds": 1, "regret_seeds": 2, "processes": 1, "contenders": ["bayesian", "our_tpe", "random", *TPES, *CMAS],
}  # fmt: skip


def ours(problem, name, part, seeds):
    """Let jaxhpt minimise: the best values f64[S], and the median seconds of a search."""
    return minima(problem, OURS[name], part.trials, part.batch, seeds)


def measure(job):
    """Run one contender on one problem."""
    part, name, contender, seeds, options = job
    minimise, problem = ours if contender in OURS else peers.search, problems.load(name, options.data)
    return minimise(problem, contender, PARTS[part], range(options.first, options.first + seeds))


def chosen(part, options):
    """Return the contenders of a part that are wanted and installed."""
    wanted = [c for c in PARTS[part].contenders if options.contenders is None or c in options.contenders]
    for contender in wanted:
        if absent := missing(*NEEDS.get(contender, ())):
            print(f"{LABELS[contender]}: skipped, not installed: {' '.join(absent)}")
    return [c for c in wanted if not missing(*NEEDS.get(c, ()))]


def present(part, options):
    """Return the problems of a part that are wanted and have data."""
    names = [n for family in PARTS[part].families for n in problems.EVERY[family]]
    wanted = [n for n in names if options.problems is None or n in options.problems]
    absent = [n for n in wanted if problems.load(n, options.data) is None]
    if absent:
        print(f"skipped, no data in {options.data}: {' '.join(absent)}")
    return [n for n in wanted if n not in absent]


def seeds_of(contender, options):
    """Return how many seeds a contender gets."""
    if contender in OURS:
        return options.seeds
    return options.slow_seeds if contender in peers.SLOW else options.peer_seeds


def compare(part, options, pool):
    """Return medians and quartiles, mean ranks, and where ours are behind the best peer."""
    names, tasks, (trials, batch, *_) = chosen(part, options), present(part, options), PARTS[part]
    if not names or not tasks:
        return []
    jobs = [(part, task, name, seeds_of(name, options), options) for name in names for task in tasks]
    found = pool.map(measure, jobs, chunksize=1)
    cells = {task: {} for task in tasks}
    for (_, task, name, *_), run in zip(jobs, found, strict=True):
        cells[task][name] = spread(*run)
    joined, commit = join(part, cells, names) if options.join else ([], None)
    seeds = [f"{seeds_of(n, options)} of {LABELS[n]}" for n in names]
    seeds += [f"as at {commit} of {LABELS[n]}" for n in joined]
    title = f"{trials} trials in batches of {batch}: median [quartiles] of the best value, seconds of a search"
    names, labels = [*names, *joined], [LABELS[n] for n in (*names, *joined)]
    rows = [(task, *(cells[task][n] for n in names)) for task in tasks]
    ranks = np.mean([_ranks([cells[task][n]["median"] for n in names]) for task in tasks], axis=0)
    lines = within_reach(cells) if "bayesian" in names else ()
    return [
        Table(f"{title}; seeds: {'; '.join(seeds)}", ("problem", *labels), rows, ("{}", *[QUARTILES] * len(names))),
        Table("mean ranks", ("", *labels), [("mean rank", *ranks)], ("{}", *["{:.2f}"] * len(names)), lines=lines),
    ]


def join(part, cells, names):
    """Add what the last result file has of contenders that were not run, if of all problems: names, its commit."""
    path = RESULTS / f"bayesian-{part}.json"
    if not path.exists():
        return [], None
    record = read(path)
    table = record["tables"][0]
    before = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    labels = {LABELS[n]: n for n in PARTS[part].contenders if n not in names}
    shared = [label for label in table.columns if label in labels and cells.keys() <= before.keys()]
    for task, of_task in cells.items():
        of_task.update({labels[label]: before[task][label] for label in shared})
    return [labels[label] for label in shared], record["commit"]


def _ranks(medians):
    return [1 + np.sum(np.asarray(medians) < m) for m in medians]


def within_reach(cells):
    """Say where our median is above that of the best peer by more than that peer's inter-quartile range."""
    beyond = []
    for task, of_task in cells.items():
        rivals = {name: cell for name, cell in of_task.items() if name not in OURS}
        if not rivals:
            return ()
        best = min(rivals, key=lambda name, r=rivals: r[name]["median"])
        width, median = rivals[best]["high"] - rivals[best]["low"], of_task["bayesian"]["median"]
        if median > rivals[best]["median"] + width:
            beyond.append(f"{task} ({median:.4g}; {LABELS[best]} {rivals[best]['median']:.4g} + {width:.3g})")
    near = f"within the best peer's median + its inter-quartile range: {len(cells) - len(beyond)} of {len(cells)}"
    return near, f"not on: {', '.join(beyond) or '-'}"


def regret(part, options, pool):
    """Return the normalised regret on the task of the published figures."""
    names = chosen(part, options)
    if problems.load(problems.PUBLISHED, options.data) is None:
        print(f"part {part}: skipped, no data in {options.data}")
        return []
    runs = pool.map(measure, [(part, problems.PUBLISHED, n, options.regret_seeds, options) for n in names], chunksize=1)
    rows = []
    for name, (best, seconds) in zip(names, runs, strict=True):
        regrets = problems.regret(best)
        error = regrets.std(ddof=1) / len(regrets) ** 0.5
        rows.append((LABELS[name], len(regrets), regrets.mean(), error, np.median(regrets), seconds))
    title = f"{problems.PUBLISHED}: normalised regret after {PARTS[part].trials} full trainings, one at a time;"
    head = ("", "seeds", "mean", "standard error", "median", "seconds of a search")
    formats = ("{}", "{}", *["{:.4f}"] * 3, "{:.2f}")
    return [Table(f"{title} published: Random .1214, SMAC .0125", head, rows, formats)]


def parse():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, seeds in (("seeds", 20), ("peer-seeds", 10), ("slow-seeds", 3), ("regret-seeds", 30)):
        parser.add_argument(f"--{name}", type=int, default=seeds)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--contenders", nargs="+", choices=LABELS, metavar="NAME", help=" ".join(LABELS))
    known = [name for names in problems.EVERY.values() for name in names]
    parser.add_argument("--problems", nargs="+", choices=known, metavar="NAME", help=" ".join(known))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--join", action="store_true", help="take what is not run from the last result file")
    first_option(parser)
    data_option(parser)
    return parsed(parser, QUICK)


def main():
    """Run what the command line asks for."""
    options = parse()
    os.environ.update(THREADS)  # for the processes that are started next: one thread each
    others = {"lcbench": regret, "hyperoptax": beside_hyperoptax.compare}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in options.parts:
            if tables := others.get(part, compare)(part, options, pool):
                save(f"bayesian-{part}", tables, options, EXERCISES, PACKAGES, NOTES)


if __name__ == "__main__":
    main()
