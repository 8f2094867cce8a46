"""Accuracy against measured latency of NAS-Bench-201 cells: fronts in 50 to 200 evaluations, beside Optuna.

Run: python -m benchmarks.latency [--seeds 20] [--devices raspi4 eyeriss fpga 2080ti_1] [--data DIR] [--quick]

15,625 cells, six choices of five operations each. A trial looks up the validation accuracy of one training of its cell
on CIFAR-100, the first published seed, and the latency of the cell on a device. The front that a search found by these
is scored by the mean accuracy of the cells' trainings: its hypervolume, in shares of that of the exact front, and the
accuracy that it still lacks below a bound, the median latency of all cells. Optuna's samplers ask and tell one at a
time, our genetic algorithm runs ten lanes, our Bayesian optimisation one. The space has no order, so that no candidate
of the latter follows a gradient. Accuracies: Dong and Yang, "NAS-Bench-201", https://arxiv.org/abs/2001.00326 (2020);
latencies: Lee et al., "HELP", https://arxiv.org/abs/2106.08630 (2021). DIR is by default JAXHPT_DATA, else
../shared/data; it holds the folder nb201_latency.
"""

import argparse
import dataclasses
import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks.common import ALL, assemble, data_option, first_option, missing, parsed
from benchmarks.records import Table, save
from jaxhpt.engine.loop import begin, dispatch

TRIALS, LOOKS, SET = 200, (50, 100, 200), 1  # evaluations; those at which fronts are scored; CIFAR-100 of three sets
DEVICES = ("raspi4", "eyeriss", "fpga", "2080ti_1")
EXERCISES = ("jaxhpt/algorithms", "jaxhpt/surrogates")
QUICK = {"seeds": 1, "devices": ["fpga"], "contenders": ["jaxhpt nsga2, population 20", "optuna nsga2, default"]}
OURS = {  # algorithm, lanes
    "jaxhpt random": (jaxhpt.Random(), 10),
    "jaxhpt nsga2, population 20": (jaxhpt.NSGA2(population=20), 10),
    "jaxhpt bayesian, log_ehvi": (jaxhpt.Bayesian(acquisition="log_ehvi", candidates=512, num_ascents=1), 1),
}
PEERS = {
    "optuna nsga2, default": ("NSGAIISampler", {}),
    "optuna nsga2, population 20": ("NSGAIISampler", {"population_size": 20}),
    "optuna motpe, default": ("TPESampler", {}),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Cells:
    """All cells on one device.

    Attributes:
      space: name of a place in the cell -> its operations.
      seen: f32[N] accuracy of one training.
      mean: f64[N] of all of them.
      latency: f64[N] milliseconds.
      connected: bool[N] cells whose output depends on the input.
      exact: rows of the exact front.
      worst: greatest latency that counts.
    """

    space: dict
    seen: np.ndarray
    mean: np.ndarray
    latency: np.ndarray
    connected: np.ndarray
    exact: np.ndarray
    worst: float

    @property
    def strides(self):
        """Return what a step along each place is in rows, i64[6]."""
        return len(next(iter(self.space.values()))) ** np.arange(len(self.space))[::-1]

    def front(self, rows):
        """Return the rows that no other beats by what a search sees, fastest first."""
        rows = rows[self.connected[rows]]
        rows = rows[np.lexsort((-self.seen[rows], self.latency[rows]))]
        best = np.maximum.accumulate(self.seen[rows])
        return rows[np.append(True, best[1:] > best[:-1])[: len(rows)]]

    def hypervolume(self, rows):
        """Return the area that rows, fastest first, dominate, in milliseconds times per cent."""
        ends = np.append(self.latency[rows], self.worst)
        return float(np.sum(np.diff(ends) * np.maximum.accumulate(self.mean[rows])))

    def share(self, rows):
        """Return the hypervolume of what was found among rows, in shares of the exact front's."""
        return self.hypervolume(self.front(rows)) / self.hypervolume(self.exact)

    def lacking(self, rows):
        """Return the accuracy that the best found below the bound lacks, in points."""
        bound = np.median(self.latency[self.connected])
        best, exact = (r[self.latency[r] <= bound] for r in (self.front(rows), self.exact))
        return self.mean[exact].max() - (self.mean[best[-1]] if len(best) else 0.0)


def load(folder, device):
    """Read the cells of one device."""
    about, fronts = (json.loads((folder / name).read_text()) for name in ("space.json", "fronts.json"))
    with np.load(folder / "table.npz") as table, np.load(folder / "latency.npz") as latency:
        found = {
            "seen": table["val_seeds"][:, SET, 0],
            "mean": table["val"][:, SET].astype(np.float64),
            "latency": latency[device].astype(np.float64),
            "connected": table["connected"],
        }
    front = fronts["devices"][device]
    exact = np.array(front[f"{about['datasets'][SET]}_val"]["rows"])
    space = {axis: list(about["space"][axis]) for axis in about["axes"]}
    return Cells(space, exact=exact, worst=front["reference_latency_ms"], **found)


def task_of(cells):
    """Return a training that looks both objectives up."""
    names = tuple(cells.space)
    table = jnp.asarray(np.stack([cells.seen, cells.latency], -1, dtype=np.float32))
    table = table.reshape(1, *map(len, cells.space.values()), 2)  # data have a leading axis of rows

    def evaluate(state, table, hparams):
        accuracy, latency = table[(0, *(hparams[name] for name in names))]
        return {"accuracy": accuracy, "latency": latency}

    return jaxhpt.Task(
        init=lambda key, hparams: jnp.zeros((), jnp.float32), step=lambda state, batch, hparams, key: state,
        evaluate=evaluate, valid_data=table, steps=1, objectives={"accuracy": "max", "latency": "min"},
    )  # fmt: skip


def ours(name, cells, seeds):
    """Search with each seed: rows in the order of trials, i64[S, 200]."""
    algorithm, lanes = OURS[name]
    program, data = assemble(task_of(cells), cells.space, algorithm, TRIALS, lanes)
    units = [dispatch(program, begin(program, jax.random.key(s)), data, ALL)[0].study.history.unit for s in seeds]
    found = jaxhpt.Space.of(cells.space).decode(jnp.stack(units))
    return np.stack([np.asarray(found[place]) for place in cells.space], -1) @ cells.strides


def theirs(name, cells, seeds):
    """Let Optuna ask and tell with each seed: rows i64[S, 200]."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kind, settings = PEERS[name]
    ranges = {place: optuna.distributions.CategoricalDistribution(ops) for place, ops in cells.space.items()}

    def search(seed):
        sampler = getattr(optuna.samplers, kind)(seed=seed, **settings)
        study, rows = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler), []
        for _ in range(TRIALS):
            trial = study.ask(ranges)
            places = [ops.index(trial.params[place]) for place, ops in cells.space.items()]
            rows.append(int(places @ cells.strides))
            study.tell(trial, [float(cells.seen[rows[-1]]), float(cells.latency[rows[-1]])])
        return rows

    return np.array([search(seed) for seed in seeds])


def compare(options):
    """Return the tables: hypervolumes, and what is lacking below the bound."""
    seeds = range(options.first, options.first + options.seeds)
    shares, lacks = [], []
    for device in options.devices:
        cells = load(options.data / "nb201_latency", device)
        for name in options.contenders:
            begun = time.process_time()
            found = ours(name, cells, seeds) if name in OURS else theirs(name, cells, seeds)
            seconds = (time.process_time() - begun) / options.seeds
            share, lack = (
                np.array([[f(row[:n]) for n in LOOKS] for row in found]) for f in (cells.share, cells.lacking)
            )
            shares.append((device, name, *share.mean(axis=0), share[:, LOOKS.index(100)].min(), seconds))
            lacks.append((device, name, *lack.mean(axis=0)))
            print(*shares[-1], flush=True)
    looks = tuple(f"{n} evaluations" for n in LOOKS)
    return [
        Table(
            f"hypervolume in shares of the exact front's, means of {options.seeds} seeds",
            ("device", "search", *looks, "worst seed at 100", "CPU seconds"), shares,
            ("{}", "{}", *["{:.4f}"] * (len(looks) + 1), "{:.2f}"), labels=2,
        ),
        Table(
            f"accuracy lacking below the median latency, in points, means of {options.seeds} seeds",
            ("device", "search", *looks), lacks, ("{}", "{}", *["{:.2f}"] * len(looks)), labels=2,
        ),
    ]  # fmt: skip


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--devices", nargs="+", default=list(DEVICES), choices=DEVICES)
    parser.add_argument("--contenders", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS])
    first_option(parser)
    data_option(parser)
    options = parsed(parser, QUICK)
    if not (options.data / "nb201_latency").is_dir():
        print(f"skipped, no {options.data / 'nb201_latency'}")
        return
    if missing("optuna"):
        sys.exit("needs optuna: pip install optuna")
    save("latency", compare(options), options, EXERCISES, ("optuna",))


if __name__ == "__main__":
    main()
