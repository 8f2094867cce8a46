"""What share of a search its proposals take: a search on digits, step by step.

Run: python -m benchmarks.share [--algorithms bayesian tpe genetic ...] [--trials 1024] [--lanes 64] [--quick]

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
from benchmarks.common import ALL, BATCH, assemble, digits, mlp_functions, parsed, timed
from benchmarks.records import Table, save
from jaxhpt.core.arrays import full_precision
from jaxhpt.core.keys import Stream, key_of
from jaxhpt.engine.loop import begin, dispatch

SIZES = (64, 64, 10)
STEPS = 300
EXERCISES = ("jaxhpt/algorithms", "jaxhpt/surrogates", "jaxhpt/engine", "jaxhpt/training", "jaxhpt/core")
QUICK = {"algorithms": ["random", "tpe"], "trials": 32, "lanes": 8}
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
    problem, algorithm = program.study.problem, program.study.algorithm

    @jax.jit
    @full_precision
    def ask(study):
        key = key_of(study.key, Stream.ASK, study.clock)
        count = jnp.minimum(problem.lanes, problem.capacity - study.history.num_rows)
        return algorithm.ask(key, study.algorithm, study.history, problem, problem.lanes, count)

    carry, seconds = begin(program, root), []
    jax.block_until_ready(ask(carry.study))
    while not bool(carry.study.finished):
        if not bool(jnp.any(carry.study.lanes.live)):
            seconds.append(timed(ask, carry.study)[0])
        carry, _ = dispatch(program, carry, data, jnp.int32(1))
    return np.array(seconds)


def measure(name, options):
    """Return a row of the table."""
    program, data = prepared(name, options.trials, options.lanes)
    root = jax.random.key(0)
    dispatch(program, begin(program, root), data, jnp.int32(0))  # compiles
    whole, (carry, _) = timed(dispatch, program, begin(program, root), data, ALL)
    asks = proposing(program, data, root)
    best = -float(np.asarray(carry.study.history.metrics[:, 0]).min())
    return name, whole, asks.sum(), asks.sum() / whole, 1e3 * asks.max(), best


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    endless = [name for name, kind in jaxhpt.ALGORITHMS.items() if name not in ("grid", "nsga2")]
    parser.add_argument("--algorithms", nargs="+", choices=endless, default=endless)
    parser.add_argument("--trials", type=int, default=1024)
    parser.add_argument("--lanes", type=int, default=64)
    options = parsed(parser, QUICK)
    rows = [measure(name, options) for name in options.algorithms]
    head = ("algorithm", "search, s", "proposals, s", "share", "slowest round, ms", "best accuracy")
    formats = ("{}", "{:.1f}", "{:.2f}", "{:.1%}", "{:.1f}", "{:.4f}")
    title = f"{options.trials} trials on {options.lanes} lanes"
    save("share", [Table(title, head, rows, formats)], options, EXERCISES)


if __name__ == "__main__":
    main()
