"""How small can a net get? Sparsity of each layer and bits as hyperparameters, accuracy and bytes as objectives.

Run: python examples/compress.py [--quick]

The MLP published for MNIST-1D against files of a twelfth of its bytes, found by NSGA-II and by random search in equal
device time, on rows generated with another seed. Dense nets are trained plainly at one rate, the default, and tuned at
random with moved and noisy rows, as the small ones are: what lies between those is what compression itself costs.
Needs `pip install mnist1d`.
Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", https://arxiv.org/abs/2011.14439.
"""

import importlib.util
import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from architecture import load
from compress_file import MLP, loaded
from flax import nnx
from mnist1d.data import ObjectView, get_dataset_args, make_dataset

import jaxhpt
from jaxhpt.models import compressed, prune, quantize

LAYERS, MOST = ("first", "second", "last"), 4 * 15_210 // 12  # bytes: a twelfth of those of the dense weights
TRAINING = {"lr": jaxhpt.Float(3e-3, 3e-2, log=True), "decay": jaxhpt.Float(1e-3, 0.3, log=True)}
TRAINING |= {"shift": jaxhpt.Float(0, 8), "noise": jaxhpt.Float(0.01, 0.4, log=True)}  # what is done to rows
SMALL = TRAINING | dict.fromkeys(LAYERS, jaxhpt.Float(0.5, 0.95)) | {"bits": jaxhpt.Int(2, 8)}  # sparsity, and bits
NSGA2 = jaxhpt.NSGA2(population=16)
WAYS = {"dense-tuned": (TRAINING, "random"), "nsga2": (SMALL, NSGA2), "random": (SMALL, "random")}


def bits_of(h):
    """Return the bits of matrices, and 8 for biases."""
    return {**dict.fromkeys(LAYERS, h["bits"]), **{f"{layer}.bias": 8 for layer in LAYERS}}


def published(h, rngs):
    """Return the published net, whose shape is not searched."""
    return MLP(h, rngs)


def tune(train, valid, space, algorithm, trials, steps, seed):
    """Search; return the result, the most accurate net - of small ones, of at most MOST bytes - and its bits."""
    small = "bits" in space
    x, y = map(jnp.asarray, train)

    def batches(key, tick, h):
        keys = jax.random.split(key, 3)
        rows = jax.random.randint(keys[0], 100, 0, len(x))
        far = jnp.round(h["shift"] * jax.random.uniform(keys[1], (100, 1), minval=-1)).astype(jnp.int32)
        moved = jnp.take_along_axis(x[rows], (jnp.arange(40)[None] - far) % 40, axis=1)
        return moved + h["noise"] * jax.random.normal(keys[2], moved.shape), y[rows]

    def optimizer(h):
        inner = optax.adamw(jaxhpt.traced.cosine_decay_schedule(h["lr"], steps), weight_decay=h["decay"])
        sparsity = {name: h[name] for name in LAYERS if small}
        return prune.gradual(inner, sparsity, steps // 10, steps * 6 // 10, every=20) if small else inner

    def evaluate(state, data, h):
        size = compressed.size_in_bytes(state["params"], bits=bits_of(h) if small else quantize.WHOLE)
        return {**task.evaluate(state, data, h), "bytes": size}

    model = quantize.quantized(published, bits_of) if small else published
    task = jaxhpt.FlaxTask(model, optimizer, batches=batches, valid_data=valid, steps=steps)
    bound = {"constraints": {"bytes": ("<=", MOST)}} if small else {}
    wanted = {"objectives": {"accuracy": "max", "bytes": "min"}, **bound}
    told = {"algorithm": algorithm, "trials": trials, "lanes": 16, "interval": steps, "seed": seed, "progress": False}
    result = jaxhpt.search(task, space, evaluate=evaluate, **wanted, **told)
    best = result.pareto_front()[0]
    return result, result.replay(best)[0], bits_of(best.hparams) if small else quantize.WHOLE


def score(path, net, seconds, rows, bits=quantize.WHOLE):
    """Write a net, read it again; return bytes, accuracy of what was read, and the seconds it took to find."""
    size = compressed.export_compressed(path, nnx.state(net, nnx.Param), bits=bits)
    return size, float((loaded(path)(rows["x"].astype("float32")).argmax(-1) == rows["y"]).mean()), seconds


def main(trials=64, steps=1500, seeds=3, rows=20_000, dense_steps=6000):
    """Print a table of dense and compressed nets, medians and ranges over seeds, and save a plot; return the table."""
    settings = get_dataset_args(as_dict=True) | {"num_samples": rows, "seed": 7, "train_split": 1.0}
    train, valid, fresh = *load()[:2], make_dataset(ObjectView(settings))
    both = jax.tree.map(lambda *parts: np.concatenate(parts), train, valid)  # of which the default learns
    data = {"train_data": both, "valid_data": valid, "batch_size": 100, "steps": dense_steps}
    task = jaxhpt.FlaxTask(published, lambda h: optax.adam(h["lr"]), **data)
    dense = jaxhpt.search(task, {"lr": [0.01]}, trials=1, algorithm="grid", seeds=max(seeds, 2), progress=False)
    found = {"dense": [score("dense.npz", net, dense.stats.seconds, fresh) for net in dense.best_state]}
    seen = {"dense": [cell[:2] for cell in found["dense"]]}
    for (name, way), seed in itertools.product(WAYS.items(), range(seeds)):
        result, best, bits = tune(train, valid, *way, trials, steps, seed)
        seen.setdefault(name, []).extend([t.metrics["bytes"], t.metrics["accuracy"]] for t in result.trials)
        found.setdefault(name, []).append(score(f"{name}.npz", best, result.stats.seconds, fresh, bits))
    accuracy = np.median(found["nsga2"], 0)[1]
    for name, cells in found.items():
        columns = [f"{np.median(c):,.5g} [{min(c):,.5g}, {max(c):,.5g}]" for c in zip(*cells, strict=True)]
        columns += [f"nsga2 gains {accuracy - np.median(cells, 0)[1]:+.3f}"]
        print(f"{name:11} bytes, accuracy on fresh rows, seconds:", " | ".join(columns))
    draw(seen)
    return found


def draw(seen):
    """Save a plot of (bytes, accuracy) of each way's trials."""
    if importlib.util.find_spec("matplotlib") is None:
        print("no plot: pip install matplotlib")
        return
    pyplot = importlib.import_module("matplotlib.pyplot")
    for name, points in seen.items():
        pyplot.semilogx(*np.transpose(points), ".", label=name)
    pyplot.legend()
    pyplot.savefig("compress.png")


if __name__ == "__main__":
    main(*((16, 40, 1, 500, 40) if "--quick" in sys.argv else ()))
