"""Random spaces, settings and objectives with NaN and infinities: a search gives a result or a clear error."""

import random
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from random_spaces import spec

import jaxhpt

ALGORITHMS = ["random", "quasi_random", "genetic", "tpe", "cma_es", "differential_evolution", "grid", "auto"]
SCHEDULERS = ["run_to_end", "asha", "median_stop", jaxhpt.PBT(perturbation_interval=2)]


def task_of(rng):
    """Return a training whose loss is now and then no number, and that reads all of its space."""
    odd = rng.choice([jnp.nan, jnp.inf, -jnp.inf, 1e38, 0.0])

    def total(h):
        leaves = [leaf for leaf in _leaves(h) if isinstance(leaf, (bool, int, float)) or hasattr(leaf, "dtype")]
        return sum((jnp.asarray(leaf, jnp.float32) for leaf in leaves), jnp.float32(0.0))

    def evaluate(state, data, h):
        value = jnp.sin(total(h)) + state
        return {"loss": jnp.where(value > 0.5, jnp.float32(odd), value), "other": -value}

    return jaxhpt.Task(lambda key, h: jnp.float32(0.0), lambda s, b, h, key: s + 0.1 + 0 * total(h), evaluate, steps=4)


def _leaves(tree):
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, tuple) else None
    return [tree] if parts is None else [leaf for part in parts for leaf in _leaves(part)]


def searched(rng):
    """Search at random; return the result, or None where it was refused."""
    several = rng.random() < 0.2
    wanted = (
        {"objectives": {"loss": "min", "other": "max"}} if several else {"objective": rng.choice(["loss", "other"])}
    )
    wanted |= {"direction": "min"} if wanted.get("objective") == "other" else {}
    wanted |= {"constraints": {"other": (rng.choice(["<=", ">="]), 0.1)}} if rng.random() < 0.2 else {}
    settings = {"algorithm": "nsga2" if several else rng.choice(ALGORITHMS), "scheduler": rng.choice(SCHEDULERS)}
    settings |= {"trials": rng.choice([1, 2, 5, 9]), "lanes": rng.choice([1, 2, 4]), "seed": rng.randrange(9)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return jaxhpt.search(task_of(rng), spec(rng), progress=False, **wanted, **settings), settings
    except (ValueError, TypeError):
        return None, settings


def anything(seed, times):
    rng, found = random.Random(seed), 0
    for _ in range(times):
        result, settings = searched(rng)
        if result is None:
            continue
        found += 1
        assert 1 <= len([t for t in result.trials if t.parent is None]) <= settings["trials"]
        finite = [t.value for t in result.trials if t.status == "done" and np.isfinite(t.value)]
        assert all(np.isnan(t.value) for t in result.trials if t.status == "failed")
        if finite and len(result.objectives) == 1 and not result._problem.metrics.constraints:
            assert result.best.value == min(finite)
        repr(result)
    return found


def test_anything():
    assert anything(0, 4) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 21))
def test_anything_two_thousand_times(seed):
    assert anything(seed, 100) > 50
