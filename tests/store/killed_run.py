"""A search that is killed, and called again: python killed_run.py KIND FOLDER OUT. It writes what it found to OUT."""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt

LR = {"lr": jaxhpt.Float(1e-3, 0.5, log=True)}
ALGORITHMS = {
    "random": "random", "genetic": "genetic", "cma_es": jaxhpt.CMAES(), "tpe": "tpe", "bayesian": "bayesian",
    "quasi_random": "quasi_random", "differential_evolution": "differential_evolution",
}  # fmt: skip
SCHEDULERS = {
    "promoted": jaxhpt.ASHA(min_steps=5, promote=True),
    "asha": jaxhpt.ASHA(min_steps=5), "hyperband": jaxhpt.Hyperband(min_steps=5),
    "pbt": jaxhpt.PBT(perturbation_interval=10), "median_stop": jaxhpt.MedianStop(),
}  # fmt: skip
STEPS, TRIALS, LANES = 40, 96, 8


def init(key, h):
    return {"w": jax.random.normal(key, (2 * h.get("width", 2),)), "key": key, "half": jnp.bfloat16(1.0)}


def step(s, batch, h, key):
    noise = 0.01 * jax.random.normal(key, s["w"].shape)
    return {**s, "w": s["w"] * (1 - h["lr"]) + noise + 0.0 * batch.sum(), "half": s["half"] * jnp.bfloat16(0.99)}


def evaluate(s, valid, h):
    return {"loss": jnp.mean(s["w"] ** 2) + 1e-3 * s["half"].astype(jnp.float32)}


def search(kind, run_dir, **options):
    """Search as a kind of run does."""
    rows = jnp.arange(12.0)[:, None]
    given = {"init": init, "evaluate": evaluate, "train_data": rows, "batch_size": 4, "steps": STEPS, "trials": TRIALS}
    given |= {"lanes": LANES, "run_dir": run_dir, "progress": False, "events_per_dispatch": 1}
    given |= {"checkpoint_seconds": 0.02, **options}
    if kind == "search_many":
        many = {**given, "train_data": jnp.stack([rows] * 3), "trials": 24, "lanes": 4}
        return jaxhpt.search_many(step, LR, algorithm="genetic", **many)
    space = {**LR, "width": jaxhpt.Int(1, 3, structural=True)} if kind == "structures" else LR
    scheduler = SCHEDULERS.get(kind, "asha" if kind == "structures" else "run_to_end")
    execution = "fused" if kind == "fused" else "auto"
    algorithm = ALGORITHMS.get(kind, "genetic")
    return jaxhpt.search(step, space, algorithm=algorithm, scheduler=scheduler, execution=execution, **given)


def arrays_of(result):
    """Return all that a run has found, by name."""
    found = {}
    for i, one in enumerate(result if isinstance(result, list) else [result]):
        columns = {n: column for n, column in one.history._asdict().items() if n != "note" and column is not None}
        found |= {f"{i}/{name}": np.asarray(column) for name, column in columns.items()}
        found |= {f"{i}/note{j}": np.asarray(leaf) for j, leaf in enumerate(jax.tree.leaves(one.history.note))}
        found |= {f"{i}/best": np.asarray(one.best_state["w"]), f"{i}/row": np.asarray(one.best.id)}
    return found


if __name__ == "__main__":
    np.savez(sys.argv[3], **arrays_of(search(*sys.argv[1:3])))
