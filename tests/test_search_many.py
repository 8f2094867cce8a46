"""Many searches in one program are the searches that would run one after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxhpt

R, QUIET = 6, {"progress": False}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(R, 24, 3)).astype(np.float32)
W = RNG.normal(size=(R, 3)).astype(np.float32)
Y = np.einsum("rnd,rd->rn", X, W)
TRAIN, VALID = {"x": X[:, :16], "y": Y[:, :16]}, {"x": X[:, 16:], "y": Y[:, 16:]}
SPACE = {"lr": jaxhpt.Float(1e-3, 0.3, log=True), "n": jaxhpt.Int(1, 3)}


def init(key, h):
    return jax.random.normal(key, (3,))


def loss(w, rows):
    return jnp.mean((rows["x"] @ w - rows["y"]) ** 2)


def step(w, batch, h, key):
    return w - h["lr"] * h["n"].astype(jnp.float32) * jax.grad(loss)(w, batch)


def evaluate(w, valid, h):
    return {"loss": loss(w, valid)}


COMMON = {"init": init, "evaluate": evaluate, "batch_size": 4, "steps": 9, "trials": 12, "lanes": 4, **QUIET}


def part(data, r):
    return jax.tree.map(lambda a: a[r], data)


def many(**options):
    return jaxhpt.search_many(step, SPACE, **{"train_data": TRAIN, "valid_data": VALID, **COMMON, **options})


def alone(r, **options):
    given = {"train_data": part(TRAIN, r), "valid_data": part(VALID, r), "seed": r, **COMMON, **options}
    return jaxhpt.search(step, SPACE, **given)


@pytest.mark.parametrize(
    "options",
    [
        {"algorithm": "random"},
        {"algorithm": "genetic", "scheduler": jaxhpt.ASHA(min_steps=3)},
        {"algorithm": "random", "scheduler": jaxhpt.PBT(perturbation_interval=3)},
        {"algorithm": "bayesian"},
    ],
    ids=lambda options: "-".join(str(v).split("(")[0] for v in options.values()),
)
def test_they_propose_and_find_the_same_as_one_by_one(options):
    found = many(**options)
    assert len(found) == R
    for r in (0, R - 1):
        single = alone(r, **options)
        np.testing.assert_array_equal(found[r].history.unit, single.history.unit)
        np.testing.assert_allclose(found[r].history.metrics, single.history.metrics, rtol=1e-5)
        np.testing.assert_array_equal(found[r].history.steps, single.history.steps)


def test_each_result_is_whole():
    found = many(algorithm="random", cores=2)
    for r, result in enumerate(found):
        assert result.stats.trials == 12
        w = result.best_state
        assert float(loss(w, part(VALID, r))) == pytest.approx(result.best.value, rel=1e-5)
        assert result.replay(3)[1]["loss"] == pytest.approx(result.trials[3].metrics["loss"], rel=1e-4)
    assert len({result.best.value for result in found}) == R


def test_cores_change_nothing_and_one_that_ends_waits_for_the_others():
    space = {**SPACE, "epochs": jaxhpt.Int(1, 4)}
    given = {k: v for k, v in COMMON.items() if k != "steps"}
    train, valid = (part(data, slice(0, 5)) for data in (TRAIN, VALID))  # which two cores do not divide
    runs = [
        jaxhpt.search_many(step, space, train_data=train, valid_data=valid, cores=cores, algorithm="random", **given)
        for cores in (1, 2)
    ]
    events = {result.stats.events for result in runs[0]}
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one.history.metrics, other.history.metrics)
        assert all(trial.status == "done" for trial in one.trials)
    assert len(events) > 1


def test_seeds_alone_are_searches_of_the_same_data():
    shared = {"train_data": part(TRAIN, 0), "valid_data": part(VALID, 0)}
    task = jaxhpt.Task(init, step, evaluate, batch_size=4, steps=9, **shared)
    given = {"trials": 8, "lanes": 4, "algorithm": "random", **QUIET}
    found = jaxhpt.search_many(task, SPACE, seed=[7, 3], **given)
    for seed, result in zip((7, 3), found, strict=True):
        single = jaxhpt.search(task, SPACE, seed=seed, **given)
        np.testing.assert_array_equal(result.history.metrics, single.history.metrics)
        np.testing.assert_array_equal(result.best_state, single.best_state)


def test_flax_models():
    task = jaxhpt.FlaxTask(
        lambda h, rngs: nnx.Linear(3, 1, rngs=rngs), lambda h: optax.sgd(h["lr"]),
        loss=lambda outputs, targets: (outputs[:, 0] - targets) ** 2, batch_size=4, steps=8,
        train_data=(X[0, :16], Y[0, :16]), valid_data=(X[0, 16:], Y[0, 16:]),
    )  # fmt: skip
    found = jaxhpt.search_many(
        task, {"lr": SPACE["lr"]}, train_data=(X[:, :16], Y[:, :16]), valid_data=(X[:, 16:], Y[:, 16:]), trials=8,
        lanes=4, algorithm="random", **QUIET,
    )  # fmt: skip
    for r, result in enumerate(found):
        outputs = result.best_state(X[r, 16:])[:, 0]
        assert float(jnp.mean((outputs - Y[r, 16:]) ** 2)) == pytest.approx(result.best.value, rel=1e-4)


def test_progress_callbacks_and_the_timeout_are_of_all_together():
    told = []
    found = many(algorithm="random", callbacks=[told.append], events_per_dispatch=1)
    assert told[-1].trials == told[-1].finished == 12 * R
    assert told[-1].lanes == 4 * R
    assert told[-1].best_value is None
    stopped = many(algorithm="random", callbacks=[lambda snapshot: snapshot.finished > 0], events_per_dispatch=1)
    assert {result.stats.ended for result in stopped} == {"callback"}
    assert all(0 < result.stats.trials < 12 for result in stopped)

    def breaks(snapshot):
        raise KeyError("no")

    with pytest.raises(jaxhpt.SearchError) as caught:
        many(algorithm="random", callbacks=[breaks])
    assert len(caught.value.result) == R
    assert found[0].stats.ended == "finished"


def test_auto_shares_out_the_lanes():
    found = many(lanes="auto", trials=40, algorithm="random")
    assert found[0].stats.lanes == 8


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"valid_data": part(VALID, slice(0, 4))}, "train_data of 6, valid_data of 4; must agree: one entry"),
        ({"train_data": {"x": X, "y": Y[:4]}}, r"train_data: leading axes .*must agree: one entry for each search"),
        ({"seed": [1, 2]}, "seed of 2; must agree"),
        ({"train_data": None, "valid_data": None}, r"give train_data and valid_data .* or seed="),
        ({"trials": 0}, "trials=0"),
        ({"execution": "split"}, "execution: not for many"),
    ],
)
def test_errors_come_early(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        many(**options)


def test_structures_are_refused():
    with pytest.raises(ValueError, match="structural"):
        jaxhpt.search_many(step, {**SPACE, "k": jaxhpt.Bool(structural=True)}, seed=[0, 1], **COMMON)


def test_one_search_is_a_list_of_one():
    given = {"train_data": part(TRAIN, slice(0, 1)), "valid_data": part(VALID, slice(0, 1))}
    (found,) = many(algorithm="random", **given)
    np.testing.assert_array_equal(found.history.metrics, alone(0, algorithm="random").history.metrics)


def test_an_interrupt_leaves_all_results():
    def stops(snapshot):
        if snapshot.finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        many(algorithm="random", callbacks=[stops], events_per_dispatch=1)
    assert len(caught.value.result) == R


def test_what_is_for_one_search_alone_is_said():
    with pytest.raises(TypeError, match=r"confirm, mesh, reshuffle: not for many searches .*jaxhpt.search"):
        many(confirm=2, reshuffle=True, mesh=None)
