"""Networks that are trained with and without a scheduler: parts digits and population of `benchmarks.fidelity`."""

import pathlib
import runpy

import numpy as np
import optax

import jaxhpt
from benchmarks.common import BATCH, digits, mlp_functions
from benchmarks.records import Table

SIZE, TINY = (1024, 64, 300), (64, 16, 81)  # trials, lanes and steps of part digits
MODELS, LONG, SHORT = 16, 1000, 80  # models and steps of part population
NETWORK = {"lr": jaxhpt.Float(1e-5, 1.0, log=True), "b1": jaxhpt.Float(0.0, 0.99)}


def networks(options, pool):
    """Return trials a second, how busy the lanes are, and the best accuracy, with ASHA and without."""
    size, seeds = TINY if options.quick else SIZE, range(options.network_seeds)
    runs = {name: [network(name, seed, size) for seed in seeds] for name in ("run_to_end", "asha")}
    speed, accuracy, busy = (
        {name: np.array([run[i] for run in many]) for name, many in runs.items()} for i in range(3)
    )
    title = f"{size[0]} trials, {size[1]} lanes, {size[2]} steps; medians of {options.network_seeds} seeds"
    head = ("", "trials a second", "lanes busy until the drain", "best accuracy, mean", "worst of the seeds")
    rows = [(n, np.median(speed[n]), np.median(busy[n]), accuracy[n].mean(), accuracy[n].min()) for n in runs]
    times = np.median(speed["asha"] / speed["run_to_end"])
    lost = 100 * (accuracy["run_to_end"] - accuracy["asha"]).mean()
    beside = [("times the trials a second, median of the seeds", times)]
    beside.append(("points of the best accuracy lost, mean of the seeds", lost))
    return [
        Table(title, head, rows, ("{}", "{:.0f}", "{:.1%}", "{:.4f}", "{:.4f}")),
        Table("asha beside run_to_end", ("", "figure"), beside, ("{}", "{:.2f}")),
    ]


def network(scheduler, seed, size):
    """Search once for speed, and look at the lanes once more: trials a second, best accuracy, share of busy lanes."""
    init, step, evaluate = mlp_functions((64, 64, 10), lambda h: optax.adam(h["lr"], b1=h["b1"]))
    (train, valid), (trials, width, steps), lanes = digits(), size, []

    def search(**options):
        return jaxhpt.search(
            step, NETWORK, init=init, evaluate=evaluate, train_data=train, valid_data=valid, batch_size=BATCH,
            steps=steps, trials=trials, lanes=width, algorithm="random", scheduler=scheduler, seed=seed, progress=False,
            **options,
        )  # fmt: skip

    result = search(events_per_dispatch="all")
    if seed == 0:  # compiled by now
        result = search(events_per_dispatch="all")
    search(events_per_dispatch=1, callbacks=[lambda now: lanes.append((now.started, now.lanes_busy))])
    started, busy = np.array(lanes).T
    return result.stats.trials_per_second, result.best.value, busy[started < trials].mean() / width


def population(options, pool):
    """Return losses of population-based training, and of fixed settings at as many steps."""
    steps = SHORT if options.quick else LONG
    interval = steps // 40
    kinds = {"best fixed": None, "pbt": jaxhpt.PBT(perturbation_interval=interval)}
    kinds["pb2"] = jaxhpt.PB2(perturbation_interval=interval)
    jobs = [(kind, seed, steps) for seed in range(options.network_seeds) for kind in kinds.values()]
    loss = np.array(pool.starmap(language_model, jobs, chunksize=1)).reshape(-1, len(kinds))
    rows = [(name, loss[:, i].mean(), *np.quantile(loss[:, i], [0, 0.5, 1])) for i, name in enumerate(kinds)]
    won = [(name, np.sum(loss[:, i] < loss[:, 0]), len(loss)) for i, name in enumerate(kinds)]
    title = f"{MODELS} models, {steps} steps, {options.network_seeds} seeds; nats a character"
    return [
        Table(title, ("", "mean", "least", "median", "largest"), rows, ("{}", *["{:.4f}"] * 4)),
        Table("seeds below the best fixed", ("", "seeds", "of"), won),
    ]


def language_model(scheduler, seed, steps):
    """Train a population: the loss of the best."""
    example = runpy.run_path(str(pathlib.Path(__file__).parent.parent / "examples" / "pbt.py"))
    result = jaxhpt.search(
        example["task"](steps), example["SPACE"], trials=MODELS, lanes=MODELS, algorithm="random", seed=seed,
        scheduler=scheduler or "run_to_end", progress=False,
    )  # fmt: skip
    return result.best.value
