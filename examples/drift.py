"""How the best learning rate drifts with the width, with maximal update parametrisation and without, and a forecast.

Run: python examples/drift.py [--quick]
"""

import importlib.util
import sys

import jax.numpy as jnp
import numpy as np
import optax
from coordinates import DEFAULT, HELD, NAMES, ROWS, Net, grown, load

import jaxhpt
from jaxhpt.models import mup


def part(rows):
    """Return the mean loss of some of the rows held out."""
    return lambda logits, y: optax.softmax_cross_entropy_with_integer_labels(logits[rows], y[rows]).mean()


def task(width, scaled, steps):
    """Return the training at a width: with maximal update parametrisation, or as Flax does it."""
    found = grown(width, scaled)

    def optimizer(h):
        rate = jaxhpt.traced.warmup_cosine_decay_schedule(0.0, h["lr"], h["warmup"] * steps, steps)
        adam = optax.adam(rate, b1=1.0 - h["forget"])
        return mup.scaled(adam, found, "adam") if scaled else adam

    def model(h, rngs):
        return mup.initialised(Net(width, h, rngs, True), found) if scaled else Net(width, h, rngs, False)

    data = {"train_data": load()[0], "valid_data": load()[1], "batch_size": ROWS, "steps": steps}
    metrics = {"valid": part(slice(HELD)), "test": part(slice(HELD, None))}
    return jaxhpt.FlaxTask(model, optimizer, **data, metrics=metrics, objective="valid", direction="min")


def vertex(result):
    """Return the vertex of a parabola through the losses about the best rate of a grid, and the least loss."""
    trials = sorted((np.log2(t.hparams["lr"]), t.value) for t in result.trials)
    at = np.clip(int(np.argmin([loss for _, loss in trials])), 1, len(trials) - 2)
    a, b, _ = np.polyfit(*zip(*trials[at - 1 : at + 2], strict=True), 2)
    place = -b / (2 * a) if a > 0 else min(trials, key=lambda t: t[1])[0]
    return 2 ** np.clip(place, trials[at - 1][0], trials[at + 1][0]), result.best.value


def best_rates(width, scaled, steps, points, seeds):
    """Try learning rates at a width; return the best one of each seed, and its loss: f64[seeds, 2]."""
    space, options = {**DEFAULT, "lr": jaxhpt.Float(2**-10, 2**-3, log=True)}, {"algorithm": jaxhpt.Grid(points)}
    found = jaxhpt.search_many(task(width, scaled, steps), space, seed=list(range(seeds)), progress=False, **options)
    return np.array([vertex(result) for result in found])


def forecasts(widths, values):
    """Forecast the last value of those before it, at widths of equal ratios: power law and grey model."""
    line = np.polyfit(np.log(widths[:-1]), np.log(values[:-1]), 1)
    grey = jaxhpt.grey.DGM11.fit(jnp.asarray(values[:-1], jnp.float32)).at(float(len(values) - 1))
    return float(np.exp(np.polyval(line, np.log(widths[-1])))), float(grey[0])


def off(widths, values):
    """Return by which factor forecasts of the last of values f64[W, S] are off, and by which it differs from the first.

    Returns:
      f64[3, S], each at least 1: power law, grey model, and the drift, which is what no forecast is off.
    """
    said = np.array([(*forecasts(widths, column), column[0]) for column in values.T]).T
    return np.exp(np.abs(np.log(said / values[-1])))


def plot(found, widths):
    """Save the best rates over widths as drift.png; it needs matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return print("no plot: pip install matplotlib")
    figure = importlib.import_module("matplotlib.figure").Figure(figsize=(5, 3.5), layout="constrained")
    axes = figure.add_subplot(xlabel="width", ylabel="best learning rate")
    for scaled, cells in found.items():
        rates = cells[..., 0]
        axes.loglog(widths, np.median(rates, 1), "o-", label=f"{NAMES[scaled]} the parametrisation")
        axes.fill_between(widths, rates.min(1), rates.max(1), alpha=0.3)
    axes.legend()
    return figure.savefig("drift.png")


def main(steps=150, points=8, seeds=3, widths=(8, 16, 32, 64, 128)):
    """Print and plot the best rate at each width, and how far off forecasts of the widest are; f64[W, S, 2] of both."""
    found = {scaled: np.array([best_rates(w, scaled, steps, points, seeds) for w in widths]) for scaled in NAMES}
    for scaled, cells in found.items():
        for name, values in zip(("rate", "loss"), np.moveaxis(cells, 2, 0), strict=True):
            told = [f"{np.median(v):.4f} [{v.min():.4f}, {v.max():.4f}]" for v in values]
            print(f"best {name}, {NAMES[scaled]} it, at widths", *map("{}: {}".format, widths, told), sep="  ")
            power, grey, drift = np.median(off(widths, values), 1)
            print(
                f"  first and last differ {drift:.2f} times; off by {power:.2f}: power law; by {grey:.2f}: grey model"
            )
    plot(found, widths)
    return found


if __name__ == "__main__":
    main(*((20, 3, 2, (8, 16, 32)) if "--quick" in sys.argv else ()))
