"""Faster nets: accuracy and measured latency as two objectives of a search over kind, width and depth, on MNIST-1D.

Run: python examples/accelerate.py [trials] [seed] [--quick]

Latency is that of a jitted prediction of 128 rows, measured once for each structure when the search meets it. Later
every structure is timed afresh, in another way, and both are compared by rank. The net that nobody tuned is the middle
of the space. Under 5 minutes on 2 cores; needs `pip install mnist1d`.
"""

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
    each = {tuple(str(t.hparams[name]) for name in ("kind", "width", "depth")): t for t in trials}
    return [(t.metrics[LATENCY], stopwatch(t.hparams, x)) for t in each.values()]


def main(trials=64, seed=0, steps=300, space=None, algorithms=None, untuned=None):
    """Search by NSGA-II and at random; print the front, the rank correlation and the gain over the default."""
    train, valid, (x, _) = load()
    task, space = training(train, valid, steps), space or SPACE
    options = {"objectives": {"accuracy": "max", LATENCY: "min"}, "evaluate": with_costs(task), "progress": False}
    found = {}
    for name, algorithm in (algorithms or {"nsga2": jaxhpt.NSGA2(population=16), "random": jaxhpt.Random()}).items():
        found[name] = jaxhpt.search(task, space, trials=trials, lanes=8, seed=seed, algorithm=algorithm, **options)
    (default,) = jaxhpt.search(task, untuned or DEFAULT, trials=1, lanes=1, seed=seed, **options).trials
    result = next(iter(found.values()))
    for trial in result.pareto_front():
        shape = " x ".join(str(trial.hparams[k]) for k in ("kind", "width", "depth"))
        print(f"{trial.metrics['accuracy']:.3f}  {trial.metrics[LATENCY]:8.3f} ms  {shape}")
    slowest = max(t.metrics[LATENCY] for r in found.values() for t in r.trials)
    for name, one in found.items():
        print(f"{name}: hypervolume {one.hypervolume({'accuracy': 0.0, LATENCY: slowest}) / slowest:.3f} of 1")
    rank = spearman(*zip(*afresh(result.trials, x[:BATCH]), strict=True))
    print(f"Spearman correlation of latencies, optimised and measured afresh: {rank:.3f}")
    as_good = [t for t in result.pareto_front() if t.value >= default.value]
    print(f"untuned: {default.value:.3f}, {default.metrics[LATENCY]:.3f} ms")
    if as_good:
        fastest = min(as_good, key=lambda t: t.metrics[LATENCY])
        gain = default.metrics[LATENCY] / fastest.metrics[LATENCY]
        print(f"fastest as accurate: {fastest.value:.3f}, {fastest.metrics[LATENCY]:.3f} ms, {gain:.1f} times as fast")
    return result, default, rank


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:] if argument != "--quick"]
    main(*numbers, **({"space": {**SPACE, **QUICK}, "steps": 20} if "--quick" in sys.argv else {}))
