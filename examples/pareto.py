"""Accuracy against size: which width is worth its weights? A Pareto front by NSGA-II, with a bound on the size.

Run: python examples/pareto.py [trials]

Every network has 64 hidden units in memory, so that all train in one program; a mask leaves `width` of them. What
counts as size is what the mask leaves.
"""

import sys

import jax.numpy as jnp
import optax
from flax import nnx
from quickstart import load

import jaxhpt

WIDEST = 64


class Narrow(nnx.Module):
    """64 inputs, `width` of 64 hidden units, 10 classes."""

    def __init__(self, width, rngs):
        self.hidden, self.out = nnx.Linear(64, WIDEST, rngs=rngs), nnx.Linear(WIDEST, 10, rngs=rngs)
        self.used = nnx.Variable((jnp.arange(WIDEST) < width).astype(jnp.float32))

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)) * self.used[...])


def with_size(task):
    """Let the task's evaluation also say how many weights the network uses."""

    def evaluate(state, valid, hparams):
        size = 64 * hparams["width"] + hparams["width"] + 10 * hparams["width"] + 10
        return {**task.evaluate(state, valid, hparams), "weights": jnp.asarray(size, jnp.float32)}

    return evaluate


def main(trials=1000):
    """Search width and learning rate for both objectives; print the front and its hypervolume."""
    train, valid = load()
    task = jaxhpt.FlaxTask(
        model=lambda h, rngs: Narrow(h["width"], rngs),
        optimizer=lambda h: optax.adam(h["lr"]),
        train_data=train,
        valid_data=valid,
        steps=200,
    )
    result = jaxhpt.search(
        task,
        {"lr": jaxhpt.Float(1e-4, 1e-1, log=True), "width": jaxhpt.Int(1, WIDEST, log=True)},
        evaluate=with_size(task),
        objectives={"accuracy": "max", "weights": "min"},
        constraints={"weights": ("<=", 3_000)},
        algorithm=jaxhpt.NSGA2(population=50),
        trials=trials,
        lanes=50,
    )
    for trial in result.pareto_front():
        print(f"{trial.metrics['accuracy']:.4f} with {trial.metrics['weights']:,.0f} weights; {trial.hparams}")
    print(f"hypervolume {result.hypervolume({'accuracy': 0.0, 'weights': 3_000}):,.0f} of 3,000")
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
