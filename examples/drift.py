"""How the best learning rate drifts with the width, with maximal update parametrisation and without.

Run: python examples/drift.py [--quick]
"""

import functools
import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import jaxhpt
from jaxhpt.models import mup

CHARACTERS, CONTEXT, HEADS, BASE, ROWS = 128, 32, 4, 16, 8  # a character is its ASCII code; rows of a batch
DEFAULT = {"lr": 1e-3, "warmup": 0.0, "forget": 0.1, "scale": 1.0}


class Net(nnx.Module):
    """A transformer of one block, whose heads grow with the width: i32[B, 32] -> logits f32[B, 32, 128]."""

    def __init__(self, width, h, rngs, scaled):
        size = width // HEADS
        self.attention = mup.attention_scale(size, BASE // HEADS) if scaled else size**-0.5
        self.scale = h["scale"]
        self.embed, self.place = nnx.Embed(CHARACTERS, width, rngs=rngs), nnx.Embed(CONTEXT, width, rngs=rngs)
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in range(3)])
        sizes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
        self.qkv, self.mix, self.up, self.down = (nnx.Linear(*pair, rngs=rngs) for pair in sizes)
        self.head = nnx.Linear(width, CHARACTERS, kernel_init=nnx.initializers.zeros, rngs=rngs)

    def __call__(self, codes):
        x = self.embed(codes) + self.place(jnp.arange(CONTEXT))[None]
        q, k, v = jnp.moveaxis(self.qkv(self.norms[0](x)).reshape(*x.shape[:2], 3, HEADS, -1), 2, 0)
        x = x + self.mix(jax.nn.dot_product_attention(q, k, v, scale=self.attention, is_causal=True).reshape(x.shape))
        x = x + self.down(nnx.gelu(self.up(self.norms[1](x))))
        return self.scale * self.head(self.norms[2](x))


@functools.cache
def load():
    """Return rows for training, validation and test, pairs i32[rows, 32]; targets are one character ahead."""
    paths, rows = sorted(pathlib.Path(os.__file__).parent.glob("[a-z]*.py")), []
    for part, most in ((paths[:40], 10**9), (paths[40:50], 512), (paths[50:60], 512)):
        text = b"".join(path.read_text("utf-8").encode("ascii", "replace") for path in part)
        codes = np.frombuffer(text, np.uint8)[: len(text) // (CONTEXT + 1) * (CONTEXT + 1)].astype("int32")
        codes = codes.reshape(-1, CONTEXT + 1)[:: max(1, len(text) // (CONTEXT + 1) // most)][:most]
        rows.append((codes[:, :-1], codes[:, 1:]))
    return rows


def task(width, scaled, steps):
    """Return the training at a width: with maximal update parametrisation, or as Flax does it."""
    found = mup.widths(lambda width: Net(width, DEFAULT, nnx.Rngs(0), scaled), BASE, width if scaled else BASE)

    def optimizer(h):
        rate = jaxhpt.traced.warmup_cosine_decay_schedule(0.0, h["lr"], h["warmup"] * steps, steps)
        adam = optax.adam(rate, b1=1.0 - h["forget"])
        return mup.scaled(adam, found, "adam") if scaled else adam

    def model(h, rngs):
        return mup.initialised(Net(width, h, rngs, True), found) if scaled else Net(width, h, rngs, False)

    data = {"train_data": load()[0], "valid_data": load()[1], "batch_size": ROWS}
    return jaxhpt.FlaxTask(model, optimizer, **data, steps=steps, objective="loss")


def best_rate(width, scaled, steps, points):
    """Try learning rates at a width; return the vertex of a parabola through the best three, and the least loss."""
    space = {**DEFAULT, "lr": jaxhpt.Float(2**-10, 2**-3, log=True)}
    found = jaxhpt.search(task(width, scaled, steps), space, algorithm=jaxhpt.Grid(points), seeds=2, progress=False)
    trials = sorted((np.log2(t.hparams["lr"]), t.metrics["loss"]) for t in found.trials)
    at = np.clip(int(np.argmin([loss for _, loss in trials])), 1, points - 2)
    a, b, _ = np.polyfit(*zip(*trials[at - 1 : at + 2], strict=True), 2)
    vertex = -b / (2 * a) if a > 0 else min(trials, key=lambda t: t[1])[0]
    return 2 ** np.clip(vertex, trials[at - 1][0], trials[at + 1][0]), found.best.value


def main(steps=150, points=8, widths=(8, 16, 32, 64, 128)):
    """Print the best learning rate and its loss at each width, without the parametrisation and with it."""
    found = {scaled: [best_rate(width, scaled, steps, points) for width in widths] for scaled in (False, True)}
    for scaled, pairs in found.items():
        cells = [f"{width}: {rate:.4f} ({loss:.3f})" for width, (rate, loss) in zip(widths, pairs, strict=True)]
        print(f"best rate (loss), {('without', 'with')[scaled]}:", *cells, sep="  ")
    return found


if __name__ == "__main__":
    main(*((20, 3) if "--quick" in sys.argv else ()))
