"""What FlaxTask takes: losses, metrics and batches that read hyperparameters, and clear errors for all else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx

import jaxhpt
from jaxhpt.training.signatures import takes_hparams, with_hparams

X = np.random.default_rng(0).normal(size=(24, 4)).astype(np.float32)
Y = np.arange(24, dtype=np.int32) % 3
DATA = {"train_data": (X, Y), "valid_data": (X, Y)}
USUAL = ("outputs", "targets")
KEY = jax.eval_shape(lambda: jax.random.key(0))


def sgd(h):
    return optax.sgd(h["lr"])


def smoothed(outputs, targets, hparams):
    labels = optax.smooth_labels(jax.nn.one_hot(targets, 3), hparams["smoothing"])
    return optax.softmax_cross_entropy(outputs, labels)


def hit(outputs, targets):
    return outputs.argmax(-1) == targets


def trace(task, hparams):
    state = jax.eval_shape(task.init, KEY, hparams)
    batch = task.train_data
    if batch is None:
        batch = jax.eval_shape(task.batches, KEY, jax.ShapeDtypeStruct((), jnp.int32))
    jax.eval_shape(task.step, state, batch, hparams, KEY)
    return jax.eval_shape(task.evaluate, state, task.valid_data, hparams)


def make(model=None, optimizer=sgd, **options):
    return jaxhpt.FlaxTask(nn.Dense(3) if model is None else model, optimizer, **{**DATA, **options})


TAKING = [
    lambda outputs, targets, h: 0,
    lambda o, t, gamma: 0,
    lambda o, t, hparams=None: 0,
    lambda o, t, *, hparams: 0,
    lambda o, t, *, h=None: 0,
    lambda o, t, axis=-1, *, h: 0,
    functools.partial(lambda scale, o, t, h: 0, 2.0),
]
NOT_TAKING = [
    lambda o, t: 0,
    lambda o, t, gamma=2.0: 0,
    lambda o, t=None, delta=1.0: 0,
    lambda o, t, **options: 0,
    optax.huber_loss,
    optax.softmax_cross_entropy_with_integer_labels,
    jax.jit(lambda o, t: 0),
]
UNCLEAR = [
    lambda o: 0,
    lambda: 0,
    lambda *args: 0,
    lambda o, t, a, b: 0,
    lambda o, t, a, h: 0,
    lambda h, o, t: 0,
    lambda o, t, *, temperature: 0,
    lambda o, t, h, *, hparams: 0,
    optax.l2_loss(jnp.ones(3)),
    type("Loss", (), {}),
]


@pytest.mark.parametrize("function", TAKING)
def test_a_third_argument_or_one_by_name_asks_for_the_hyperparameters(function):
    assert takes_hparams("loss", function, USUAL)
    assert with_hparams("loss", function, USUAL)(1, 2, 3) == 0


@pytest.mark.parametrize("function", NOT_TAKING)
def test_two_arguments_and_others_with_defaults_do_not(function):
    assert not takes_hparams("loss", function, USUAL)


def test_hyperparameters_arrive_where_they_were_asked_for():
    for function in (lambda o, t, h: (o, t, h), lambda o, t, *, hparams: (o, t, hparams), lambda o, t, x: (o, t, x)):
        assert with_hparams("loss", function, USUAL)(1, 2, 3) == (1, 2, 3)
    assert with_hparams("loss", lambda o, t, gamma=7: (o, t, gamma), USUAL)(1, 2, 3) == (1, 2, 7)


@pytest.mark.parametrize("function", UNCLEAR)
def test_other_arguments_are_an_error_that_says_what_is_expected(function):
    message = r"must be a function \(outputs, targets\) or \(outputs, targets, hparams\)"
    with pytest.raises(TypeError, match=rf"loss.*{message}"):
        takes_hparams("loss", function, USUAL)
    with pytest.raises(TypeError, match=rf"metrics\['mine'\].*{message}"):
        make(metrics={"mine": function})


def test_the_smoothing_of_labels_is_tuned_and_changes_the_weights():
    space = {"lr": 0.5, "smoothing": jaxhpt.Choice([0.0, 0.9])}
    task = make(loss=smoothed, metrics={"accuracy": hit}, objective="accuracy", steps=20, batch_size=8)
    result = jaxhpt.search(task, space, algorithm="grid", progress=False)
    assert set(result.best.metrics) == {"accuracy", "loss"}
    sizes = {}
    for trial in result.trials:
        params = result.replay(trial)[0]["params"]
        sizes[trial.hparams["smoothing"]] = float(jnp.abs(params["kernel"]).mean())
        outputs = X @ np.asarray(params["kernel"]) + np.asarray(params["bias"])
        expected = smoothed(outputs, Y, trial.hparams).mean()
        assert trial.metrics["loss"] == pytest.approx(float(expected), rel=1e-4)
        assert trial.metrics["accuracy"] == pytest.approx(float((outputs.argmax(-1) == Y).mean()), abs=1e-6)
    assert sizes[0.0] != pytest.approx(sizes[0.9], rel=1e-2)


def test_a_loss_that_moves_with_hyperparameters_is_not_what_is_optimised_unless_said():
    with pytest.warns(UserWarning, match="cannot be compared between trials"):
        task = make(loss=smoothed)
    assert task.objective == "loss"
    assert make(loss=smoothed, objective="loss").objective == "loss"
    with pytest.raises(ValueError, match=r"several metrics; choose one of \['accuracy', 'loss'\]"):
        jaxhpt.search(
            make(loss=smoothed, metrics={"accuracy": hit}),
            {"lr": jaxhpt.Float(0.1, 1), "smoothing": jaxhpt.Float(0, 1)},
            progress=False,
        )


def test_a_metric_may_read_hyperparameters():
    task = make(metrics={"scaled": lambda outputs, targets, h: jnp.full(24, h["lr"] * 2)})
    hparams = {"lr": jnp.float32(0.25)}
    state = task.init(jax.random.key(0), hparams)
    assert float(task.evaluate(state, DATA["valid_data"], hparams)["scaled"]) == 0.5


def test_the_strength_of_an_augmentation_is_tuned_on_batches_that_share_their_key():
    seen = X[:8]

    def batches(key, tick, h):
        return seen + h["noise"] * jax.random.normal(key, (8, 4)), seen.sum(1)

    task = jaxhpt.FlaxTask(
        nn.Dense(1), lambda h: optax.sgd(0.1), loss="mse", batches=batches, valid_data=(X, X.sum(1)), steps=30
    )
    result = jaxhpt.search(task, {"noise": jaxhpt.Choice([0.0, 3.0])}, algorithm="grid", progress=False)
    found = {trial.hparams["noise"]: trial.metrics["mse"] for trial in result.trials}
    assert found[0.0] < 0.2 < found[3.0]


def test_batches_with_hyperparameters_are_what_the_function_makes():
    def batches(key, tick, hparams):
        return hparams["lr"] * jnp.ones((2, 4)) * tick, jnp.zeros(2, jnp.int32)

    task = make(train_data=None, batches=batches)
    plain = make(train_data=None, batches=lambda key, tick: batches(key, tick, {"lr": 0.5}))
    hparams, key = {"lr": jnp.float32(0.5)}, jax.random.key(3)
    state = task.init(jax.random.key(0), hparams)
    ends = [t.step(state, t.batches(key, jnp.int32(7)), hparams, key)["params"] for t in (task, plain)]
    jax.tree.map(np.testing.assert_array_equal, *ends)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 3}, "no argument 'epochs'; put \"epochs\" into the space.*or give steps="),
        ({"lr": 0.1}, r"no argument 'lr'; put .*h\[\"lr\"\]"),
        ({"optimiser": sgd, "optimizer": None}, "no argument 'optimiser'; did you mean 'optimizer'"),
        ({"batchsize": 8}, "no argument 'batchsize'; did you mean 'batch_size'"),
        ({"metric": {}}, "no argument 'metric'; did you mean 'metrics'"),
        ({"export": sgd}, "no argument 'export'"),
        ({"metrics": ["accuracy"]}, "metrics=.*must be a dict"),
        ({"metrics": {"accuracy": "accuracy"}}, r"metrics\['accuracy'\]='accuracy': must be a function"),
        ({"loss": 3}, "loss=3: must be a name"),
        ({"optimizer": None}, "optimizer=None: must be a function"),
        ({"optimizer": optax.adam}, "optimizer=adam: must be a function"),
        ({"optimizer": lambda: optax.adam(0.1)}, r"optimizer: takes \(\); must be a function"),
        ({"optimizer": lambda h, x: optax.adam(0.1)}, r"optimizer: takes \(h, x\)"),
        ({"model": nn.Dense}, "must be a linen module, a function"),
        ({"model": lambda: nn.Dense(3)}, r"takes \(\); must be a linen module"),
        ({"model": lambda a, b, c: 0}, r"takes \(a, b, c\)"),
        ({"batches": lambda key: 0, "train_data": None}, r"batches: takes \(key\).*\(key, tick, hparams\)"),
        ({"batches": 5, "train_data": None}, "batches=5: must be a function"),
    ],
)
def test_wrong_arguments_are_refused_at_once(options, message):
    with pytest.raises(TypeError, match=message):
        make(**options)


def of(outputs, targets):
    return outputs


class Two(nn.Module):
    @nn.compact
    def __call__(self, x):
        out = nn.Dense(3)(x)
        return {"mean": out, "spread": out}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": lambda o, t: jnp.mean(o**2)}, r"loss: returned an array of shape \(\) for 24 rows.*drop the mean"),
        ({"loss": lambda o, t: o.ravel()}, r"loss: .*one value a row, \[24\].*keep the rows apart"),
        ({"loss": hit}, "loss: returned bool; must return floats"),
        ({"loss": lambda o, t: None}, "loss: returned NoneType"),
        ({"metrics": {"m": lambda o, t: {"a": o}}}, r"metrics\['m'\]: returned dict"),
        ({"metrics": {"m": lambda o, t: jnp.fft.fft(o)}}, r"metrics\['m'\]: returned complex64"),
        ({"model": Two()}, r"model: returned a dict of \['mean', 'spread'\]; a loss by name takes one array"),
        ({"model": lambda h: Two}, "returned the class Two, not an instance; must be a linen module"),
        ({"model": lambda h: nnx.Linear(4, 3, rngs=nnx.Rngs(0))}, "a function of hparams alone returned an nnx module"),
        ({"model": lambda h, rngs: nn.Dense(3)}, "a function of hparams and rngs returned a linen module"),
        ({"optimizer": lambda h: h["lr"]}, r"optimizer: returned .*; must return an optax optimiser"),
        ({"optimizer": lambda h: optax.adam}, "optimizer: returned function; must return an optax optimiser"),
        ({"batches": lambda key, tick: jnp.ones(3), "train_data": None}, "batches: returned .*; must return a pair"),
        ({"batches": lambda key, tick, h: {"x": 1}, "train_data": None}, "batches: returned dict; must return a pair"),
    ],
)
def test_what_functions_return_is_checked_before_anything_is_compiled(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        trace(make(**options), {"lr": jnp.float32(0.1)})


def test_metrics_of_any_real_dtype_are_float32():
    metrics = {"hits": lambda o, t: jnp.sum(hit(o, t)), "all": lambda o, t: jnp.all(hit(o, t)), "three": lambda o, t: 3}
    found = trace(make(metrics={**metrics, "hit": hit}), {"lr": jnp.float32(0.1)})
    assert {(leaf.dtype, leaf.shape) for leaf in jax.tree.leaves(found)} == {(jnp.dtype(jnp.float32), ())}
    task, hparams = make(metrics=metrics), {"lr": jnp.float32(0.1)}
    state = task.init(jax.random.key(0), hparams)
    values = task.evaluate(state, DATA["valid_data"], hparams)
    assert float(values["hits"]) == round(24 * float(values["accuracy"]))
    assert float(values["three"]) == 3.0


def test_models_of_several_outputs_are_for_losses_of_ones_own(monkeypatch):
    monkeypatch.setattr("jaxhpt.training.flax_trainer.VALID_CHUNK", 10)
    task = make(Two(), loss=lambda o, t: o["mean"][:, 0] ** 2 + o["spread"][:, 1] ** 2)
    hparams = {"lr": jnp.float32(0.1)}
    state = task.init(jax.random.key(0), hparams)
    outputs = Two().apply({"params": state["params"]}, X)
    expected = jnp.mean(outputs["mean"][:, 0] ** 2 + outputs["spread"][:, 1] ** 2)
    assert float(task.evaluate(state, (X, Y), hparams)["loss"]) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        lambda h, *, rngs: nnx.Linear(4, 3, rngs=rngs),
        lambda h, rngs=None: nnx.Linear(4, 3, rngs=rngs),
        lambda h, r: nnx.Linear(4, 3, rngs=r),
        lambda h, width=3: nn.Dense(width),
    ],
)
def test_models_are_told_apart_by_what_they_need(model):
    assert trace(make(model), {"lr": jnp.float32(0.1)})["loss"].shape == ()


def test_the_weights_are_the_part_that_must_stay_finite():
    task = make()
    state = task.init(jax.random.key(0), {"lr": jnp.float32(0.1)})
    assert set(state) == {"params", "extra", "opt"}
    assert task.trainer.weights(state) is state["params"]


def test_new_data_of_another_width_make_another_model():
    narrow = (X[:, :2], Y)
    result = jaxhpt.search(
        make(steps=2), {"lr": jaxhpt.Float(0.1, 1)}, train_data=narrow, valid_data=narrow, trials=2, progress=False
    )
    assert result.best_state["params"]["kernel"].shape == (2, 3)


def test_a_loss_whose_rows_all_meet_each_other_is_refused():
    x = np.ones((32, 4), np.float32)
    task = lambda **options: jaxhpt.FlaxTask(  # noqa: E731
        nn.Dense(1), lambda h: optax.sgd(h["lr"]), train_data=(x, x[:, 0]), valid_data=(x, x[:, 0]), steps=1, **options
    )
    search = lambda task: jaxhpt.search(  # noqa: E731
        task, {"lr": jaxhpt.Float(0.1, 1)}, algorithm="random", trials=1, progress=False
    )
    with pytest.raises(ValueError, match=r"loss: returned \(32, 32\).*each row meets each other row"):
        search(task(loss=lambda outputs, targets: (outputs - targets) ** 2))
    with pytest.raises(ValueError, match=r"metrics\['m'\]: returned \(32, 32\)"):
        search(task(loss="mse", metrics={"m": lambda outputs, targets: abs(outputs - targets)}))
