"""Nothing is marked by NaN: a search under `jax_debug_nans` raises only where the user's own numbers are NaN."""

import jax
import jax.numpy as jnp
import pytest

import jaxhpt
from jaxhpt import CMAES, PBT, Chain, DifferentialEvolution, Float, Genetic, Grid, Portfolio, Refine

SPACE = {"x": Float(-1, 1), "y": Float(-1, 1)}
RATE = {"lr": Float(1e-3, 0.5, log=True)}
GENETIC = Genetic(population=4, adaptive=True)
ALGORITHMS = {
    "chain": Chain(Grid(points=2), Refine(CMAES(population=4), share=0.5), trials=4),
    "portfolio": Portfolio(CMAES(population=4), DifferentialEvolution(population=4), GENETIC),
}


@pytest.fixture(autouse=True)
def watched():
    with jax.debug_nans(True):
        yield


@pytest.mark.parametrize("name", ALGORITHMS)
def test_rows_of_nobody_and_of_other_parts_hold_none(name):
    result = jaxhpt.minimize(
        lambda h, key: jnp.where(h["x"] > 0.8, jnp.inf, h["x"] ** 2 + h["y"] ** 2), SPACE, algorithm=ALGORITHMS[name],
        prior=[({"x": 0.1, "y": 0.5}, 0.3)], first=[{"x": 0.2, "y": 0.7}], trials=32, lanes=4, progress=False,
    )  # fmt: skip
    assert result.best.value < 0.3


def test_rows_of_copies_hold_none():
    result = jaxhpt.search(
        lambda w, batch, h, key: w - h["lr"] * w, RATE, init=lambda key, h: jnp.float32(4),
        evaluate=lambda w, data, h: {"loss": w**2}, steps=20, trials=6, lanes=6, algorithm=GENETIC, scheduler=PBT(),
        progress=False,
    )  # fmt: skip
    assert result.stats.copies > 0
