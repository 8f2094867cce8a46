"""What guards against settings that suit one split by luck, at equal trainings: `examples/generalise.py`, as a table.

Run: python -m benchmarks.generalise [--splits 20] [--trainings 64] [--sets wine digits] [--quick]
"""

import argparse
import pathlib
import sys

import numpy as np

from benchmarks.common import missing, parsed
from benchmarks.records import Table, save

FOLDER = pathlib.Path(__file__).parent.parent / "examples"
EXERCISES = ("jaxhpt/training", "jaxhpt/results", "examples/generalise.py")
QUICK = {"splits": 2, "trainings": 32, "sets": ["wine"]}
SETS = ("breast_cancer", "wine", "digits", "diabetes", "mnist1d")
COLUMNS = ("set", "scored by", "test loss", "over single split", "standard error", "worse than the first")


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--trainings", type=int, default=64)
    parser.add_argument("--sets", nargs="+", default=[s for s in SETS if s != "mnist1d" or not missing("mnist1d")])
    options = parsed(parser, QUICK)
    sys.path.append(str(FOLDER))
    import generalise

    table, rows, each = generalise.main(options.splits, options.trainings, options.sets), [], {}
    for (name, way), (losses, firsts) in table.items():
        gain = losses - table[name, "single split"][0]
        error = float(gain.std() / np.sqrt(len(gain)))
        worse = losses > firsts
        rows.append([name, way, float(losses.mean()), float(gain.mean()), error, float(worse.mean())])
        each.setdefault(way, []).append(worse)
    shares = [[way, float(np.mean(np.concatenate(parts)))] for way, parts in each.items()]
    title = f"{options.splits} splits, {options.trainings} trainings a search: loss on test rows"
    forms = ("{}", "{}", "{:.3f}", "{:+.3f}", "{:.3f}", "{:.0%}")
    tables = [
        Table(title, COLUMNS, rows, forms, 2),
        Table("Share of searches whose winner is worse than the first setting tried", ("scored by", "share"), shares,
              ("{}", "{:.1%}")),
    ]  # fmt: skip
    save("generalise", tables, options, EXERCISES, ("scikit-learn", "mnist1d"))


if __name__ == "__main__":
    main()
