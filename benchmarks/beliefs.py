"""What a belief is worth, and what a wrong one costs: the best value found, with a good, a bad and no belief.

Run: python -m benchmarks.beliefs [--problems hartmann6 levy] [--algorithms NAME ...] [--trials 50 100] [--seeds 20]
         [--lanes 4] [--first SEED] [--quick]

A good belief is a place at a tenth of the range from the best one, in a direction of its own for each dimension; of a
problem whose best place is moved with the seed it is as far off as that goes, besides. A bad one is as far from it as
the range allows. Settings were chosen with other seeds. The same seeds give the same values.
"""

import argparse
import pathlib

import numpy as np

import jaxhpt
from benchmarks import problems
from benchmarks.common import first_option, minima, parsed
from benchmarks.records import Table, save

BEST = {  # where, in units of the range
    "hartmann6": (0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573),
    "branin": (0.5427728, 0.151667),
    "levy": (0.55,) * 6,
}
OFF = 0.1  # of the range
BELIEFS = {
    "none": None, "good, low": (True, "low"), "good, high": (True, "high"),
    "bad, low": (False, "low"), "bad, high": (False, "high"),
}  # fmt: skip
ALGORITHMS = {"random": jaxhpt.Random(), "tpe": jaxhpt.TPE(), "bayesian": jaxhpt.Bayesian()}
EXERCISES = ("jaxhpt/algorithms", "benchmarks/problems.py")
QUICK = {"problems": ["branin"], "algorithms": ["random"], "trials": [16], "seeds": 2}


def believed(problem, belief):
    """Return the problem with a belief in every dimension."""
    if belief is None:
        return problem
    good, trust = belief
    best = np.array(BEST[problem.name])
    signs = np.where(np.arange(len(best)) % 2, 1.0, -1.0)
    place = np.clip(best + OFF * signs, 0.0, 1.0) if good else np.where(best < 0.5, 1.0, 0.0)
    space = {
        name: jaxhpt.Float(one.low, one.high, near=one.low + float(at) * (one.high - one.low), trust=trust)
        for name, one, at in zip(problem.space.names, problem.space.dimensions, place, strict=True)
    }
    return problems.Problem(problem.name, jaxhpt.Space.of(space), problem.function, problem.moved)


def compare(options):
    """Return a table for each number of trials."""
    tables, seeds = [], range(options.first, options.first + options.seeds)
    for trials in options.trials:
        rows = []
        for name in options.problems:
            problem = problems.load(name, pathlib.Path())
            for algorithm in options.algorithms:
                cells = []
                for belief in BELIEFS.values():
                    best, _ = minima(believed(problem, belief), ALGORITHMS[algorithm], trials, options.lanes, seeds)
                    low, median, high = np.percentile(best, [25, 50, 75])
                    cells.append({"median": median, "low": low, "high": high})
                rows.append((name, algorithm, *cells))
                print(trials, *rows[-1][:2], *(f"{cell['median']:.4g}" for cell in cells), flush=True)
        title = (
            f"best value after {trials} trials: median and quartiles of {options.seeds} seeds, {options.lanes} lanes"
        )
        form = "{median:.3g} [{low:.3g}, {high:.3g}]"
        tables.append(Table(title, ("problem", "algorithm", *BELIEFS), rows, ("{}", "{}", *[form] * len(BELIEFS)), 2))
    return tables


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=BEST, default=["hartmann6", "levy"])
    parser.add_argument("--algorithms", nargs="+", choices=ALGORITHMS, default=list(ALGORITHMS))
    parser.add_argument("--trials", type=int, nargs="+", default=[50, 100])
    for name, number in (("seeds", 20), ("lanes", 4)):
        parser.add_argument(f"--{name}", type=int, default=number)
    first_option(parser)
    options = parsed(parser, QUICK)
    save("beliefs", compare(options), options, EXERCISES)


if __name__ == "__main__":
    main()
