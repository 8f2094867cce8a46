"""A search of 81 structures beside searches of one structure each, at equal time, compiling counted: MNIST-1D.

Run: python -m benchmarks.architecture [--seconds 60] [--trials 4000] [--seeds 5] [--first 10000] [--quick]

`examples/architecture.py` searches kind, width, depth and activation of a net with its learning rate and decay. Beside
it the same search with one structure, the middle one of each kind, and wider ones. All stop early by the same rule, and
all have the same seconds from the call on, nothing compiled before. What counts is the accuracy of the winner on test
rows that chose nothing.
"""

import argparse
import os
import pathlib
import sys
import time

import jax
import numpy as np

from benchmarks.common import first_option, missing, parsed
from benchmarks.records import Table, save
from jaxhpt.engine import compiling

FOLDER = pathlib.Path(__file__).parent.parent / "examples"
EXERCISES = ("jaxhpt", "examples/architecture.py")
QUICK = {"seconds": 5.0, "trials": 4, "steps": 20, "seeds": 1}
MIDDLE = {"width": 32, "depth": 2}
SINGLE = {
    "mlp, 64 x 2": {"kind": "mlp", "width": 64, "depth": 2},
    "cnn, 32 x 2": {"kind": "cnn", **MIDDLE},
    "cnn, 64 x 3": {"kind": "cnn", "width": 64, "depth": 3},
}


def example():
    """Load the example."""
    sys.path.append(str(FOLDER))
    import architecture

    return architecture


def spaces(module):
    """Return the contenders, name to space."""
    fixed = {"act": module.ACTIVATIONS[0]}
    return {"81 structures": module.SPACE} | {n: {**module.SPACE, **fixed, **one} for n, one in SINGLE.items()}


def run(module, space, seed, options):
    """Search once, nothing compiled before: what a row of the table shows."""
    compiling.forget()
    jax.clear_caches()
    begun = time.perf_counter()
    result, test = module.main(
        options.trials, seed, options.steps, space, progress=False,
        callbacks=[lambda snapshot: snapshot.finished > 0 and time.perf_counter() - begun > options.seconds],
    )  # fmt: skip
    wall = time.perf_counter() - begun
    ended = [t for t in result.trials if t.status in ("done", "stopped")]
    kinds = {tuple(str(t.hparams[name]) for name in ("kind", "width", "depth", "act")) for t in ended}
    return test, result.best.value, len(ended), len(kinds), result.stats.compile_seconds, wall


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    first_option(parser)
    options = parsed(parser, QUICK)
    if missing("mnist1d"):
        sys.exit("needs mnist1d: pip install mnist1d")
    os.environ["JAXHPT_CACHE"] = "off"
    module, rows = example(), []
    for name, space in spaces(module).items():
        found = np.array([run(module, space, options.first + s, options) for s in range(options.seeds)])
        tests = found[:, 0]
        rows.append([name, float(tests.mean()), float(tests.min()), *map(float, found[:, 1:].mean(axis=0))])
    title = f"MNIST-1D, {options.seconds:.0f} s a search, compiling counted, {options.seeds} seeds: means"
    columns = ("search", "test accuracy", "worst seed", "validation", "trials", "structures", "compiling, s", "all, s")
    table = Table(title, columns, rows, ("{}", "{:.3f}", "{:.3f}", "{:.3f}", "{:.0f}", "{:.1f}", "{:.1f}", "{:.1f}"))
    save("architecture", [table], options, EXERCISES, ("mnist1d",))


if __name__ == "__main__":
    main()
