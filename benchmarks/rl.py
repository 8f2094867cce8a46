"""PPO agents tuned as lanes, at equal updates: a default, random search, ASHA and population-based training.

Run: python -m benchmarks.rl [--agents 32] [--seeds 5] [--first 10000] [--quick]

`examples/rl.py`, measured: the length of 100 games that chose nothing, played by the best agent of each search.
"""

import argparse
import contextlib
import pathlib
import sys
import tempfile

import numpy as np

from benchmarks.common import first_option, parsed
from benchmarks.records import Table, save

sys.path.append(str(pathlib.Path(__file__).parent.parent / "examples"))
RANGE = "{mean:.1f} [{low:.1f}, {high:.1f}]"


def row(game, way, runs):
    """Return a row: mean length, least and most over seeds, and mean updates."""
    lengths, updates = zip(*runs, strict=True)
    told = {"mean": float(np.mean(lengths)), "low": min(lengths), "high": max(lengths)}
    return game, way, told, float(np.mean(updates))


def main():
    """Run the example on both games, and keep its tables as one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--agents", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=5)
    first_option(parser)
    options = parsed(parser, {"agents": 8, "seeds": 1})
    import rl

    rows = []
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for game in rl.GAMES:
            found = rl.main(game, options.agents, options.seeds, options.first)
            rows += [row(game, way, runs) for way, runs in found.items()]
    columns = "game", "way", "steps of a game", "updates"
    title = "Steps of fresh games of the best agent: means and ranges over seeds"
    notes = ["CartPole is won by long games, of at most 500 steps, Acrobot by short ones.",
             "The default is one agent, which trains for as long as each of the random search."]  # fmt: skip
    table = Table(title, columns, rows, ("{}", "{}", RANGE, "{:.0f}"), labels=2)
    save("rl", [table], options, ["jaxhpt/schedulers", "examples/rl.py", "examples/games.py"], notes=notes)


if __name__ == "__main__":
    main()
