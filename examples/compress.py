"""How small can a net get? Sparsity of each layer and bits as hyperparameters, accuracy and bytes as objectives.

Run: python examples/compress.py [--quick]

The MLP published for MNIST-1D against files of a twelfth of its bytes, found by NSGA-II and by random search in equal
device time, on rows generated with another seed. Needs `pip install mnist1d`.
Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", https://arxiv.org/abs/2011.14439.
"""

import importlib.util
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

LAYERS = ("first", "second", "last")
SPACE = {layer: jaxhpt.Float(0.3, 0.95) for layer in LAYERS} | {"bits": jaxhpt.Int(2, 8)}  # sparsity; bits of weights
SPACE |= {"lr": jaxhpt.Float(3e-3, 3e-2, log=True), "decay": jaxhpt.Float(1e-3, 0.3, log=True)}
SPACE |= {"shift": jaxhpt.Float(0, 8), "noise": jaxhpt.Float(0.01, 0.4, log=True)}  # what training does to rows


def bits_of(h):
    """Return the bits of matrices, and 8 for biases."""
    return {**dict.fromkeys(LAYERS, h["bits"]), **{f"{layer}.bias": 8 for layer in LAYERS}}


def tune(train, valid, limit, algorithm, trials, steps, seed):
    """Search for nets that are small and accurate; return the result, and the most accurate net of at most `limit`."""
    x, y = map(jnp.asarray, train)

    def batches(key, tick, h):
        keys = jax.random.split(key, 3)
        rows = jax.random.randint(keys[0], 100, 0, len(x))
        far = jnp.round(h["shift"] * jax.random.uniform(keys[1], (100, 1), minval=-1)).astype(jnp.int32)
        moved = jnp.take_along_axis(x[rows], (jnp.arange(40)[None] - far) % 40, axis=1)
        return moved + h["noise"] * jax.random.normal(keys[2], moved.shape), y[rows]

    def optimizer(h):
        inner = optax.adamw(jaxhpt.traced.cosine_decay_schedule(h["lr"], steps), weight_decay=h["decay"])
        return prune.gradual(inner, {name: h[name] for name in LAYERS}, steps // 10, steps * 6 // 10, every=20)

    def evaluate(state, data, h):
        return {**task.evaluate(state, data, h), "bytes": compressed.size_in_bytes(state["params"], bits=bits_of(h))}

    model = quantize.quantized(lambda h, rngs: MLP(h, rngs), bits_of)
    task = jaxhpt.FlaxTask(model, optimizer, batches=batches, valid_data=valid, steps=steps)
    wanted = {"objectives": {"accuracy": "max", "bytes": "min"}, "constraints": {"bytes": ("<=", limit)}}
    told = {"algorithm": algorithm, "trials": trials, "lanes": 32, "interval": steps, "seed": seed, "progress": False}
    result = jaxhpt.search(task, SPACE, evaluate=evaluate, **wanted, **told)
    return result, result.replay(winner := result.pareto_front()[0])[0], bits_of(winner.hparams)


def score(path, net, seconds, rows, bits=quantize.WHOLE):
    """Write a net, read it again; return bytes, accuracy of what was read, and the seconds it took to find."""
    size = compressed.export_compressed(path, nnx.state(net, nnx.Param), bits=bits)
    return size, float((loaded(path)(rows["x"].astype("float32")).argmax(-1) == rows["y"]).mean()), seconds


def main(trials=96, steps=1500, seeds=3, rows=20_000, dense_steps=6000):
    """Print a table of dense and compressed nets, medians and ranges over seeds, and save a plot; return the table."""
    settings = get_dataset_args(as_dict=True) | {"num_samples": rows, "seed": 7, "train_split": 1.0}
    train, valid, fresh = *load()[:2], make_dataset(ObjectView(settings))
    both = jax.tree.map(lambda *parts: np.concatenate(parts), train, valid)  # of which the dense net learns
    data = {"train_data": both, "valid_data": valid, "batch_size": 100, "steps": dense_steps}
    task = jaxhpt.FlaxTask(lambda h, rngs: MLP(h, rngs), lambda h: optax.adam(h["lr"]), **data)
    dense = jaxhpt.search(task, {"lr": [0.01]}, trials=1, algorithm="grid", seeds=max(seeds, 2), progress=False)
    found = {"dense": [score("dense.npz", net, dense.stats.seconds, fresh) for net in dense.best_state]}
    ways, seen = {"nsga2": jaxhpt.NSGA2(population=16), "random": "random"}, {}
    for name, seed in [(name, seed) for name in ways for seed in range(seeds)]:
        result, net, bits = tune(train, valid, 4 * 15_210 / 12, ways[name], trials, steps, seed)
        seen.setdefault(name, []).extend([t.metrics["bytes"], t.metrics["accuracy"]] for t in result.trials)
        found.setdefault(name, []).append(score(f"{name}.npz", net, result.stats.seconds, fresh, bits))
    accuracy = np.median(found["nsga2"], 0)[1]
    for name, cells in found.items():
        columns = [f"{np.median(c):,.5g} [{min(c):,.5g}, {max(c):,.5g}]" for c in zip(*cells, strict=True)]
        columns += [f"nsga2 gains {accuracy - np.median(cells, 0)[1]:+.3f}"]
        print(f"{name:7} bytes, accuracy on fresh rows, seconds:", " | ".join(columns))
    if importlib.util.find_spec("matplotlib") is None:
        return print("no plot: pip install matplotlib") or found
    pyplot = importlib.import_module("matplotlib.pyplot")
    for name, points in {**seen, "dense": [cell[:2] for cell in found["dense"]]}.items():
        pyplot.semilogx(*np.transpose(points), ".", label=name)
    pyplot.legend()
    pyplot.savefig("compress.png")
    return found


if __name__ == "__main__":
    main(*((32, 60, 1, 500, 60) if "--quick" in sys.argv else ()))
