"""How the pace grows: with lanes, structures, replicas, searches and devices; and what an event costs without training.

Run: python -m benchmarks.scaling [--lanes 1 8 64 512 4096] [--structures 1 4 16 60] [--seeds 1 3 10]
     [--searches 1 8 64] [--devices 1 2 4 8] [--repeats 3] [--quick]

A small MLP on digits, 20 steps of 64 rows, searched at random; seconds are of searching, as every search is run once
before for the compiler. An event without training is one of a search of a constant, by children of a population.
Simulated devices share the cores of this machine, in a process of their own: they show what sharing out costs.
"""

import argparse
import functools
import json
import os
import subprocess
import sys

import numpy as np
import optax

import jaxhpt
from benchmarks.common import digits, mlp_functions, parsed, take_turns
from benchmarks.records import ROOT, Table, save

EXERCISES = ("jaxhpt/engine", "jaxhpt/training", "jaxhpt/search_many.py")
QUICK = {
    "lanes": [1, 4], "structures": [1, 2], "seeds": [1, 2], "searches": [1, 2], "devices": [1, 2], "repeats": 1,
}  # fmt: skip
STEPS, ROWS, ROUNDS = 20, 64, 4
FEWEST = 256  # trials of a search, where rounds of few lanes would be over too soon to be timed
HIDDEN = 16
SPACE = {"lr": jaxhpt.Float(1e-3, 1e-1, log=True), "momentum": jaxhpt.Float(0.0, 0.99)}
EVENTS = 16  # without training
DIMENSIONS = 8
STRUCTURED_LANES, REPLICA_LANES, SEARCH_LANES, DEVICE_LANES = 64, 16, 8, 64


def sgd(h):
    """Momentum, both searched."""
    return optax.sgd(h["lr"], h["momentum"])


@functools.cache
def task(hidden=HIDDEN):
    """Return the training of the MLP."""
    init, step, evaluate = mlp_functions((64, hidden, 10), sgd)
    train, valid = digits()
    return jaxhpt.Task(init, step, evaluate, train, valid, batch_size=ROWS, steps=STEPS)


def shaped():
    """Return the training of an MLP as wide as a structural hyperparameter says."""

    def init(key, h):
        return mlp_functions((64, h["hidden"], 10), sgd)[0](key, h)

    _, step, evaluate = mlp_functions((64, HIDDEN, 10), sgd)  # which go by the shapes that they find
    train, valid = digits()
    return jaxhpt.Task(init, step, evaluate, train, valid, batch_size=ROWS, steps=STEPS)


def searched(job, lanes, space=None, **options):
    """Return how a search of some rounds ran."""
    given = {"trials": max(FEWEST, ROUNDS * lanes), "lanes": lanes, "algorithm": "random", "progress": False, **options}
    return jaxhpt.search(job, space or SPACE, **given).stats


def pace(repeats, runs):
    """Return trainings a second of each search, name -> number, and its compile seconds, after a first run of each."""
    compiled = {name: run().compile_seconds for name, run in runs.items()}
    stats = take_turns(repeats, {name: functools.partial(_pace, run) for name, run in runs.items()})
    return {name: float(np.median(seen)) for name, seen in stats.items()}, compiled


def _pace(run):
    return run().trials_per_second


def event(lanes):
    """Return the seconds of an event that trains nothing, of so many lanes."""
    space = {f"x{i}": jaxhpt.Float(0.0, 1.0) for i in range(DIMENSIONS)}

    def run():
        given = {"trials": EVENTS * lanes, "lanes": lanes, "algorithm": "genetic", "execution": "split"}
        stats = jaxhpt.minimize(lambda h, key: sum(h.values()), space, progress=False, **given).stats
        return stats.seconds / stats.events

    return run


def by_lanes(options):
    """Return rows: lanes, trials a second, an event without training in ms, the same a lane in microseconds."""
    paces, _ = pace(options.repeats, {n: functools.partial(searched, task(), n) for n in options.lanes})
    events = {n: event(n) for n in options.lanes}
    for run in events.values():
        run()
    cost = {n: float(np.median(s)) for n, s in take_turns(options.repeats, events).items()}
    return [[n, paces[n], 1e3 * cost[n], 1e6 * cost[n] / n] for n in options.lanes]


def by_structures(options):
    """Return rows: structures, trials a second, compile seconds of the first run."""
    job, runs = shaped(), {}
    for num in options.structures:
        widths = [HIDDEN - num // 2 + i if num < HIDDEN else 4 + i for i in range(num)]
        space = {**SPACE, "hidden": jaxhpt.Choice(widths, structural=True)}
        first = [{"lr": 0.01, "momentum": 0.5, "hidden": width} for width in widths]  # so that each is there
        runs[num] = functools.partial(searched, job, STRUCTURED_LANES, space, first=first)
    paces, compiled = pace(options.repeats, runs)
    return [[num, paces[num], compiled[num]] for num in options.structures]


def by_seeds(options):
    """Return rows: seeds a trial, trainings a second, what a trial costs over as many plain lanes."""
    rows = []
    for num in options.seeds:
        runs = {
            "seeds": functools.partial(searched, task(), REPLICA_LANES, seeds=num),
            "plain": functools.partial(searched, task(), REPLICA_LANES * num),
        }
        paces, _ = pace(options.repeats, runs)
        rows.append([num, num * paces["seeds"], paces["plain"], paces["plain"] / (num * paces["seeds"])])
    return rows


def by_searches(options):
    """Return rows: searches in one program, trials a second of all."""
    runs = {}
    for num in options.searches:
        runs[num] = functools.partial(many, num)
        runs[num]()
    seconds = take_turns(options.repeats, runs)
    return [[num, num * FEWEST / float(np.median(seconds[num]))] for num in options.searches]


def many(num):
    """Return the seconds of so many searches of one data set, by their seeds."""
    given = {"trials": FEWEST, "lanes": SEARCH_LANES, "algorithm": "random", "progress": False}
    return jaxhpt.search_many(task(), SPACE, seed=range(num), **given)[0].stats.seconds


def by_devices(options):
    """Return rows: simulated devices, trials a second, compile seconds."""
    rows = []
    for num in options.devices:
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={num}"
        script = [sys.executable, "-m", "benchmarks.scaling", "--one", str(options.repeats)]
        done = subprocess.run(script, env={**os.environ, "XLA_FLAGS": flags}, cwd=ROOT, capture_output=True, check=True)
        rows.append([num, *json.loads(done.stdout)])
    return rows


def one(repeats):
    """Print trials a second, and the compile seconds, on the devices of this process."""
    paces, compiled = pace(repeats, {"one": functools.partial(searched, task(), DEVICE_LANES, cores=1)})
    print(json.dumps([paces["one"], compiled["one"]]))


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 8, 64, 512, 4096])
    parser.add_argument("--structures", type=int, nargs="+", default=[1, 4, 16, 60])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 10])
    parser.add_argument("--searches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=int, metavar="REPEATS", help="print the pace of this process's devices, and end")
    options = parsed(parser, QUICK)
    os.environ["JAXHPT_CACHE"] = "off"
    if options.one:
        one(options.one)
        return
    pace_of = "trials/s"
    tables = [
        Table("Lanes", ("lanes", pace_of, "event without training, ms", "a lane, us"), by_lanes(options),
              ("{}", "{:.1f}", "{:.2f}", "{:.1f}")),
        Table(f"Structures, {STRUCTURED_LANES} lanes", ("structures", pace_of, "compiling, s"), by_structures(options),
              ("{}", "{:.1f}", "{:.1f}")),
        Table(f"Replicas, {REPLICA_LANES} lanes", ("seeds", "trainings/s", "trainings/s, as many plain lanes",
              "cost over plain"), by_seeds(options), ("{}", "{:.1f}", "{:.1f}", "{:.2f}")),
        Table(f"Searches in one program, {SEARCH_LANES} lanes each", ("searches", pace_of), by_searches(options),
              ("{}", "{:.1f}")),
        Table(f"Simulated devices on the same cores, {DEVICE_LANES} lanes", ("devices", pace_of, "compiling, s"),
              by_devices(options), ("{}", "{:.1f}", "{:.1f}")),
    ]  # fmt: skip
    save("scaling", tables, options, EXERCISES)


if __name__ == "__main__":
    main()
