"""Try 16,384 settings of a small network on digits: losers stop early, and their lanes go on with others at once.

Run: python examples/asha.py [trials]
"""

import sys

import numpy as np
from quickstart import load, training

import jaxhpt


def main(trials=16384):
    """Search with asynchronous successive halving; print the report, and how far the trials came."""
    space = {
        "lr": jaxhpt.Float(1e-5, 1.0, log=True),
        "b1": jaxhpt.Float(0.0, 0.99),
        "weight_decay": jaxhpt.Float(1e-6, 1e-1, log=True),
        "dropout": jaxhpt.Float(0.0, 0.5),
    }
    result = jaxhpt.search(training(*load()), space, trials=trials, scheduler=jaxhpt.ASHA(eta=3, min_steps=12))
    print(result)
    steps, many = np.unique([trial.steps for trial in result.trials], return_counts=True)
    for reached, count in zip(steps, many, strict=True):
        print(f"{count:6d} trials ended after {reached} steps")
    spent = sum(trial.steps for trial in result.trials) / (300 * trials)
    print(f"{spent:.0%} of the training that all of them would have taken")
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
