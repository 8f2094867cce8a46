"""Regret on tables of real trainings: the genetic algorithm at 200 trials beside random search at 400.

Run: python -m benchmarks.tabular [--seeds 50] [--mean] [--data DIR] [--quick]

Every setting of each task was trained beforehand with 4 or 5 seeds: 30,000 MLPs on 4 classification tasks (HPOBench)
and 62,208 on 2 regression tasks (HPOLib). A trial looks up one of its seeds, drawn by the trial's own key, so what a
search sees is as noisy as real training; with --mean it sees the mean of them. Regret is the mean over the seeds of
the setting that it found best, minus the best mean of the table. Numbers are searched as whole numbers along their
axis, names as choices. All seeds of a search run side by side in one program. DIR is by default JAXHPT_DATA, else
../shared/data; it holds the folders hpobench_mlp and fcnet. A task without data is skipped.
"""

import argparse
import dataclasses
import functools
import json

import jax
import numpy as np

import jaxhpt
from benchmarks.common import ALL, assemble, data_option, parsed
from benchmarks.records import Table, save
from jaxhpt.engine.loop import begin, dispatch

TASKS = {
    "hpobench_mlp": ("australian", "credit_g", "kc1", "phoneme"),
    "fcnet": ("naval_propulsion", "protein_structure"),
}
LANES = 10
EXERCISES = ("jaxhpt/algorithms/evolution", "jaxhpt/algorithms/sampling", "jaxhpt/algorithms/base.py")
QUICK = {"seeds": 2}
CONTENDERS = {"genetic": (jaxhpt.Genetic(), 200), "random": (jaxhpt.Random(), 400)}


@dataclasses.dataclass(frozen=True)
class Tabled:
    """A table of losses: one axis a hyperparameter, by name, and the seeds last."""

    space: dict
    losses: np.ndarray

    @property
    def task(self):
        """Return a training that looks its loss up."""
        names, seeds = tuple(self.space), self.losses.shape[-1]
        return jaxhpt.Task(
            init=lambda key, hparams: jax.random.randint(key, (), 0, seeds),
            step=lambda state, batch, hparams, key: state,
            evaluate=lambda state, losses, hparams: {"loss": losses[(*(hparams[name] for name in names), state)]},
            valid_data=self.losses,
            steps=1,
        )


def load(folder, name):
    """Read one task; None where it is absent."""
    path = folder / f"{name}.npz"
    if not path.is_file():
        return None
    about = json.loads((folder / "space.json").read_text())
    with np.load(path) as arrays:
        values = arrays[about["metrics"][0]]
    losses = 1.0 - values if about["direction"].startswith("maximize") else values
    return Tabled({axis: _dimension(about["space"][axis]) for axis in about["axes"]}, losses.astype(np.float32))


def _dimension(values):
    """Return the place along an axis: ordered for numbers; a choice is its index already."""
    ordered = len(values) > 2 and not isinstance(values[0], str)
    return jaxhpt.Int(0, len(values) - 1) if ordered else list(map(str, values))


@functools.cache
def _searches(program):
    """Return a program that runs one search for each key: keys [S], data -> best settings f32[S, D]."""

    def search(key, data):
        carry, _ = dispatch.call(program, begin.call(program, key), data, ALL)
        return carry.study.history.unit[carry.study.best.row]

    return jax.jit(jax.vmap(search, in_axes=(0, None)))


def regrets(tabled, algorithm, trials, options):
    """Return the regret of each seed, f64[S]."""
    means = tabled.losses.mean(axis=-1, dtype=np.float64)
    seen = Tabled(tabled.space, means[..., None].astype(np.float32)) if options.mean else tabled
    program, data = assemble(seen.task, seen.space, algorithm, trials, LANES)
    best = _searches(program)(jax.random.split(jax.random.key(0), options.seeds), data)
    found = jaxhpt.Space.of(tabled.space).decode(best)  # the program's own has no structure
    return means[tuple(np.asarray(found[name]) for name in tabled.space)] - means.min()


def compare(options):
    """Return the median regrets of both searches on every task, and where the genetic one is ahead."""
    names = [f"{name}, {trials} trials" for name, (_, trials) in CONTENDERS.items()]
    rows, ahead = [], []
    for family, tasks in TASKS.items():
        for task in tasks:
            tabled = load(options.data / family, task)
            if tabled is None:
                print(f"{family} {task}: skipped, no {options.data / family / task}.npz")
                continue
            ours, other = (regrets(tabled, *contender, options) for contender in CONTENDERS.values())
            medians, wins = (np.median(ours), np.median(other)), np.mean(ours < other) + np.mean(ours == other) / 2
            ahead.append(medians[0] < medians[1])
            rows.append((f"{family} {task}", *medians, medians[0] / medians[1] if medians[1] > 0 else None, wins))
    seen = "the mean of a setting's trainings" if options.mean else "one of a setting's trainings"
    title = f"median regret of {options.seeds} seeds, {LANES} lanes; a trial sees {seen}"
    head = ("task", *names, "ratio", "seeds ahead")
    lines = (f"the genetic algorithm at 200 beats random at 400 on {sum(ahead)} of {len(ahead)} tasks",)
    return [Table(title, head, rows, ("{}", "{:.3g}", "{:.3g}", "{:.2f}", "{:.2f}"), lines=lines)] if rows else []


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--mean", action="store_true", help="no noise: a trial sees the mean of its setting")
    data_option(parser)
    options = parsed(parser, QUICK)
    if tables := compare(options):
        save("tabular-mean" if options.mean else "tabular", tables, options, EXERCISES)


if __name__ == "__main__":
    main()
