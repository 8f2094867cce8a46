"""Faster nets: accuracy and measured latency as two objectives of a search over kind, width and depth, on MNIST-1D.

Run: python examples/accelerate.py [trials] [seeds] [--quick]

Latency is that of a jitted prediction of 128 rows, measured once for each structure when a search meets it. Later
every structure is timed afresh, in another way, and both are compared by rank. The net that nobody tuned is the middle
of the space. Random search has twice the trials, for its nets take half the time. Under 5 minutes on 2 cores;
needs `pip install mnist1d`.
"""

import importlib.util
import sys
import time

import jax
import numpy as np
from architecture import Net, load, training
from flax import nnx

import jaxhpt
from jaxhpt.models import cost

BATCH, LATENCY = 128, "latency_128"
DEFAULT = {"kind": "cnn", "width": 32, "depth": 2, "act": nnx.relu, "lr": [3e-3], "decay": 1e-3}
SPACE = {
    "kind": jaxhpt.Choice(["mlp", "cnn", "gru"], structural=True),
    "width": jaxhpt.Choice([8, 16, 32, 64], structural=True),
    "depth": jaxhpt.Int(1, 3, structural=True),
    "lr": jaxhpt.Float(1e-3, 3e-2, log=True),
    "decay": jaxhpt.Float(1e-5, 1e-1, log=True),
    "act": nnx.relu,
}
QUICK = {"kind": jaxhpt.Choice(["mlp", "cnn"], structural=True), "width": 8, "depth": 1}


def with_costs(task):
    """Let the task's evaluation also say what the structure costs."""

    def evaluate(state, valid, h):
        predict = cost.predictor(lambda h, rngs: Net(h, rngs), h, valid[0])
        return {**task.evaluate(state, valid, h), **cost.metrics(predict, valid[0], (LATENCY, "flops", "parameters"))}

    return evaluate


def stopwatch(h, x, runs=100):
    """Time a prediction as a user would run it: milliseconds, the median of warm runs."""
    graph, state = nnx.split(Net(h, nnx.Rngs(1)))
    predict, seconds = jax.jit(lambda state, x: nnx.merge(graph, state)(x)), []
    for _ in range(runs):
        begun = time.perf_counter()
        predict(state, x).block_until_ready()
        seconds.append(time.perf_counter() - begun)
    return 1000.0 * float(np.median(seconds[5:]))


def spearman(a, b):
    """Return the rank correlation of two lists without ties."""
    return float(np.corrcoef(np.argsort(np.argsort(a)), np.argsort(np.argsort(b)))[0, 1])


def afresh(trials, x):
    """Time every structure again: pairs of what was optimised and what is measured now."""
    each = {shape(trial): trial for trial in trials}
    return [(t.metrics[LATENCY], stopwatch(t.hparams, x)) for t in each.values()]


def shape(trial):
    """Name the structure of a trial."""
    return " x ".join(str(trial.hparams[name]) for name in ("kind", "width", "depth"))


def gains(result, default, slowest):
    """Return the hypervolume, 1 at most, how much faster the fastest as accurate as the default is, and seconds."""
    volume = result.hypervolume({"accuracy": 0.0, LATENCY: slowest}) / slowest
    times = [t.metrics[LATENCY] for t in result.pareto_front() if t.value >= default.value]
    return volume, default.metrics[LATENCY] / min(times, default=np.inf), result.stats.seconds


def plot(found):
    """Save all trials of the first seed, and their fronts, as accelerate.png."""
    from matplotlib.figure import Figure

    axes = Figure(figsize=(5, 3.5)).add_subplot(xlabel=f"milliseconds, {BATCH} rows", ylabel="accuracy", xscale="log")
    for colour, (way, (result, *_)) in enumerate(found.items()):
        for trials, form in ((result.trials, "."), (result.pareto_front(), "o-")):
            points = sorted((t.metrics[LATENCY], t.value) for t in trials)
            axes.plot(*zip(*points, strict=True), form, color=f"C{colour}", label=way if form == "o-" else None)
    axes.legend()
    axes.figure.savefig("accelerate.png", dpi=150, bbox_inches="tight")


def main(trials=64, seeds=3, steps=300, space=None, ways=None, untuned=None):
    """Search by NSGA-II and at random; print a front, the gains over the default, and the correlation of ranks."""
    train, valid, (x, _) = load()
    task, space = training(train, valid, steps), space or SPACE
    options = {"objectives": {"accuracy": "max", LATENCY: "min"}, "evaluate": with_costs(task), "progress": False}

    def searched(space, algorithm, trials):
        given = {"trials": trials, "lanes": min(8, trials), "algorithm": algorithm, **options}
        return [jaxhpt.search(task, space, seed=seed, **given) for seed in range(seeds)]

    ways = ways or {"random": ("random", 2), "nsga2": (jaxhpt.NSGA2(population=16), 1)}
    found = {"untuned": searched(untuned or DEFAULT, "random", 1)}
    found |= {way: searched(space, algorithm, more * trials) for way, (algorithm, more) in ways.items()}
    every = [trial for results in found.values() for result in results for trial in result.trials]
    slowest, result = max(t.metrics[LATENCY] for t in every), next(reversed(found.values()))[0]
    for trial in result.pareto_front():
        print(f"{trial.value:.3f}  {trial.metrics[LATENCY]:8.3f} ms  {shape(trial)}")
    print(f"{seeds} seeds, median [least, most]: hypervolume of 1, times as fast as untuned and as accurate, seconds")
    for way, results in found.items():
        pairs = zip(results, (one.trials[0] for one in found["untuned"]), strict=True)
        columns = zip(*(gains(*pair, slowest) for pair in pairs), strict=True)
        print(f"{way:8}", *(f"{np.median(c):8.3f} [{min(c):.3f}, {max(c):.3f}]" for c in columns))
    rank = spearman(*zip(*afresh(every, x[:BATCH]), strict=True))
    print(f"Spearman correlation of latencies, optimised and measured afresh: {rank:.3f}")
    plot(found) if importlib.util.find_spec("matplotlib") else print("no plot: pip install matplotlib")
    return found, rank


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument != "--quick"]
    main(*numbers, **({"space": {**SPACE, **QUICK}, "steps": 20} if "--quick" in sys.argv else {}))
