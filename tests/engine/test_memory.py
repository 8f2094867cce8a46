"""Where memory does not suffice, a search does less at once, says so, and ends with all trials."""

import dataclasses
import functools
import json
import os
import pathlib
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.space import Space
from jaxhpt.engine import memory
from jaxhpt.engine.build import build
from jaxhpt.engine.compiling import Function
from jaxhpt.engine.memory import Fitting, TooLittleMemoryError, exhausted, halved, smaller
from jaxhpt.training.layout import Layout
from jaxhpt.training.memory import Bytes, Footprint

ROOT = pathlib.Path(__file__).parents[2]
RUNS = ("enough", "auto", "given", "fused", "compiled", "pools", "estimated", "many", "many_estimated", "later", "lost",
        "nothing_fits")  # fmt: skip
limited = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space of a process")


@pytest.fixture(scope="module")
def runs():
    """Return what became of searches in a process whose memory was limited."""
    # Each thread of glibc's takes up 64 MiB of addresses, used or not, which would count.
    here = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "MALLOC_ARENA_MAX": "1"}
    script = [sys.executable, str(ROOT / "tests" / "engine" / "memory_runs.py"), *RUNS]
    done = subprocess.run(script, env=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def same(run, other):
    np.testing.assert_array_equal(run["tried"], other["tried"])
    np.testing.assert_allclose(run["values"], other["values"], rtol=1e-4)


@limited
@pytest.mark.slow  # how much is free is the machine's affair, too
@pytest.mark.parametrize("name", ["given", "fused", "compiled", "later"])
def test_where_lanes_are_given_fewer_at_once_are_evaluated_and_nothing_is_lost(runs, name):
    run = runs[name]
    assert run["statuses"] == ["done"] * 32
    same(run, runs["enough"])
    assert run["lanes"][:2] == [16, 16]
    assert "memory did not suffice; going on with" in run["memory"][0]
    assert "16 at once in training, 8 in evaluation" in run["memory"][0]
    assert run["warnings"] == run["memory"]


@limited
@pytest.mark.slow  # how much is free is the machine's affair, too
def test_pools_that_train_side_by_side_have_to_fit_together(runs):
    assert runs["pools"]["lanes"] == [16, 8, 4]
    assert "training takes 512 MiB, of which" in runs["pools"]["memory"][0]
    same(runs["pools"], runs["enough"])


@limited
@pytest.mark.slow  # how much is free is the machine's affair, too
def test_many_searches_have_to_fit_together(runs):
    run = runs["many"]
    assert run["statuses"] == ["done"] * 32
    assert run["lanes"][:2] == [16, 16]
    assert "training takes 1 GiB, of which" in run["memory"][0]
    same(run, runs["enough"])
    assert runs["many_estimated"]["statuses"] == ["done"] * 32
    assert runs["many_estimated"]["memory"] == []


@limited
@pytest.mark.slow  # how much is free is the machine's affair, too
def test_where_lanes_are_left_to_us_there_are_fewer(runs):
    run = runs["auto"]
    assert run["statuses"] == ["done"] * 32
    assert run["lanes"] == [8, 8, None]
    assert [message.split(" (")[0] for message in run["memory"]] == [
        f"memory did not suffice; going on with {n} lanes, {n} at once in training, {n} in evaluation" for n in (16, 8)
    ]
    assert all("RESOURCE_EXHAUSTED" in message for message in run["memory"])


@limited
@pytest.mark.slow  # how much is free is the machine's affair, too
def test_what_is_estimated_to_fit_does_at_once(runs):
    assert runs["estimated"]["lanes"] == [16, 16, 8]
    assert runs["estimated"]["memory"] == runs["estimated"]["warnings"] == []
    same(runs["estimated"], runs["enough"])


@limited
@pytest.mark.slow  # how much is free is the machine's affair, too
def test_what_ended_is_kept_where_memory_goes_unseen(runs):
    assert runs["lost"]["statuses"] == ["done"] * 16 + ["running"] * 16
    np.testing.assert_array_equal(runs["lost"]["values"][:16], runs["enough"]["values"][:16])


@limited
@pytest.mark.slow  # how much is free is the machine's affair, too
def test_where_nothing_fits_it_says_what_to_do(runs):
    assert "give fewer lanes=, a smaller batch_size= or model" in runs["nothing_fits"]["error"]


@functools.cache
def program(**layout):
    """Return a search whose evaluation takes more than its training."""
    task = jaxhpt.Task(
        lambda key, h: jnp.zeros(8) + h["x"],
        lambda w, batch, h, key: w * 0.5,
        lambda w, data, h: {"loss": jnp.sum(jnp.sort(jnp.tile(w, 9)))},
        steps=3,
    )
    space, searched = Space.of({"x": jaxhpt.Float(0, 1)}), (jaxhpt.Random(), jaxhpt.RunToEnd())
    return build(task, space, 64, *searched, Layout(**{"cores": 2, **layout})).program


def shapes(program):
    problem, inner, pool = program.problem, program.study.problem, program.pool
    assert problem.lanes == inner.lanes == pool.lanes * program.pools
    assert pool.lanes % pool.microbatch == pool.lanes % (pool.scored or 1) == 0
    return problem.lanes, program.pools, pool.microbatch, pool.scored


def chain(first, step):
    found = [first]
    while (less := step(found[-1])) is not None:
        found.append(less)
    return found


def test_lanes_that_are_ours_are_halved_down_to_one():
    found = [shapes(one) for one in chain(program(), smaller)]
    assert found == [(64, 2, 32, None), (32, 2, 16, None), (16, 2, 8, None), (8, 2, 4, None), (4, 2, 2, None),
                     (2, 2, 1, None), (1, 1, 1, None)]  # fmt: skip


def test_lanes_that_are_given_stay_and_what_takes_most_is_halved_first():
    found = [shapes(one) for one in chain(program(lanes=12), smaller)]
    assert {lanes for lanes, *_ in found} == {12}
    assert found[0] == (12, 2, 6, None)
    assert found[1] == (12, 2, 6, 3)
    assert found[-1] == (12, 2, 1, None)


@pytest.mark.parametrize(
    ("step", "evaluate", "pool", "less"),
    [(9, 1, (8, None), (4, None)), (1, 9, (8, None), (8, 4)), (9, 1, (8, 4), (4, None)), (9, 9, (1, None), None)],
)
def test_the_group_that_takes_most(monkeypatch, step, evaluate, pool, less):
    need = Footprint(1, Bytes(0, 0), Bytes(step, 0), Bytes(evaluate, 0))
    monkeypatch.setattr(memory, "footprint", lambda functions: need)
    given = dataclasses.replace(program(lanes=16).pool, microbatch=pool[0], scored=pool[1])
    found = halved(given)
    assert (found and (found.microbatch, found.scored)) == less


def failing(limit, error):
    """Return a program of a number, which fails where that is above a limit."""

    def call(number, x):
        return x * jnp.float32(number)

    class Failing(Function):
        def program(self, number, *shapes):
            run = super().program(number, *shapes)
            return lambda x: (_ for _ in ()).throw(error) if number > limit else run(x)

    return Failing(call, 1)


HALF = lambda number: number // 2 if number > 1 else None  # noqa: E731
NO_ROOM = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 99 bytes.")


def pool_of(number):
    """Stand in for the words about a pool."""
    return f"{number} at once"


def test_a_program_is_made_smaller_until_it_runs_and_stays_so(monkeypatch):
    monkeypatch.setattr(memory, "grouped", pool_of)
    told, one = [], jnp.float32(1)
    run = Fitting(failing(2, NO_ROOM), 16, (one,), HALF, told)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert run(one) == 2.0
    assert [str(w.message) for w in seen] == told
    assert run(one) == 2.0
    assert [words.split("with ")[1].split(" (")[0] for words in told] == ["8 at once", "4 at once", "2 at once"]


def test_what_cannot_be_called_again_and_what_is_no_matter_of_memory_is_raised(monkeypatch):
    monkeypatch.setattr(memory, "grouped", pool_of)
    gone, one = jnp.float32(1), jnp.float32(1)
    run = Fitting(failing(2, NO_ROOM), 16, (one,), HALF, [])
    gone.delete()
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        run(gone)
    other = jax.errors.JaxRuntimeError("INTERNAL: a bug")
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        Fitting(failing(2, other), 16, (one,), HALF, [])(one)
    no_room = pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED")
    with no_room, pytest.warns(UserWarning, match="going on with 1 at once"):
        Fitting(failing(0, NO_ROOM), 2, (one,), HALF, [])(one)


def test_which_errors_are_of_memory():
    for message in ("RESOURCE_EXHAUSTED: no", "INTERNAL: CUDA_ERROR_OUT_OF_MEMORY: out of memory"):
        assert exhausted(jax.errors.JaxRuntimeError(message))
    assert exhausted(TooLittleMemoryError("no"))
    assert not exhausted(jax.errors.JaxRuntimeError("INVALID_ARGUMENT: no"))
    assert not exhausted(ValueError("out of memory"))
