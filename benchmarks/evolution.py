"""Quality of the evolutionary algorithms beside pycma and pymoo, at equal evaluations.

Run: python -m benchmarks.evolution [--seeds 20] [--parts cma de ga nsga2] [--functions 1 2 ... 24]
         [--dimensions 5 20] [--processes 2] [--quick]

Parts cma, de and ga: the 24 noiseless functions of BBOB (coco-experiment), in [-5, 5]^D, 200 D evaluations; the seed
is the instance too, which shifts and rotates the function. jaxhpt is driven by `Tuner`, a generation at a time. What
counts is the best value found minus the least there is. pycma starts where jaxhpt does, in the centre with a deviation
of 0.2 of the range, doubles its population at restarts, which begin anywhere, and has no bounds: with them it solves
fewer targets here. pymoo's DE and GA run with their defaults, a population of 100, and again with 32. Part nsga2: the
hypervolume of the last population of 100 after 200 generations, on ZDT1 to 3 and DTLZ2, by pymoo's code for both. The
same seeds give the same numbers.
"""

import argparse
import contextlib
import dataclasses
import functools
import multiprocessing
import os

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.common import ALL, THREADS, assemble, missing, parsed
from benchmarks.records import Table, save
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.training.blackbox import blackbox_task

EVALUATIONS = 200  # a dimension
SIGMA = 0.2  # of the range
TARGETS = np.logspace(2, -8, 51)
TIE = 1e-8
GENERATIONS = 200
POPULATION = 100  # of NSGA-II
NEEDS = {"cma": ("cocoex", "cma"), "de": ("cocoex", "pymoo"), "ga": ("cocoex", "pymoo"), "nsga2": ("pymoo",)}
PEERS = ("cma", "pymoo", "coco-experiment")
EXERCISES = ("jaxhpt/algorithms/evolution", "jaxhpt/algorithms/base.py")
QUICK = {"seeds": 2, "functions": [1, 8], "dimensions": [2], "processes": 1}


class Spent(Exception):  # noqa: N818 - not an error
    """The evaluations are used up."""


class Counted:
    """A BBOB function, which keeps the best of the evaluations it is allowed.

    Attributes:
      budget: evaluations allowed.
      used: evaluations so far.
      best: the least value among them.
    """

    def __init__(self, function, dimension, instance):
        from cocoex.bare_problem import BareProblem

        self.dimension, self.budget = dimension, EVALUATIONS * dimension
        self.used, self.best = 0, np.inf
        self._function = BareProblem("bbob", function, dimension, instance)

    def __call__(self, x):
        if self.used == self.budget:
            raise Spent
        value = float(self._function(np.asarray(x, np.float64)))
        self.used, self.best = self.used + 1, min(self.best, value)
        return value

    def above_least(self):
        """Return what is left to the least value; a search that used too little has gone wrong."""
        assert self.used == self.budget, f"{self.used} of {self.budget} evaluations"
        return self.best - self._function.best_value()


def ours(algorithm, generation, counted, seed):
    """Let jaxhpt minimise, `generation` settings at a time."""
    space = {f"x{i:02}": jaxhpt.Float(-5.0, 5.0) for i in range(counted.dimension)}
    settings = {"trials": counted.budget, "lanes": generation, "seed": seed, "progress": False}
    tuner = jaxhpt.Tuner(space, algorithm=algorithm, **settings)
    while asked := tuner.ask(generation):
        tuner.tell(asked, [counted(list(trial.hparams.values())) for trial in asked])


def our_cma(counted, seed):
    """Let our CMA-ES minimise, with the usual population."""
    ours(jaxhpt.CMAES(sigma=SIGMA), 4 + int(3 * np.log(counted.dimension)), counted, seed)


def our_de(counted, seed):
    """Let our differential evolution minimise."""
    algorithm = jaxhpt.DifferentialEvolution()
    ours(algorithm, algorithm.population, counted, seed)


def our_ga(counted, seed):
    """Let our genetic algorithm minimise."""
    algorithm = jaxhpt.Genetic()
    ours(algorithm, algorithm.population, counted, seed)


def pycma(counted, seed):
    """Let pycma minimise, with restarts until all is spent."""
    import cma

    rng, starts = np.random.default_rng(seed), iter([np.zeros(counted.dimension)])
    options = {"verbose": -9, "verb_log": 0, "seed": seed + 1}  # 0 would be the time of day
    while True:
        cma.fmin2(counted, lambda: next(starts, rng.uniform(-5, 5, counted.dimension)), SIGMA * 10, options, restarts=9)


def pymoo(kind, population, counted, seed):
    """Let pymoo minimise, until all is spent."""
    from pymoo.algorithms.soo.nonconvex.de import DE
    from pymoo.algorithms.soo.nonconvex.ga import GA
    from pymoo.optimize import minimize
    from pymoo.problems.functional import FunctionalProblem

    problem = FunctionalProblem(counted.dimension, counted, xl=-5.0, xu=5.0)
    minimize(problem, {"de": DE, "ga": GA}[kind](pop_size=population), ("n_eval", 2 * counted.budget), seed=seed)


CONTENDERS = {
    "cma": {"jaxhpt": our_cma, "pycma": pycma},
    "de": {"jaxhpt": our_de, **{f"pymoo, {n}": functools.partial(pymoo, "de", n) for n in (100, 32)}},
    "ga": {"jaxhpt": our_ga, **{f"pymoo, {n}": functools.partial(pymoo, "ga", n) for n in (100, 32)}},
}


def measure(job):
    """Run all contenders on one function: what each of them leaves, by seed: name -> f64[S]."""
    part, function, dimension, seeds = job
    left = {name: np.empty(seeds) for name in CONTENDERS[part]}
    for name, run in CONTENDERS[part].items():
        for seed in range(seeds):
            counted = Counted(function, dimension, seed + 1)
            with contextlib.suppress(Spent):
                run(counted, seed)
            left[name][seed] = counted.above_least()
    return left


def solved(left):
    """Return the share of the targets that are reached: f64[...] -> f64[...]."""
    return np.mean(np.asarray(left)[..., None] <= TARGETS, axis=-1)


def each_function(title, functions, found):
    """Return the medians on each function."""
    names = list(found[0])
    rows = [[f"f{f}", *(np.median(left[n]) for n in names)] for f, left in zip(functions, found, strict=True)]
    columns = ("function", *names)
    return Table(f"{title}: median of what is left to the least value", columns, rows, ("{}", *["{:.3g}"] * len(names)))


def compare_cma(options, pool):
    """Return the share of (function, target) pairs that are solved."""
    rows, tables = [], []
    for dimension in options.dimensions:
        found = pool.map(measure, [("cma", f, dimension, options.seeds) for f in options.functions], chunksize=1)
        tables.append(each_function(f"CMA-ES, D = {dimension}", options.functions, found))
        for label, reduce in (("median", functools.partial(np.median, axis=-1)), ("all seeds", np.asarray)):
            us, peer = (np.mean([solved(reduce(left[n])) for left in found]) for n in ("jaxhpt", "pycma"))
            rows.append((str(dimension), label, us, peer, us - peer))
    targets = f"{len(TARGETS)} targets from 1e2 to 1e-8"
    title = f"CMA-ES: share of (function, target) pairs solved, {targets}, {options.seeds} seeds"
    formats = ("{}", "{}", "{:.3f}", "{:.3f}", "{:+.3f}")
    return [*tables, Table(title, ("D", "of", "jaxhpt", "pycma", "difference"), rows, formats, labels=2)]


def compare_pymoo(part, options, pool):
    """Return on how many functions our median is at least as good as pymoo's."""
    rows, all_won, tables = [], [], []
    for dimension in options.dimensions:
        found = pool.map(measure, [(part, f, dimension, options.seeds) for f in options.functions], chunksize=1)
        tables.append(each_function(f"{part.upper()}, D = {dimension}", options.functions, found))
        medians = np.array([[np.median(left[n]) for n in CONTENDERS[part]] for left in found])
        rivals = (medians[:, 1], medians[:, 1:].min(axis=1))
        won = np.stack([medians[:, 0] <= rival + TIE for rival in rivals], axis=1)
        all_won.append(won)
        rows.append((str(dimension), *_counts(won)))
    rows.append(("all", *_counts(np.concatenate(all_won))))
    title = f"{part.upper()}: functions on which jaxhpt is at least as good, {options.seeds} seeds"
    form = "{won} of {of}, {share:.2f}"
    head = ("D", "as pymoo's defaults", "as the better of 100 and 32")
    return [*tables, Table(title, head, rows, ("{}", form, form))]


def _counts(won):
    return [{"won": int(column.sum()), "of": len(column), "share": column.mean()} for column in won.T]


def _zdt(bend, hparams, key):
    x = jnp.stack(list(hparams.values()))
    g = 1.0 + 9.0 * jnp.mean(x[1:])
    return {"f1": x[0], "f2": g * bend(x[0], x[0] / g)}


def _dtlz2(hparams, key):
    x = jnp.stack(list(hparams.values()))
    a, b, radius = x[0] * jnp.pi / 2, x[1] * jnp.pi / 2, 1.0 + jnp.sum((x[2:] - 0.5) ** 2)
    f1, f2, f3 = jnp.cos(a) * jnp.cos(b), jnp.cos(a) * jnp.sin(b), jnp.sin(a)
    return {"f1": radius * f1, "f2": radius * f2, "f3": radius * f3}


FRONTS = {  # dimensions, objectives, function
    "zdt1": (30, 2, functools.partial(_zdt, lambda x, share: 1.0 - jnp.sqrt(share))),
    "zdt2": (30, 2, functools.partial(_zdt, lambda x, share: 1.0 - share**2)),
    "zdt3": (30, 2, functools.partial(_zdt, lambda x, s: 1.0 - jnp.sqrt(s) - s * jnp.sin(10.0 * jnp.pi * x))),
    "dtlz2": (12, 3, _dtlz2),
}


def our_front(name, seed):
    """Return the objectives of our last population."""
    dimensions, objectives, function = FRONTS[name]
    space = jaxhpt.Space.of({f"x{i:02}": jaxhpt.Float(0.0, 1.0) for i in range(dimensions)})
    wanted = {f"f{i + 1}": "min" for i in range(objectives)}
    task = dataclasses.replace(blackbox_task(function, space), objectives=wanted)
    algorithm = jaxhpt.NSGA2(population=POPULATION)
    program, data = assemble(task, space, algorithm, POPULATION * GENERATIONS, POPULATION)
    study = dispatch(program, begin(program, jax.random.key(seed)), data, ALL)[0].study
    return np.asarray(study.history.metrics[study.algorithm.members], np.float64)


def pymoo_front(name, seed):
    """Return the objectives of pymoo's last population."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.optimize import minimize
    from pymoo.problems import get_problem

    dimensions, objectives, _ = FRONTS[name]
    sizes = {"n_obj": objectives} if name.startswith("dtlz") else {}
    problem = get_problem(name, n_var=dimensions, **sizes)
    return minimize(problem, NSGA2(pop_size=POPULATION), ("n_gen", GENERATIONS), seed=seed).pop.get("F")


def measure_fronts(job):
    """Return the hypervolumes on one problem, by seed: ours f64[S], pymoo's f64[S]."""
    from pymoo.indicators.hv import HV

    name, seeds = job
    volume = HV(ref_point=np.full(FRONTS[name][1], 1.1))
    return [np.array([volume(front(name, seed)) for seed in range(seeds)]) for front in (our_front, pymoo_front)]


def compare_fronts(options, pool):
    """Return the hypervolumes."""
    found = pool.map(measure_fronts, [(name, options.seeds) for name in FRONTS], chunksize=1)
    rows = []
    for name, volumes in zip(FRONTS, found, strict=True):
        us, peer = (np.median(v) for v in volumes)
        rows.append((name, us, peer, us / peer))
    title = f"NSGA-II: median hypervolume of the last population, {options.seeds} seeds"
    return [Table(title, ("problem", "jaxhpt", "pymoo", "ratio"), rows, ("{}", *["{:.4f}"] * 3))]


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--parts", nargs="+", choices=NEEDS, default=list(NEEDS))
    parser.add_argument("--functions", type=int, nargs="+", default=range(1, 25))
    parser.add_argument("--dimensions", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--processes", type=int, default=2)
    options = parsed(parser, QUICK)
    os.environ.update(THREADS)  # for the processes that are started next: one thread each
    compare = {"cma": compare_cma, "nsga2": compare_fronts}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part in options.parts:
            if absent := missing(*NEEDS[part]):
                print(f"{part}: skipped, not installed: {' '.join(absent)}", flush=True)
                continue
            run = compare.get(part) or functools.partial(compare_pymoo, part)
            save(f"evolution-{part}", run(options, pool), options, EXERCISES, PEERS)


if __name__ == "__main__":
    main()
