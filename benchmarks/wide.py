"""Quality by the number of lanes: how many rounds an algorithm needs to learn from.

Run: python -m benchmarks.wide [--trials 10000] [--lanes 64 ...] [--seeds 5] [--first 10000] [--quick]

Minimises functions, with their optima moved with the seed, at the same trials in fewer and fewer rounds: lanes are
trials that begin before any of them ended. What counts is the median of the best values. "auto" decides by the trials
and the lanes. The rule behind `lanes="auto"` keeps the rounds above the number from where on quality falls.
"""

import argparse

import numpy as np

import jaxhpt
from benchmarks import problems
from benchmarks.common import first_option, minima, parsed
from benchmarks.records import Table, save

EXERCISES = ("jaxhpt/algorithms", "jaxhpt/engine", "jaxhpt/training/layout.py")
QUICK = {"trials": 64, "lanes": [8, 32], "seeds": 2}
NAMES = ("rosenbrock", "ackley", "levy")
CONTENDERS = {
    "random": jaxhpt.Random(),
    "genetic": jaxhpt.Genetic(),
    "differential_evolution": jaxhpt.DifferentialEvolution(),
    "cma_es": jaxhpt.CMAES(),
    "auto": jaxhpt.Auto(),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--lanes", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 4096])
    parser.add_argument("--seeds", type=int, default=5)
    first_option(parser)
    options = parsed(parser, QUICK)
    seeds, rows = range(options.first, options.first + options.seeds), []
    for name in NAMES:
        for kind, algorithm in CONTENDERS.items():
            found = [minima(problems.load(name, None), algorithm, options.trials, n, seeds)[0] for n in options.lanes]
            rows.append([name, kind, *(float(np.median(best)) for best in found)])
    columns = ("function", "algorithm", *(f"{n} lanes" for n in options.lanes))
    title = f"Median of the best values of {options.trials:,} trials, by lanes"
    save(
        "wide",
        [Table(title, columns, rows, ("{}", "{}", *["{:.3g}"] * len(options.lanes)), labels=2)],
        options,
        EXERCISES,
    )


if __name__ == "__main__":
    main()
