"""JAX's numeric modes: 64 bits, strict promotion, and no jit, each in a process of its own.

What is run and traced stands beside this file; strict promotion changes no number, so its process is what others are
compared with. What is traced is traced under both at once.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

HERE = pathlib.Path(__file__).parent
STRICT = {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise"}
MODES = {
    "x64 and strict": ({"JAX_ENABLE_X64": "1", **STRICT}, ["traces"]),
    "x64": ({"JAX_ENABLE_X64": "1"}, ["runs", "runs_of_other_dtypes"]),
    "strict": (STRICT, ["runs", "runs_without_jit"]),
    "x64, algorithms": ({"JAX_ENABLE_X64": "1"}, ["runs_of_algorithms"]),
    "strict, algorithms": (STRICT, ["runs_of_algorithms"]),
    "without jit": ({"JAX_DISABLE_JIT": "1"}, ["runs_without_jit"]),
}


@functools.cache
def process(mode):
    """Return what a process in a mode found, once."""
    flags, parts = MODES[mode]
    path = os.pathsep.join(filter(None, [str(HERE.parent.parent), str(HERE.parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "error", str(HERE / "run.py"), *parts]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path, **flags}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(f"{' '.join(f'{k}={v}' for k, v in flags.items())} {' '.join(command)}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout)


def numbers(run, column):
    return np.frombuffer(bytes.fromhex(run[column]), np.float32)


def test_all_that_is_compiled_keeps_to_32_bits_and_needs_no_promotion():
    faults = process("x64 and strict")["traces"]
    assert not faults, "\n".join(f"jaxhpt/{message} (in {place})" for message, place in faults.items())


def alike(wide, plain):
    assert wide.keys() == plain.keys()
    differ = [f"{name}: {part}" for name in wide for part in wide[name] if wide[name][part] != plain[name][part]]
    assert not differ, differ


def test_searches_find_the_same_bits_with_64_bits_at_hand():
    alike(process("x64")["runs"], process("strict")["runs"])


@pytest.mark.slow  # what is compiled of them is traced above
def test_algorithms_propose_the_same_bits_with_64_bits_at_hand():
    alike(*(process(f"{mode}, algorithms")["runs_of_algorithms"] for mode in ("x64", "strict")))


def test_scores_are_float32_whatever_the_function_returns():
    runs = process("x64")["runs_of_other_dtypes"]
    assert runs
    for name, run in runs.items():
        assert run["dtypes"] == {"unit": "float32", "metrics": "float32"}, name
        assert np.isfinite(numbers(run, "metrics")).all(), name


def test_searches_without_jit_are_right():
    slow, plain = process("without jit")["runs_without_jit"], process("strict")["runs_without_jit"]
    assert slow.keys() == plain.keys()
    for name in slow:
        for column in ("unit", "metrics"):
            np.testing.assert_allclose(numbers(slow[name], column), numbers(plain[name], column), 1e-4, 1e-5, name)
