"""Tune narrow transformers, and carry what was found to one 8 times as wide: text of Python's standard library.

Run: python examples/transfer.py [--quick]

Carried settings stand beside the untuned default and beside random searches of the wide model itself: one that costs
as many operations as the narrow search and the training it is for, and more costly ones, without maximal update
parametrisation and with it. Losses are of rows that chose nothing, the same for all.
"""

import importlib.util
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
from coordinates import BASE, DEFAULT, NAMES, ROWS, load
from drift import task

import jaxhpt

SPACE = {
    "lr": jaxhpt.Float(1e-3, 0.3, log=True),
    "warmup": jaxhpt.Float(0.0, 0.5),  # share of the steps
    "forget": jaxhpt.Float(0.01, 0.5, log=True),  # 1 - Adam's first beta
    "scale": jaxhpt.Float(0.25, 4.0, log=True),  # of the logits
}
OPTIONS = {"algorithm": "random", "progress": False}


def cost(width):
    """Return the operations of a training step, as the compiler counts them."""
    one, batch = task(width, True, 1), jax.tree.map(lambda rows: jnp.asarray(rows[:ROWS]), load()[0])
    state = jax.eval_shape(lambda: one.init(jax.random.key(0), DEFAULT))
    return jax.jit(one.step).lower(state, batch, DEFAULT, jax.random.key(0)).cost_analysis()["flops"]


def loss(trials):
    """Return the loss on test rows of what is best on validation rows."""
    return min(trials, key=lambda trial: trial.value).metrics["test"]


def compared(width, steps, proxies, trials, seeds):
    """Return of each way of tuning its cost, in trainings of the wide model, and losses on test rows, one a seed."""
    runs, price = list(range(seeds)), 1 + proxies * cost(BASE) / cost(width)
    narrow = jaxhpt.search_many(task(BASE, True, steps), SPACE, trials=proxies, seed=runs, **OPTIONS)
    options = {"trials": 1 + trials, "first": [DEFAULT], "seed": runs, **OPTIONS}
    wide = [result.trials for result in jaxhpt.search_many(task(width, False, steps), SPACE, **options)]
    rows = {"untuned": (1.0, [loss(found[:1]) for found in wide])}
    for count in (math.ceil(price), trials):
        rows[f"random search, {count} settings"] = float(count), [loss(found[1 : 1 + count]) for found in wide]
    own = jaxhpt.search_many(task(width, True, steps), SPACE, trials=trials, seed=runs, **OPTIONS)
    rows[f"random search, {trials} settings, with it"] = float(trials), [loss(found.trials) for found in own]
    best = [result.best.hparams for result in narrow]  # at the base the parametrisation changes nothing
    for scaled, name in NAMES.items():
        carried = jaxhpt.search(task(width, scaled, steps), SPACE, first=best, trials=seeds, seed=seeds, **OPTIONS)
        rows[f"carried from {BASE}, {name} it"] = price, [loss([trial]) for trial in carried.trials]
    return {name: (price, np.array(losses)) for name, (price, losses) in rows.items()}


def show(rows, seeds):
    """Print the table, and what carrying with the parametrisation gains over each other way."""
    ours = list(rows.values())[-1][1]
    print(f"loss on test rows, {seeds} seeds{'':12}cost   mean +- error    [least, most]    less with carrying")
    for name, (price, losses) in rows.items():
        error, gain = losses.std(ddof=1) / seeds**0.5 if seeds > 1 else 0.0, 1 - ours.mean() / losses.mean()
        told = f"{losses.mean():.4f} +- {error:.4f}  [{losses.min():.4f}, {losses.max():.4f}]"
        print(f"{name:35}{price:6.2f}   {told}{gain:>+13.1%}")


def plot(rows):
    """Save the losses over costs as transfer.png; it needs matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return print("no plot: pip install matplotlib")
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="cost, in trainings of the wide model", ylabel="loss on test rows")
    for name, (price, losses) in rows.items():
        axes.plot(np.full(len(losses), price), losses, "o", label=name)
    axes.legend(fontsize="small")
    return figure.savefig("transfer.png")


def main(width=128, steps=150, proxies=64, trials=16, seeds=5):
    """Print and plot the loss at the wide width by how its settings were found, and what finding them cost."""
    rows = compared(width, steps, proxies, trials, seeds)
    show(rows, seeds)
    plot(rows)
    return rows


if __name__ == "__main__":
    main(*((32, 20, 4, 3, 2) if "--quick" in sys.argv else ()))
