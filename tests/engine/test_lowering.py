"""Every algorithm and every scheduler lowers for TPU and CUDA, on a machine that has neither, and to what these run."""

import functools
import json
import os
import pathlib
import subprocess
import sys

import jax
import jax.numpy as jnp
import lowering
import numpy as np
import pytest
from jax import export
from kinds import ALGORITHMS, BELIEVED, SEVERAL, task
from lowering import FRONTS, PLATFORMS, SCHEDULERS, SEVERAL_STOPPED, TOGETHER, built, faults, parts, traced

import jaxhpt
from jaxhpt.training.pool import MOST_STEPS

ROOT = pathlib.Path(__file__).parents[2]
WHOLE, RANDOM = SCHEDULERS["run_to_end"], ALGORITHMS["random"]


@pytest.fixture(autouse=True)
def an_accelerator(monkeypatch):
    """Trace what is traced on an accelerator."""
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")


def assert_lowers(programs, names=None):
    """Assert that programs lower for all platforms at once, and that nothing in them is wrong there."""
    for name in names or programs:
        wrong = faults(programs[name].lower(lowering_platforms=PLATFORMS).as_text(), *PLATFORMS)
        assert not wrong, f"{name}: {wrong}"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_an_algorithm_does(name):
    assert_lowers(parts(*built(ALGORITHMS[name], WHOLE)), ["begin", "design", "propose", "settle"])


@pytest.mark.parametrize("name", FRONTS)
def test_what_it_does_with_two_objectives(name):
    assert_lowers(parts(*built(FRONTS[name], WHOLE, task(steps="n", **SEVERAL))), ["propose", "settle"])


@pytest.mark.parametrize("name", ["random", "tpe", "bayesian"])
def test_what_it_does_with_beliefs(name):
    assert_lowers(parts(*built(ALGORITHMS[name], WHOLE, space=BELIEVED)), ["design", "propose"])


@pytest.mark.parametrize("name", SCHEDULERS)
def test_what_a_scheduler_does(name):
    assert_lowers(parts(*built(RANDOM, SCHEDULERS[name])), ["begin", "instruct", "settle", "move", "summary"])


@pytest.mark.parametrize("name", SEVERAL_STOPPED)
def test_what_it_does_for_several_objectives(name):
    assert_lowers(parts(*built(RANDOM, SEVERAL_STOPPED[name], task(steps="n", **SEVERAL))), ["begin", "settle"])


@pytest.mark.parametrize(("name", "microbatch"), [("linen", 2), ("nnx", 4)])
def test_how_a_pool_trains(name, microbatch):
    program, data = built(RANDOM, WHOLE, *lowering.networks()[name], microbatch=microbatch)
    assert program.pool.grain == max(d for d in range(1, MOST_STEPS + 1) if program.pool.interval % d == 0)
    assert_lowers(parts(program, data), ["vacant", "fill", "advance", "keep", "move"])


@pytest.mark.parametrize("name", TOGETHER)
def test_a_whole_search_as_one_program_which_can_be_exported(name):
    function, *arguments = lowering.whole(*built(*TOGETHER[name]))
    for platform in PLATFORMS:
        wrong = faults(traced(function, *arguments).lower(lowering_platforms=(platform,)).as_text(), platform)
        assert not wrong, f"{platform}: {wrong}"
    exported = export.export(lowering.jitted(function), platforms=PLATFORMS)(*arguments)
    assert exported.platforms == PLATFORMS


@pytest.mark.parametrize("name", ["genetic", "bayesian"])
def test_many_searches_as_one_program(name):
    assert_lowers(lowering.together(*built(ALGORITHMS[name], SCHEDULERS["asha"])))


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_what_is_behind_a_tuner(name):
    assert_lowers(lowering.asked(ALGORITHMS[name]))


def test_none_is_forgotten():
    def kinds(settings):
        """Return the classes of settings, and of the settings in them."""
        inner = (vars(settings).values() if hasattr(settings, "__dict__") else settings) if settings else ()
        nested = [kinds(v) for v in inner if isinstance(v, tuple) or type(v).__module__.startswith("jaxhpt.")]
        return {type(settings)}.union(*nested)

    every = set().union(*map(kinds, (*ALGORITHMS.values(), *FRONTS.values(), *SCHEDULERS.values())))
    public = {kind for kind in vars(jaxhpt).values() if isinstance(kind, type)}
    rooms = ("jaxhpt.algorithms.", "jaxhpt.schedulers.")
    assert {kind for kind in public if kind.__module__.startswith(rooms)} - every == {jaxhpt.Auto}


@functools.partial(jax.jit, static_argnums=0)
def host(sees, x):
    return jax.pure_callback(lambda a: a, jax.ShapeDtypeStruct((), np.float32), x) if sees else x


def test_what_is_wrong_is_found():
    number = jax.ShapeDtypeStruct((), jnp.float32)
    matrix = jax.ShapeDtypeStruct((3, 3), jnp.float32)
    assert faults(host.trace(False, number).lower().as_text(), "tpu") == []
    assert faults(host.trace(True, number).lower().as_text(), "tpu")[0].startswith("call of Python: ")
    solved = jax.jit(jnp.linalg.cholesky).trace(matrix).lower(lowering_platforms=("cpu",)).as_text()
    assert "call that cuda has not: lapack_spotrf" in faults(solved, "cuda")[0]
    assert faults(solved, *PLATFORMS) == ["call that tpu and cuda has not: lapack_spotrf_ffi"]
    with jax.enable_x64(True):
        wide = jax.jit(lambda x: x.astype(jnp.float64)).trace(number).lower(lowering_platforms=("tpu",)).as_text()
    assert faults(wide, "tpu") == ["64 bits: f64"]
    (rows,) = export.symbolic_shape("n")
    any_rows = export.export(jax.jit(lambda x: x + 1), platforms=["tpu"])(jax.ShapeDtypeStruct((rows,), jnp.float32))
    assert "dynamic shape: tensor<?xf32>" in faults(any_rows.mlir_module(), "tpu")


@pytest.mark.slow
def test_the_compiler_of_tpus_takes_them_all():
    pytest.importorskip("libtpu", reason="pip install libtpu: it compiles on machines without a TPU")
    paths = os.pathsep.join([str(ROOT), *sys.path])
    here = {**os.environ, "PYTHONPATH": paths, "JAX_PLATFORMS": "cpu"}
    nothing_to_ask = {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5e", "TPU_WORKER_HOSTNAMES": "localhost"}
    script = [sys.executable, str(ROOT / "tests" / "lowering.py")]
    done = subprocess.run(script, env={**here, **nothing_to_ask}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {}
