"""Structures: plain Python values for the user's functions, each setting of them a program of its own."""

import copy
import itertools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covering import covered_by

import jaxhpt
from jaxhpt import Bool, Choice, Float, Int, When
from jaxhpt.engine import compiling, groups, opening, structured
from jaxhpt.engine.compiling import Function
from jaxhpt.engine.opening import FIRST
from jaxhpt.engine.programs import Programs
from jaxhpt.training.structures import Structures

QUIET = {"progress": False}


def tanh(x):
    return jnp.tanh(x)


def relu(x):
    return jnp.maximum(x, 0)


SPACE = {"width": Choice([1, 3], structural=True), "act": Choice([tanh, relu], structural=True), "lr": Float(0.01, 0.2)}
ROWS = np.linspace(-1, 1, 16, dtype=np.float32)[:, None]


def init(key, h):
    return {"a": jax.random.normal(key, (1, h["width"])), "b": jnp.zeros((h["width"], 1))}


def outputs(state, x, h):
    return h["act"](x @ state["a"]) @ state["b"]


def loss(state, rows, h):
    return jnp.mean((outputs(state, rows, h) - jnp.sin(2 * rows)) ** 2)


def step(state, batch, h, key):
    assert type(h["width"]) is int
    assert h["act"] in (tanh, relu)
    return jax.tree.map(lambda w, g: w - h["lr"] * g, state, jax.grad(loss)(state, batch, h))


def evaluate(state, valid, h):
    return {"loss": loss(state, valid, h), "weights": jnp.float32(sum(leaf.size for leaf in jax.tree.leaves(state)))}


def train(space=None, **options):
    common = {
        "init": init, "evaluate": evaluate, "train_data": ROWS, "valid_data": ROWS, "batch_size": 8, "steps": 12,
        "trials": 24, "lanes": 6, "algorithm": "random", "objective": "loss", **QUIET,
    }  # fmt: skip
    return jaxhpt.search(step, space or SPACE, **{**common, **options})


@pytest.fixture(scope="module")
def found():
    return train()


def by_hand(result, trial):
    """Train a trial in plain JAX, on the keys and the batches that the documents promise."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 4), trial.id)
    state = init(jax.random.fold_in(key, 0), trial.hparams)
    start = int(result.history.start[trial.id])
    per_epoch = len(ROWS) // 8
    for i in range(trial.steps):
        epoch, place = divmod(start + i, per_epoch)
        order = jax.random.permutation(jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 2), epoch), len(ROWS))
        state = step(state, ROWS[np.asarray(order)[place * 8 : place * 8 + 8]], trial.hparams, None)
    return state


def test_functions_get_plain_values_and_every_trial_is_what_it_says(found):
    seen = {(trial.hparams["width"], trial.hparams["act"]) for trial in found.trials}
    assert seen == set(itertools.product((1, 3), (tanh, relu)))
    assert all(trial.status == "done" for trial in found.trials)
    for trial in found.trials:
        assert trial.metrics["weights"] == 2 * trial.hparams["width"]
    for trial in found.trials[:6]:
        state = by_hand(found, trial)
        assert float(evaluate(state, ROWS, trial.hparams)["loss"]) == pytest.approx(trial.metrics["loss"], rel=1e-4)


def test_the_best_state_and_any_replay_are_of_the_trials_own_shape(found):
    best = found.best_state
    assert best["a"].shape == (1, found.best.hparams["width"])
    assert float(loss(best, ROWS, found.best.hparams)) == pytest.approx(found.best.value, rel=1e-5)
    for trial in found.trials[:4]:
        state, metrics = found.replay(trial)
        assert state["b"].shape == (trial.hparams["width"], 1)
        assert metrics["loss"] == pytest.approx(trial.metrics["loss"], rel=1e-4)


@pytest.mark.parametrize("options", [{"cores": 2}, {"events_per_dispatch": 1}, {"events_per_dispatch": "all"}])
def test_the_bits_depend_on_neither_threads_nor_dispatches(found, options):
    again = train(**options)
    np.testing.assert_array_equal(again.history.unit, found.history.unit)
    np.testing.assert_array_equal(again.history.metrics, found.history.metrics)


ALGORITHMS = ("quasi_random", "genetic", "tpe", "bayesian", "auto", "cma_es")


@pytest.mark.parametrize("algorithm", covered_by(["genetic", "bayesian", "cma_es"], ALGORITHMS))
def test_algorithms_search_structures_as_they_are(algorithm):
    result = train({**SPACE, "act": tanh}, algorithm=algorithm)
    assert result.stats.trials == 24
    assert result.best.value < 0.4
    assert set(result.importance("grey")) == {"width", "lr"}


@pytest.mark.parametrize("scheduler", covered_by(["asha", "median_stop"], ["asha", "hyperband", "median_stop"]))
def test_schedulers_compare_across_structures(scheduler):
    result = train({**SPACE, "act": tanh}, scheduler=scheduler, steps=27, trials=40)
    stopped = [trial for trial in result.trials if trial.status == "stopped"]
    assert stopped
    assert {t.hparams["width"] for t in result.trials if t.status == "done"} <= {1, 3}
    assert all(trial.metrics["weights"] == 2 * trial.hparams["width"] for trial in result.trials)


@pytest.mark.parametrize("exploit", ["truncation", "tournament"])
def test_population_based_training_stays_within_a_structure(exploit):
    scheduler = jaxhpt.PBT(perturbation_interval=3, exploit=exploit)
    result = train({**SPACE, "act": tanh}, scheduler=scheduler, trials=8, lanes=8, steps=24)
    assert result.stats.copies > 0
    by_id = {trial.id: trial for trial in result.trials}
    for trial in result.trials:
        if trial.parent is not None:
            parent = by_id[trial.parent].hparams
            assert trial.hparams["width"] == parent["width"]
    assert result.replay(result.best)[1]["loss"] == pytest.approx(result.best.value, rel=1e-3)


def test_conditional_structures_and_kinds():
    space = {
        "kind": Choice(["line", "wave"], structural=True),
        "wave": When("kind", "wave", {"terms": Int(1, 3, structural=True), "on": Bool(structural=True)}),
        "x": Float(0.0, 1.0),
    }
    seen = []

    def value(h, key):
        assert isinstance(h["kind"], str)
        seen.append((h["kind"], h["wave"]["terms"], h["wave"]["on"]))
        if h["kind"] == "line":
            return h["x"]
        return sum(h["x"] ** (i + 1) for i in range(h["wave"]["terms"])) + (0.0 if h["wave"]["on"] else 1.0)

    result = jaxhpt.minimize(value, space, trials=40, lanes=8, algorithm="random", **QUIET)
    assert len({(kind, terms, on) for kind, terms, on in seen if kind == "wave"}) == 6
    assert len({one for one in seen if one[0] == "line"}) == 1  # what does not exist makes no program
    for trial in result.trials:
        x, wave = trial.hparams["x"], trial.hparams["wave"]
        wanted = (
            x if trial.hparams["kind"] == "line" else sum(x ** (i + 1) for i in range(wave["terms"])) + (not wave["on"])
        )
        assert trial.value == pytest.approx(wanted, abs=1e-5)


def test_a_structure_is_compiled_once_and_not_before_it_is_proposed(monkeypatch):
    traced = []
    real = Structures._traced

    def noted(self, key, unit):
        traced.append(key)
        return real(self, key, unit)

    monkeypatch.setattr(Structures, "_traced", noted)
    compiling.forget()
    compiling.made.clear()
    only = {**SPACE, "width": Choice([1, 3, 5, 7], structural=True), "act": tanh}
    first = [{"width": 3, "act": tanh, "lr": rate} for rate in (0.1, 0.15, 0.2)]
    result = train(only, first=first, trials=3, lanes=3)
    assert [trial.hparams["width"] for trial in result.trials] == [3, 3, 3]
    assert len(traced) == 2  # the first one, which tells the metrics, and the one that was asked for
    names = [made.name for made in compiling.made]
    assert names.count("advance") == 1


def test_programs_that_are_not_used_are_let_go(monkeypatch):
    dropped = []
    monkeypatch.setattr(Programs, "drop", lambda self, name: dropped.append(name))
    result = train(lanes=1, max_programs=1, trials=6)
    assert result.stats.trials == 6
    assert {name[0] for name in dropped} >= {"fill", "advance"}


WIDE = {**SPACE, "width": Int(1, 12, structural=True)}


def structures_of(result):
    return [(trial.hparams["width"], trial.hparams["act"]) for trial in result.trials]


def test_no_more_structures_begin_than_training_pays_for(monkeypatch):
    asked = train(WIDE, trials=20, lanes=10, steps=1)
    assert len(set(structures_of(asked))) == FIRST
    free = train(WIDE, lanes=10, compile_share=1, trials=20, steps=1)
    assert len(set(structures_of(free))) > FIRST
    same = [trial.hparams["lr"] for trial in free.trials]
    assert [trial.hparams["lr"] for trial in asked.trials] == same  # only what shapes the program is moved
    monkeypatch.setitem(opening.PRICES, jax.default_backend(), 1.0)  # operations
    assert structures_of(train(WIDE, trials=20, lanes=10, steps=1))[10:] == structures_of(free)[10:]


def test_what_the_user_wants_first_and_grids_begin_whatever_they_take():
    first = [{"width": width, "act": tanh, "lr": 0.1} for width in range(1, 13)]
    result = train(WIDE, trials=16, lanes=12, steps=1, first=first)
    assert structures_of(result)[:12] == [(width, tanh) for width in range(1, 13)]
    assert len(set(structures_of(result))) == 12  # and then no other
    grid = train({**WIDE, "lr": [0.1]}, trials=24, lanes=12, steps=1, algorithm=jaxhpt.Grid(points=12))
    assert len(set(structures_of(grid))) == 24


NO_ROOM = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")


def short_of_memory(monkeypatch, most, when):
    """Let programs that train more than so many lanes at once fail: when they are compiled, or called."""
    real, made = groups.ADVANCE, []

    class Failing(Function):
        def program(self, pool, *shapes):
            run, fails = super().program(pool, *shapes), pool.microbatch > most
            if fails and when == "compiled":
                raise NO_ROOM

            def called(*given):
                made.append(int(given[-1]))
                if fails and (when == "called" or (when == "later" and len(made) > 3)):
                    raise NO_ROOM
                return run(*given)

            return called

    failing = Failing(real.call, real.static)  # donates nothing: a program that fails to begin has taken nothing
    for module in (groups, structured):
        monkeypatch.setattr(module, "ADVANCE", failing)


@pytest.mark.parametrize("when", ["compiled", "called", "later"])
def test_where_memory_does_not_suffice_a_group_trains_in_parts_and_nothing_is_lost(found, when, monkeypatch):
    short_of_memory(monkeypatch, 1, when)
    with pytest.warns(UserWarning, match="memory did not suffice; going on with"):
        result = train()
    np.testing.assert_array_equal(result.history.unit, found.history.unit)
    np.testing.assert_allclose(result.history.metrics, found.history.metrics, rtol=1e-4)
    assert all(trial.status == "done" for trial in result.trials)
    wanted = "going on with 1 at once in training, 1 in evaluation where act=tanh, width=1"
    assert any(wanted in words for words in result.stats.memory)


def test_where_not_even_one_lane_fits_it_says_so_and_names_the_structure(monkeypatch):
    short_of_memory(monkeypatch, 0, "compiled")
    with (
        pytest.warns(UserWarning, match="going on with"),
        pytest.raises(jaxhpt.SearchError, match=r"one lane at a time: give fewer lanes=.*structure: act=\w+, width=\d"),
    ):
        train()


def test_mixed_values_are_handed_on_as_they_are():
    given = [None, 2, "three", 4.5, (5, 6)]
    space = {"what": Choice(given, structural=True), "x": Float(0, 1)}
    got = set()

    def value(h, key):
        got.add(h["what"])
        return h["x"]

    result = jaxhpt.minimize(value, space, trials=40, lanes=8, algorithm="random", **QUIET)
    assert got == set(given)
    assert {trial.hparams["what"] for trial in result.trials} == set(given)


@pytest.mark.parametrize("order", [["sgd", "adam"], ["adam", "sgd"]])
def test_what_exists_in_one_structure_alone_need_not_be_read_in_others(order):
    def update(state, batch, h, key):
        push = h["sgd"]["momentum"] if h["rule"] == "sgd" else 1.0
        return {"w": state["w"] - h["lr"] * push * state["w"]}

    space = {
        "rule": Choice(order, structural=True),
        "sgd": When("rule", "sgd", {"momentum": Float(0.0, 1.0)}),
        "lr": Float(0.1, 0.9),
    }
    made = {"init": lambda key, h: {"w": jnp.float32(1.0)}, "evaluate": lambda s, d, h: {"loss": s["w"] ** 2}}
    options = {**made, "steps": 2, "trials": 8, "algorithm": "random", **QUIET}
    result = jaxhpt.search(update, space, **options)
    assert {trial.hparams["rule"] for trial in result.trials} == {"sgd", "adam"}
    for trial in result.trials:
        push = trial.hparams["sgd"]["momentum"] if trial.hparams["rule"] == "sgd" else 1.0
        assert trial.value == pytest.approx((1 - trial.hparams["lr"] * push) ** 4, rel=1e-4)
    damped = When("rule", "sgd", {"momentum": Float(0.0, 1.0), "damping": Float(0.0, 1.0)})
    with pytest.raises(ValueError, match=r"no function reads 'sgd.damping' where rule='sgd'.*by jaxhpt\.When"):
        jaxhpt.search(update, {**space, "rule": Choice(["sgd"], structural=True), "sgd": damped}, **options)


def test_errors_name_the_structure_and_the_remedy():
    with pytest.raises(TypeError, match=r"width.*structural=True"):
        train({**SPACE, "width": Choice([1, 3])})
    with pytest.raises(ValueError, match=r"execution='fused'.*structural"):
        train(execution="fused")
    with pytest.raises(TypeError, match=r"Int structural='yes': must be True or False"):
        Int(1, 2, structural="yes")

    def two_kinds(state, valid, h):
        return {"loss": loss(state, valid, h)} if h["width"] == 1 else {"error": loss(state, valid, h)}

    with pytest.raises(ValueError, match=r"metrics \['error'\] for .*width=3.*\['loss'\] for .*width=1"):
        train(evaluate=two_kinds)

    def breaks(key, h):
        if h["width"] == 3:
            raise RuntimeError("no such width")
        return init(key, h)

    with pytest.raises(RuntimeError, match="no such width") as caught:
        train(init=breaks)
    assert any("width=3" in note for note in caught.value.__notes__)
    first = [{"width": 1, "act": tanh, "lr": rate} for rate in (0.1, 0.15)]
    with pytest.raises(jaxhpt.SearchError, match=r"no such width; structure: act=\w+, width=3") as later:
        train(init=breaks, lanes=2, first=first)
    assert sum(trial.status == "done" for trial in later.value.result.trials) >= 2  # what had ended is kept


def test_a_tuner_hands_them_on_like_any_other():
    tuner = jaxhpt.Tuner(SPACE, trials=6, algorithm="random", progress=False)
    asked = tuner.ask(6)
    assert {type(one.hparams["width"]) for one in asked} == {int}
    tuner.tell(asked, [float(one.hparams["lr"]) for one in asked])
    assert tuner.result.best.value == min(one.hparams["lr"] for one in asked)


@pytest.mark.parametrize("scheduler", ["pbt", "pb2"])
def test_a_copy_stays_what_it_is_where_exploring_could_hide_what_shapes_it(scheduler):
    space = {
        "opt": ["a", "b"], "p": When("opt", "b", {"g": Choice([10, 20, 30], structural=True)}), "lr": Float(1e-3, 1.0),
    }  # fmt: skip

    def one(w, batch, h, key):
        return w - jnp.where(h["opt"] == "a", h["lr"], h["lr"] * 0.5) * (w - h["p"]["g"])

    for seed in (0, 4):
        result = jaxhpt.search(
            one, space, init=lambda key, h: jnp.zeros(2), steps=10, objective="loss", trials=8, lanes=8, seed=seed,
            evaluate=lambda w, valid, h: {"loss": jnp.mean((w - h["p"]["g"]) ** 2), "g": jnp.float32(h["p"]["g"])},
            scheduler=scheduler, **QUIET,
        )  # fmt: skip
        for trial in result.trials:
            assert trial.metrics["g"] == (trial.hparams["p"]["g"] or 20)


def test_results_of_functions_and_classes_pickle():
    space = {"act": Choice([tanh, relu, jnp.tanh, dict], structural=True), "x": Float(0, 1)}
    result = jaxhpt.minimize(lambda h, key: h["x"], space, trials=12, lanes=4, algorithm="random", **QUIET)
    again = pickle.loads(pickle.dumps(result))
    assert [trial.value for trial in again.trials] == [trial.value for trial in result.trials]
    plain = Choice([dict, max, len], structural=True)
    assert copy.deepcopy(plain) == plain == pickle.loads(pickle.dumps(plain))
    assert pickle.loads(pickle.dumps(Bool(structural=True))) == Bool(structural=True) != Bool()
