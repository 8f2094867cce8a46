"""Replicas: several models a trial, as loops written by hand would train and score them."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import jaxhpt
from jaxhpt.core.keys import Stream, key_of, root_of
from jaxhpt.training.folds import GroupKFold, Holdout, KFold, StratifiedKFold, TimeSeriesSplit

ROWS, STEPS = 24, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5]) + 0.3 * RNG.normal(size=ROWS)).astype(np.float32)
SPACE = {"lr": jaxhpt.Float(0.01, 0.2, log=True)}
QUICK = {"algorithm": "random", "progress": False, "cores": 1}


def init(key, h):
    return {"w": jax.random.normal(key, (3,))}


def step(state, batch, h, key):
    """Take a step of gradient descent on noisy inputs, so that keys matter."""
    x, y = batch.data if isinstance(batch, jaxhpt.Batch) else batch
    x = x + h.get("noise", 0.0) * jax.random.normal(key, x.shape)
    gradient = jax.grad(lambda w: jaxhpt.batch_mean((x @ w - y) ** 2, batch))(state["w"])
    return {"w": state["w"] - h["lr"] * gradient}


def evaluate(state, data, h):
    x, y = data.data if isinstance(data, jaxhpt.Batch) else data
    error = x @ state["w"] - y
    return {"mse": jaxhpt.batch_mean(error**2, data), "mae": jaxhpt.batch_mean(jnp.abs(error), data)}


def task(**options):
    given = {"train_data": (X, Y), "batch_size": ROWS, "steps": STEPS, "objective": "mse", **options}
    return jaxhpt.Task(init, step, evaluate, **given)


def by_hand(row, r, lr, train, valid, seed=0):
    """Train one model on some rows in numpy, in full batches, from the keys of replica r of a trial."""
    key = jax.random.fold_in(key_of(root_of(seed), Stream.TRIAL, row), 0)
    w = np.asarray(jax.random.normal(jax.random.fold_in(key, r), (3,)), np.float64)
    for _ in range(STEPS):
        w = w - lr * 2 * X[train].T @ (X[train] @ w - Y[train]) / len(train)
    error = X[valid] @ w - Y[valid]
    return w, np.mean(error**2), np.mean(np.abs(error))


@pytest.fixture(scope="module")
def seeds():
    return jaxhpt.search(task(valid_data=(X, Y)), SPACE, trials=4, seeds=3, **QUICK)


def test_seeds_are_single_trainings_of_their_keys(seeds):
    every = np.arange(ROWS)
    for trial in seeds.trials:
        found = [by_hand(trial.id, r, trial.hparams["lr"], every, every) for r in range(3)]
        mse = [one[1] for one in found]
        np.testing.assert_allclose(trial.metrics["mse"], np.mean(mse), rtol=1e-4)
        np.testing.assert_allclose(trial.metrics["mse_std"], np.std(mse, ddof=1), rtol=1e-3)
        np.testing.assert_allclose(trial.metrics["mae"], np.mean([one[2] for one in found]), rtol=1e-4)
    assert list(seeds.trials[0].metrics) == ["mse", "mae", "mae_std", "mse_std"]


def test_keys_of_steps_are_the_replica_s_own():
    space = {**SPACE, "noise": 0.5}
    result = jaxhpt.search(task(valid_data=(X, Y)), space, trials=1, seeds=2, **QUICK)
    (trial,) = result.trials
    for r, state in enumerate(result.best_state):
        key = key_of(root_of(0), Stream.TRIAL, 0)
        own = init(jax.random.fold_in(jax.random.fold_in(key, 0), r), trial.hparams)
        for i in range(STEPS):
            mine = jax.random.fold_in(jax.random.fold_in(key, i + 1), r)
            own = step(own, _batch(i), trial.hparams, mine)
        np.testing.assert_allclose(state["w"], own["w"], rtol=1e-4, atol=1e-5)


def _batch(tick):
    order = jax.random.permutation(key_of(root_of(0), Stream.EPOCH, tick), jnp.arange(ROWS, dtype=jnp.int32))
    return X[order], Y[order]


def test_replay_and_best_state_are_lists_of_models(seeds):
    states, metrics = seeds.replay(seeds.best)
    assert len(states) == len(seeds.best_state) == 3
    np.testing.assert_allclose([s["w"] for s in states], [s["w"] for s in seeds.best_state], rtol=1e-4, atol=1e-6)
    assert metrics == pytest.approx(seeds.best.metrics, rel=1e-4)
    loaded = pickle.loads(pickle.dumps(seeds))
    np.testing.assert_array_equal(loaded.best_state[2]["w"], seeds.best_state[2]["w"])


def test_one_seed_is_a_plain_search(seeds):
    plain = jaxhpt.search(task(valid_data=(X, Y)), SPACE, trials=2, **QUICK)
    assert list(plain.best.metrics) == ["mse", "mae"]
    assert set(plain.best_state) == {"w"}


TIMES = 3
KINDS = {
    "k": KFold(3),
    "stratified": StratifiedKFold(2, labels=Y > 0),
    "grouped": GroupKFold(3, np.arange(ROWS) // 5),
    "time": TimeSeriesSplit(3),
    "holdout": Holdout(0.25),
}


@pytest.mark.parametrize("kind", KINDS)
def test_folds_equal_a_loop_by_hand(kind):
    folds = KINDS[kind]
    result = jaxhpt.search(task(), SPACE, trials=2, folds=folds, **QUICK)
    split = folds.split(ROWS)
    for trial in result.trials:
        marks = [(np.flatnonzero(split.train[:, f]), np.flatnonzero(split.valid[:, f])) for f in range(folds.num)]
        found = [by_hand(trial.id, f, trial.hparams["lr"], *rows) for f, rows in enumerate(marks)]
        np.testing.assert_allclose(trial.metrics["mse"], np.mean([one[1] for one in found]), rtol=1e-4)
        if folds.num > 1:
            np.testing.assert_allclose(trial.metrics["mse_std"], np.std([one[1] for one in found], ddof=1), rtol=1e-3)
        assert ("mse_std" in trial.metrics) == (folds.num > 1)


def test_seeds_and_folds_combine():
    folds = KFold(2)
    result = jaxhpt.search(task(), SPACE, trials=2, folds=folds, seeds=2, reduce="worst", **QUICK)
    split = folds.split(ROWS)
    for trial in result.trials:
        marks = [np.flatnonzero(split.train[:, f]) for f in range(2)]
        found = [by_hand(trial.id, r, trial.hparams["lr"], marks[r % 2], marks[1 - r % 2])[1] for r in range(4)]
        np.testing.assert_allclose(trial.metrics["mse"], np.max(found), rtol=1e-4)
        np.testing.assert_allclose(trial.metrics["mse_mean"], np.mean(found), rtol=1e-4)
    assert len(result.best_state) == 4


def test_a_minibatch_counts_its_rows_of_the_fold_alone():
    """Equal to a loop that takes the same batches and drops the rows of the fold, a step without rows skipped."""
    size, folds = 2, KFold(2)
    own = task(batch_size=size, steps=12)
    result = jaxhpt.search(own, SPACE, trials=1, folds=folds, **QUICK)
    split, lr = folds.split(ROWS), result.best.hparams["lr"]
    order = np.asarray(_order(0))
    skipped = 0
    for fold, state in enumerate(result.best_state):
        key = jax.random.fold_in(key_of(root_of(0), Stream.TRIAL, 0), 0)
        w = np.asarray(jax.random.normal(jax.random.fold_in(key, fold), (3,)), np.float64)
        for i in range(12):
            rows = [row for row in order[i * size : (i + 1) * size] if split.train[row, fold]]
            skipped += not rows
            if rows:
                w = w - lr * 2 * X[rows].T @ (X[rows] @ w - Y[rows]) / len(rows)
        np.testing.assert_allclose(state["w"], w, rtol=1e-4, atol=1e-5)
    assert skipped


def _order(epoch):
    return jax.random.permutation(key_of(root_of(0), Stream.EPOCH, epoch), jnp.arange(ROWS, dtype=jnp.int32))


def test_a_batch_size_to_be_tuned_goes_with_folds():
    space = {**SPACE, "batch_size": jaxhpt.Choice([4, 8])}
    result = jaxhpt.search(task(batch_size=None), space, trials=2, folds=KFold(2), **QUICK)
    for trial in result.trials:
        assert np.isfinite(trial.value)
        assert result.replay(trial)[1] == pytest.approx(trial.metrics, rel=1e-3)


REDUCED = {
    ("bound", "min"): lambda v: np.mean(v) + np.std(v, ddof=1) / np.sqrt(len(v)),
    ("bound", "max"): lambda v: np.mean(v) - np.std(v, ddof=1) / np.sqrt(len(v)),
    ("worst", "min"): np.max,
    ("worst", "max"): np.min,
    ("mean", "max"): np.mean,
}


@pytest.mark.parametrize("how", REDUCED, ids="-".join)
def test_reductions(how):
    reduce, direction = how

    def function(h, key):
        return {"a": h["x"] + jax.random.normal(key), "b": h["x"]}

    given = {"objective": "a", "direction": direction, "trials": 3, "progress": False, "algorithm": "random"}
    search = jaxhpt.minimize if direction == "min" else jaxhpt.maximize
    result = search(function, {"x": jaxhpt.Float(0, 1)}, seeds=4, reduce=reduce, **given)
    for trial in result.trials:
        keys = [
            jax.random.fold_in(jax.random.fold_in(key_of(root_of(0), Stream.TRIAL, trial.id), 1), r) for r in range(4)
        ]
        values = [trial.hparams["x"] + float(jax.random.normal(key)) for key in keys]
        assert trial.value == pytest.approx(REDUCED[how](values), rel=1e-4, abs=1e-5)
        assert trial.metrics["b"] == pytest.approx(trial.hparams["x"])
        assert trial.metrics["b_std"] < 1e-6
        assert ("a_mean" in trial.metrics) == (reduce != "mean")
        assert "b_mean" not in trial.metrics


def test_a_bare_number_and_bounds_on_spreads():
    def noisy(h, key):
        return h["x"] * jax.random.normal(key)

    bounds = {"score_std": ("<=", 0.5)}
    result = jaxhpt.minimize(noisy, {"x": jaxhpt.Float(0, 3)}, trials=8, seeds=3, constraints=bounds, progress=False)
    assert [trial.feasible for trial in result.trials] == [t.metrics["score_std"] <= 0.5 for t in result.trials]
    assert result.objectives[0].name == "score"
    assert result.best.feasible
    for reduce in ("worst", "bound"):
        options = {"trials": 2, "seeds": 3, "constraints": bounds, "reduce": reduce, "progress": False}
        assert set(jaxhpt.minimize(noisy, {"x": jaxhpt.Float(0, 3)}, **options).best.metrics) == {
            "score",
            "score_mean",
            "score_std",
        }


def test_a_bounded_metric_is_worst_by_its_bound():
    def function(h, key):
        return {"loss": h["x"], "size": jax.random.normal(key), "speed": jax.random.normal(key)}

    bounds = {"size": ("<=", 9.0), "speed": (">=", -9.0)}
    options = {"objective": "loss", "constraints": bounds, "trials": 2, "seeds": 3, "reduce": "worst"}
    result = jaxhpt.minimize(function, {"x": jaxhpt.Float(0, 3)}, progress=False, **options)
    for trial in result.trials:
        metrics = trial.metrics
        assert metrics["speed"] < metrics["speed_mean"] == metrics["size_mean"] < metrics["size"]


def test_not_a_number_in_one_model_fails_the_trial():
    def function(h, key):
        bad = (h["x"] > 0.5) & (jax.random.uniform(key) < 0.5)
        return {"loss": jnp.where(bad, jnp.nan, h["x"]), "other": h["x"]}

    options = {"objective": "loss", "trials": 16, "seeds": 4, "algorithm": "random", "progress": False}
    for reduce in ("mean", "worst", "bound"):
        result = jaxhpt.minimize(function, {"x": jaxhpt.Float(0, 1)}, reduce=reduce, **options)
        assert {t.status for t in result.trials if t.hparams["x"] < 0.5} == {"done"}
        assert sum(t.status == "failed" for t in result.trials if t.hparams["x"] > 0.5) >= 4


def test_weights_that_are_not_finite_in_one_model_fail_the_trial():
    def broken(key, h):
        return {"w": jnp.where(jax.random.uniform(key) < 0.3, jnp.inf, 1.0) * h["lr"]}

    job = jaxhpt.Task(
        broken,
        lambda state, batch, h, key: state,
        lambda state, data, h: jnp.minimum(state["w"], 1.0),
        weights=lambda state: state["w"],
        steps=1,
    )
    result = jaxhpt.search(job, SPACE, trials=16, seeds=3, **QUICK)
    assert 4 <= result.stats.failed <= 15


@pytest.mark.parametrize("scheduler", ["asha", "pbt", "median_stop"])
def test_schedulers_stop_and_copy_trials_of_several_models(scheduler):
    own = task(steps=27, batch_size=8)
    result = jaxhpt.search(own, SPACE, trials=16, lanes=8, folds=KFold(2), scheduler=scheduler, **QUICK)
    assert result.stats.trials == 16
    assert result.stats.failed == 0
    for trial in (result.best, result.trials[-1]):
        assert result.replay(trial)[1] == pytest.approx(trial.metrics, rel=1e-3)
    assert any(t.status == "stopped" for t in result.trials)


def test_structures_have_models_of_their_own():
    def wide(key, h):
        return {"w": jax.random.normal(key, (3,)), "unused": jnp.zeros(h["width"])}

    def wide_step(state, batch, h, key):
        return {**step({"w": state["w"]}, batch, h, key), "unused": state["unused"]}

    job = jaxhpt.Task(wide, wide_step, evaluate, train_data=(X, Y), batch_size=ROWS, steps=STEPS, objective="mse")
    space, folds = {**SPACE, "width": jaxhpt.Choice([1, 2], structural=True)}, KFold(2)
    result = jaxhpt.search(job, space, trials=4, lanes=2, folds=folds, **QUICK)
    split = folds.split(ROWS)
    assert {state["unused"].shape for state in result.best_state} == {(result.best.hparams["width"],)}
    for trial in result.trials:
        marks = [np.flatnonzero(split.train[:, f]) for f in range(2)]
        found = [by_hand(trial.id, f, trial.hparams["lr"], marks[f], marks[1 - f])[1] for f in range(2)]
        np.testing.assert_allclose(trial.metrics["mse"], np.mean(found), rtol=1e-4)


class Net(nn.Module):
    """A net with BatchNorm, which must see the rows of its fold alone."""

    @nn.compact
    def __call__(self, x, train):
        return nn.Dense(2)(nn.BatchNorm(use_running_average=not train, momentum=0.5)(x))


LABELS = (Y > 0).astype(np.int32)


def test_flax_tasks_equal_a_loop_by_hand():
    own = jaxhpt.FlaxTask(Net(), lambda h: optax.sgd(h["lr"]), train_data=(X, LABELS), batch_size=ROWS, steps=STEPS)
    folds = StratifiedKFold(3)
    result = jaxhpt.search(own, SPACE, trials=1, folds=folds, **QUICK)
    split, losses, hits = folds.split(ROWS, LABELS), [], []
    for fold in range(3):
        train, valid = np.flatnonzero(split.train[:, fold]), np.flatnonzero(split.valid[:, fold])
        key = jax.random.fold_in(jax.random.fold_in(key_of(root_of(0), Stream.TRIAL, 0), 0), fold)
        variables = Net().init(jax.random.fold_in(key, 0), X[:1], train=False)
        params, extra = variables["params"], variables["batch_stats"]

        def loss(params, extra, train=train):
            outputs, kept = Net().apply({"params": params, "batch_stats": extra}, X[train], True, mutable="batch_stats")
            return optax.softmax_cross_entropy_with_integer_labels(outputs, LABELS[train]).mean(), kept

        for _ in range(STEPS):
            gradient, kept = jax.grad(loss, has_aux=True)(params, extra)
            params = jax.tree.map(lambda p, g: p - result.best.hparams["lr"] * g, params, gradient)
            extra = kept["batch_stats"]
        outputs = Net().apply({"params": params, "batch_stats": extra}, X[valid], False)
        losses.append(float(optax.softmax_cross_entropy_with_integer_labels(outputs, LABELS[valid]).mean()))
        hits.append(float((outputs.argmax(1) == LABELS[valid]).mean()))
    assert result.best.metrics["loss"] == pytest.approx(np.mean(losses), rel=1e-4)
    assert result.best.metrics["accuracy"] == pytest.approx(np.mean(hits), rel=1e-5)
    assert result.best.metrics["loss_std"] == pytest.approx(np.std(losses, ddof=1), rel=1e-3)
    variables = result.best_state[1]
    assert Net().apply(variables, X, False).shape == (ROWS, 2)


def test_metrics_of_all_rows_take_weights():
    """The coefficient of determination of our own, and a metric of the user's that asks for the weights."""

    def bias(outputs, targets, weights=None):
        error = outputs[:, 0] - targets
        return jnp.mean(error) if weights is None else jnp.sum(error * weights)

    own = jaxhpt.FlaxTask(
        nn.Dense(1),
        lambda h: optax.sgd(h["lr"]),
        loss="mse",
        metrics={"bias": bias},
        train_data=(X, Y),
        batch_size=8,
        steps=STEPS,
    )
    folds = KFold(3)
    result = jaxhpt.search(own, SPACE, trials=1, folds=folds, **QUICK)
    split, r2s, biases = folds.split(ROWS), [], []
    for fold, variables in enumerate(result.best_state):
        valid = split.valid[:, fold]
        outputs, targets = np.asarray(nn.Dense(1).apply(variables, X[valid]))[:, 0], Y[valid]
        r2s.append(1 - np.sum((outputs - targets) ** 2) / np.sum((targets - targets.mean()) ** 2))
        biases.append(np.mean(outputs - targets))
    assert result.best.metrics["r2"] == pytest.approx(np.mean(r2s), rel=1e-3)
    assert result.best.metrics["bias"] == pytest.approx(np.mean(biases), rel=1e-3, abs=1e-5)


def test_a_reshuffled_split_is_new_each_event_and_the_same_for_all_that_begin_at_it():
    """The state knows its rows: a model of one number, the sum of the rows that it was trained on."""

    def count(state, batch, h, key):
        return state + jnp.where(batch.weights > 0, 2.0**batch.data, 0.0).sum()

    def measure(state, data, h):
        return {"trained": state, "valid": jnp.where(data.weights > 0, 2.0**data.data, 0.0).sum()}

    rows = np.arange(12.0, dtype=np.float32)
    job = jaxhpt.Task(
        lambda key, h: jnp.float32(0) * h["lr"],
        count,
        measure,
        train_data=rows,
        batch_size=12,
        steps=1,
        objective="valid",
        direction="min",
    )
    given = {"trials": 8, "lanes": 4, "folds": Holdout(0.25), "reshuffle": True, "execution": "split"}
    result = jaxhpt.search(job, SPACE, **given, **QUICK)
    masks = [int(t.metrics["valid"]) for t in result.trials]
    assert len(set(masks[:4])) == len(set(masks[4:])) == 1
    assert masks[0] != masks[4]
    for trial in result.trials:
        assert trial.metrics["trained"] + trial.metrics["valid"] == 2**12 - 1
        assert bin(int(trial.metrics["valid"])).count("1") == 3
        assert result.replay(trial)[1] == trial.metrics


def _flax(**options):
    given = {"train_data": (X, LABELS), **options}
    return jaxhpt.FlaxTask(nn.Dense(2), lambda h: optax.sgd(h["lr"]), steps=2, **given)


def _unpacks(state, data, h):
    x, y = data
    return jnp.mean((x @ state["w"] - y) ** 2)


def _loop(key, tick):
    return X, Y


ERRORS = {
    r"seeds=0: must be at least 1": lambda: (task(), {"seeds": 0}),
    r"folds=5: must be folds such as jaxhpt\.KFold\(5\)": lambda: (task(), {"folds": 5}),
    r"reshuffle=1: must be True or False": lambda: (task(), {"folds": KFold(2), "reshuffle": 1}),
    r"reshuffle=True: there is no split to draw anew": lambda: (task(), {"reshuffle": True}),
    r"reshuffle=True: TimeSeriesSplit": lambda: (task(), {"folds": TimeSeriesSplit(2), "reshuffle": True}),
    r"reduce='median': must be one of 'mean', 'worst', 'bound'": lambda: (task(), {"seeds": 2, "reduce": "median"}),
    r"reduce='worst': there is one model a trial": lambda: (task(valid_data=(X, Y)), {"reduce": "worst"}),
    r"folds and valid_data: what valid_data gives": lambda: (task(valid_data=(X, Y)), {"folds": KFold(2)}),
    r"folds and batches: what batches gives cannot": lambda: (
        task(train_data=None, batch_size=None, batches=_loop),
        {"folds": KFold(2)},
    ),
    r"folds: there is no train_data to split": lambda: (
        task(train_data=None, batch_size=None),
        {"folds": KFold(2)},
    ),
    r"at most 24 folds, one for each row": lambda: (task(), {"folds": KFold(25)}),
    r"StratifiedKFold needs the class of each row": lambda: (task(), {"folds": StratifiedKFold(2)}),
    r"folds labels: of shape \(24, 2\)": lambda: (
        _flax(train_data=(X, np.eye(2, dtype=np.float32)[LABELS])),
        {"folds": StratifiedKFold(2)},
    ),
    r"batch is a jaxhpt.Batch, as .* the search has folds": lambda: (
        jaxhpt.Task(init, step, _unpacks, train_data=(X, Y), steps=2),
        {"folds": KFold(2)},
    ),
    r"metrics\['all'\]: returned an array of shape \(\) for 24 rows; with folds": lambda: (
        _flax(metrics={"all": lambda outputs, targets: jnp.float32(1)}),
        {"folds": KFold(2)},
    ),
    r"evaluate metric 'mse_std': is the name of what replicas tell": lambda: (
        jaxhpt.Task(
            init, step, lambda *a: {**evaluate(*a), "mse_std": 1.0}, train_data=(X, Y), valid_data=(X, Y), steps=2
        ),
        {"seeds": 2},
    ),
    r"init=.*: must take \(key, hparams": lambda: (
        jaxhpt.Task(lambda key: 0.0, step, evaluate, train_data=(X, Y), valid_data=(X, Y)),
        {"seeds": 2},
    ),
    r"train_step changes the leaf 'w' of its state": lambda: (
        jaxhpt.Task(init, lambda s, b, h, k: {"w": s["w"][:2]}, evaluate, valid_data=(X, Y), steps=2),
        {"seeds": 2},
    ),
    r"search has no argument 'n_splits'; it is called 'folds' here": lambda: (task(), {"n_splits": 2}),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_are_early_and_name_the_remedy(message):
    job, options = ERRORS[message]()
    with pytest.raises((ValueError, TypeError), match=message):
        jaxhpt.search(job, SPACE, trials=2, **options, **QUICK)
