"""The recipe for a pool of processes runs as it is written, as a script of its own."""

import io
import os
import pathlib
import re
import subprocess
import sys

import pandas as pd

ROOT = pathlib.Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "tuner.md"


def test_a_pool_of_spawned_processes_shares_one_tuner(tmp_path):
    recipe = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
    small = {
        "Int(10, 200, log=True)": "Int(2, 8)",
        "print(main())": "print(main(trials=6, workers=2).to_pandas().to_csv())",
    }
    for whole, part in small.items():
        assert whole in recipe
        recipe = recipe.replace(whole, part)
    (tmp_path / "recipe.py").write_text(recipe)
    here = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, tmp_path / "recipe.py"], capture_output=True, text=True, timeout=300, env=here
    )
    assert run.returncode == 0, run.stderr
    assert "6/6 trials" in run.stderr
    trials = pd.read_csv(io.StringIO(run.stdout))
    assert trials.status.tolist() == ["done"] * 6
    assert trials.accuracy.between(0.5, 1.0).all()
