"""By how much activations change in a few steps at several widths, with maximal update parametrisation and without.

Run: python examples/coordinates.py [--quick]

The model is the transformer that `drift.py` and `transfer.py` train, on text of Python's standard library.
"""

import functools
import importlib.util
import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxhpt.models import mup

CHARACTERS, CONTEXT, HEADS, BASE, ROWS = 128, 32, 4, 16, 8  # a character is its ASCII code; rows of a batch
HELD, RATE = 512, 2**-6  # rows for validation, and as many for test; the learning rate of the check
DEFAULT = {"lr": 1e-3, "warmup": 0.0, "forget": 0.1, "scale": 1.0}
NAMES = {False: "without", True: "with"}


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

    def layers(self, codes):
        """Return what each layer gives, by name."""
        x = self.embed(codes) + self.place(jnp.arange(CONTEXT))[None]
        q, k, v = jnp.moveaxis(self.qkv(self.norms[0](x)).reshape(*x.shape[:2], 3, HEADS, -1), 2, 0)
        seen = jax.nn.dot_product_attention(q, k, v, scale=self.attention, is_causal=True).reshape(x.shape)
        mixed = x + self.mix(seen)
        block = mixed + self.down(nnx.gelu(self.up(self.norms[1](mixed))))
        agreed = self.attention * jnp.einsum("bthd,bshd->bhts", q, k)
        logits = self.scale * self.head(self.norms[2](block))
        return {"embedding": x, "attention": agreed, "mixed": mixed, "block": block, "logits": logits}

    def __call__(self, codes):
        return self.layers(codes)["logits"]


@functools.cache
def load():
    """Return rows for training, and for validation and test together, pairs i32[rows, 32] whose second is one ahead."""
    paths, rows = sorted(pathlib.Path(os.__file__).parent.glob("[a-z]*.py")), []
    for part, most in ((paths[:40], 10**9), (paths[40:50], HELD), (paths[50:60], HELD)):
        text = b"".join(path.read_text("utf-8").encode("ascii", "replace") for path in part)
        codes = np.frombuffer(text, np.uint8)[: len(text) // (CONTEXT + 1) * (CONTEXT + 1)].astype("int32")
        rows.append(codes.reshape(-1, CONTEXT + 1)[:: max(1, len(text) // (CONTEXT + 1) // most)][:most])
    return [(codes[:, :-1], codes[:, 1:]) for codes in (rows[0], np.concatenate(rows[1:]))]


def grown(width, scaled):
    """Return what grows with the width; nothing without the parametrisation."""
    return mup.widths(lambda width: Net(width, DEFAULT, nnx.Rngs(0), scaled), BASE, width if scaled else BASE)


@functools.cache
def trained(width, scaled, steps):
    """Return seed -> activations before and after a few steps, compiled."""
    found = grown(width, scaled)
    optimizer = mup.scaled(optax.adam(RATE), found, "adam") if scaled else optax.adam(RATE)
    x, y = jax.tree.map(lambda rows: jnp.asarray(rows[:: len(rows) // ROWS][:ROWS]), load()[0])

    def run(seed):
        net = Net(width, DEFAULT, nnx.Rngs(jax.random.key(seed)), scaled)
        graph, weights = nnx.split(mup.initialised(net, found) if scaled else net, nnx.Param)
        layers = lambda weights: nnx.merge(graph, weights).layers(x)  # noqa: E731
        loss = lambda w: optax.softmax_cross_entropy_with_integer_labels(layers(w)["logits"], y).mean()  # noqa: E731

        def step(carry, _):
            updates, state = optimizer.update(jax.grad(loss)(carry[0]), carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        (after, _), _ = jax.lax.scan(step, (weights, optimizer.init(weights)), length=steps)
        return layers(weights), layers(after)

    return jax.jit(run)


def plot(found):
    """Save the changes over widths as coordinates.png; it needs matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return print("no plot: pip install matplotlib")
    axes = importlib.import_module("matplotlib.figure").Figure(figsize=(8, 3.5), layout="constrained").subplots(1, 2)
    for ax, (scaled, one) in zip(axes, found.items(), strict=True):
        for name, change in one.changes.items():
            ax.loglog(one.widths, change, "o-", label=name)
        ax.set(xlabel="width", ylabel="mean change", title=f"{NAMES[scaled]} the parametrisation")
        ax.sharey(axes[0])
    axes[0].legend()
    return axes[0].figure.savefig("coordinates.png")


def main(widths=(64, 128, 256, 512), steps=4, seeds=4):
    """Print and plot the changes without the parametrisation and with it; return both."""
    found = {}
    for scaled, name in NAMES.items():
        run = lambda width, seed, scaled=scaled: trained(width, scaled, steps)(seed)  # noqa: E731
        found[scaled] = mup.coordinate_check(run, widths, seeds)
        print(f"{name} maximal update parametrisation, {seeds} seeds\n{found[scaled]}")
    plot(found)
    return found


if __name__ == "__main__":
    main(*(((16, 64), 2, 1) if "--quick" in sys.argv else ()))
