"""Discover a learning-rate schedule for a small character-level language model by population-based training.

Run: python examples/pbt.py [models] [steps]
"""

import os
import pathlib
import sys

import numpy as np
import optax
from flax import linen as nn

import jaxhpt

CHARACTERS, CONTEXT, WIDTH = 128, 12, 128  # a character is its ASCII code
SPACE = {
    "learning_rate": jaxhpt.Float(1e-4, 1e-1, log=True),
    "momentum": jaxhpt.Float(0.5, 0.98),
}


class Model(nn.Module):
    """Twelve characters i32[B, 12] to logits of the next one f32[B, 128]."""

    @nn.compact
    def __call__(self, x):
        x = nn.Embed(CHARACTERS, 16)(x).reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(WIDTH)(x))
        return nn.Dense(CHARACTERS)(nn.relu(nn.Dense(WIDTH)(x)))


def windows(paths, apart):
    """Cut the text of files into contexts i32[rows, 12] and next characters i32[rows], so many characters apart."""
    text = b"".join(path.read_text("utf-8").encode("ascii", "replace") for path in paths)
    codes = np.frombuffer(text, np.uint8).astype("int32")
    rows = np.arange(0, len(codes) - CONTEXT, apart)
    return codes[rows[:, None] + np.arange(CONTEXT)], codes[rows + CONTEXT]


def sources():
    """Return 24 modules of Python's standard library for training and 4 others for validation."""
    paths = sorted(pathlib.Path(os.__file__).parent.glob("[a-z]*.py"))[:28]
    return [path for path in paths if path not in paths[6::7]], paths[6::7]


def task(steps):
    """Train a model by stochastic gradient descent with momentum."""
    train, valid = sources()
    return jaxhpt.FlaxTask(
        Model(),
        optimizer=lambda h: optax.sgd(h["learning_rate"], h["momentum"], nesterov=True),
        train_data=windows(train, 3),
        valid_data=windows(valid, 31),
        batch_size=128,
        steps=steps,
        objective="loss",
        direction="min",
    )


def draw(stretches):
    """Plot a schedule: a line for each stretch, a column for each step on the logarithmic scale."""
    low, high = np.log10(SPACE["learning_rate"].low), np.log10(SPACE["learning_rate"].high)
    for part in stretches:
        rate = part.hparams["learning_rate"]
        column = round(60 * (np.log10(rate) - low) / (high - low))
        print(f"{part.first:6d} - {part.last:<6d} {rate:8.2g}  {' ' * column}*")


def main(models=16, steps=2000, seed=0):
    """Train a population, and as many models under fixed settings for as many steps."""
    common = {"trials": models, "lanes": models, "algorithm": "random", "seed": seed}
    fixed = jaxhpt.search(task(steps), SPACE, **common)
    found = jaxhpt.search(task(steps), SPACE, scheduler=jaxhpt.PBT(perturbation_interval=max(1, steps // 40)), **common)
    print(f"best of {models} fixed settings: {fixed.best.value:.4f} nats a character, {fixed.best.hparams}")
    print(f"population-based training:   {found.best.value:.4f}, learning rates of the winner by steps:")
    draw(found.lineage(found.best))
    return fixed, found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
