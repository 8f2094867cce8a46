"""Model-based algorithms beside schedulers that stop trials: what a stopped trial tells, and what it does not."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.algorithms.model_based import dataset
from jaxhpt.core import history
from jaxhpt.core.history import Status
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space
from jaxhpt.core.typing import NONE

SPACE = Space.of({"x": jaxhpt.Float(0, 1), "c": jaxhpt.Choice(["a", "b", "c"])})
WHOLE = Problem(SPACE, choose(("loss",)), trials=12, lanes=4, schedule=Schedule(27, 1))
PARTIAL = dataclasses.replace(WHOLE, schedule=Schedule(27, 1, 1))
STATUS = [Status.DONE, Status.STOPPED, Status.STOPPED, Status.FAILED, Status.RUNNING, Status.PRIOR, Status.STOPPED]
STEPS = [27, 3, 9, 9, 3, 0, 9]
VALUE = [0.3, 0.1, 0.2, np.inf, np.inf, 0.4, 0.5]


@pytest.fixture(scope="module")
def past():
    rng, num = np.random.default_rng(0), len(STEPS)
    unit = SPACE.snap(jnp.asarray(rng.uniform(size=(12, 2)), jnp.float32))
    pad = 12 - num
    return history.empty_history(PARTIAL)._replace(
        unit=unit,
        status=jnp.array([*STATUS, *[0] * pad], jnp.int8),
        steps=jnp.array([*STEPS, *[0] * pad], jnp.int32),
        metrics=jnp.array([*VALUE, *[np.inf] * pad], jnp.float32)[:, None],
        num_rows=jnp.int32(num),
    )


def test_a_model_is_shown_how_far_a_trial_was_trained(past):
    far = dataset.trained(past, PARTIAL, jnp.arange(len(STEPS)))
    third = np.log(3) / np.log(27)
    # What is done, running or known beforehand counts as whole: a running trial must keep others away from its place.
    np.testing.assert_allclose(far, [1, third, 2 * third, 2 * third, 1, 1, 2 * third], rtol=1e-6)
    data = dataset.training_data(past, PARTIAL, jnp.arange(12))
    ordered = np.argsort([s < Status.DONE for s in STATUS], kind="stable")
    np.testing.assert_allclose(data.x[: len(STEPS), -1], np.asarray(far)[ordered], rtol=1e-6)
    assert data.x.shape[1] == len(dataset.owners(PARTIAL)) == 5
    assert dataset.owners(PARTIAL).tolist() == [0, 0, 0, 1, 2]
    assert dataset.num_inputs(PARTIAL) == 3


def test_where_all_are_trained_to_the_end_nothing_is_added(past):
    assert dataset.training_data(past, WHOLE, jnp.arange(12)).x.shape[1] == len(dataset.owners(WHOLE)) == 4
    best = jnp.array([1, 2, 0, NONE], jnp.int32)
    kept, count = dataset.far_enough(past, WHOLE, best)
    assert (kept.tolist(), int(count)) == ([1, 2, 0, NONE], len(STEPS))


def test_only_those_trained_as_far_as_some_count_as_good(past):
    best = jnp.array([1, 2, 0, 5, 6, NONE, NONE], jnp.int32)  # by value; 1 had three steps, as few as no D + 1 others
    kept, count = dataset.far_enough(past, PARTIAL, best)
    assert kept.tolist() == [2, 0, 5, 6, NONE, NONE, NONE]
    assert int(count) == 4


def test_few_trials_are_all_compared(past):
    few = past._replace(steps=past.steps.at[jnp.array([0, 2, 6])].set(0), status=past.status.at[5].set(Status.STOPPED))
    kept, _ = dataset.far_enough(few, PARTIAL, jnp.array([1, 2, 0, NONE], jnp.int32))
    assert kept.tolist() == [1, 2, 0, NONE]


def crossing(n, data, h):
    """At a third of the steps small rates look better; in the end large ones are."""
    return (h["rate"] - 0.8) ** 2 * n / 27 + (1 - n / 27) * (0.3 + h["rate"]) + 0.0 * n


@pytest.mark.parametrize("algorithm", [jaxhpt.Bayesian(limit=128), jaxhpt.TPE()], ids=["bayesian", "tpe"])
def test_short_trials_do_not_mislead(algorithm):
    result = jaxhpt.search(
        lambda n, batch, h, key: n + 1.0, {"rate": jaxhpt.Float(0, 1), "other": jaxhpt.Float(0, 1)},
        init=lambda key, h: jnp.float32(0) + 0.0 * h["other"], evaluate=crossing, steps=27, trials=96, lanes=4,
        algorithm=algorithm, scheduler=jaxhpt.Hyperband(min_steps=3), progress=False,
    )  # fmt: skip
    assert result.best.hparams["rate"] == pytest.approx(0.8, abs=0.07)
    late = [t.hparams["rate"] for t in result.trials[48:]]
    assert (
        np.mean(np.abs(np.array(late) - 0.8) < 0.25) > 0.5
    )  # half of all would be by chance, were it not for short ones
