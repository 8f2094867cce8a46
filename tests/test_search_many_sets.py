"""Data sets of several lengths, folds, seeds and priors: each search is still the one that would run alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxhpt
from jaxhpt.training.ragged import permutation

QUIET = {"progress": False}
ROWS, HELD = (7, 16, 5, 11), (3, 6, 9, 4)
R = len(ROWS)
RNG = np.random.default_rng(0)
SPACE = {"lr": jaxhpt.Float(1e-3, 0.3, log=True)}
COMMON = {"trials": 8, "lanes": 4, "algorithm": "random", "interval": 2, **QUIET}


def rows(num, r):
    x = RNG.normal(size=(num, 3)).astype(np.float32)
    return {"x": x, "y": (x @ np.arange(r, r + 3)).astype(np.float32)}


TRAIN, VALID = ([rows(n, r) for r, n in enumerate(sizes)] for sizes in (ROWS, HELD))


def init(key, h):
    return jax.random.normal(key, (3,))


def loss(w, batch):
    rows = batch.data if hasattr(batch, "data") else batch
    return jaxhpt.batch_mean((rows["x"] @ w - rows["y"]) ** 2, batch)


def step(w, batch, h, key):
    return w - h["lr"] * jax.grad(loss)(w, batch)


def evaluate(w, valid, h):
    return {"loss": loss(w, valid)}


STACKED = jax.tree.map(lambda *a: np.stack([leaf[:5] for leaf in a]), *TRAIN)
PLAIN = {"init": init, "evaluate": evaluate}


def same(found, single, rtol=1e-5):
    np.testing.assert_array_equal(found.history.unit, single.history.unit)
    np.testing.assert_array_equal(found.history.steps, single.history.steps)
    np.testing.assert_allclose(found.history.metrics, single.history.metrics, rtol=rtol, atol=1e-6)


@pytest.mark.parametrize("rows", [1, 2, 9, 1625, 1626, 2000])
def test_rows_come_in_the_order_that_they_have_alone(rows):
    key = jax.random.key(rows)
    order = jax.jit(permutation, static_argnums=2)(key, jnp.int32(rows), 2000)
    np.testing.assert_array_equal(order[:rows], jax.random.permutation(key, rows))
    np.testing.assert_array_equal(np.sort(order[rows:]), np.arange(rows, 2000))


@pytest.mark.parametrize(
    ("size", "space", "options"),
    [
        (4, SPACE, {"steps": 9}),  # whole batches, several epochs
        (8, {**SPACE, "epochs": jaxhpt.Int(1, 3)}, {}),  # batches that some sets do not fill; steps by the rows
        (None, SPACE, {}),  # all by default
    ],
)
def test_each_is_drawn_from_its_own_rows_alone(size, space, options):
    given = {**PLAIN, **COMMON, **options}
    found = jaxhpt.search_many(step, space, train_data=TRAIN, valid_data=VALID, batch_size=size, **given)
    for r in (1, 2):  # the longest and the shortest
        own = size and min(size, ROWS[r])
        single = jaxhpt.search(step, space, train_data=TRAIN[r], valid_data=VALID[r], batch_size=own, seed=r, **given)
        same(found[r], single)
        np.testing.assert_allclose(found[r].best_state, single.best_state, rtol=1e-5)
        assert found[r].replay(3)[1]["loss"] == pytest.approx(found[r].trials[3].metrics["loss"], rel=1e-4)
        told = [result.overtuning(VALID[0]).fresh for result in (found[r], single)]
        assert told[0] == pytest.approx(told[1], rel=1e-4)


def test_a_batch_size_that_is_searched_ends_at_the_rows():
    space = {**SPACE, "batch_size": [2, 4, 8]}
    given = {**PLAIN, **COMMON, "steps": 6}
    found = jaxhpt.search_many(step, space, train_data=TRAIN, valid_data=VALID, **given)
    same(found[1], jaxhpt.search(step, space, train_data=TRAIN[1], valid_data=VALID[1], seed=1, **given))
    for trial in found[2].trials:  # of 5 rows
        assert found[2].replay(trial)[1]["loss"] == pytest.approx(trial.metrics["loss"], rel=1e-4)


def net(norm):
    def build(h, rngs):
        layers = [nnx.Linear(3, 4, rngs=rngs), *([nnx.BatchNorm(4, rngs=rngs)] if norm else []), nnx.relu]
        return nnx.Sequential(*layers, nnx.Linear(4, 3, rngs=rngs))

    return build


def classes(sets):
    return [(part["x"], (np.arange(len(part["x"])) % 3).astype(np.int32)) for part in sets]


def flax_task(norm=False, **options):
    return jaxhpt.FlaxTask(net(norm), lambda h: optax.sgd(h["lr"]), **options)


def test_flax_tasks_are_exact():
    train, valid = classes(TRAIN), classes(VALID)
    given = {"steps": 8, **COMMON}
    make = lambda r: flax_task(norm=True, train_data=train[r], valid_data=valid[r])  # noqa: E731
    found = jaxhpt.search_many(make(0), SPACE, train_data=train, valid_data=valid, **given)
    for r in (1, 2):
        same(found[r], jaxhpt.search(make(r), SPACE, seed=r, **given))
        accuracy = float(jnp.mean(found[r].best_state(valid[r][0]).argmax(-1) == valid[r][1]))
        assert accuracy == pytest.approx(found[r].best.metrics["accuracy"])


def test_a_flax_task_sees_the_targets_of_all():
    bad = classes(TRAIN)
    bad[2] = (bad[2][0], bad[2][1] + 5)
    with pytest.raises(ValueError, match="targets: whole numbers from 0 to 7"):
        jaxhpt.search_many(
            flax_task(train_data=bad[0], valid_data=bad[0]), SPACE, train_data=bad, valid_data=classes(VALID), steps=8,
            **COMMON,
        )  # fmt: skip


@pytest.mark.parametrize("folds", [jaxhpt.KFold(3), jaxhpt.StratifiedKFold(2), jaxhpt.Holdout(0.3)])
def test_seeds_and_folds_of_a_trial(folds):
    sets = classes([TRAIN[0], TRAIN[1]])
    given = {"steps": 6, "folds": folds, "seeds": 2, "reduce": "worst", "batch_size": 4, **COMMON}
    found = jaxhpt.search_many(flax_task(train_data=sets[0]), SPACE, train_data=sets, **given)
    for r, data in enumerate(sets):
        single = jaxhpt.search(flax_task(train_data=data), SPACE, seed=r, **given)
        same(found[r], single)
        assert len(found[r].best_state) == len(single.best_state) == 2 * folds.num


def test_folds_of_stacked_data_and_plain_functions():
    given = {**PLAIN, **COMMON, "steps": 6, "folds": jaxhpt.KFold(2), "batch_size": 3}
    found = jaxhpt.search_many(step, SPACE, train_data=STACKED, **given)
    for r in (0, R - 1):
        own = jax.tree.map(lambda a, r=r: a[r], STACKED)
        same(found[r], jaxhpt.search(step, SPACE, train_data=own, seed=r, **given))


GIVEN = {**PLAIN, **COMMON, "batch_size": 4, "steps": 4}


@pytest.mark.parametrize("algorithm", ["random", "genetic"])
def test_what_is_tried_first_and_what_is_known(algorithm):
    known = [[({"lr": 0.01 * (r + place + 1)}, float(place)) for place in range(3)] for r in range(R)]
    given = {**GIVEN, "algorithm": algorithm, "first": [{"lr": 0.2}, {"lr": 0.02}]}
    each = jaxhpt.search_many(step, SPACE, train_data=TRAIN, valid_data=VALID, priors=known, **given)
    all_ = jaxhpt.search_many(step, SPACE, train_data=TRAIN, valid_data=VALID, prior=known[0], **given)
    for r, found, prior in ((0, each[0], known[0]), (2, each[2], known[2]), (2, all_[2], known[0])):
        same(found, jaxhpt.search(
            step, SPACE, train_data=TRAIN[r], valid_data=VALID[r], seed=r, prior=prior, **given
        ))  # fmt: skip
        assert [trial.status for trial in found.trials[:3]] == ["prior"] * 3
        assert found.trials[3].hparams["lr"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"train_data": []}, r"train_data=\[\]: must have a data set for each"),
        ({"train_data": [*TRAIN[:3], {"x": TRAIN[3]["x"]}]}, "train_data of search 3: x float32.*that of search 0"),
        ({"train_data": [STACKED["x"], STACKED["y"]]}, "a list has a data set for each search: what is stacked"),
        ({"train_data": [*TRAIN[:3], {**TRAIN[3], "y": TRAIN[3]["y"] * np.nan}]}, "train_data of search 3 leaf y: NaN"),
        ({"valid_data": VALID[:2]}, "train_data of 4, valid_data of 2; must agree"),
        ({"valid_data": None, "folds": jaxhpt.KFold(6)}, "train_data of search 2: folds"),
        ({"folds": jaxhpt.KFold(2)}, "folds and valid_data"),
        ({"priors": [None]}, "train_data of 4, .*priors of 1"),
        ({"priors": 3}, "priors=3: must be a list"),
        ({"priors": [[({"lr": 0.1}, 1.0)], None, None, None]}, r"priors: .*\[1, 0, 0, 0\]; must be as many"),
        ({"priors": [None] * R, "prior": [({"lr": 0.1}, 1.0)]}, "prior and priors: give one"),
        ({"batch_size": 17}, "batch_size=17: must be at most the 16 rows"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"seeds": [1, 2]}, r"seeds=\[1, 2\]"),
    ],
)
def test_what_does_not_fit_is_said(options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        jaxhpt.search_many(step, SPACE, **{"train_data": TRAIN, "valid_data": VALID, **GIVEN, **options})


def test_a_batch_that_is_not_read_as_one_is_named():
    def blind(w, valid, h):
        return {"loss": jnp.mean((valid["x"] @ w - valid["y"]) ** 2)}

    with pytest.raises(TypeError, match="data sets have several lengths"):
        jaxhpt.search_many(step, SPACE, train_data=TRAIN, valid_data=VALID, **{**GIVEN, "evaluate": blind})


def test_it_is_traced_once():
    traced = []

    def counted(key, h):
        traced.append(1)
        return init(key, h)

    jaxhpt.search_many(step, SPACE, train_data=TRAIN, valid_data=VALID, **{**GIVEN, "lanes": "auto", "init": counted})
    assert len(traced) == 1
