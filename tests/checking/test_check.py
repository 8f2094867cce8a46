"""The report of a dry run tells what a search will find."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import pytest

import jaxhpt
from jaxhpt.checking.corners import rows_of
from jaxhpt.core.space import Space
from jaxhpt.engine.memory import TooLittleMemoryError
from jaxhpt.training.structures import first_unit

FEW = {"trials": 16, "lanes": 4, "algorithm": "random"}


def test_shapes_and_sizes_are_those_of_the_task(linear, lr_space):
    report = jaxhpt.check(linear, lr_space, compile=False, **FEW)
    assert (report.parameters, report.state_bytes, [str(a) for a in report.state]) == (4, 16, ["w float32[4] 16 B"])
    assert [(a.name, a.shape) for a in report.batch] == [("x", (16, 4)), ("y", (16,))]
    assert [(a.name, a.bytes) for a in report.valid_data] == [("x", 480), ("y", 120)]
    assert (report.metrics, report.objectives, report.steps) == (("loss", "size"), {"loss": "min"}, (24, 24))
    assert report.data_bytes == (50 + 30) * 5 * 4
    assert report.hazards == ()
    assert report.lane_bytes >= 2 * report.state_bytes
    assert (report.compile_seconds, report.program_bytes, report.tried, report.training.flops) == (None, None, (), None)


def test_a_search_is_laid_out_as_the_report_says(linear, lr_space):
    report = jaxhpt.check(linear, lr_space, trials=64, algorithm="random", compile=False)
    result = jaxhpt.search(linear, lr_space, trials=64, algorithm="random", progress=False)
    assert (report.lanes, report.interval) == (result.stats.lanes, result.stats.interval)


def test_the_programs_of_a_search_are_there_after_it(linear, lr_space, compilations):
    with compilations() as first:
        report = jaxhpt.check(linear, lr_space, **FEW)
    again = jaxhpt.check(linear, lr_space, **FEW)
    assert report.compiled
    assert not again.compiled
    assert "programs loaded" in str(again)
    assert report.compile_seconds > 0
    assert first
    before = len(jaxhpt.engine.compiling.made)
    jaxhpt.search(linear, lr_space, progress=False, **FEW)
    names = [made.name for made in list(jaxhpt.engine.compiling.made)[before:]]
    assert not {"advance", "fill"} & set(names)


def test_the_compiler_counts_the_work(linear, lr_space):
    training = jaxhpt.check(linear, lr_space, **FEW).training
    assert training.flops > 2 * 2 * 16 * 4
    assert training.bytes > 16 * 5 * 4
    assert training.operations > 2 * 2 * 16 * 4


@pytest.mark.parametrize("lanes", [2, 4, 64])
def test_settings_that_are_not_finite_already_are_told(linear, lanes):
    space = {"lr": jaxhpt.Float(1e-3, 1e38, log=True), "scale": jaxhpt.Float(0.1, 1.0)}
    report = jaxhpt.check(linear, space, trials=64, lanes=lanes)
    assert len(report.tried) == 7
    failed, tried = ({setting["lr"] for setting in part} for part in (report.failed, report.tried))
    assert tried - failed == {0.001}
    assert "are NaN or infinite after 2 steps" in str(report)
    assert report.tried_steps == 2


def test_settings_that_all_train_are_told(linear, lr_space):
    report = jaxhpt.check(linear, lr_space, **FEW)
    assert (len(report.tried), report.failed) == (3, ())


@pytest.mark.parametrize("execution", ["split", "fused"])
@pytest.mark.parametrize("options", [{"seeds": 2}, {"folds": jaxhpt.KFold(2)}, {"cores": 2}, {"interval": 1}])
def test_every_way_to_train_is_tried(linear, lr_space, execution, options):
    if "folds" in options:
        linear = dataclasses.replace(linear, valid_data=None, evaluate=_folded)
    report = jaxhpt.check(linear, lr_space, execution=execution, **FEW, **options)
    assert (len(report.tried), report.failed, report.hazards) == (3, (), ())
    assert report.tried_steps == (1 if "interval" in options else 2)


def _folded(state, rows, h):
    return {"loss": jaxhpt.batch_mean((rows.data["x"] @ state["w"] - rows.data["y"]) ** 2, rows)}


def test_a_space_of_structures_is_tried_at_its_first(linear):
    def step(state, batch, h, key):
        return {"w": sum([linear.step(state, batch, h, key)["w"]] * h["width"]) / h["width"]}

    space = {"lr": jaxhpt.Float(1e-3, 0.3), "width": jaxhpt.Choice([1, 2, 3], structural=True)}
    report = jaxhpt.check(dataclasses.replace(linear, step=step), space, **FEW)
    assert report.structures == 3
    assert {setting["width"] for setting in report.tried} == {1}
    assert report.hazards == ()


def test_black_box_steps_are_tried():
    report = jaxhpt.check(
        lambda w, batch, h, key: jnp.log(h["x"]), {"x": jaxhpt.Float(0, 1)},
        init=lambda key, h: jnp.float32(0), evaluate=lambda w, data, h: {"loss": w}, steps=1, **FEW,
    )  # fmt: skip
    assert report.failed == ({"x": 0.0},)
    assert report.hazards == ()


def test_lengths_that_differ_are_a_range(linear):
    space = {"lr": jaxhpt.Float(1e-3, 0.3), "epochs": [2, 5, 9]}
    report = jaxhpt.check(dataclasses.replace(linear, steps=None), space, compile=False, **FEW)
    assert report.steps == (2 * 4, 9 * 4)
    assert "8 to 36 steps" in str(report)


def test_captured_arrays_are_listed_with_their_functions(linear, lr_space):
    table = jnp.ones((7, 5), jnp.float32)
    task = dataclasses.replace(
        linear, evaluate=lambda s, v, h: {"loss": linear.evaluate(s, v, h)["loss"] * table.mean()}
    )
    captured = jaxhpt.check(task, lr_space, compile=False, **FEW).captured
    assert [(a.name, a.shape, a.bytes) for a in captured] == [("evaluate", (7, 5), 140)]


def test_what_a_search_refuses_is_refused(linear, lr_space):
    with pytest.raises(ValueError, match="no function reads 'momentum'"):
        jaxhpt.check(linear, lr_space | {"momentum": jaxhpt.Float(0, 1)})
    with pytest.raises(TypeError, match="check has no argument 'n_trials'; it is called 'trials' here"):
        jaxhpt.check(linear, lr_space, n_trials=3)
    with pytest.raises(TypeError, match="compile='no'"):
        jaxhpt.check(linear, lr_space, compile="no")


def test_labels_out_of_range_are_refused(digits):
    import flax.linen as nn
    import optax

    (x, y), valid = digits
    task = jaxhpt.FlaxTask(nn.Dense(5), lambda h: optax.sgd(h["lr"]), train_data=(x, y), valid_data=valid)
    with pytest.raises(ValueError, match="targets"):
        jaxhpt.check(task, {"lr": jaxhpt.Float(0.1, 1)}, compile=False)


def test_the_report_is_plain_data_and_its_table_short(linear, lr_space):
    report = jaxhpt.check(linear, lr_space, compile=False, **FEW)
    assert json.loads(json.dumps(dataclasses.asdict(report)))["lanes"] == 4
    assert len(str(report).splitlines()) < 15
    assert max(map(len, str(report).splitlines())) < 120
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.lanes = 3


def test_corners_reach_all_ends_and_what_is_conditional():
    space = Space.of(
        {
            "kind": ["sgd", "adam"],
            "lr": jaxhpt.Float(1e-3, 1.0),
            "beta": jaxhpt.When("kind", "adam", jaxhpt.Float(0.5, 0.9)),
        }
    )
    rows = rows_of(space, first_unit(space))
    settings = space.labels(rows)
    assert {s["kind"] for s in settings} == {"sgd", "adam"}
    assert {s["lr"] for s in settings} >= {0.001, 1.0}
    assert {s["beta"] for s in settings if s["kind"] == "adam"} >= {0.5, 0.9}
    assert len({json.dumps(s, default=float) for s in settings}) == len(settings)


def test_nothing_is_left_running(linear, lr_space):
    import threading

    before = threading.active_count()
    jaxhpt.check(linear, lr_space, **FEW)
    jax.block_until_ready(jnp.zeros(()))
    assert threading.active_count() <= before + 1


@pytest.mark.parametrize("error", [TooLittleMemoryError("training takes 3 TiB"), jax.errors.JaxRuntimeError("broken")])
def test_too_little_memory_is_a_hazard_and_other_errors_are_errors(linear, lr_space, monkeypatch, error):
    def refuse(need):
        raise error

    monkeypatch.setattr("jaxhpt.checking.corners.require_free", refuse)
    if not isinstance(error, MemoryError):
        with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
            jaxhpt.check(linear, lr_space, **FEW)
        return
    report = jaxhpt.check(linear, lr_space, **FEW)
    assert [hazard.kind for hazard in report.hazards] == ["memory"]
    assert (report.tried, report.compile_seconds is None) == ((), False)
    assert "! lanes: training takes 3 TiB" in str(report)


def test_what_a_search_is_given_a_check_takes_and_refuses_too(linear, lr_space):
    known = {"prior": [({"lr": 0.1}, 0.5)], "first": [{"lr": 0.2}]}
    when = {"confirm": 2, "timeout": 60.0, "events_per_dispatch": 2, "callbacks": [lambda s: False]}
    given = {**FEW, **known, **when, "max_programs": 4, "compile_share": 0.5}
    assert jaxhpt.check(linear, lr_space, **given).failed == ()
    for name, wrong in [("first", [{"lr": 9.0}]), ("prior", [({"lr": 9.0}, 0.5)]), ("timeout", -1), ("confirm", -1)]:
        with pytest.raises(ValueError, match=name) as refused:
            jaxhpt.check(linear, lr_space, **{**given, name: wrong})
        with pytest.raises(ValueError, match=name) as searched:
            jaxhpt.search(linear, lr_space, progress=False, **{**given, name: wrong})
        assert str(refused.value) == str(searched.value)
