"""Tune a small character-level transformer on the sources of Python's own standard library.

Run: python examples/char_lm.py [trials] [steps]
"""

import math
import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxhpt

CHARACTERS, CONTEXT, WIDTH, HEADS, LAYERS = 128, 64, 64, 4, 2  # a character is its ASCII code
DISTANCE = np.arange(CONTEXT)[:, None] - np.arange(CONTEXT)
BIAS = -(0.25 ** np.arange(HEADS, dtype="float32")[:, None, None]) * DISTANCE  # ALiBi: each head looks further back


class Block(nnx.Module):
    """Causal self-attention and a two-layer network, each added to its input f32[B, T, 64]."""

    def __init__(self, dropout, rngs):
        self.norm, self.norm2 = nnx.LayerNorm(WIDTH, rngs=rngs), nnx.LayerNorm(WIDTH, rngs=rngs)
        self.qkv, self.mix = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs), nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.up, self.down = nnx.Linear(WIDTH, 4 * WIDTH, rngs=rngs), nnx.Linear(4 * WIDTH, WIDTH, rngs=rngs)
        self.dropout = jaxhpt.traced.NnxDropout(dropout, rngs=rngs)

    def __call__(self, x):
        q, k, v = jnp.moveaxis(self.qkv(self.norm(x)).reshape(*x.shape[:2], 3, HEADS, -1), 2, 0)
        seen = jax.nn.dot_product_attention(q, k, v, bias=BIAS[None], is_causal=True).reshape(x.shape)
        x = x + self.dropout(self.mix(seen))
        return x + self.dropout(self.down(nnx.gelu(self.up(self.norm2(x)))))


def build(h, rngs):
    """Return the model: characters i32[B, 64] to logits of the next ones f32[B, 64, 128]."""
    blocks = [Block(h["dropout"], rngs) for _ in range(LAYERS)]
    head = [nnx.LayerNorm(WIDTH, rngs=rngs), nnx.Linear(WIDTH, CHARACTERS, rngs=rngs)]
    return nnx.Sequential(nnx.Embed(CHARACTERS, WIDTH, rngs=rngs), *blocks, *head)


def windows(paths):
    """Cut the text of files into inputs and targets, i32[rows, 64] each; the targets are one character ahead."""
    text = b"".join(path.read_text("utf-8").encode("ascii", "replace") for path in paths)
    rows = len(text) // (CONTEXT + 1)
    codes = np.frombuffer(text, np.uint8)[: rows * (CONTEXT + 1)].astype("int32").reshape(rows, -1)
    return codes[:, :-1], codes[:, 1:]


def load():
    """Return 24 modules of the standard library for training and every fourth window of 4 others for validation."""
    paths = sorted(pathlib.Path(os.__file__).parent.glob("[a-z]*.py"))[:28]
    x, y = windows(paths[6::7])
    return windows([path for path in paths if path not in paths[6::7]]), (x[::4], y[::4])


def write(model, start, length, key):
    """Return the text `start`, i32[64], and how the model goes on from it."""

    def one(seen, key):
        code = jax.random.categorical(key, 1.5 * model(seen[None])[0, -1])  # a little bolder than it was trained
        return jnp.append(seen[1:], code), code

    codes = jax.lax.scan(one, start, jax.random.split(key, length))[1]
    return np.append(start, codes).astype(np.uint8).tobytes().decode()


def main(trials=16, steps=200):
    """Search learning rate, warmup, weight decay and dropout; print the report and a text by the winner."""
    train, valid = load()

    def optimizer(h):
        schedule = jaxhpt.traced.warmup_cosine_decay_schedule(0.0, h["lr"], h["warmup"] * steps, steps)
        return optax.adamw(schedule, weight_decay=h["weight_decay"])

    arrays = {"train_data": train, "valid_data": valid, "batch_size": 16}
    task = jaxhpt.FlaxTask(build, optimizer, **arrays, steps=steps, objective="loss")
    space = {
        "lr": jaxhpt.Float(1e-3, 3e-2, log=True),
        "warmup": jaxhpt.Float(0.0, 0.5),  # share of the steps
        "weight_decay": jaxhpt.Float(1e-4, 1.0, log=True),
        "dropout": jaxhpt.Float(0.0, 0.3),
    }
    result = jaxhpt.search(task, space, trials=trials, lanes=8)
    print(result)
    print(f"{result.best.value / math.log(2):.3f} bits per character. The best goes on from a module it never saw:")
    print(write(result.best_state, jnp.asarray(valid[0][0]), 300, jax.random.key(0)))
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
