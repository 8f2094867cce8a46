"""What tests of all searches search: every algorithm, a space of every kind of dimension, and a small task."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from jaxhpt import Bayesian, Chain, DifferentialEvolution, Genetic, GreyGuided, Portfolio, Random, Refine, Screen

MIXED = {
    "x": jaxhpt.Float(1e-3, 1.0, log=True),
    "step": jaxhpt.Float(0.0, 1.0, step=0.25),
    "n": jaxhpt.Int(4, 24, log=True),
    "flag": jaxhpt.Bool(),
    "c": ["a", "b", "c"],
    "w": jaxhpt.When("c", "a", {"v": jaxhpt.Choice([1, 2, 3]), "u": jaxhpt.Float(0, 1)}),
}
BELIEVED = {
    **MIXED,
    "x": jaxhpt.Float(1e-3, 1.0, log=True, near=0.1, trust="high"),
    "n": jaxhpt.Int(4, 24, log=True, near=8),
    "c": jaxhpt.Choice(["a", "b", "c"], near="b"),
}
SEVERAL = {"objective": None, "objectives": {"loss": "min", "size": "max"}}
ALGORITHMS = {
    **{name: kind() for name, kind in jaxhpt.ALGORITHMS.items() if name != "auto"},  # which is one of the others
    "genetic, textbook": Genetic(selection="truncation", crossover="uniform", avoid_duplicates=False),
    "genetic, adaptive": Genetic(crossover="one_point", mutation="gaussian", adaptive=True, elites=2),
    "thompson": Bayesian(acquisition="thompson"),
    "log_ei_per_step": Bayesian(acquisition="log_ei_per_step"),
    "chain": Chain(Random(), Portfolio(GreyGuided(Genetic(adaptive=True)), DifferentialEvolution()), trials=4),
    "screen": Screen(Genetic()),
    "refine": Refine(GreyGuided(Random()), share=0.5),
}


def score(hparams):
    """Add up a setting: f32[]."""
    return sum(jnp.asarray(value).astype(jnp.float32) for value in jax.tree.leaves(hparams))


def task(**options):
    """Return a small task of two metrics."""
    return jaxhpt.Task(
        lambda key, h: {"w": jax.random.normal(key, (4,), jnp.float32)},
        lambda state, batch, h, key: {"w": state["w"] - jnp.mean(batch, axis=0)},
        lambda state, data, h: {"loss": jnp.sum(state["w"] ** 2) + score(h), "size": jnp.max(jnp.abs(state["w"]))},
        train_data=np.zeros((50, 4), np.float32), valid_data=np.zeros((8, 4), np.float32), batch_size=16,
        **{"objective": "loss", "steps": 24, **options},
    )  # fmt: skip
