"""Tune narrow transformers, and carry what was found to one 8 times as wide: text of Python's standard library.

Run: python examples/transfer.py [--quick]
"""

import importlib.util
import sys

import drift
import jax
import jax.numpy as jnp
import numpy as np
import optax
from drift import BASE, DEFAULT, ROWS, load, task

import jaxhpt

SPACE = {
    "lr": jaxhpt.Float(1e-3, 0.3, log=True),
    "warmup": jaxhpt.Float(0.0, 0.5),  # share of the steps
    "forget": jaxhpt.Float(0.01, 0.5, log=True),  # 1 - Adam's first beta
    "scale": jaxhpt.Float(0.25, 4.0, log=True),  # of the logits
}


def cost(width):
    """Return the operations of a training step, as the compiler counts them."""
    one, batch = task(width, True, 1), jax.tree.map(lambda rows: jnp.asarray(rows[:ROWS]), load()[0])
    state = jax.eval_shape(lambda: one.init(jax.random.key(0), DEFAULT))
    return jax.jit(one.step).lower(state, batch, DEFAULT, jax.random.key(0)).cost_analysis()["flops"]


def tuned(width, scaled, steps, trials, seed, first=()):
    """Search; return the winner's settings, and its loss on test rows, which chose nothing."""
    options = {"trials": trials, "algorithm": "quasi_random", "first": first, "seed": seed, "progress": False}
    found = jaxhpt.search(task(width, scaled, steps), SPACE, **options)
    (x, y), model = load()[2], found.best_state
    losses = optax.softmax_cross_entropy_with_integer_labels(jax.jit(lambda x: model(x))(x), y)
    return found.best.hparams, float(losses.mean())


def compared(steps=150, proxies=64, trials=16, width=128, seeds=3):
    """Print the loss at the wide width by how its settings were found, and what finding them cost."""
    share = cost(BASE) / cost(width)
    few = round(1 + proxies * share)  # trainings of the wide model that cost as much as the proxies and it
    rows = {"untuned": (1, []), f"tuned itself, {few} settings": (few, []), f"tuned itself, {trials}": (trials, [])}
    rows |= {f"carried from {BASE}, {name} it": (1 + proxies * share, []) for name in ("without", "with")}
    for seed in range(seeds):
        found = [tuned(width, False, steps, 1, seed, [DEFAULT])]
        found += [tuned(width, False, steps, number, seed) for number in (few, trials)]
        best, _ = tuned(BASE, True, steps, proxies, seed)  # of both: at the base they are the same
        found += [tuned(width, scaled, steps, 1, seed, [best]) for scaled in (False, True)]
        for (_, losses), (_, loss) in zip(rows.values(), found, strict=True):
            losses.append(loss)
    print(f"test loss at width {width}, {seeds} seeds{'':12}cost  median     least      most")
    for name, (price, losses) in rows.items():
        print(f"{name:36}{price:10.2f}  {np.median(losses):.4f}    {min(losses):.4f}    {max(losses):.4f}")
    return rows


def forecasts(widths, values):
    """Forecast the last value of those before it, at widths of equal ratios: power law and grey model."""
    line = np.polyfit(np.log(widths[:-1]), np.log(values[:-1]), 1)
    grey = jaxhpt.grey.DGM11.fit(jnp.asarray(values[:-1], jnp.float32)).at(float(len(values) - 1))
    return float(np.exp(np.polyval(line, np.log(widths[-1])))), float(grey[0])


def drifted(found, widths):
    """Print what the narrow models say of the widest: its best learning rate, and the loss there."""
    for scaled, pairs in found.items():
        for name, values in zip(("rate", "loss"), zip(*pairs, strict=True), strict=True):
            power, grey = forecasts(widths, values)
            nearer = "grey model" if abs(grey - values[-1]) < abs(power - values[-1]) else "power law"
            said = f"by power law {power:.4f}, by grey model {grey:.4f}: nearer is the {nearer}"
            print(f"best {name} at {widths[-1]}, {('without', 'with')[scaled]:8}{values[-1]:.4f}; {said}")


def plot(found, widths):
    """Save the best rates over widths as transfer.png; it needs matplotlib."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(5, 3.5)).add_subplot(xlabel="width", ylabel="best learning rate")
    for scaled, pairs in found.items():
        axes.loglog(widths, [rate for rate, _ in pairs], "o-", label=("without", "with")[scaled])
    axes.legend()
    axes.figure.savefig("transfer.png")


def main(quick=False):
    """Compare ways to tune the wide model; then show how the best rate drifts, and what that forecasts."""
    compared(*((20, 4, 2, 32, 1) if quick else ()))
    widths = (8, 16, 32, 64, 128)
    found = drift.main(*((20, 3, widths) if quick else ()))
    drifted(found, widths)
    return importlib.util.find_spec("matplotlib") and plot(found, widths)


if __name__ == "__main__":
    main("--quick" in sys.argv)
