"""What the static rules of a layout choose, beside what they might have chosen: `microbatch` and `execution`.

Run: python -m benchmarks.layout [--lanes 16] [--events 64 512 4096] [--repeats 3] [--quick]

Microbatch: a convolutional net on digits, 20 steps of 64 rows, lanes trained by one `vmap`, in groups, and one after
the other, beside a jitted training called in a for loop and a hand-written `vmap`; an MLP for comparison. Compilation
is not counted, and contenders take turns. Execution: seconds from the call to the answer of a black-box search of one
trial an event, by "fused" and "split" execution, nothing compiled before: where the first overtakes the second, the
rule changes over (`FUSED_EVENTS` in `jaxhpt/training/layout.py`).
"""

import argparse
import functools
import os
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxhpt
from benchmarks.common import classifier, digits, mlp_functions, parsed, take_turns, timed
from benchmarks.records import Table, save
from jaxhpt.engine import compiling

EXERCISES = ("jaxhpt/engine", "jaxhpt/training", "jaxhpt/core")
QUICK = {"lanes": [4], "events": [8], "repeats": 1}
STEPS, ROWS, ROUNDS_EACH = 20, 64, 2  # XLA takes milliseconds for a convolution here
CHANNELS = 8
SPACE = {"lr": jaxhpt.Float(1e-3, 1e-1, log=True)}
GROUPS = (1, 4, "all")


def sgd(hparams):
    """Momentum with the trial's learning rate."""
    return optax.sgd(hparams["lr"], 0.9)


def convolutional():
    """Return init, step and evaluate of two convolutions and a dense layer, on images of 8 by 8."""

    def begin(key):
        first, second, last = jax.random.split(key, 3)
        return {
            "first": jax.random.normal(first, (3, 3, 1, CHANNELS)) / 3,
            "second": jax.random.normal(second, (3, 3, CHANNELS, 2 * CHANNELS)) / 9,
            "last": jax.random.normal(last, (2 * CHANNELS, 10)) / 4,
        }

    def logits(weights, x):
        x = x.reshape(-1, 8, 8, 1)
        for name in ("first", "second"):
            x = jax.lax.conv_general_dilated(
                x, weights[name], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x)
        return x.mean((1, 2)) @ weights["last"]

    return classifier(begin, logits, sgd)


MODELS = {"convolutional": convolutional, "MLP, 64-64-10": functools.partial(mlp_functions, (64, 64, 10), sgd)}
functions_of = functools.cache(lambda model: MODELS[model]())


def searched(model, lanes, microbatch):
    """jaxhpt: seconds of a search, compilation not included."""
    init, step, evaluate = functions_of(model)
    train, valid = digits()
    result = jaxhpt.search(
        step, SPACE, init=init, evaluate=evaluate, train_data=train, valid_data=valid, batch_size=ROWS, steps=STEPS,
        trials=ROUNDS_EACH * lanes, lanes=lanes, algorithm="random", progress=False, events_per_dispatch="all",
        microbatch=lanes if microbatch == "all" else microbatch,
    )  # fmt: skip
    return result.stats.seconds


@functools.cache
def trained(model, lanes):
    """Return a jitted training of some lanes, by hand."""
    init, step, evaluate = functions_of(model)
    train, valid = (jax.tree.map(jnp.asarray, part) for part in digits())

    def one(key, lr):
        def body(i, state):
            rows = jax.random.randint(jax.random.fold_in(key, i), (ROWS,), 0, train[0].shape[0])
            return step(state, jax.tree.map(lambda a: a[rows], train), {"lr": lr}, key)

        state = jax.lax.fori_loop(0, STEPS, body, init(key, {"lr": lr}))
        return evaluate(state, valid, {"lr": lr})["accuracy"]

    run = jax.jit(one if lanes is None else jax.vmap(one))
    shape = () if lanes is None else (lanes,)
    jax.block_until_ready(run(jax.random.split(jax.random.key(0), shape), jnp.full(shape, 0.01, jnp.float32)))
    return run


def by_hand(model, lanes, trials):
    """Seconds of a jitted training in a for loop, or of as many lanes at once."""
    run, shape = trained(model, lanes), () if lanes is None else (lanes,)
    rounds = trials // (lanes or 1)
    lrs = 10.0 ** np.random.default_rng(0).uniform(-3, -1, (rounds, *shape))
    keys = jax.random.split(jax.random.key(0), (rounds, *shape))
    return timed(lambda: [np.asarray(run(k, jnp.float32(lr))) for k, lr in zip(keys, lrs, strict=True)])[0]


def microbatches(options):
    """Return a row for each model and number of lanes: trials a second."""
    rows = []
    for model in MODELS:
        for lanes in options.lanes:
            trials = ROUNDS_EACH * lanes
            runs = {f"microbatch={g}": functools.partial(searched, model, lanes, g) for g in ("auto", *GROUPS)}
            runs |= {"a for loop": functools.partial(by_hand, model, None, trials)}
            runs |= {"hand-written vmap": functools.partial(by_hand, model, lanes, trials)}
            seconds = take_turns(options.repeats, runs)
            over = float(np.median(seconds["a for loop"] / seconds["microbatch=auto"]))
            rows.append([f"{model}, {lanes} lanes", *(float(np.median(trials / s)) for s in seconds.values()), over])
    return rows, [*runs, "auto over the for loop"]


def waited(execution, events):
    """Seconds from the call to the answer of a search of a function, nothing compiled before."""
    branin = jaxhpt.problems.branin
    compiling.forget()
    jax.clear_caches()
    begun = time.perf_counter()
    jaxhpt.minimize(
        branin, branin.space(), algorithm="genetic", trials=events, lanes=1, execution=execution, progress=False
    )
    return time.perf_counter() - begun


def executions(options):
    """Return a row for each number of events."""
    rows = []
    for events in options.events:
        runs = {kind: functools.partial(waited, kind, events) for kind in ("fused", "split")}
        seconds = take_turns(options.repeats, runs)
        ratio = float(np.median(seconds["split"] / seconds["fused"]))
        rows.append([events, *(float(np.median(s)) for s in seconds.values()), ratio])
    return rows


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, nargs="+", default=[16])
    parser.add_argument("--events", type=int, nargs="+", default=[64, 512, 4096])
    parser.add_argument("--repeats", type=int, default=3)
    options = parsed(parser, QUICK)
    os.environ["JAXHPT_CACHE"] = "off"
    rows, names = microbatches(options)
    title = f"Trials a second, {STEPS} steps of {ROWS} rows"
    groups = Table(title, ("", *names), rows, ("{}", *["{:.1f}"] * (len(names) - 1), "{:.2f}"))
    title = "Seconds from the call to the answer, by events of one trial"
    columns = ("events", "fused", "split", "split over fused")
    calls = Table(title, columns, executions(options), ("{}", "{:.1f}", "{:.1f}", "{:.2f}"))
    save("layout", [groups, calls], options, EXERCISES)


if __name__ == "__main__":
    main()
