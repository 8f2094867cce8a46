"""The recipes run as they are written, at a small size, and do what is said of them."""

import os
import pathlib
import re
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "recipes.md").read_text()
RECIPES = dict(re.findall(r"^## ([^\n]*)\n\n```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE))
SMALL = {  # sizes, as they stand at the top of a recipe, and here; random search has no model to compile
    "A convolutional net": {"= 32, 200, 8": "= 6, 40, 4", "trials=TRIALS": "trials=TRIALS, algorithm='random'"},
    "A language model": {"= 64, 8, 270, 32, 32": "= 16, 4, 27, 16, 8", '"tpe"': '"random"'},
    "Cross-validation": {"= 64, 200, 5": "= 8, 100, 3", "trials=TRIALS": "trials=TRIALS, algorithm='random'"},
    "Equinox": {"= 64, 200, 64": "= 6, 60, 16", "trials=TRIALS": "trials=TRIALS, algorithm='random'"},
    "A physics-informed network": {
        "= 64, 1000, 32, 64": "= 6, 60, 8, 16",
        "trials=TRIALS": "trials=TRIALS, algorithm='random'",
    },
    "Reinforcement learning": {"= 16, 200, 8, 500": "= 8, 40, 8, 100"},
    "Widths": {"= 64, 200, 64": "= 8, 40, 16", "trials=TRIALS": "trials=TRIALS, algorithm='random'"},
    "A random forest": {"= 64, 4, 100": "= 5, 2, 5"},
    "Two objectives and a constraint": {"= 512, 100": "= 64, 40"},
    "Ending early": {"= 100_000, 5": "= 50_000, 0.5"},
}


def small(title):
    code = RECIPES[title]
    for whole, part in SMALL[title].items():
        assert code.count(whole) == 1, whole
        code = code.replace(whole, part)
    return code


def run(title, **given):
    names = {"__name__": "recipe", **given}
    exec(compile(small(title), title, "exec"), names)
    return names


def test_each_is_short_and_listed():
    assert list(RECIPES) == list(SMALL)
    for title, code in RECIPES.items():
        assert len(code.splitlines()) < 60, title
        assert max(map(len, code.splitlines())) <= 120, title
        assert f"| [{title}](#{title.lower().replace(' ', '-')}) |" in TEXT


def test_a_convolutional_net():
    names = run("A convolutional net")
    result, x, y = names["result"], names["x"][1437:], names["y"][1437:]
    accuracy = (names["model"](x).argmax(1) == y).mean()
    assert result.best.value == pytest.approx(float(accuracy), abs=1e-6)
    assert result.best.value > 0.5
    key = jax.random.key(0)
    plain, labels = names["batches"](key, 0, {"shift": 0})
    moved, same = names["batches"](key, 0, {"shift": 2})
    np.testing.assert_array_equal(labels, same)
    np.testing.assert_allclose(plain.sum((1, 2)), moved.sum((1, 2)), rtol=1e-5)  # the same pixels, elsewhere
    assert (plain != moved).any()


def test_a_language_model():
    names = run("A language model")
    result = names["result"]
    assert {trial.status for trial in result.trials} == {"done", "stopped"}
    assert {trial.steps for trial in result.trials} <= {1, 3, 9, 27}
    assert names["logits"].shape == (1, 16, 128)
    codes = jnp.asarray(names["windows"][:1, :-1])
    blinded = names["LM"]().apply(result.best_state, codes.at[:, 8:].set(0))
    np.testing.assert_allclose(blinded[:, :8], names["logits"][:, :8], atol=1e-4)  # it does not look ahead


def test_cross_validation():
    names = run("Cross-validation")
    result, valid = names["result"], names["folds"].split(len(names["y"])).valid
    x, y, w = names["x"].astype("float64"), names["y"].astype("float64"), np.stack(result.best_state)
    logits = x @ w[:, :-1].T + w[:, -1]
    losses = np.logaddexp(0.0, logits) - y[:, None] * logits
    assert result.best.value == pytest.approx(np.mean([losses[valid[:, k], k].mean() for k in range(3)]), rel=1e-4)
    assert result.best.value < 0.2


def test_equinox():
    names = run("Equinox")
    x, y = names["x"][1437:], names["y"][1437:]
    found = jax.vmap(names["model"])(x).argmax(1)
    assert names["result"].best.value == pytest.approx(float((found == y).mean()), abs=1e-6)
    assert names["result"].best.value > 0.5


def test_a_physics_informed_network():
    names = run("A physics-informed network")
    values = [trial.value for trial in names["result"].trials]
    assert min(values) == names["result"].best.value < np.median(values)
    fast = (26 - 0.25) ** 0.5
    names["u"] = lambda w, t: jnp.exp(-t / 2) * (jnp.cos(fast * t) + jnp.sin(fast * t) / (2 * fast))
    assert float(names["loss"](None, jnp.linspace(0.0, 3.0, 20), 1.0)) < 1e-8  # the solution that is known
    assert float(names["u"](None, 1.0)) == pytest.approx(0.159, abs=5e-4)


def test_reinforcement_learning():
    names = run("Reinforcement learning")
    result = names["result"]
    after, stands = names["cartpole"](jnp.zeros(4), True)
    np.testing.assert_allclose(after, [0.0, 0.195122, 0.0, -0.292683], atol=1e-6)  # as Gymnasium's
    assert bool(stands)
    assert result.best.value > 40  # a random player holds it for about 20 steps
    assert result.stats.copies > 0


def test_widths():
    names = run("Widths")
    result, x = names["result"], names["x"]
    assert len({trial.hparams["width"] for trial in result.trials}) > 2
    model, width = result.best_state, result.best.hparams["width"]
    hidden = np.maximum(x @ model.hidden.kernel[...] + model.hidden.bias[...], 0.0)[:, :width]
    narrow = hidden @ model.out.kernel[...][:width] + model.out.bias[...]
    np.testing.assert_allclose(model(x), narrow, atol=1e-4)


def test_a_random_forest(tmp_path):
    (tmp_path / "recipe.py").write_text(small("A random forest"))
    here = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::FutureWarning"}
    ran = subprocess.run(
        [sys.executable, tmp_path / "recipe.py"], capture_output=True, text=True, timeout=300, env=here
    )
    assert ran.returncode == 0, ran.stderr
    assert "5 trials in" in ran.stdout
    assert "failed" not in ran.stdout


def test_two_objectives_and_a_constraint():
    names = run("Two objectives and a constraint")
    front = names["result"].pareto_front()
    assert front
    assert all(trial.metrics["worst_digit"] >= 0.6 for trial in front)
    for one in front:
        better = [t for t in front if t.metrics["accuracy"] > one.metrics["accuracy"]]
        assert all(t.metrics["weights"] > one.metrics["weights"] for t in better)
    assert names["w"].shape == (64, 10)
    assert names["metrics"]["accuracy"] == pytest.approx(names["result"].compromise().metrics["accuracy"], abs=0.01)


def test_ending_early(capsys):
    run("Ending early")
    ended = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in ended] == ["timeout", "callback", "error"]
    assert all(0 < int(line[1]) < 50_000 for line in ended)


def test_ending_early_by_ctrl_c():
    pressed = []

    def press(snapshot):
        if snapshot.finished and not pressed:
            pressed.append(snapshot.finished)
            signal.raise_signal(signal.SIGINT)

    names = {"__name__": "recipe", "press": press}
    code = small("Ending early").split("\n\n\ndef good_enough")[0]
    waits = "timeout=SECONDS"
    assert code.count(waits) == 1
    exec(compile(code.replace(waits, "callbacks=[press]"), "Ending early", "exec"), names)
    result = names["result"]
    assert result.stats.ended == "interrupted"
    done = [trial for trial in result.trials if trial.status == "done"]
    assert pressed[0] <= len(done) == result.stats.trials < 50_000
    assert {trial.status for trial in result.trials} <= {"done", "running"}
    assert result.best.value == min(trial.value for trial in done)
