"""Algorithms that work together beside each alone: the loss of small networks on digits, table and plot.

Run: python examples/grey_hybrid.py [trials] [seeds]
"""

import dataclasses
import sys

import numpy as np
from quickstart import load, training

import jaxhpt

SPACE = {
    "lr": jaxhpt.Float(1e-4, 1e-1, log=True),
    "b1": jaxhpt.Float(0.5, 0.99),
    "weight_decay": jaxhpt.Float(1e-6, 1e-1, log=True),
    "dropout": jaxhpt.Float(0.0, 0.5),
}
LANES, STEPS = 32, 150
CONTENDERS = {
    "grid": jaxhpt.Grid(points=3),
    "bayesian": jaxhpt.Bayesian(),
    "grid, then bayesian": jaxhpt.Chain(jaxhpt.Grid(points=3), jaxhpt.Bayesian()),
    "genetic": jaxhpt.Genetic(),
    "genetic, bayesian picks": jaxhpt.Screen(jaxhpt.Genetic()),
    "genetic, grey-guided": jaxhpt.GreyGuided(jaxhpt.Genetic()),
}
HEIGHT, WIDTH = 10, 64


def losses(task, algorithm, trials, seed):
    """Search once: the loss of each trial, in order, f64[trials]."""
    result = jaxhpt.search(task, SPACE, algorithm=algorithm, trials=trials, lanes=LANES, seed=seed, progress=False)
    return np.array([trial.value for trial in result.trials])


def draw(curves):
    """Plot the least loss so far against the trials, a letter for each algorithm."""
    low, high = min(curve[-1] for curve in curves.values()), max(curve[LANES - 1] for curve in curves.values())
    field = [[" "] * WIDTH for _ in range(HEIGHT)]
    most = max(map(len, curves.values()))
    for letter, curve in zip("abcdef", curves.values(), strict=False):
        for column in range(WIDTH):
            trial = LANES + (most - LANES) * column // (WIDTH - 1)
            if trial <= len(curve):
                height = (min(curve[trial - 1], high) - low) / (high - low or 1.0)
                field[round((1 - height) * (HEIGHT - 1))][column] = letter
    print(f"{high:.4f}")
    print("\n".join("       " + "".join(line) for line in field))
    print(f"{low:.4f} {LANES} trials ... {most}")


def main(trials=256, seeds=3):
    """Let all search with some seeds; print the least losses, and how they were come to."""
    task, curves = dataclasses.replace(training(*load()), steps=STEPS, objective="loss", direction="min"), {}
    print(f"{'':27s}{'mean':>9s}{'least':>9s}{'largest':>9s}   least loss of {trials} trials, {seeds} seeds")
    for letter, (name, algorithm) in zip("abcdef", CONTENDERS.items(), strict=False):
        runs = np.minimum.accumulate([losses(task, algorithm, trials, seed) for seed in range(seeds)], axis=1)
        curves[name] = runs.mean(axis=0)
        found = (runs[:, -1].mean(), runs[:, -1].min(), runs[:, -1].max())
        print(f"{letter}: {name:24s}" + "".join(f"{value:9.4f}" for value in found), flush=True)
    draw(curves)
    return curves


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
