"""What share of a search its proposals take: a search on digits, step by step.

Run: python -m benchmarks.share [--algorithms bayesian tpe genetic ...] [--trials 1024] [--lanes 64]

An MLP 64-64-10, 300 steps of 128 rows with AdamW, of which learning rate, momentum and weight decay are tuned. All
trials have the same length, so the lanes ask together, once a round, with all that is known until then. The search runs
whole; then the same bits again, an event at a time, and wherever the lanes are free the proposals alone are made beside
it and timed. Compilation is left out.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxhpt
from benchmarks.common import ALL, BATCH, assemble, digits, machine, mlp_functions, table, timed
from jaxhpt.core.arrays import full_precision
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.engine.loop import begin, dispatch

SIZES = (64, 64, 10)
STEPS = 300
SPACE = {
    "lr": jaxhpt.Float(1e-4, 1e-1, log=True),
    "b1": jaxhpt.Float(0.5, 0.99),
    "weight_decay": jaxhpt.Float(1e-6, 1e-1, log=True),
}


def optimizer(hparams):
    """Return AdamW with the trial's hyperparameters."""
    return optax.adamw(hparams["lr"], b1=hparams["b1"], weight_decay=hparams["weight_decay"])


def prepared(name, trials, lanes):
    """Return the program and the data of a search by one algorithm."""
    init, step, evaluate = mlp_functions(SIZES, optimizer)
    train, valid = digits()
    task = jaxhpt.Task(
        init=init, step=step, evaluate=evaluate, train_data=train, valid_data=valid, batch_size=BATCH, steps=STEPS
    )
    return assemble(task, SPACE, jaxhpt.ALGORITHMS[name](), trials, lanes)


def proposing(program, data, root):
    """Run event by event: the seconds of the proposals of each round."""
    problem, algorithm = program.problem, program.algorithm

    @jax.jit
    @full_precision
    def ask(carry):
        key = key_of(carry.key, Stream.ASK, carry.clock)
        count = jnp.minimum(problem.lanes, problem.capacity - carry.history.count)
        return algorithm.ask(key, carry.algorithm, carry.history, problem, problem.lanes, count)

    carry, seconds = begin(program, root), []
    jax.block_until_ready(ask(carry))
    while not bool(carry.finished):
        if not bool(jnp.any(carry.lanes.live)):
            seconds.append(timed(ask, carry)[0])
        carry, _ = dispatch(program, carry, data, program.grains_of(1))
    return np.array(seconds)


def measure(name, options):
    """Return a row of the table."""
    program, data = prepared(name, options.trials, options.lanes)
    root = jax.random.key(0)
    dispatch(program, begin(program, root), data, program.grains_of(0))  # compiles
    whole, (carry, _) = timed(dispatch, program, begin(program, root), data, ALL)
    asks = proposing(program, data, root)
    best = -float(np.asarray(carry.history.metrics[:, 0]).min())
    shown = (f"{whole:.1f}", f"{asks.sum():.2f}", f"{asks.sum() / whole:.1%}", f"{1e3 * asks.max():.1f}", f"{best:.4f}")
    return name, *shown


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    endless = [name for name, kind in jaxhpt.ALGORITHMS.items() if name not in ("grid", "nsga2")]
    parser.add_argument("--algorithms", nargs="+", choices=endless, default=endless)
    parser.add_argument("--trials", type=int, default=1024)
    parser.add_argument("--lanes", type=int, default=64)
    options = parser.parse_args()
    print(machine(), flush=True)
    print(f"\n{options.trials} trials on {options.lanes} lanes")
    rows = [measure(name, options) for name in options.algorithms]
    table(["algorithm", "search, s", "proposals, s", "share", "slowest round, ms", "best accuracy"], rows)


if __name__ == "__main__":
    main()
