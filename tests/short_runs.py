"""Searches that tests of runs share: tiny, all of one compiled program."""

import jax
import jax.numpy as jnp

import jaxhpt

SPACE = {"lr": jaxhpt.Float(1e-3, 0.5, log=True)}
ROWS = jnp.arange(8.0)


def init(key, h):
    return {"w": jax.random.normal(key, (3,))}


def step(s, batch, h, key):
    return {"w": s["w"] * (1 - h["lr"]) + 0.01 * jax.random.normal(key, (3,)) + 0 * batch.sum()}


def evaluate(s, valid, h):
    return {"loss": jnp.sum(s["w"] ** 2)}


def search(run_dir=None, **options):
    """Search, 40 trials of 12 steps in 8 lanes."""
    given = {"init": init, "evaluate": evaluate, "train_data": ROWS, "batch_size": 4, "steps": 12, "trials": 40}
    given |= {"lanes": 8, "algorithm": "genetic", "progress": False, "run_dir": run_dir}
    return jaxhpt.search(step, options.pop("space", SPACE), **{**given, **options})


def cut(run_dir, events, **options):
    """Search until so many events are over."""
    return search(run_dir, callbacks=[lambda s: s.events >= events], events_per_dispatch=1, **options)
