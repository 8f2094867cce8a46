"""Benchmarks load as the package is now; the slow test runs each at its smallest."""

import importlib
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py") if path.stem != "__init__")
PROGRAMS = [name for name in MODULES if "__main__" in (ROOT / "benchmarks" / f"{name}.py").read_text()]


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_loads(name):
    assert importlib.import_module(f"benchmarks.{name}").__doc__


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "report"])
def test_a_benchmark_runs_at_its_smallest(name, tmp_path):
    command = [sys.executable, "-m", f"benchmarks.{name}", "--quick", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
