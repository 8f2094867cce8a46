"""The textbook's genetic algorithm: 50 generations of 100 networks on digits, the better half has children.

Run: python examples/genetic.py [trials]

The space has 27 settings only, so settings come again, each time with new weights and batches of their own order of
arrival: what survives has been good more than once.
"""

import collections
import sys

import optax
from flax import nnx
from quickstart import load

import jaxhpt

SPACE = {"learning_rate": [0.001, 0.01, 0.1], "batch_size": [32, 64, 128], "epochs": [10, 20, 30]}
TEXTBOOK = jaxhpt.Genetic(
    population=100,
    selection="truncation",
    pressure=2,  # the better half
    crossover="uniform",
    crossover_rate=1.0,
    mutation_rate=0.1,
    avoid_duplicates=False,
)


class MLP(nnx.Module):
    """64 inputs, a hidden layer of 32, 10 classes."""

    def __init__(self, rngs):
        self.hidden, self.out = nnx.Linear(64, 32, rngs=rngs), nnx.Linear(32, 10, rngs=rngs)

    def __call__(self, x):
        return self.out(nnx.relu(self.hidden(x)))


def main(trials=5000):
    """Breed for 50 generations, and show what the first and the last one were made of."""
    train, valid = load()
    task = jaxhpt.FlaxTask(
        model=lambda h, rngs: MLP(rngs),
        optimizer=lambda h: optax.adam(h["learning_rate"]),
        train_data=train,
        valid_data=valid,
    )
    result = jaxhpt.search(task, SPACE, trials=trials, lanes=100, algorithm=TEXTBOOK)
    print(result)
    for name, generation in (("first", result.trials[:100]), ("last", result.trials[-100:])):
        kinds = collections.Counter(tuple(trial.hparams.values()) for trial in generation)
        mean = sum(trial.value for trial in generation) / len(generation)
        setting, times = kinds.most_common(1)[0]
        named = dict(zip(generation[0].hparams, setting, strict=True))
        print(f"{name} generation: mean accuracy {mean:.4f}, {len(kinds)} settings, {times} of them {named}")
    print(f"wall time {result.stats.seconds + result.stats.compile_seconds:.0f} s, compilation included")
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
