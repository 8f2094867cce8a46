"""Trials of an earlier search that train on from the weights that they have."""

import functools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt

DATA = jnp.arange(12.0).reshape(6, 2) / 6
SPACE = {"lr": jaxhpt.Float(1e-2, 0.3, log=True)}


def init(key, h):
    return {"w": jax.random.normal(key, (2,)), "n": jnp.int32(0)}


def error(w):
    return jnp.mean((DATA @ w - 1) ** 2)


def descent(s, batch, h, key):
    return {"w": s["w"] - h["lr"] * jax.grad(error)(s["w"]), "n": s["n"] + 1}


def noisy(s, batch, h, key):
    moved = descent(s, batch, h, key)
    return {**moved, "w": moved["w"] + 0.01 * jax.random.normal(key, (2,)) + 0.001 * batch.sum()}


def evaluate(s, data, h):
    return {"loss": error(s["w"]), "n": s["n"].astype(jnp.float32)}


PLAIN = jaxhpt.Task(init=init, step=descent, evaluate=evaluate, steps=12, objective="loss", direction="min")
NOISY = jaxhpt.Task(
    init=init, step=noisy, evaluate=evaluate, steps=12, objective="loss", direction="min",
    train_data=jnp.arange(8.0), batch_size=2,
)  # fmt: skip


def search(task=PLAIN, space=SPACE, **options):
    given = {"trials": 8, "lanes": 4, "algorithm": "random", "progress": False, "cores": 1}
    return jaxhpt.search(task, space, **{**given, **options})


@functools.cache
def earlier(noise=False, **options):
    return search(NOISY if noise else PLAIN, **options)


def on(result, ids, noise=False, **options):
    given = {"prior": result, "extend_trials": ids, "steps": 30, "trials": None}
    return search(NOISY if noise else PLAIN, options.pop("space", SPACE), **{**given, **options})


def trained(w, lr, steps):
    for _ in range(steps):
        w = w - lr * jax.grad(error)(w)
    return w


def own(result):
    return [t for t in result.trials if t.status != "prior"]


def same(one, other):
    assert one.trials == other.trials
    np.testing.assert_array_equal(one.history.metrics, other.history.metrics)
    jax.tree.map(np.testing.assert_array_equal, one.best_state, other.best_state)


SLOW = pytest.mark.slow
WAYS = [{"interval": 7}, pytest.param({"execution": "fused"}, marks=SLOW), pytest.param({"lanes": 2}, marks=SLOW)]


@pytest.mark.parametrize("options", WAYS)
def test_it_is_as_if_trained_in_one_go(options):
    result = earlier()
    ids = [result.best.id, 0, 5]
    longer = on(result, ids, **options)
    assert longer.stats.trials == 3
    for trial, before in zip(own(longer), ids, strict=True):
        assert trial.hparams == result.trials[before].hparams
        assert (trial.steps, trial.status, trial.metrics["n"]) == (30, "done", 30.0)
        state, _ = result.replay(before)
        there = trained(state["w"], trial.hparams["lr"], 18)
        assert trial.value == pytest.approx(float(error(there)), rel=1e-4)
        assert [(s.first, s.last) for s in longer.lineage(trial)] == [(12, 30)]
        again, metrics = longer.replay(trial)
        np.testing.assert_allclose(again["w"], there, rtol=1e-4)
        assert metrics["n"] == 30
    trained_steps = longer.stats.lanes_busy * longer.stats.lanes * longer.stats.events * longer.stats.interval
    assert trained_steps == pytest.approx(3 * 18)


def test_events_come_where_they_begin():
    longer = on(earlier(), earlier().top(4))
    assert longer.stats.interval == 6
    assert longer.stats.lanes_busy == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("interval", ["auto", 5])
def test_others_train_from_the_start_and_all_executions_give_the_same_bits(interval):
    result = earlier(True)
    options = {"trials": 9, "lanes": 2, "algorithm": "genetic", "interval": interval, "noise": True}
    first = [result.trials[3].hparams, {"lr": 0.1}]
    split = on(result, [3, 6, 1], first=first, **options)
    starts = [split.lineage(t)[0].first for t in own(split)]
    assert starts == [12] * 3 + [0] * 6
    assert [t.metrics["n"] for t in own(split)] == [30.0] * 9
    assert [t.hparams for t in own(split)[3:5]] == [{"lr": pytest.approx(h["lr"])} for h in first]
    same(split, on(result, [3, 6, 1], first=first, events_per_dispatch=1, **options))
    fused = on(result, [3, 6, 1], first=first, execution="fused", **options)
    np.testing.assert_allclose(split.history.metrics, fused.history.metrics, rtol=1e-5)
    same(fused, on(result, [3, 6, 1], first=first, execution="fused", events_per_dispatch="all", **options))


@pytest.mark.slow
def test_trials_of_one_setting_have_weights_of_their_own():
    space = {"lr": jaxhpt.Choice([0.1, 0.2])}
    result = search(space=space, trials=6)
    longer = on(result, [0, 1, 2, 3], space=space, lanes=2)
    for trial, before in zip(own(longer), range(4), strict=True):
        there = trained(result.replay(before)[0]["w"], trial.hparams["lr"], 18)
        assert trial.value == pytest.approx(float(error(there)), rel=1e-4)


@pytest.mark.slow
def test_they_may_be_trained_on_once_more():
    once = on(earlier(), [4, 2])
    ids = [t.id for t in own(once)]
    twice = search(prior=once, extend_trials=ids, steps=50, trials=None)
    for trial, before in zip([t for t in twice.trials if t.steps == 50], ids, strict=True):
        there = trained(once.replay(before)[0]["w"], trial.hparams["lr"], 20)
        assert trial.value == pytest.approx(float(error(there)), rel=1e-4)
        assert trial.metrics["n"] == 50


def test_of_several_models_a_trial():
    result = search(seeds=3)
    longer = on(result, [1, 7], seeds=3)
    for trial, before in zip(own(longer), (1, 7), strict=True):
        states, _ = result.replay(before)
        losses = [float(error(trained(s["w"], trial.hparams["lr"], 18))) for s in states]
        assert trial.value == pytest.approx(np.mean(losses), rel=1e-4)
        assert trial.metrics["loss_std"] > 0
    with pytest.raises(ValueError, match=r"extend_trials\[0\]: the weights of trial 1 are not those of this task"):
        on(result, [1], seeds=2)


WIDTHS = {"lr": SPACE["lr"], "width": jaxhpt.Choice([2, 3], structural=True)}


def wide(key, h):
    return {"w": jax.random.normal(key, (2, h["width"])), "n": jnp.int32(0)}


@pytest.mark.parametrize("interval", [pytest.param("auto", marks=pytest.mark.slow), 7])
def test_of_several_structures(interval):
    task = jaxhpt.Task(
        init=wide,
        step=lambda s, b, h, key: descent(s | {"w": s["w"].sum(1)}, b, h, key)
        | {"w": s["w"] - h["lr"] * jax.grad(lambda w: error(w.sum(1)))(s["w"])},
        evaluate=lambda s, data, h: {"loss": error(s["w"].sum(1)), "n": s["n"].astype(jnp.float32)},
        steps=12, objective="loss", direction="min",
    )  # fmt: skip
    result = search(task, WIDTHS)
    ids = [next(t.id for t in result.trials if t.hparams["width"] == width) for width in (2, 3)]
    longer = search(task, WIDTHS, prior=result, extend_trials=ids, steps=30, trials=5, lanes=2, interval=interval)
    for trial, before in zip(own(longer), ids, strict=False):
        assert (trial.steps, trial.metrics["n"]) == (30, 30.0)
        w = result.replay(before)[0]["w"]
        for _ in range(18):
            w = w - trial.hparams["lr"] * jax.grad(lambda w: error(w.sum(1)))(w)
        assert trial.value == pytest.approx(float(error(w.sum(1))), rel=1e-4)
        assert longer.replay(trial)[1]["n"] == 30
    assert [t.metrics["n"] for t in own(longer)] == [30.0] * 5


def test_a_scheduler_looks_at_them_above_what_they_have_behind_them():
    result = search(trials=12, scheduler=jaxhpt.ASHA(min_steps=3))
    stopped = [t.id for t in result.trials if t.status == "stopped"][:2]
    ids = [*stopped, result.best.id]
    behind = [result.trials[i].steps for i in ids]
    assert behind[0] < 12
    longer = on(result, ids, trials=20, lanes=3, scheduler=jaxhpt.ASHA(min_steps=4), steps=40)
    rungs = (4, 12, 36, 40)
    for trial, before in zip(own(longer)[:3], behind, strict=True):
        assert trial.steps in rungs
        assert trial.steps > before
        assert trial.metrics["n"] == trial.steps
        assert all(steps > before for steps in trial.curve.steps)
    assert {t.status for t in own(longer)} == {"done", "stopped"}
    assert all(t.steps in rungs and t.metrics["n"] == t.steps for t in own(longer))


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["hyperband", "median_stop", "grey_stop", "early_stopping", "pbt", "pb2"])
def test_every_scheduler_takes_them(scheduler):
    longer = on(earlier(), [0, 1, 2, 3, 4], trials=12, lanes=4, steps=41, scheduler=scheduler)
    assert longer.stats.trials == 12
    for trial in own(longer):
        assert np.isfinite(trial.value)
        assert trial.metrics["n"] == trial.steps
        assert longer.replay(trial)[1]["loss"] == pytest.approx(trial.value, rel=1e-3)


@pytest.mark.slow
def test_pb2_does_not_take_the_gain_of_another_trial_for_theirs():
    longer = on(earlier(), [0, 1, 2, 3, 4, 5], trials=6, lanes=2, scheduler=jaxhpt.PB2(perturbation_interval=4))
    assert [longer.lineage(t)[0].first for t in own(longer)] == [12] * len(own(longer))


def test_it_goes_on_from_disk_to_the_same_bits(tmp_path):
    result = earlier(True)
    options = {"noise": True, "trials": 7, "lanes": 2, "events_per_dispatch": 1}
    whole = on(result, [3, 6, 1], **options)
    for events in (1, 4):
        run = tmp_path / str(events)
        cut = on(result, [3, 6, 1], run_dir=run, callbacks=[lambda s, e=events: s.events >= e], **options)
        loaded = jaxhpt.load(run)
        assert loaded.stats.lanes_busy == cut.stats.lanes_busy
        assert [loaded.lineage(t.id) for t in loaded.trials] == [cut.lineage(t.id) for t in cut.trials]
        for other in ([3, 6], [3, 6, 2], ()):
            with pytest.raises(ValueError, match=r"holds another run.*(extended|before)"):
                on(result, other, run_dir=run, **options)
        same(on(result, [3, 6, 1], run_dir=run, **options), whole)
    whole.save(tmp_path / "saved.npz")
    assert jaxhpt.load(tmp_path / "saved.npz").lineage(8) == whole.lineage(8)
    more = on(result, [3, 6, 1], run_dir=run, **{**options, "trials": 40})
    assert more.trials[: len(whole.trials)] == whole.trials
    assert [more.lineage(t)[0].first for t in own(more)] == [12] * 3 + [0] * 37


@pytest.mark.slow
def test_without_a_checkpoint_the_log_knows_what_they_had(tmp_path):
    cut = on(earlier(), [3, 6], run_dir=tmp_path)
    shutil.rmtree(tmp_path / "checkpoints")
    loaded = jaxhpt.load(tmp_path)
    assert [loaded.lineage(t.id)[0].first for t in own(cut)] == [12, 12]


def test_the_best_of_a_loaded_result_may_be_trained_on(tmp_path):
    result = search(run_dir=tmp_path)
    best, other = result.best.id, (result.best.id + 1) % 8
    for loaded in (jaxhpt.load(tmp_path), jaxhpt.load(tmp_path, PLAIN)):
        same(on(loaded, [best]), on(result, [best]))
        with pytest.raises(
            ValueError, match=rf"extend_trials\[0\]={other}: must be a trial whose weights are there.*{best}"
        ):
            on(loaded, [other])


@pytest.mark.parametrize(
    ("ids", "options", "kind", "message"),
    [
        (3, {}, TypeError, "extend_trials=3: must be a list of trials of prior"),
        ([99], {}, ValueError, r"extend_trials\[0\]: trial=99: must be the id of one of the 8"),
        (["a"], {}, TypeError, r"extend_trials\[0\]: trial='a'"),
        ([2, 2], {}, ValueError, r"extend_trials\[1\]=2: must be another trial than those before"),
        ([1], {"prior": None}, ValueError, "needs as prior one Result"),
        ([1], {"prior": [({"lr": 0.1}, 1.0)]}, ValueError, "needs as prior one Result"),
        ([1], {"steps": 12}, ValueError, "steps=12: must be more than the 12 steps that trial 1 of extend_trials has"),
        ([1, 2], {"trials": 1}, ValueError, "trials=1: must be at least 2"),
        ([1], {"space": {"lr": jaxhpt.Float(0.9, 1.0)}}, ValueError, "prior|not in the space"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(ids, options, kind, message):
    with pytest.raises(kind, match=message):
        on(earlier(), ids, **options)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"w": jnp.zeros(3), "n": jnp.int32(0)}, r"w float32\[2\], here w float32\[3\]"),
        ({"w": jnp.zeros(2)}, r"n int32\[\], here w float32\[2\]"),
    ],
)
def test_weights_of_another_task_are_refused(made, told):
    task = jaxhpt.Task(
        init=lambda key, h: made,
        step=lambda s, batch, h, key: {**s, "w": s["w"] * h["lr"]},
        evaluate=lambda s, data, h: {"loss": jnp.sum(s["w"]), "n": 0.0},
        objective="loss",
        direction="min",
    )
    with pytest.raises(ValueError, match=rf"weights of trial 1 are not those of this task: {told}; train on with"):
        search(task, prior=earlier(), extend_trials=[1], steps=30, trials=None)


def test_failed_and_foreign_trials_are_refused():
    failing = search(evaluate=lambda s, d, h: {"loss": jnp.where(h["lr"] > 0.05, jnp.nan, error(s["w"])), "n": 0.0})
    bad = next(t.id for t in failing.trials if t.status == "failed")
    with pytest.raises(ValueError, match='must be a trial that is "done" or "stopped"; this one is "failed"'):
        on(failing, [bad])
    with pytest.raises(ValueError, match="not of another result"):
        on(earlier(), [search(seed=1).trials[0]])
    longer = on(earlier(), earlier().top(1))
    with pytest.raises(ValueError, match="trial 0 is of an earlier search; give that one's result as prior"):
        search(prior=longer, extend_trials=[0], steps=50)
    tuner = jaxhpt.Tuner(SPACE, trials=2, progress=False)
    tuner.tell(tuner.ask(2), [1.0, 2.0])
    with pytest.raises(ValueError, match="evaluated outside jaxhpt"):
        on(tuner.result, [0])
