"""Functions in a space: a file has their names, and the same space gives them back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.space import Space


def double(x):
    return 2 * x


class Rule:
    """A class as a value; called, it is a step."""

    def __init__(self, rate):
        self.rate = rate

    def __call__(self, w):
        return w - self.rate * w


def space(high=1.0):
    return {
        "act": jaxhpt.Choice([jnp.tanh, double], structural=True),
        "rule": jaxhpt.Choice([Rule], structural=True),
        "lr": jaxhpt.Float(0.1, high),
        "fixed": (double, 3),
    }


def task():
    return jaxhpt.Task(
        lambda key, h: {"w": jax.random.normal(key, (3,))},
        lambda state, batch, h, key: {"w": h["rule"](h["lr"])(h["act"](state["w"]))},
        lambda state, data, h: jnp.sum(state["w"] ** 2) + h["fixed"][1],
        steps=2,
        direction="min",
        export=lambda state, h: {"w": h["act"](state["w"])},
    )


QUIET = {"progress": False, "algorithm": "random"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tmp_path_factory.mktemp("named") / "run"


@pytest.fixture(scope="module")
def found(run):
    return jaxhpt.search(task(), space(), trials=6, run_dir=run, **QUIET)


def test_the_space_gives_back_what_a_file_has_by_name(run, found):
    again = jaxhpt.load(run, task(), space=space())
    assert again.best.hparams == found.best.hparams
    assert again.best.hparams["act"] in (jnp.tanh, double)
    np.testing.assert_array_equal(again.best_state["w"], found.best_state["w"])
    found.save(run.parent / "result.npz")
    saved = jaxhpt.load(run.parent / "result.npz").with_space(space()).with_task(task())
    np.testing.assert_array_equal(saved.best_state["w"], found.best_state["w"])


def test_names_are_not_handed_to_a_task(run, found):
    assert str(jaxhpt.load(run).best.hparams["act"]) in ("tanh", "double")
    with pytest.raises(ValueError, match=r"space=\['act', 'fixed.0', 'rule'\]: must be given to load"):
        jaxhpt.load(run, task())
    with pytest.raises(ValueError, match=r"space=\['lr'\]: must be as it was searched"):
        jaxhpt.load(run, task(), space=space(2.0))
    with pytest.raises(ValueError, match=r"space=.with other constants.: must be as it was searched"):
        jaxhpt.load(run, task(), space={**space(), "fixed": (double, 4)})


@pytest.mark.parametrize("high", [1.0, 2.0])
def test_a_run_is_known_before_a_search_of_the_same_functions(run, found, high):
    later = jaxhpt.search(task(), space(high), trials=2, prior=jaxhpt.load(run), **QUIET)
    known = [Space.of(space(high)).label(unit) for unit in later.history.unit[:6]]
    assert [setting["act"] for setting in known] == [trial.hparams["act"] for trial in found.trials]
    rates = [trial.hparams["lr"] for trial in found.trials]
    np.testing.assert_allclose([setting["lr"] for setting in known], rates, rtol=1e-6)


def test_two_functions_of_one_name_are_told_apart_by_their_places():
    dims = {"act": jaxhpt.Choice([lambda x: x, lambda x: -x, abs], structural=True)}
    read = Space.from_spec(Space.of(dims).to_spec())
    (choice,), (names,) = Space.of(dims).dimensions, read.dimensions
    assert [choice.find(name) for name in names.values] == [0, 1, 2]
    assert [names.find(value) for value in choice.values] == [0, 0, 2]
    assert choice.find("abs") is None
