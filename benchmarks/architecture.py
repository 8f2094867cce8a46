"""A search of 81 structures beside searches of one structure each, at equal time, compiling counted: MNIST-1D.

Run: python -m benchmarks.architecture [--seconds 60 180] [--trials 4000] [--seeds 5] [--first 10000] [--quick]

`examples/architecture.py` searches kind, width, depth and activation of a net with its learning rate and decay. Beside
it the same search with one structure, the middle one of each kind, and wider ones. All stop early by the same rule, and
all have the same seconds of all cores from the call on, nothing compiled before: seconds of the processor, divided by
the cores, so that a busy machine hardly changes them; the wall clock stands beside. What counts is the accuracy of the
winner on test rows that chose nothing. The share of training is the time inside the programs that train, in all
threads, of the time of all cores after waiting for programs is taken off.
"""

import argparse
import contextlib
import os
import pathlib
import sys
import threading
import time

import jax
import numpy as np

from benchmarks.common import first_option, missing, parsed
from benchmarks.records import Table, save
from jaxhpt.engine import compiling
from jaxhpt.engine.memory import Fitting
from jaxhpt.engine.split import Split

FOLDER = pathlib.Path(__file__).parent.parent / "examples"
EXERCISES = ("jaxhpt", "examples/architecture.py")
QUICK = {"seconds": [5.0], "trials": 4, "steps": 20, "seeds": 1}
MIDDLE = {"width": 32, "depth": 2}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
COLUMNS = (
    "search", "test accuracy", "worst seed", "validation", "trials", "structures", "waiting for programs, s",
    "training, share", "all cores, s", "wall, s",
)  # fmt: skip
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


class Meter:
    """Seconds of training, in all threads, and of searching without waiting for programs, in one.

    Attributes:
      training: inside the programs that train.
      searching: in all.
    """

    def __init__(self):
        self.training, self.searching, self._lock = 0.0, 0.0, threading.Lock()

    @contextlib.contextmanager
    def reading(self):
        """Measure the searches inside."""
        call, run = Fitting.__call__, Split.run

        def trained(program, *given):
            begun = time.perf_counter()
            found = call(program, *given)
            with self._lock:
                self.training += time.perf_counter() - begun
            return found

        def searched(split, grains):
            begun, waited = time.perf_counter(), split.compile_seconds
            run(split, grains)
            self.searching += time.perf_counter() - begun - (split.compile_seconds - waited)

        Fitting.__call__, Split.run = trained, searched
        try:
            yield self
        finally:
            Fitting.__call__, Split.run = call, run

    @property
    def share(self):
        """Of the time of all cores."""
        return self.training / (CORES * self.searching)


def run(module, space, seed, options, seconds):
    """Search once, nothing compiled before: what a row of the table shows."""
    compiling.forget()
    jax.clear_caches()
    begun, sent = time.perf_counter(), time.process_time()

    def over(snapshot):
        return snapshot.finished > 0 and time.process_time() - sent > CORES * seconds

    with Meter().reading() as meter:
        result, test = module.main(options.trials, seed, options.steps, space, progress=False, callbacks=[over])
    spent, wall = (time.process_time() - sent) / CORES, time.perf_counter() - begun
    ended = [t for t in result.trials if t.status in ("done", "stopped")]
    kinds = {tuple(str(t.hparams[name]) for name in ("kind", "width", "depth", "act")) for t in ended}
    waited = result.stats.compile_seconds
    return test, result.best.value, len(ended), len(kinds), waited, meter.share, spent, wall


def table(module, options, seconds):
    """Search by all contenders for so many seconds."""
    rows = []
    for name, space in spaces(module).items():
        seeds = range(options.first, options.first + options.seeds)
        found = np.array([run(module, space, seed, options, seconds) for seed in seeds])
        tests = found[:, 0]
        rows.append(
            [
                f"{name}, {seconds:.0f} s",
                float(tests.mean()),
                float(tests.min()),
                *map(float, found[:, 1:].mean(axis=0)),
            ]
        )
    title = f"MNIST-1D, {seconds:.0f} s of {CORES} cores a search, compiling counted, {options.seeds} seeds: means"
    return Table(title, COLUMNS, rows, ("{}", *["{:.3f}"] * 3, "{:.0f}", "{:.1f}", "{:.1f}", "{:.0%}", *["{:.1f}"] * 2))


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, nargs="+", default=[60.0, 180.0])
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--seeds", type=int, default=5)
    first_option(parser)
    options = parsed(parser, QUICK)
    if missing("mnist1d"):
        sys.exit("needs mnist1d: pip install mnist1d")
    os.environ["JAXHPT_CACHE"] = "off"
    module = example()
    tables = [table(module, options, seconds) for seconds in options.seconds]
    save("architecture", tables, options, EXERCISES, ("mnist1d",))


if __name__ == "__main__":
    main()
