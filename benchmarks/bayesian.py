"""Quality of Bayesian optimisation beside Optuna's samplers, BoTorch, hyperoptax and published results.

Run: python -m benchmarks.bayesian [--parts batch sequential real wide lcbench hyperoptax]
         [--contenders bayesian tpe ...] [--problems branin lcbench:3945 ...] [--seeds 20] [--peer-seeds 10]
         [--slow-seeds 3] [--regret-seeds 30] [--first 10000] [--processes 2] [--data DIR]

Part batch: 512 trials of a standard function in batches of 32, each batch proposed before any of it is told.
Part sequential: 100 trials, one at a time. Part real: the same on LCBench's surrogate and on tables of real trainings.
Part wide: 1,000 trials in batches of 32, in 40 dimensions.
What counts is the best value. The optimum of a standard function is moved by up to a fifth of the range in every
dimension, differently for each seed (Branin and Hartmann-6 stay where they are), the same for all contenders.
Part lcbench: regret on one task after 125 full trainings, beside published figures. Part hyperoptax: its own benchmark.
Optuna: TPE with multivariate=False, CMA-ES with a population of 32, the GP sampler. BoTorch: its default process and
log expected improvement, of few seeds as it takes minutes. Times are of whole searches, compilation left out. The same
seeds give the same values.
"""

import argparse
import functools
import multiprocessing
import os
import time
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import wilcoxon

import jaxhpt
from benchmarks import beside_hyperoptax, problems
from benchmarks.common import THREADS, data_option, first_option, machine, minima, missing, quartiles, table


class Part(NamedTuple):
    """A comparison: trials, trials of a batch, what runs, and the families of problems."""

    trials: int
    batch: int
    contenders: tuple
    families: tuple


PARTS = {
    "batch": Part(512, 32, ("bayesian", "our_tpe", "tpe", "cma_es"), ("standard",)),
    "sequential": Part(100, 1, ("bayesian", "our_tpe", "tpe", "cma_es", "gp", "botorch"), ("standard",)),
    "real": Part(100, 1, ("bayesian", "our_tpe", "tpe", "cma_es", "gp"), ("lcbench", "tables")),
    "wide": Part(1000, 32, ("bayesian", "our_bounds", "our_cma_es", "our_tpe", "tpe", "cma_es"), ("wide",)),
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
NEEDS = {"tpe": ("optuna",), "cma_es": ("optuna", "cmaes"), "gp": ("optuna", "torch"), "botorch": ("botorch",)}
LABELS = (
    {name: f"jaxhpt {name.removeprefix('our_')}" for name in OURS}
    | {name: f"optuna {name}" for name in NEEDS}
    | {"botorch": "botorch"}
)
PROTOTYPE = {"hartmann6": -3.322, "ackley": 3.35, "levy": 0.0053, "rosenbrock": 8.2}  # medians of part batch


def ours(problem, name, part, seeds):
    """Let jaxhpt minimise: the best values f64[S], and the median seconds of a search."""
    return minima(problem, OURS[name], part.trials, part.batch, seeds)


def peers(problem, name, part, seeds):
    """Let another package minimise: as `ours`."""
    search = botorch_search if name == "botorch" else functools.partial(optuna_search, kind=name)
    function, best, seconds = jax.jit(problem.function), [], []
    for seed in seeds:
        moved = jax.tree.map(jnp.asarray, problem.moved(seed))
        began = time.perf_counter()
        best.append(search(problem, lambda h, moved=moved: float(function(h, moved)), part=part, seed=seed))
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


def optuna_search(problem, value, part, seed, kind):
    """Let Optuna minimise `value`: the best."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study, ranges = optuna.create_study(sampler=sampler(kind, seed)), problem.distributions()
    for _ in range(part.trials // part.batch):
        asked = [study.ask(ranges) for _ in range(part.batch)]
        for trial in asked:
            study.tell(trial, value(problem.decoded(trial.params)))
    return study.best_value


def botorch_search(problem, value, part, seed):
    """Let BoTorch minimise `value`, one at a time, after as many Sobol points as we take: the best."""
    import torch

    warnings.simplefilter("ignore")  # of the process, about the scale of its own data
    torch.manual_seed(seed)
    dimensions = problem.space.num_dimensions
    sobol = torch.quasirandom.SobolEngine(dimensions, scramble=True, seed=seed)
    unit, decode = sobol.draw(max(8, min(2 * dimensions, 64)), dtype=torch.double), jax.jit(problem.space.decode)
    values = [value(decode(row.numpy().astype(np.float32))) for row in unit]
    while len(values) < part.trials:
        row = _most_promising(unit, torch.tensor(values, dtype=torch.double)[:, None])
        unit = torch.cat([unit, row])
        values.append(value(decode(row[0].numpy().astype(np.float32))))
    return min(values)


def _most_promising(unit, values):
    """Fit BoTorch's default process, and return where log expected improvement is largest: [1, D]."""
    import torch
    from botorch.acquisition import LogExpectedImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    model = SingleTaskGP(unit, -values, outcome_transform=Standardize(m=1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    bounds = torch.stack([torch.zeros_like(unit[0]), torch.ones_like(unit[0])])
    improvement = LogExpectedImprovement(model, best_f=(-values).max())
    return optimize_acqf(improvement, bounds, q=1, num_restarts=10, raw_samples=512)[0].detach()


def measure(job):
    """Run one contender on one problem."""
    part, name, contender, seeds, options = job
    minimise, problem = ours if contender in OURS else peers, problems.load(name, options.data)
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
    return options.slow_seeds if contender == "botorch" else options.peer_seeds


def compare(part, options, pool):
    """Print medians, quartiles and mean ranks, and what is claimed of them."""
    names, tasks = chosen(part, options), present(part, options)
    if not names or not tasks:
        return
    jobs = [(part, task, n, seeds_of(n, options), options) for task in tasks for n in names]
    runs = dict(zip(((j[1], j[2]) for j in jobs), pool.map(measure, jobs, chunksize=1), strict=True))
    trials, batch, *_ = PARTS[part]
    seeds = ", ".join(f"{seeds_of(n, options)} of {LABELS[n]}" for n in names)
    print(f"\nPart {part}, {trials} trials in batches of {batch}: median [quartiles] of the best value,", end=" ")
    print(f"seconds of a search; seeds: {seeds}", flush=True)
    rows = [(task, *(quartiles(*runs[task, n]) for n in names)) for task in tasks]
    ranks = np.mean([_ranks([runs[task, n][0] for n in names]) for task in tasks], axis=0)
    table(["problem", *(LABELS[n] for n in names)], [*rows, ("mean rank", *(f"{r:.2f}" for r in ranks))])
    if "bayesian" in names:
        found = {task: {n: runs[task, n][0] for n in names} for task in tasks}
        beside_prototype(found) if part == "batch" else within_reach(found)


def _ranks(bests):
    medians = np.array([np.median(best) for best in bests])
    return [1 + np.sum(medians < m) for m in medians]


def beside_prototype(found):
    """Print whether our seeds are worse than the median that an earlier prototype reached."""
    for task, reference in PROTOTYPE.items():
        if task in found:
            over = found[task]["bayesian"] - reference
            p = wilcoxon(over, alternative="greater").pvalue if over.any() else 1.0
            print(f"{task}: worse than the prototype's median, {reference}: p = {p:.3g}", flush=True)


def within_reach(found):
    """Print where our median is above that of the best peer by more than that peer's inter-quartile range."""
    beyond = []
    for task, bests in found.items():
        quartiles = {n: np.quantile(best, [0.25, 0.5, 0.75]) for n, best in bests.items() if n not in OURS}
        if not quartiles:
            return
        peer = min(quartiles, key=lambda n, q=quartiles: q[n][1])
        (low, middle, high), median = quartiles[peer], np.median(bests["bayesian"])
        if median > middle + high - low:
            beyond.append(f"{task} ({median:.4g}; {LABELS[peer]} {middle:.4g} + {high - low:.3g})")
    print(f"within the best peer's median + its inter-quartile range: {len(found) - len(beyond)} of {len(found)}")
    print(f"not on: {', '.join(beyond) or '-'}", flush=True)


def regret(part, options, pool):
    """Print the normalised regret on the task of the published figures."""
    names = chosen(part, options)
    if problems.load(problems.PUBLISHED, options.data) is None:
        print(f"part {part}: skipped, no data in {options.data}")
        return
    runs = pool.map(measure, [(part, problems.PUBLISHED, n, options.regret_seeds, options) for n in names], chunksize=1)
    print(f"\nPart {part}, {problems.PUBLISHED}: normalised regret after {PARTS[part].trials} full trainings,", end=" ")
    print(f"one at a time, {options.regret_seeds} seeds; published: Random .1214, SMAC .0125", flush=True)
    rows = []
    for name, (best, seconds) in zip(names, runs, strict=True):
        regrets = problems.regret(best)
        error = regrets.std(ddof=1) / len(regrets) ** 0.5
        rows.append(
            (LABELS[name], *(f"{v:.4f}" for v in (regrets.mean(), error, np.median(regrets))), f"{seconds:.2f}")
        )
    table(["", "mean", "standard error", "median", "seconds of a search"], rows)


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
    first_option(parser)
    data_option(parser)
    return parser.parse_args()


def main():
    """Run what the command line asks for."""
    options = parse()
    print(machine("optuna", "cmaes", "torch", "botorch", "hyperoptax"), flush=True)
    os.environ.update(THREADS)  # for the processes that are started next: one thread each
    others = {"lcbench": regret, "hyperoptax": beside_hyperoptax.compare}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in options.parts:
            others.get(part, compare)(part, options, pool)


if __name__ == "__main__":
    main()
