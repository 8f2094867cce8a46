"""A result pickles and copies, in this process and into another, without the functions of its task."""

import copy
import pickle
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt

SPACE = {"lr": jaxhpt.Float(1e-3, 0.9), "kind": ["a", "b"]}
COPIES = {"pickled": lambda result: pickle.loads(pickle.dumps(result)), "deepcopied": copy.deepcopy}


def made(init, export=None):
    def evaluate(state, data, h):
        return {"loss": (jax.tree.leaves(state)[-1] ** 2).sum() + h["kind"]}

    step = lambda state, batch, h, key: jax.tree.map(lambda w: w, state)  # noqa: E731
    task = jaxhpt.Task(init=init, step=step, evaluate=evaluate, steps=1, export=export)
    return task, jaxhpt.search(task, SPACE, algorithm="random", trials=8, lanes=4, progress=False)


def of_arrays(key, h):
    return {"w": jax.random.normal(key, (3,)) * h["lr"], "key": key}


@pytest.fixture(scope="module")
def found():
    return made(of_arrays)


def assert_same(result, other):
    assert [t.hparams for t in other.trials] == [t.hparams for t in result.trials]
    assert other.best == result.best
    assert other.stats == result.stats
    assert repr(other) == repr(result)
    assert other.space == result.space
    assert other.to_pandas().equals(result.to_pandas())
    np.testing.assert_array_equal(other.history.unit, result.history.unit)


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_all_but_the_functions_comes_along(found, copied):
    _, result = found
    other = copied(result)
    assert_same(result, other)
    np.testing.assert_array_equal(other.best_state["w"], result.best_state["w"])
    assert jax.random.bits(other.best_state["key"]) == jax.random.bits(result.best_state["key"])
    with pytest.raises(RuntimeError, match="without the functions of its task: replay trials on the result"):
        other.replay(0)
    assert_same(result, copied(other))


def test_another_process_reads_it(found, tmp_path):
    _, result = found
    (tmp_path / "result.pkl").write_bytes(pickle.dumps(result))
    code = (
        "import pickle, sys; r = pickle.load(open(sys.argv[1], 'rb')); print(r.best.value, r.best_state['w'].tolist())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "result.pkl")], capture_output=True, text=True, check=True
    )
    assert run.stdout.split(" ", 1) == [str(result.best.value), f"{np.asarray(result.best_state['w']).tolist()}\n"]


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_state_that_is_exported_needs_its_task(copied):
    task, result = made(of_arrays, lambda state, h: (h["kind"], state["w"]))
    other = copied(result)
    with pytest.raises(RuntimeError, match=r"result\.with_task\(task\)\.best_state"):
        _ = other.best_state
    given = other.with_task(task)
    assert int(given.best_state[0]) == int(result.best_state[0])
    np.testing.assert_array_equal(given.best_state[1], result.best_state[1])
    assert_same(result, copied(given))
    with pytest.raises(TypeError, match="task=3: must be the Task"):
        other.with_task(3)


def test_a_state_that_does_not_pickle_is_left_out():
    class Weights:
        def __init__(self, w):
            self.w = w

    jax.tree_util.register_pytree_node(Weights, lambda s: ((s.w,), None), lambda _, w: Weights(*w))
    _, result = made(lambda key, h: Weights(jnp.ones(2) * h["lr"]))
    other = pickle.loads(pickle.dumps(result))
    assert_same(result, other)
    with pytest.raises(RuntimeError, match="does not pickle: take best_state from the result that the search returned"):
        _ = other.best_state


def test_a_shallow_copy_keeps_all(found):
    _, result = found
    assert copy.copy(result).replay(0)[1]["loss"] == pytest.approx(result.trials[0].value, rel=1e-5)


def test_that_of_a_tuner_keeps_its_numbers():
    tuner = jaxhpt.Tuner(SPACE, algorithm="random", trials=4, progress=False)
    tuner.tell(tuner.ask(3), [1e300, 0.1, None])
    for copied in COPIES.values():
        other = copied(tuner.result)
        assert other.best.value == 0.1
        assert other.trials[0].value == 1e300
        with pytest.raises(RuntimeError, match="outside jaxhpt"):
            _ = other.best_state


def test_a_space_of_functions_is_there_by_name_in_a_pickle():
    space = {"act": jaxhpt.Choice([jnp.sin, lambda x: x]), "of": jnp.cos, "x": jaxhpt.Float(0, 1)}
    result = jaxhpt.minimize(lambda h: h["x"] + h["act"], space, algorithm="random", trials=16, progress=False)
    again = pickle.loads(pickle.dumps(result))
    assert [t.value for t in again.trials] == [t.value for t in result.trials]
    names = {str(t.hparams["act"]) for t in again.trials}
    assert len(names) == 2
    assert any("lambda" in name for name in names)
    assert again.to_pandas().shape == result.to_pandas().shape
