"""Searches on eight simulated devices, run by `test_sharding.py` in a process of its own: prints JSON."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

import jaxhpt
from jaxhpt.engine import compiling

COLLECTIVE = re.compile(r"= (.*?) (all-reduce|all-gather|all-to-all|collective-\w+|reduce-scatter)(?:-start)?\(")
X = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
DATA = {"x": X, "y": X.sum(1)}
COPIES = {"algorithm": "random", "scheduler": jaxhpt.PBT(perturbation_interval=2, quantile_fraction=0.4)}
PARKS = {
    "algorithm": "random",
    "trials": 100,
    "scheduler": jaxhpt.ASHA(eta=2, min_steps=1, promote=True, parked=20),
    "seed": 1,
}
KINDS = {
    "genetic": ({"algorithm": "genetic"}, ("split",)),
    "copies": (COPIES, ("split", "fused", "cut models", "one model on all")),
    "parked": (PARKS, ("split", "fused", "cut models", "one model on all")),
    "a model": ({"algorithm": "bayesian", "trials": 20, "lanes": 8}, ("split",)),
    "replicas": ({"algorithm": "random", "seeds": 2, "trials": 16}, ("cut models",)),
}
WAYS = {"split": {"execution": "split"}, "fused": {"execution": "fused"}}


def output(w, x):
    inner = jax.nn.relu(x @ w["inner"])
    if jax.sharding.get_abstract_mesh().shape.get("model"):
        inner = jax.lax.with_sharding_constraint(inner, PartitionSpec(None, "model"))
    return (inner @ w["outer"])[:, 0]


def loss(w, batch):
    return jnp.mean((output(w, batch["x"]) - batch["y"]) ** 2)


def init(key, h):
    keys = jax.random.split(key)
    flag, noise = jnp.bool_(True), jax.random.fold_in(key, 1)  # which are copied, too
    net = {"inner": jax.random.normal(keys[0], (4, 6)) * 0.5, "outer": jax.random.normal(keys[1], (6, 1)) * 0.5}
    wave = jax.random.normal(keys[1], (2,), jnp.complex64)
    return {"net": net, "half": -jnp.zeros(3, jnp.bfloat16), "flag": flag, "noise": noise, "wave": wave}


def step(state, batch, h, key):
    net = jax.tree.map(lambda p, g: p - h["lr"] * g, state["net"], jax.grad(loss)(state["net"], batch))
    return {**state, "net": net, "wave": state["wave"] * 1j} if "wave" in state else {**state, "net": net}


TASK = jaxhpt.Task(
    init, step, lambda s, valid, h: loss(s["net"], valid), DATA, DATA, batch_size=8, steps=4, direction="min",
    partition=lambda path, shape: {"net/inner": PartitionSpec(None, "model"), "net/outer": PartitionSpec("model")}.get(
        path, PartitionSpec()
    ),
)  # fmt: skip
SPACE = {"lr": jaxhpt.Float(0.001, 0.1, log=True)}


def search(**options):
    return jaxhpt.search(TASK, SPACE, **{"trials": 32, "lanes": 16, "progress": False, **options})


def trained_on(earlier, **options):
    """Train some trials on, of which lanes of several devices take some each, beside others."""
    given = {"prior": earlier, "extend_trials": [earlier.best.id, 3, 7], "steps": 9, "interval": 2, "trials": 24}
    return search(algorithm="random", **given, **options)


def numbers(result):
    """Return all that two searches should share."""
    state, history = result.best_state, result.history
    states = state if isinstance(state, list) else [state]
    nets = [np.asarray(leaf).tolist() for one in states for leaf in jax.tree.leaves(one["net"])]
    nets += [part.tolist() for one in states if "wave" in one for part in (one["wave"].real, one["wave"].imag)]
    return {
        "unit": history.unit.tolist(), "scores": np.where(np.isfinite(history.metrics), history.metrics, 0.0).tolist(),
        "parents": history.parent.tolist(), "status": history.status.tolist(), "best": nets,
        "devices": result.stats.devices, "replayed": result.replay(result.best)[1]["score"],
        "value": result.best.value, "places": len({d for a in jax.tree.leaves(state) for d in a.devices()}),
    }  # fmt: skip


def exchanged():
    """Return what programs exchange between devices: name of the program -> sorted shapes with operations."""
    found = {}
    for key, program in compiling._programs.items():
        text = re.sub(r"/\*index=\d+\*/", "", program.result().as_text())
        found.setdefault(key[0].__name__, set()).update(f"{kind} {shape}" for shape, kind in COLLECTIVE.findall(text))
    return {name: sorted(lines) for name, lines in found.items()}


def structured(**options):
    """Search the width of a layer, a program for each."""

    def begin(key, h):
        return {"net": {"inner": jax.random.normal(key, (4, h["width"])) * 0.5, "outer": jnp.ones((h["width"], 1))}}

    task = jaxhpt.Task(**{**vars(TASK), "init": begin, "partition": None})
    space = {**SPACE, "width": jaxhpt.Choice([2, 3], structural=True)}
    given = {"trials": 12, "lanes": 4, "algorithm": "random", "progress": False, **options}
    return jaxhpt.search(task, space, **given)


def refused(**options):
    try:
        search(**options)
    except (ValueError, TypeError) as error:
        return str(error)


def main():
    """Run all."""
    told, mesh = {}, jax.make_mesh((8,), ("lanes",))
    cut = Mesh(np.array(jax.devices()).reshape(4, 2), ("lanes", "model"), axis_types=(AxisType.Auto,) * 2)
    whole = Mesh(np.array(jax.devices()[:2]).reshape(1, 2), ("lanes", "model"), axis_types=(AxisType.Auto,) * 2)
    meshes = {"cut models": cut, "one model on all": whole}
    for kind, (options, ways) in KINDS.items():
        with jax.default_device(jax.devices()[0]):
            told[kind] = {"one device": numbers(search(cores=1, **options))}
        for how in ways:
            compiling.forget()
            told[kind][how] = numbers(search(mesh=meshes.get(how), **WAYS.get(how, {}), **options))
            if kind == "copies" and how in ("split", "fused"):
                told["exchanged" + " fused" * (how == "fused")] = exchanged()
    with jax.default_device(jax.devices()[0]):
        earlier = search(cores=1, algorithm="random")
        told["trained on"] = {"one device": numbers(trained_on(earlier, cores=1))}
    for how in ("split", "fused", "cut models"):
        told["trained on"][how] = numbers(trained_on(earlier, mesh=meshes.get(how), **WAYS.get(how, {})))
    with jax.default_device(jax.devices()[0]):
        told["structures"] = {"one device": numbers(structured(cores=1))}
    told["structures"]["several"] = numbers(structured())
    fewer = {"lanes 12": search(algorithm="random", lanes=12), "lanes 7": search(algorithm="random", lanes=7)}
    told["fewer"] = {name: [r.stats.devices, r.stats.lanes] for name, r in fewer.items()}
    auto = search(algorithm="random", lanes="auto", mesh=mesh, trials=9)
    told["auto"] = [auto.stats.devices, auto.stats.lanes, len(auto.trials)]
    rows = jax.device_put(DATA, NamedSharding(jax.make_mesh((8,), ("rows",)), PartitionSpec("rows")))  # Explicit axes
    told["data of another mesh"] = [
        numbers(search(mesh=one, algorithm="random", train_data=rows, valid_data=rows, trials=16))
        for one in (cut, jax.make_mesh((4,), ("lanes",)))
    ]
    with jax.set_mesh(mesh):
        told["set_mesh"] = refused()
    told["errors"] = [
        refused(lanes=12, mesh=mesh),
        refused(mesh=cut, partition=None),
        refused(mesh=cut, partition=lambda path, shape: PartitionSpec("model") if path == "half" else PartitionSpec()),
        refused(mesh=cut, partition=lambda path, shape: PartitionSpec("lanes") if path == "half" else PartitionSpec()),
    ]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
