"""Large models through small ones: `examples/transfer.py`, `drift.py` and `coordinates.py`, measured.

Run: python -m benchmarks.large_models [--seeds 5] [--proxies 64] [--trials 16] [--quick]
"""

import argparse
import contextlib
import pathlib
import sys
import tempfile

import numpy as np

from benchmarks.common import parsed
from benchmarks.records import Table, save

FOLDER = pathlib.Path(__file__).parent.parent / "examples"
EXAMPLES = ("transfer", "drift", "coordinates")
EXERCISES = ("jaxhpt/models/mup", "jaxhpt/grey", *(f"examples/{name}.py" for name in EXAMPLES))
QUICK = {"seeds": 2, "proxies": 4, "trials": 3, "steps": 6, "widths": [8, 16, 32]}
RANGE = "{median:.4f} [{low:.4f}, {high:.4f}]"
WORDS = {False: "without", True: "with"}


def cell(values):
    """Return a cell for `RANGE`: median and range."""
    return {"median": float(np.median(values)), "low": float(np.min(values)), "high": float(np.max(values))}


def transferred(example, options):
    """Return the table of ways to tune the wide model."""
    size = options.steps, options.proxies, options.trials, options.seeds
    found = example.main(options.widths[-1], *size)
    ours = found[f"carried from {example.BASE}, with it"][1]
    rows = [
        (name, price, float(losses.mean()), float(losses.std(ddof=1) / len(losses) ** 0.5), cell(losses),
         float(1 - ours.mean() / losses.mean()))
        for name, (price, losses) in found.items()
    ]  # fmt: skip
    columns = ("settings", "cost", "loss", "standard error", "median and range", "less with carrying")
    title = f"Loss on test rows of the model of width {options.widths[-1]}, by where its settings are from"
    return Table(title, columns, rows, ("{}", "{:.2f}", "{:.4f}", "{:.4f}", RANGE, "{:+.1%}"))


def drifting(example, options):
    """Return the table of the best rates at each width, and that of forecasts."""
    found, rows, told = example.main(options.steps, 8, 3, options.widths), [], []
    for scaled, cells in found.items():
        rows += [
            (WORDS[scaled], str(w), cell(one[:, 0]), cell(one[:, 1]))
            for w, one in zip(options.widths, cells, strict=True)
        ]
        for place, name in enumerate(("rate", "loss")):
            power, grey, drift = np.median(example.off(options.widths, cells[..., place]), 1)
            told.append((name, WORDS[scaled], float(drift), float(power), float(grey)))
    columns = ("what", "parametrisation", "narrowest and widest", "power law", "grey model")
    title = "By which factor forecasts of the widest are off, and by which it differs from the narrowest: medians"
    return [
        Table("Best learning rate and its loss at each width: medians and ranges over 3 seeds",
              ("parametrisation", "width", "rate", "loss"), rows, ("{}", "{}", RANGE, RANGE), 2),
        Table(title, columns, told, ("{}", "{}", "{:.2f}", "{:.2f}", "{:.2f}"), 2),
    ]  # fmt: skip


def changing(example, options):
    """Return the table of how activations change at each width."""
    found = example.main(*((options.widths, 2, 1) if options.quick else ()))
    rows = [
        (WORDS[scaled], name, *map(float, change), one.slopes[name])
        for scaled, one in found.items()
        for name, change in one.changes.items()
    ]
    columns = ("parametrisation", "activation", *(f"width {width}" for width in found[True].widths), "slope")
    forms = ("{}", "{}", *["{:.3g}"] * len(found[True].widths), "{:+.2f}")
    return Table("Mean change of activations in four steps, and the power of the width it grows by",
                 columns, rows, forms, 2)  # fmt: skip


def main():
    """Run the examples, and keep their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--proxies", type=int, default=64)
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--widths", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    options = parsed(parser, QUICK)
    sys.path.append(str(FOLDER))
    import coordinates
    import drift
    import transfer

    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        tables = [transferred(transfer, options), *drifting(drift, options), changing(coordinates, options)]
    notes = ["Cost is that of all trainings, in trainings of the wide model: operations as the compiler counts them. "
             "Test rows chose nothing, and are the same everywhere."]  # fmt: skip
    save("large-models", tables, options, EXERCISES, notes=notes)


if __name__ == "__main__":
    main()
