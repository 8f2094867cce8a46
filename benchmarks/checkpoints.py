"""What writing a run costs: wall time of a search with a run directory over that of one without, and of a resume.

Run: python -m benchmarks.checkpoints [--megabytes 1 1000] [--seconds 120] [--every 30] [--quick]

A search trains for about so many seconds, pair by pair, with a checkpoint every so many seconds, and without a run
directory; the state of all lanes together has the given size. What a checkpoint takes of a search is bounded: a large
one is written seldomer. At the end all is written, and waited for. The last column
is a call that finds the run ended: it builds the search, reads it, and loads programs from the cache.
"""

import argparse
import pathlib
import tempfile
import time

import jax
import jax.numpy as jnp

import jaxhpt
from benchmarks.common import parsed
from benchmarks.records import Table, save

LANES, TRIALS = 4, 64
EXERCISES = ("jaxhpt/store", "jaxhpt/engine")
QUICK = {"megabytes": [1], "seconds": 3, "every": 1}


def searched(megabytes, steps, run_dir=None, every=30.0):
    """Search with states of so many megabytes in all; return the seconds until its last look, and from there on."""
    size = int(megabytes * 1e6 / 4 / LANES)

    def step(state, batch, h, key):
        def wait(_, x):
            return jnp.sin(x) + h["lr"]

        return {"w": state["w"], "x": jax.lax.fori_loop(0, 2000, wait, state["x"])}

    seen = []
    result = jaxhpt.search(
        step, {"lr": jaxhpt.Float(1e-3, 1.0)}, init=lambda key, h: {"w": jnp.ones(size), "x": jnp.zeros(64)},
        evaluate=lambda state, data, h: {"loss": state["x"].sum() + state["w"][0]}, steps=steps,
        interval=max(1, steps // 8), trials=TRIALS, lanes=LANES, cores=1, algorithm="random", progress=False,
        run_dir=run_dir, checkpoint_seconds=every, callbacks=[lambda snapshot: seen.append(snapshot.seconds)],
    )  # fmt: skip
    return seen[-1], result.stats.seconds - seen[-1]


def steps_of(megabytes, seconds):
    """Return how many steps take so many seconds; what every search costs, such as to start trials, is not theirs."""
    searched(megabytes, 64)  # compiles
    few, more = (searched(megabytes, steps)[0] for steps in (64, 512))
    return max(64, int(64 + 448 * (seconds - few) / max(more - few, 1e-3)))


def measured(megabytes, options):
    """Return seconds without a directory and with one, those of its end, checkpoints, and the seconds of a resume."""
    steps = steps_of(megabytes, options.seconds)
    plain, _ = searched(megabytes, steps)
    with tempfile.TemporaryDirectory() as folder:
        written, end = searched(megabytes, steps, folder, options.every)
        last = max(int(path.name) for path in (pathlib.Path(folder) / "checkpoints").iterdir())
        begun = time.perf_counter()
        searched(megabytes, steps, folder, options.every)
        again = time.perf_counter() - begun
    return plain, written, end, last, again


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, nargs="+", default=[1, 1000])
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--every", type=float, default=30)
    options = parsed(parser, QUICK)
    rows = []
    for megabytes in options.megabytes:
        plain, written, *rest = measured(megabytes, options)
        rows.append((f"{megabytes:g} MB", plain, written, written / plain - 1, *rest))
        print(*rows[-1], flush=True)
    head = ("states of all lanes", "seconds without", "with", "more", "to end it", "checkpoints", "to find it ended")
    forms = ("{}", "{:.1f}", "{:.1f}", "{:.1%}", "{:.1f}", "{}", "{:.1f}")
    title = f"a search of {TRIALS} trials, with a checkpoint every {options.every:g} s, and without"
    save("checkpoints", [Table(title, head, rows, forms)], options, EXERCISES)


if __name__ == "__main__":
    main()
