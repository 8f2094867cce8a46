"""Masked widths against a program for each width: the same trainings, in one program or in several.

Run: python -m benchmarks.masked [--most 16 64 256] [--lanes 16 256] [--steps 200] [--repeats 5] [--quick]

An MLP on digits with two hidden layers, as wide as a quarter, a half, three quarters and all of the most, trained with
AdamW by hand-written `vmap`s: one of all lanes with masked weights, and one for each width with its share of the lanes,
all of them in flight at once. Masked lanes compute what they throw away, and compile once; small programs do neither.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.common import BATCH, digits, parsed, take_turns, timed
from benchmarks.records import Table, save
from jaxhpt.models import masking

EXERCISES = ("jaxhpt/models/masking",)
QUICK = {"most": [8], "lanes": [4], "steps": 5, "repeats": 1}
QUARTERS = 4
COLUMNS = (
    "widest", "lanes", "masked, s", "a program each, s", "masked over each", "compile masked, s", "compile each, s",
    "trials until each pays",
)  # fmt: skip


def init(key, h):
    """Weights of an MLP 64-width-width-10, He's scale."""
    sizes = (64, h["width"], h["width"], 10)

    def layer(key, a, b):
        return {"w": jax.random.normal(key, (a, b), jnp.float32) * (2.0 / a) ** 0.5, "b": jnp.zeros(b, jnp.float32)}

    keys = jax.random.split(key, len(sizes) - 1)
    return [layer(k, a, b) for k, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)]


def logits(weights, x):
    for layer in weights[:-1]:
        x = jax.nn.relu(x @ layer["w"] + layer["b"])
    return x @ weights[-1]["w"] + weights[-1]["b"]


def training(begin, prepare, steps):
    """Return a training of one model: (key, hyperparameters) -> accuracy, f32[].

    Args:
      begin: (key, hyperparameters) -> weights.
      prepare: (weights, hyperparameters) -> weights that are used.
      steps: how many.
    """
    (x, y), (x_valid, y_valid) = jax.tree.map(jnp.asarray, digits())

    def train(key, h):
        optimizer = optax.adamw(h["lr"], weight_decay=1e-3)

        def loss(weights, rows):
            out = logits(prepare(weights, h), x[rows])
            return optax.softmax_cross_entropy_with_integer_labels(out, y[rows]).mean()

        def step(i, carry):
            weights, opt = carry
            rows = jax.random.randint(jax.random.fold_in(jax.random.key(0), i), (BATCH,), 0, x.shape[0])
            updates, opt = optimizer.update(jax.grad(loss)(weights, rows), opt, weights)
            return optax.apply_updates(weights, updates), opt

        weights = begin(key, h)
        weights, _ = jax.lax.fori_loop(0, steps, step, (weights, optimizer.init(weights)))
        return (logits(prepare(weights, h), x_valid).argmax(-1) == y_valid).mean()

    return train


def compiled(function, *args):
    """Return seconds of compiling a function, and the program."""
    begun = time.perf_counter()
    program = jax.jit(jax.vmap(function)).lower(*args).compile()
    return time.perf_counter() - begun, program


def settings(widths, lanes):
    """Return keys and hyperparameters of all lanes, those of a width side by side: leaves [lanes]."""
    lr = jnp.asarray(10.0 ** np.random.default_rng(0).uniform(-3, -2, lanes), jnp.float32)
    width = jnp.repeat(jnp.asarray(widths, jnp.int32), lanes // len(widths))
    return jax.random.split(jax.random.key(0), lanes), {"lr": lr, "width": width}


def compared(most, lanes, options):
    """Return a row: seconds of a round of all lanes, and of compiling."""
    widths = [most * part // QUARTERS for part in range(1, QUARTERS + 1)]
    keys, h = settings(widths, lanes)
    begun = time.perf_counter()
    net = masking.masked_weights(init, {"width": widths})
    _, together = compiled(training(net.init, net.mask, options.steps), keys, h)
    compile_masked = time.perf_counter() - begun
    compile_each, each = 0.0, []
    for i, width in enumerate(widths):
        share = slice(i * lanes // QUARTERS, (i + 1) * lanes // QUARTERS)
        begin = lambda key, h, width=width: init(key, {"width": width})  # noqa: E731
        args = keys[share], {"lr": h["lr"][share]}
        seconds, program = compiled(training(begin, lambda weights, h: weights, options.steps), *args)
        compile_each, each = compile_each + seconds, [*each, (program, args)]
    runs = {
        "masked": lambda: timed(together, keys, h)[0],
        "each": lambda: timed(lambda: [program(*args) for program, args in each])[0],
    }
    take_turns(1, runs)
    seconds = {name: float(np.median(found)) for name, found in take_turns(options.repeats, runs).items()}
    saved, paid = seconds["masked"] - seconds["each"], compile_each - compile_masked
    pays = None if saved <= 0 or paid <= 0 else lanes * paid / saved
    ratio = seconds["masked"] / seconds["each"]
    return [most, lanes, seconds["masked"], seconds["each"], ratio, compile_masked, compile_each, pays]


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--most", type=int, nargs="+", default=[16, 64, 256], help="widths of the widest; 4 divides them"
    )
    parser.add_argument("--lanes", type=int, nargs="+", default=[16, 256], help="4 divides them")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parsed(parser, QUICK)
    rows = [compared(most, lanes, options) for most in options.most for lanes in options.lanes]
    title = f"A round of all lanes, {options.steps} steps of {BATCH} rows: masked widths and a program for each of four"
    formats = ("{}", "{}", "{:.3g}", "{:.3g}", "{:.2f}", "{:.1f}", "{:.1f}", "{:,.0f}")
    save("masked", [Table(title, COLUMNS, rows, formats, labels=2)], options, EXERCISES)


if __name__ == "__main__":
    main()
