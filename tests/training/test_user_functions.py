"""The user's functions in a search: changes are seen, equal ones compile nothing, and nothing outlives the result."""

import argparse
import gc
import subprocess
import sys
import types
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from flax.training.train_state import TrainState

import jaxhpt
from jaxhpt import Choice, Float

SPACE = {"x": Float(0, 4)}
SETTINGS = {"algorithm": "random", "trials": 64, "progress": False}
TARGET = 1.0


def best(function, **options):
    return jaxhpt.minimize(function, SPACE, **{**SETTINGS, **options}).best.hparams["x"]


def of_module(h, key):
    return (h["x"] - TARGET) ** 2


class Objective:
    target = 1.0

    def __call__(self, h, key):
        return (h["x"] - self.target) ** 2

    def method(self, h, key):
        return (h["x"] - self.target) ** 2


def namespace():
    args = argparse.Namespace(target=1.0)
    return (lambda h, key: (h["x"] - args.target) ** 2), lambda: setattr(args, "target", 3.0)


def array_in_place():
    array = np.array([1.0], np.float32)
    return (lambda h, key: (h["x"] - array[0]) ** 2), lambda: array.fill(3.0)


def whole_array():
    array = np.array([1.0], np.float32)
    return (lambda h, key: ((h["x"] - array) ** 2).sum()), lambda: array.fill(3.0)


def module_attribute():
    module = types.ModuleType("config")
    module.target = 1.0
    return (lambda h, key: (h["x"] - module.target) ** 2), lambda: setattr(module, "target", 3.0)


def called_object():
    held = Objective()
    return held, lambda: setattr(held, "target", 3.0)


def bound_method():
    held = Objective()
    return held.method, lambda: setattr(held, "target", 3.0)


def the_users_jit():
    args = argparse.Namespace(target=1.0)
    inner = jax.jit(lambda x: (x - args.target) ** 2)
    return (lambda h, key: inner(h["x"])), lambda: setattr(args, "target", 3.0)


def dict_entry():
    held = {"targets": [1.0]}
    return (lambda h, key: (h["x"] - held["targets"][0]) ** 2), lambda: held["targets"].__setitem__(0, 3.0)


def global_name():
    return of_module, lambda: globals().__setitem__("TARGET", 3.0)


@pytest.mark.parametrize(
    "make",
    [
        namespace,
        array_in_place,
        whole_array,
        module_attribute,
        called_object,
        bound_method,
        the_users_jit,
        dict_entry,
        global_name,
    ],
)
def test_a_change_is_seen_by_the_next_search(make):
    function, change = make()
    assert best(function) == pytest.approx(1.0, abs=0.1)
    change()
    try:
        assert best(function) == pytest.approx(3.0, abs=0.1)
    finally:
        globals()["TARGET"] = 1.0


def test_a_rebuilt_closure_over_other_arrays_compiles_nothing_and_is_right(compilations):
    def search(target):
        array = np.full(1000, target, np.float32)
        return best(lambda h, key: ((h["x"] - array) ** 2).mean())

    assert search(1.0) == pytest.approx(1.0, abs=0.1)
    with compilations() as seen:
        assert search(3.0) == pytest.approx(3.0, abs=0.1)
    assert seen == []


def nnx_task(width, x, y):
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first, self.last = nnx.Linear(4, width, rngs=rngs), nnx.Linear(width, 2, rngs=rngs)

        def __call__(self, x):
            return self.last(nnx.relu(self.first(x)))

    return jaxhpt.FlaxTask(
        lambda h, rngs: Net(rngs), lambda h: optax.adam(h["x"] + 1e-3), train_data=(x, y), valid_data=(x, y), steps=3
    )


def test_a_rebuilt_net_on_other_data_compiles_nothing_and_a_wider_one_does(compilations):
    def search(width, seed):
        x = np.random.default_rng(seed).normal(size=(64, 4)).astype(np.float32)
        task = nnx_task(width, x, (x[:, 0] > 0).astype(np.int32))
        return jaxhpt.search(task, SPACE, **{**SETTINGS, "trials": 4})

    first = search(4, 0)
    with compilations() as seen:
        second = search(4, 1)
    assert seen == []
    assert first.best.value != second.best.value
    with compilations() as seen:
        search(8, 0)
    assert seen


def test_nothing_of_a_search_outlives_its_result():
    class Holder:
        def __init__(self):
            self.array = np.ones(100_000, np.float32)

    def search():
        holder = Holder()
        best(lambda h, key: (h["x"] * holder.array).mean(), trials=8)
        return weakref.ref(holder)

    alive = [search() for _ in range(3)]
    gc.collect()
    assert [ref() for ref in alive] == [None] * 3


def test_a_model_that_is_put_together_after_a_config_changed_is_warned_of():
    config = argparse.Namespace(activation=nnx.relu)

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.layer, self.activation = nnx.Linear(4, 2, rngs=rngs), config.activation

        def __call__(self, x):
            return self.activation(self.layer(x))

    x, y = np.ones((8, 4), np.float32), np.zeros(8, np.int32)
    task = jaxhpt.FlaxTask(
        lambda h, rngs: Net(rngs), lambda h: optax.sgd(h["x"]), train_data=(x, y), valid_data=(x, y), steps=1
    )
    first, second = (jaxhpt.search(task, SPACE, **{**SETTINGS, "trials": 2}) for _ in range(2))
    assert isinstance(first.best_state, Net)
    config.activation = nnx.tanh
    with pytest.warns(UserWarning, match="have changed since the search"):
        assert isinstance(second.best_state, Net)


def test_fifty_folds_do_not_grow():
    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20

    def search(fold):
        data = np.full(500_000, fold, np.float32)  # 2 MB, and 100 MB in all if it were kept
        best(lambda h, key: (h["x"] * data).mean(), trials=8)

    if sys.platform != "linux":
        pytest.skip("reads /proc")
    for fold in range(5):
        search(fold)
    gc.collect()
    before = resident()
    for fold in range(50):
        search(fold)
    gc.collect()
    assert resident() - before < 40


def test_a_state_that_carries_functions_compiles_once_and_is_let_go(compilations):
    alive = []

    def search():
        optimizer = optax.sgd(0.1)
        alive.append(weakref.ref(optimizer.update))

        def init(key, h):
            return TrainState.create(apply_fn=lambda w, x: w * x, params={"w": h["x"]}, tx=optimizer)

        def step(state, batch, h, key):
            return state.apply_gradients(grads={"w": 2 * state.params["w"]})

        result = jaxhpt.search(
            step, SPACE, init=init, evaluate=lambda s, d, h: s.params["w"] ** 2, direction="min", steps=2,
            **{**SETTINGS, "trials": 4},
        )  # fmt: skip
        assert isinstance(result.best_state, TrainState)
        assert float(result.best_state.params["w"]) == pytest.approx(0.64 * result.best.hparams["x"], rel=1e-5)

    search()
    with compilations() as seen:
        search()
    assert len(seen) <= 2  # of the lines above, which reckon with the state
    gc.collect()
    assert [ref() for ref in alive] == [None, None]


def test_choices_and_constants_of_a_space_are_let_go():
    class Held:
        def __call__(self, x):
            return x

    def search():
        held, constant = Held(), Held()
        space = {"act": Choice([held, jnp.sin]), "c": constant, "x": Float(0, 1)}
        jaxhpt.minimize(lambda h: h["x"] + h["act"], space, **{**SETTINGS, "algorithm": "genetic", "trials": 8})
        return weakref.ref(held), weakref.ref(constant)

    refs = search()
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


def test_other_constants_and_choices_of_as_many_values_compile_nothing_new(compilations):
    def search(names, constant):
        space = {"opt": names, "c": constant, "x": Float(0, 1)}
        result = jaxhpt.minimize(lambda h: h["x"] + h["opt"], space, **{**SETTINGS, "trials": 8})
        return {t.hparams["opt"] for t in result.trials}, result.best.hparams["c"]

    assert search(["sgd", "adam"], "one") == ({"sgd", "adam"}, "one")
    with compilations() as seen:
        assert search(["lion", "lamb"], "two") == ({"lion", "lamb"}, "two")
    assert seen == []


def test_a_value_that_is_only_kept_in_the_state_is_found_unread():
    def search(update):
        return jaxhpt.search(
            update, {"x": Float(0, 1), "y": Float(0, 1)}, init=lambda key, h: {"w": h["x"], "y": h["y"]},
            evaluate=lambda s, d, h: s["w"], direction="min", steps=2, **{**SETTINGS, "trials": 2},
        )  # fmt: skip

    with pytest.raises(ValueError, match="no function reads 'y'"):
        search(lambda s, batch, h, key: s)
    assert search(lambda s, batch, h, key: {"w": s["w"] + s["y"], "y": s["y"]}).best.status == "done"


FINGERPRINT = """
import numpy as np, optax, jaxhpt
from flax import linen as nn
from jaxhpt.engine.build import build
def fingerprint(bias):
    x, y = np.ones((8, 4), np.float32), np.zeros(8, np.int32)
    task = jaxhpt.FlaxTask(
        nn.Dense(2, use_bias=bias), lambda h: optax.adam(h["lr"]), train_data=(x, y), valid_data=(x, y), steps=2
    )
    space = jaxhpt.Space.of({"lr": jaxhpt.Float(0.1, 1)})
    return build(task, space, 2, jaxhpt.Random(), jaxhpt.RunToEnd()).program.pool.functions.fingerprint
"""


def test_the_fingerprint_is_the_same_in_another_process():
    here = {}
    exec(FINGERPRINT, here)
    code = FINGERPRINT + "print(fingerprint(True))"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert here["fingerprint"](True) == there != ""
    assert here["fingerprint"](False) != there


def test_evaluate_may_draw_random_numbers_and_says_the_same_again():
    noisy = {"init": lambda key, h: h["x"], "evaluate": lambda s, data, h, key: s + jax.random.normal(key), "steps": 1}
    result = jaxhpt.search(lambda s, batch, h, key: s, SPACE, direction="min", **noisy, **{**SETTINGS, "trials": 4})
    noise = [t.value - t.hparams["x"] for t in result.trials]
    assert len({round(n, 3) for n in noise}) == 4
    assert result.replay(2)[1]["score"] == pytest.approx(result.trials[2].value, abs=1e-5)


def test_arguments_with_defaults_keep_them_and_a_key_is_known_by_its_name():
    run = lambda f: jaxhpt.minimize(f, SPACE, **{**SETTINGS, "trials": 4}).best  # noqa: E731
    assert run(lambda h, verbose=False: h["x"] * (1.0 if verbose is False else 100.0)).value < 5
    assert run(lambda h, key=None: h["x"] * (100.0 if key is None else 1.0)).value < 5
    assert run(lambda *args: args[0]["x"] + 0 * jax.random.normal(args[1])).value < 5

    def search(evaluate):
        return jaxhpt.search(
            lambda s, batch, h, key: s, SPACE, init=lambda key, h: h["x"], evaluate=evaluate, direction="min", steps=1,
            **{**SETTINGS, "trials": 4},
        ).best  # fmt: skip

    assert search(lambda s, d, h, scale=1.0: s * scale).value < 5
    assert search(lambda *args: args[0] * len(args)).value < 15


def test_a_length_that_reads_a_changed_config_is_read_anew():
    config = argparse.Namespace(factor=3)
    steps = jax.jit(lambda h: h["n"] * config.factor)

    def search():
        return jaxhpt.search(
            lambda s, batch, h, key: s + 1, {"n": jaxhpt.Int(1, 4)}, init=lambda key, h: jnp.float32(0), steps=steps,
            evaluate=lambda s, d, h: s, direction="min", **{**SETTINGS, "trials": 4},
        )  # fmt: skip

    assert all(t.value == t.steps == 3 * t.hparams["n"] for t in search().trials)
    config.factor = 1
    assert all(t.value == t.steps == t.hparams["n"] for t in search().trials)


def test_a_black_box_may_do_without_a_key():
    result = jaxhpt.minimize(lambda h: (h["x"] - 1) ** 2, SPACE, **SETTINGS)
    assert result.best.hparams["x"] == pytest.approx(1.0, abs=0.1)


def test_counts_and_switches_are_metrics():
    step, init = (lambda s, batch, h, key: s + h["x"]), (lambda key, h: jnp.float32(0))
    evaluate = lambda s, data, h: {"error": (s > 2).astype(jnp.int32), "big": s > 3}  # noqa: E731
    result = jaxhpt.search(step, SPACE, init=init, evaluate=evaluate, steps=1, objective="error", **SETTINGS)
    for trial in result.trials:
        assert trial.metrics == {"error": trial.hparams["x"] > 2, "big": trial.hparams["x"] > 3}


@pytest.mark.parametrize("options", [{}, {"weights": lambda s: s["w"]}])
def test_a_trial_whose_weights_are_nan_has_failed(options):
    result = diverging(**options)
    bad = {t.id for t in result.trials if t.hparams["x"] > 2}
    assert {t.id for t in result.trials if t.status == "failed"} == bad
    assert result.stats.failed == len(bad) > 0
    assert result.best.hparams["x"] <= 2
    assert all(np.isnan(result.trials[i].value) for i in bad)


def test_weights_are_not_looked_at_where_that_is_not_wanted():
    assert diverging(fail_on_nan=False).stats.failed == 0


def diverging(**options):
    def step(state, batch, h, key):
        return {"w": jnp.where(h["x"] > 2, jnp.nan, h["x"]), "best": state["best"]}

    return jaxhpt.search(
        step, SPACE, init=lambda key, h: {"w": h["x"], "best": jnp.float32(jnp.inf)},
        evaluate=lambda s, data, h: jnp.nanmin(jnp.array([s["w"], -1.0])), steps=2, direction="min",
        **options, **SETTINGS,
    )  # fmt: skip


@pytest.mark.parametrize("key", ["batch_size", "epochs"])
def test_constants_of_the_space_are_used(key):
    rows = []

    def step(state, batch, h, key):
        rows.append(batch.shape[0])
        return state + h["x"] * batch.mean()

    task = {"init": lambda key, h: jnp.float32(0), "evaluate": lambda s, d, h: {"loss": s}}
    data = np.zeros((96, 2), np.float32)
    space = {**SPACE, "batch_size": 8} if key == "batch_size" else {**SPACE, "epochs": 3}
    result = jaxhpt.search(step, space, train_data=data, **task, **{**SETTINGS, "trials": 2})
    assert rows[0] == (8 if key == "batch_size" else 96)
    assert result.best.steps == (10 * 12 if key == "batch_size" else 3)
    if key == "epochs":
        with pytest.raises(ValueError, match=r"steps=5: .*the space tells epochs=3"):
            jaxhpt.search(step, space, train_data=data, steps=5, **task, **SETTINGS)


def test_what_would_be_told_twice_or_not_be_used_is_refused():
    task = {"init": lambda key, h: jnp.float32(0), "evaluate": lambda s, d, h: {"loss": s}, **SETTINGS}
    step, data = (lambda s, batch, h, key: s + h["x"] + jnp.float32(0) * jnp.sum(batch)), np.zeros((96, 2), np.float32)
    with pytest.raises(ValueError, match="batch_size=16: but the space tells batch_size=8"):
        jaxhpt.search(step, {**SPACE, "batch_size": 8}, train_data=data, batch_size=16, **task)
    with pytest.raises(ValueError, match=r"'batch_size'=8: batches=\.\.\. makes the batches"):
        jaxhpt.search(step, {**SPACE, "batch_size": 8}, batches=lambda key, tick: tick, steps=2, **task)
    with pytest.raises(ValueError, match="batch_size=3: there is no train_data"):
        jaxhpt.minimize(lambda h: h["x"], SPACE, batch_size=3, **SETTINGS)
    with pytest.raises(ValueError, match="'steps'=3: not used by itself; say steps='steps'"):
        jaxhpt.search(step, {**SPACE, "steps": 3}, train_data=data, **task)
    assert jaxhpt.search(step, {**SPACE, "steps": 3}, train_data=data, steps="steps", **task).best.steps == 3


CHOICES = {"opt": ["sgd", "adam", None], "x": Float(0, 1)}


def choose(function):
    return jaxhpt.minimize(function, CHOICES, **{**SETTINGS, "trials": 32})


def test_a_choice_is_compared_with_its_texts():
    result = choose(
        lambda h: jnp.where(h["opt"] == "adam", 1.0, 0.0) + jnp.where(h["opt"] != np.str_("sgd"), 2.0, 0.0) + 0 * h["x"]
    )
    assert {(t.hparams["opt"], t.value) for t in result.trials} == {("sgd", 0.0), ("adam", 3.0), (None, 2.0)}


def test_a_choice_is_an_index_as_ever():
    table = jnp.array([5.0, 6.0, 7.0])
    result = choose(lambda h: jax.lax.switch(h["opt"], [lambda: 5.0, lambda: 6.0, lambda: 7.0]) + 0 * h["x"])
    looked_up = choose(lambda h: table[h["opt"]] + 0 * h["x"])
    expected = {"sgd": 5.0, "adam": 6.0, None: 7.0}
    for trial, other in zip(result.trials, looked_up.trials, strict=True):
        assert trial.value == other.value == expected[trial.hparams["opt"]]


def test_an_export_compares_choices_too():
    result = jaxhpt.search(
        lambda s, batch, h, key: s + h["x"], CHOICES, init=lambda key, h: jnp.float32(0), steps=1, direction="min",
        evaluate=lambda s, data, h: s + (h["opt"] == "adam"),
        export=lambda s, h: (h["opt"] == "sgd", h["opt"] == "adam"), **SETTINGS,
    )  # fmt: skip
    assert result.best_state == (result.best.hparams["opt"] == "sgd", result.best.hparams["opt"] == "adam")


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda h: 1.0 if h["opt"] == "adam" else h["x"], r"a traced value \(hyperparameter 'opt'\).*jax.lax.switch"),
        (lambda h: {"sgd": 1.0, "adam": 2.0}[h["opt"]] * h["x"], "key of a dict.*jax.lax.switch"),
        (lambda h: getattr(jnp, h["opt"])(h["x"]), "names no attribute; take jax.lax.switch"),
        (lambda h: h["opt"][0] * h["x"], "has no parts; take jax.lax.switch"),
        (lambda h: h["opt"](h["x"]), "cannot be called; take jax.lax.switch"),
        (lambda h: jnp.where(h["opt"] == "adma", 1.0, h["x"]), "compared with 'adma', which is none of its choices"),
        (lambda h: jax.jit(lambda g: jnp.where(g["opt"] == "adam", 1.0, 0.0))(h), "the text 'adam': .*bare index"),
        (lambda h: jax.jit(lambda g: jnp.where(g["opt"] != "adam", 1.0, 0.0))(h), "the text 'adam': .*bare index"),
    ],
)  # fmt: skip
def test_a_choice_that_is_used_as_a_text_gets_an_error_that_shows_the_way(function, message):
    with pytest.raises((TypeError, ValueError), match=message):
        choose(function)


def test_a_choice_of_functions_is_an_index():
    space = {"act": Choice([jnp.sin, jnp.cos]), "x": Float(0, 1)}
    result = jaxhpt.minimize(lambda h: jnp.where(h["act"] == jnp.cos, 1.0, 2.0) + 0 * h["x"], space, **SETTINGS)
    assert {(t.hparams["act"], t.value) for t in result.trials} == {(jnp.sin, 2.0), (jnp.cos, 1.0)}


def double(h):
    return float(h["x"]) * 2


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (double, r"functions.py\", line \d+: return float\(h\[\"x\"\]\) \* 2\nfunction: a traced value \(hyper.*'x'"),
        (lambda h: h["x"].item(), "hyperparameter 'x'.*jaxhpt.Tuner"),
        (lambda h: np.sin(h["x"]), "hyperparameter 'x'.*jaxhpt.Tuner"),
        (lambda h: jnp.zeros(h["x"].astype(int)).sum(), r"hyperparameter 'x'.*in `if`, `range`, a shape"),
        (lambda h: jnp.arange(4.0)[: h["x"].astype(int)].sum(), "where Python needs a plain one"),
        (lambda h: float("%f" % h["x"]), "where Python needs a plain one"),  # noqa: UP031
        (lambda h: h.x, r"entries of a dict: write hparams\\['x'\\]"),
        (lambda key, h: h["x"], "an array was asked for a name: are the arguments in the documented order"),
        (lambda h: h["y"], "KeyError 'y'; if a hyperparameter was meant, choose one of \\['x'\\]"),
        (lambda h, key, more: h["x"], r"must take \(hparams\[, key\]\), but takes \(h, key, more\)"),
        (lambda: 1.0, r"must take \(hparams\[, key\]\), but takes \(\)"),
        (lambda h: None, "function returned None.*is `return` missing"),
    ],
)  # fmt: skip
def test_errors_name_the_hyperparameter_the_line_and_the_way(function, message):
    with pytest.raises((TypeError, ValueError), match="(?s)" + message):
        jaxhpt.minimize(function, SPACE, **SETTINGS)


def test_other_errors_tell_the_users_line_in_a_note():
    def train_step(state, batch, h, key):
        return state + undefined  # noqa: F821

    with pytest.raises(NameError) as caught:
        jaxhpt.search(
            train_step, SPACE, init=lambda key, h: h["x"], evaluate=lambda s, d, h: {"loss": s}, steps=1, **SETTINGS
        )
    assert "train_step" in caught.value.__notes__[-1]
    assert "return state + undefined" in caught.value.__notes__[-1]


def test_a_batch_that_carries_weights_is_not_unpacked():
    def train_step(state, batch, h, key):
        x, _ = batch
        return state + h["x"] * x.mean()

    data = (np.zeros((32, 2), np.float32), np.zeros(32, np.float32))
    with pytest.raises(TypeError, match=r"x, y = batch: batch is a jaxhpt.Batch.*batch\.data"):
        jaxhpt.search(
            train_step, {**SPACE, "batch_size": [8, 16]}, init=lambda key, h: jnp.float32(0),
            evaluate=lambda s, d, h: {"loss": s}, train_data=data, **SETTINGS,
        )  # fmt: skip


def test_linen_modules_of_other_fields_are_other_programs(compilations):
    x, y = np.ones((8, 4), np.float32), np.zeros(8, np.int32)

    def search(bias):
        task = jaxhpt.FlaxTask(
            nn.Dense(2, use_bias=bias), lambda h: optax.sgd(h["x"]), train_data=(x, y), valid_data=(x, y), steps=1
        )
        return jaxhpt.search(task, SPACE, **{**SETTINGS, "trials": 2}).best_state["params"]

    assert set(search(True)) == {"kernel", "bias"}
    assert set(search(False)) == {"kernel"}
