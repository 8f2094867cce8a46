"""Minimise a function: random, quasi-random and grid search on Hartmann-6, 4,096 points each.

Any pure JAX function of the hyperparameters will do in its place: a simulation, a fit, a training of your own.
Run: python examples/blackbox.py [trials]
"""

import sys

import jaxhpt
from jaxhpt.problems import hartmann6

ALGORITHMS = {"random": "random", "quasi_random": "quasi_random", "grid": jaxhpt.Grid(points=4)}  # 4 ** 6 = 4,096


def main(trials=4096):
    """Minimise with each algorithm, print a table, and return the results by name."""
    options = {"trials": trials, "progress": False}
    results = {
        name: jaxhpt.minimize(hartmann6, hartmann6.space(), algorithm=algorithm, **options)
        for name, algorithm in ALGORITHMS.items()
    }
    print(results["random"])
    print(f"\nalgorithm     best of {trials:,}  above the minimum of {hartmann6.minimum:.4f}")
    for name, result in results.items():
        print(f"{name:12}  {result.best.value:13.4f}  {result.best.value - hartmann6.minimum:10.4f}")
    return results


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
