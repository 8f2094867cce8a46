"""Tables and learning curves: every column survives, and reports are those that there were."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.results.table import headings


@pytest.mark.parametrize(
    ("metrics", "hparams", "expected"),
    [
        (["loss"], ["lr"], (["loss"], ["lr"])),
        (["loss"], ["loss", "lr"], (["loss"], ["hparams.loss", "lr"])),
        (["loss", "status"], ["status", "trial", "steps"],
         (["loss", "metrics.status"], ["hparams.status", "hparams.trial", "hparams.steps"])),
        (["loss"], ["hparams.loss", "loss"], (["loss"], ["hparams.loss", "hparams.hparams.loss"])),
    ],
)  # fmt: skip
def test_a_name_is_prefixed_where_it_is_taken(metrics, hparams, expected):
    assert headings(metrics, hparams) == expected


def test_two_things_of_one_name_both_survive():
    tuner = jaxhpt.Tuner(
        {name: jaxhpt.Int(1, 9) for name in ("loss", "status", "trial", "steps", "lr")},
        objective="loss", metrics=["status"], algorithm="random", trials=8, progress=False,
    )  # fmt: skip
    asked = tuner.ask(4)
    tuner.tell(asked, [{"loss": 10.0 + trial.id, "status": 0.5} for trial in asked])
    table = tuner.result.to_pandas()
    assert list(table.columns) == [
        "trial", "status", "steps", "loss", "metrics.status", "hparams.loss", "lr", "hparams.status", "hparams.steps",
        "hparams.trial",
    ]  # fmt: skip
    assert table.trial.tolist() == [0, 1, 2, 3]
    assert table.status.tolist() == ["done"] * 4
    assert table.loss.tolist() == [10.0, 11.0, 12.0, 13.0]
    for name in ("loss", "status", "trial", "steps"):
        assert table[f"hparams.{name}"].tolist() == [trial.hparams[name] for trial in asked]
    assert repr(tuner.result).splitlines()[2].split()[:4] == ["trial", "loss", "metrics.status", "steps"]


def count_up(direction, scheduler, steps=12, interval=2):
    return jaxhpt.search(
        lambda state, batch, h, key: state + 1,
        {"x": jaxhpt.Float(0.5, 1)},
        init=lambda key, h: jnp.int32(0),
        evaluate=lambda state, data, h: {"level": state * h["x"]},
        steps=steps, interval=interval, objective="level", direction=direction, scheduler=scheduler,
        algorithm="random", trials=12, lanes=4, progress=False,
    )  # fmt: skip


SCHEDULERS = ["run_to_end", jaxhpt.ASHA(min_steps=2, eta=2), "median_stop", jaxhpt.MedianStop(eval_interval=4)]


@pytest.mark.parametrize("direction", ["min", "max"])
@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=str)
def test_a_curve_holds_what_was_reported(direction, scheduler):
    result = count_up(direction, scheduler)
    for trial in result.trials:
        steps, values = trial.curve
        assert steps[-1] == trial.steps
        assert values[-1] == trial.value
        assert list(steps) == sorted(set(steps))
        np.testing.assert_allclose(values, np.array(steps) * trial.hparams["x"], rtol=1e-6)
    longest = max(len(trial.curve.steps) for trial in result.trials)
    assert (longest == 1) == (scheduler == "run_to_end")


def test_curves_make_a_long_table():
    result = count_up("max", "median_stop")
    table = result.to_pandas(curves=True)
    assert list(table.columns) == ["trial", "steps", "value"]
    for trial in result.trials:
        mine = table[table.trial == trial.id]
        assert (tuple(mine.steps), tuple(mine.value)) == trial.curve


def test_trials_without_reports_have_no_curve():
    tuner = jaxhpt.Tuner({"x": jaxhpt.Float(0, 1)}, algorithm="random", trials=4, progress=False)
    tuner.tell(tuner.ask(3)[:2], [1e300, None])
    assert [trial.curve for trial in tuner.result.trials] == [((1,), (1e300,)), ((), ()), ((), ())]


class Net:
    """A class that is a value."""


def made():
    return [lambda x: x, lambda x: -x]


LEAKY = functools.partial(jax.nn.leaky_relu, negative_slope=0.2)
VALUES = {
    "activation": jaxhpt.Choice([jax.nn.relu, jnp.tanh, LEAKY]),
    "net": [Net, dict],
    "rule": made(),
    "pair": [("adam", jnp.tanh), ("sgd", None)],
    "plain": ["a", "b"],
    "rate": jaxhpt.Float(0, 1),
    "fixed": jax.nn.relu,
}
WRITTEN = {
    "activation": {"relu", "tanh", "leaky_relu(negative_slope=0.2)"},
    "net": {"Net", "dict"},
    "rule": {"<lambda> 1", "<lambda> 2"},
    "pair": {"('adam', tanh)", "('sgd', None)"},
    "plain": {"a", "b"},
}


def told(space=VALUES, **options):
    tuner = jaxhpt.Tuner(space, objective="loss", algorithm="random", trials=24, progress=False, **options)
    asked = tuner.ask(24)
    tuner.tell(asked, [float(trial.id) for trial in asked])
    return asked, tuner.result


def test_functions_and_classes_are_shown_by_their_names():
    asked, result = told()
    table = result.to_pandas()
    for name, texts in WRITTEN.items():
        assert set(table[name]) == texts
    again = pickle.loads(pickle.dumps(told({k: v for k, v in VALUES.items() if k != "rule"})[1]))
    for text in (repr(result), repr(result.best), repr(asked), repr(jaxhpt.Space.of(VALUES)), repr(again.top(24))):
        assert not [
            sign for sign in ("0x", "<function", "<class '__main__", "PjitFunction", "custom_jvp") if sign in text
        ]
    assert "'activation': tanh" in repr(asked)
    assert "'fixed': relu" in repr(asked)


def test_a_table_with_names_is_read_again():
    _, result = told()
    _, again = told(prior=result.to_pandas())
    assert [trial.hparams for trial in again.trials[:24]] == [trial.hparams for trial in result.trials]


def test_errors_name_functions_too():
    space = jaxhpt.Space.of({"activation": [jax.nn.relu, jnp.tanh]})
    with pytest.raises(ValueError, match=r"activation.*value=sin: must be one of \[relu, tanh\]|sin.*\[relu, tanh\]"):
        space.encode({"activation": jnp.sin})
    with pytest.raises(ValueError, match=r"Choice values=\[relu, relu\]: must be distinct"):
        jaxhpt.Choice([jax.nn.relu, jax.nn.relu])
