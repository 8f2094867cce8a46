"""What guards against settings that suit one split by luck: folds, fresh splits, seeds, and a second look at the best.

Run: python examples/generalise.py [splits] [trainings] [--quick]

Each way of scoring trains as many models in all. Then the setting that it chose is trained on all rows that were there
to tune on, and scored on rows that chose nothing, beside the first setting that was tried, which nobody tuned: a winner
that is worse than that one has been overtuned. All search at random. MNIST-1D (`pip install mnist1d`, generated) stands
beside small sets of scikit-learn. Under 5 minutes on 2 cores.
"""

import importlib.util
import sys

import flax.linen as nn
import numpy as np
import optax
from sklearn import datasets

import jaxhpt

TUNED, STEPS, WIDTH = 150, 100, 32  # rows to tune on, of each set
LR, DECAY = jaxhpt.Float(1e-4, 1.0, log=True), jaxhpt.Float(1e-4, 10.0, log=True)
SPACE = {"lr": LR, "decay": DECAY, "rate": jaxhpt.Float(0.0, 0.8)}
ONE, FIVE = jaxhpt.Holdout(0.25), jaxhpt.KFold(5)
WAYS = {  # models a trial, and what is said to `search`
    "single split": (1, {"folds": ONE}),
    "reshuffled": (1, {"folds": ONE, "reshuffle": True}),
    "3 seeds": (3, {"folds": ONE, "seeds": 3}),
    "5 folds": (5, {"folds": FIVE}),
    "confirmed": (1, {"folds": ONE, "confirm": 8}),
    "5 folds, confirmed": (5, {"folds": FIVE, "confirm": 3}),
}


def load(names):
    """Return sets of these names: name -> (x, y), columns of deviation 1."""
    sets = {}
    for name in names or ("breast_cancer", "wine", "digits", "diabetes", "mnist1d"):
        if name == "mnist1d":
            from mnist1d.data import get_dataset_args, make_dataset

            x, y = (make_dataset(get_dataset_args())[part] for part in "xy")
        else:
            x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        scaled = ((y - y.mean()) / y.std()).astype("float32")[:, None] if name == "diabetes" else y.astype("int32")
        sets[name] = ((x - x.mean(0)) / (x.std(0) + 1e-6)).astype("float32"), scaled
    return sets


class Net(nn.Module):
    """A hidden layer, and dropout whose rate is searched."""

    outputs: int
    rate: float

    @nn.compact
    def __call__(self, x, train: bool):
        x = jaxhpt.traced.LinenDropout(self.rate)(nn.relu(nn.Dense(WIDTH)(x)), deterministic=not train)
        return nn.Dense(self.outputs)(x)


def tuned(rows, valid=None, **options):
    """Search at random on a set's rows."""
    numbers = rows[1].dtype == np.float32
    outputs, loss = (1, "mse") if numbers else (int(rows[1].max()) + 1, "cross_entropy")
    task = jaxhpt.FlaxTask(
        lambda h: Net(outputs, h["rate"]), lambda h: optax.adamw(h["lr"], weight_decay=h["decay"]),
        train_data=rows, valid_data=valid, batch_size=32, steps=STEPS,
        loss=loss, objective="mse" if numbers else "loss",
    )  # fmt: skip
    return jaxhpt.search(task, SPACE, algorithm="random", progress=False, **options)


def compared(rows, test, trainings, seed):
    """Return for each way the loss on test rows of the chosen setting, and of the first one that was tried."""
    found = {}
    for way, (models, how) in WAYS.items():
        result = tuned(rows, trials=trainings // models - how.get("confirm", 0), lanes=8, seed=seed, **how)
        wanted = [result.best.hparams] + [result.trials[0].hparams] * (result.best.id > 0)
        again = tuned(rows, test, first=wanted, trials=2, lanes=2, seeds=3, seed=seed)  # on all rows, three models
        found[way] = [again.trials[i].value for i in (0, len(wanted) - 1)]
    return found


def plot(table):
    """Save the gains over the single split, in standard errors, as generalise.png."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(6, 3.5)).add_subplot(xlabel="loss on test rows over single split, in standard errors")
    names = list(dict.fromkeys(name for name, _ in table))
    for place, name in enumerate(names):
        gains = [table[name, way][0] - table[name, "single split"][0] for way in WAYS]
        ratios = [gain.mean() / (gain.std() / len(gain) ** 0.5 + 1e-9) for gain in gains]
        axes.plot(ratios, np.arange(len(WAYS)) + place / 10, "o", label=name)
    axes.axvline(0, color="grey")
    axes.set_yticks(range(len(WAYS)), list(WAYS))
    axes.legend()
    axes.figure.savefig("generalise.png", dpi=150, bbox_inches="tight")


def main(splits=6, trainings=64, names=None):
    """Print of each set and way the test loss of what was chosen, and how often it is worse than the first setting."""
    heads = f"{'over single split':>20}{'over the first':>18}{'worse than the first':>22}"
    print(f"{f'loss on test rows, {splits} splits, +- standard error':46}{heads}")
    table = {}
    for name, (x, y) in load(names).items():
        orders = [np.random.default_rng(seed).permutation(len(x)) for seed in range(splits)]
        parts = [[(x[half], y[half]) for half in (order[:TUNED], order[TUNED:])] for order in orders]
        runs = [compared(*part, trainings, seed) for seed, part in enumerate(parts)]
        for way in WAYS:
            both, single = (np.array([run[kind] for run in runs]) for kind in (way, "single split"))
            gain, worse = both[:, 0] - single[:, 0], float((both[:, 0] > both[:, 1]).mean())
            error = [float(values.std() / splits**0.5) for values in (both[:, 0], gain)]
            told = f"{both[:, 0].mean():.3f} +- {error[0]:.3f}"
            over = float((both[:, 0] - both[:, 1]).mean())
            told = f"{name:15}{way:20}{told:>16}{gain.mean():>+9.3f} +- {error[1]:.3f}{over:>+18.3f}{worse:>18.0%}"
            print(told, flush=True)
            table[name, way] = both[:, 0], both[:, 1]
    plot(table) if importlib.util.find_spec("matplotlib") else print("no plot: pip install matplotlib")
    return table


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument != "--quick"]
    main(*([1, 32, ["wine"]] if "--quick" in sys.argv else numbers))
