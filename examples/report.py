"""Search optimisers for a small network on digits, and write reports: a page, plots, and a comparison of two searches.

Run: python examples/report.py [trials] [folder]

The page needs no network and nothing beside it: open it in a browser, or send it to somebody.
"""

import pathlib
import sys

import optax
from quickstart import MLP, load

import jaxhpt

SPACE = {
    "optimizer": jaxhpt.Choice(["adamw", "sgd"], structural=True),
    "lr": jaxhpt.Float(1e-4, 1.0, log=True),
    "momentum": jaxhpt.Float(0.5, 0.99),
    "weight_decay": jaxhpt.Float(1e-6, 1e-1, log=True),
    "dropout": jaxhpt.Float(0.0, 0.6),
}


def optimizer(h):
    """Return the optimiser that a setting asks for; its kind is plain text, as it is structural."""
    if h["optimizer"] == "adamw":
        return optax.adamw(h["lr"], b1=h["momentum"], weight_decay=h["weight_decay"])
    decay = optax.add_decayed_weights(h["weight_decay"])
    return optax.chain(decay, optax.sgd(h["lr"], h["momentum"], nesterov=True))


def task(steps):
    """Train a network with one hidden layer."""
    train, valid = load()
    return jaxhpt.FlaxTask(
        model=lambda h, rngs: MLP(h["dropout"], rngs),
        optimizer=optimizer,
        train_data=train,
        valid_data=valid,
        batch_size=128,
        steps=steps,
        objective="loss",
        direction="min",
    )


def main(trials=256, folder=".", steps=243):
    """Search twice, and report; return the results."""
    folder, job = pathlib.Path(folder), task(steps)
    found = {
        name: jaxhpt.search(job, SPACE, trials=trials, algorithm=name, scheduler="asha", confirm=5)
        for name in ("tpe", "random")
    }
    print(found["tpe"])
    print("page:", found["tpe"].report(folder / "report.html", title="Digits"))
    print("both:", jaxhpt.report(found, folder / "both.html", title="TPE and random search"))
    try:
        jaxhpt.plots.comparison(found).figure.savefig(folder / "both.png", dpi=120)
    except ImportError as error:  # matplotlib is an extra
        print("no plot:", error)
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]), *sys.argv[2:3])
