"""Many searches in one program beside the same searches one after the other.

Run: python -m benchmarks.many [--searches 16 64 256] [--trials 32] [--repeats 3] [--quick]

Each fits a line of four weights to data of its own, 20 steps of 8 rows, learning rate and decay searched, 8 lanes. Both
are called until nothing is compiled any more, then timed from the call to the results, and find the same settings.
"""

import argparse
import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.common import first_option, parsed, take_turns, timed
from benchmarks.records import Table, save

EXERCISES = ("jaxhpt",)
QUICK = {"searches": [4], "trials": 8, "repeats": 1}
ALGORITHMS = ("random", "genetic", "bayesian")
SPACE = {"lr": jaxhpt.Float(1e-4, 0.5, log=True), "decay": jaxhpt.Float(1e-6, 1.0, log=True)}


def data(searches):
    """Return rows for training and for validation, of each search."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(searches, 48, 4)), rng.normal(size=(searches, 4))
    y = np.einsum("rnd,rd->rn", x, w) + rng.normal(size=(searches, 48)) / 10
    x, y = x.astype("float32"), y.astype("float32")
    return {"x": x[:, :32], "y": y[:, :32]}, {"x": x[:, 32:], "y": y[:, 32:]}


def init(key, h):
    """Begin near nothing."""
    return jax.random.normal(key, (4,)) * 0.1


def loss(w, rows):
    """Return the mean squared error."""
    return jnp.mean((rows["x"] @ w - rows["y"]) ** 2)


def step(w, batch, h, key):
    """Descend."""
    return w - h["lr"] * (jax.grad(loss)(w, batch) + h["decay"] * w)


def evaluate(w, valid, h):
    """Score."""
    return {"loss": loss(w, valid)}


def together(searches, given):
    """Run all in one program."""
    train, valid = data(searches)
    return jaxhpt.search_many(step, SPACE, train_data=train, valid_data=valid, **given)


def in_turn(searches, given):
    """Run one after the other."""
    parts = [jax.tree.map(lambda a, r=r: a[r], data(searches)) for r in range(searches)]
    return [jaxhpt.search(step, SPACE, train_data=t, valid_data=v, seed=r, **given) for r, (t, v) in enumerate(parts)]


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, nargs="+", default=[16, 64, 256])
    parser.add_argument("--trials", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    first_option(parser)
    options, rows = parsed(parser, QUICK), []
    common = {"init": init, "evaluate": evaluate, "batch_size": 8, "steps": 20, "trials": options.trials, "lanes": 8}
    for algorithm in ALGORITHMS:
        given = {**common, "algorithm": algorithm, "progress": False}
        for searches in options.searches:
            pairs = zip(together(searches, given), in_turn(searches, given), strict=True)
            same = sum(np.allclose(a.history.unit, b.history.unit, atol=1e-5) for a, b in pairs)
            runs = {"many": together, "turn": in_turn}
            calls = {name: functools.partial(_seconds, run, searches, given) for name, run in runs.items()}
            seconds = take_turns(options.repeats, calls)
            many, turn = (float(np.median(seconds[name])) for name in ("many", "turn"))
            rows.append([algorithm, searches, many, turn, float(np.median(seconds["turn"] / seconds["many"])), same])
    columns = ("algorithm", "searches", "in one program, s", "one by one, s", "times the pace", "of equal proposals")
    title = f"Searches of {options.trials} trials: seconds from the call to the results, nothing compiled"
    save("many", [Table(title, columns, rows, ("{}", "{}", "{:.2f}", "{:.2f}", "{:.1f}", "{}"), 2)], options, EXERCISES)


def _seconds(run, searches, given):
    return timed(lambda: run(searches, given) and None)[0]


if __name__ == "__main__":
    main()
