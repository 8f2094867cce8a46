"""The examples: each is short, runs, and finds what it says it finds."""

import importlib.util
import itertools
import math
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxhpt
from jaxhpt.problems import hartmann6

FOLDER = Path(__file__).parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
sys.path.append(str(FOLDER))  # as for `python examples/name.py`


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_each_is_short_says_how_to_run_it_and_is_tested(path):
    text = path.read_text()
    assert len(text.splitlines()) < 130
    assert f"Run: python examples/{path.name}" in text.split('"""')[1]
    assert f"test_{path.stem}" in globals()


@pytest.mark.parametrize("game", ["cartpole", "acrobot"])
def test_rl(game, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = load("rl")
    monkeypatch.setitem(example.SIZES, "acrobot", (8, 4))
    _, updates = example.SIZES[game]
    table = example.main(game, 8, 1)
    assert list(table) == ["default", "random", "ASHA", "PBT"]
    assert all(0 < length <= example.LIMIT for ((length, _),) in table.values())
    (_, one), (_, plain), (_, stopped), (_, copied) = (runs[0] for runs in table.values())
    assert copied == plain == 8 * updates == 8 * one
    assert plain / 2 < stopped < 2 * plain
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines()[:4]] == list(table)
    assert (tmp_path / f"rl-{game}.png").exists() or "no plot" in out


def test_games(capsys):
    example = load("games")
    found = example.main(16)
    assert 12 < found["cartpole"] < 40  # as in Gym, random pushes let the pole fall soon
    assert found["acrobot"] > 300
    assert len(capsys.readouterr().out.splitlines()) == len(example.GAMES)

    def pump(key, seen):
        return jnp.where(seen[5] > 0, 2, 0)  # torque along the second link's turning adds energy

    assert example.length(example.GAMES["acrobot"], pump, jax.random.key(0), 4) < 200


def test_generalise(capsys, monkeypatch, tmp_path):
    example = load("generalise")
    monkeypatch.chdir(tmp_path)
    example.STEPS = 10
    table = example.main(1, 32, ["wine"])
    assert {way for _, way in table} == set(example.WAYS)
    for chosen, first in table.values():
        assert np.isfinite([chosen, first]).all()
    firsts = {float(first[0]) for (_, way), (_, first) in table.items() if "folds" not in way and "seeds" not in way}
    assert len(firsts) == 1  # the same setting, trained in the same way
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(example.WAYS)
    assert (tmp_path / "generalise.png").stat().st_size > 10_000


def test_the_pole_falls_as_it_does_in_gym():
    """Against the equations of motion in double precision, step by step."""
    game = load("games").GAMES["cartpole"]
    state = played = game.begin(jax.random.key(1))
    state = np.asarray(state[:4], np.float64)
    for push in [1, 1, 0, 1, 0, 0, 1, 1, 1, 0]:
        x, v, a, w = state
        force = 10.0 if push else -10.0
        temp = (force + 0.1 * 0.5 * w**2 * math.sin(a)) / 1.1
        turn = (9.8 * math.sin(a) - math.cos(a) * temp) / (0.5 * (4 / 3 - 0.1 * math.cos(a) ** 2 / 1.1))
        speed = temp - 0.1 * 0.5 * turn * math.cos(a) / 1.1
        state = (x + 0.02 * v, v + 0.02 * speed, a + 0.02 * w, w + 0.02 * turn)
        played, over = game.play(jax.random.key(0), played, push)
        assert not over
        np.testing.assert_allclose(played[:4], state, rtol=1e-4, atol=1e-6)


def test_the_pendulum_swings_as_it_does_in_gym():
    """Against the equations of motion of two rods in double precision, by small steps."""
    game, lc, inertia, g = load("games").GAMES["acrobot"], 0.5, 1.0, 9.8

    def slope(state, torque):
        p, q, v, w = state
        d1 = lc**2 + 1 + lc**2 + 2 * lc * math.cos(q) + 2 * inertia
        d2 = lc**2 + lc * math.cos(q) + inertia
        phi2 = lc * g * math.cos(p + q - math.pi / 2)
        phi1 = -lc * w**2 * math.sin(q) - 2 * lc * w * v * math.sin(q) + (lc + 1) * g * math.cos(p - math.pi / 2) + phi2
        bend = (torque + d2 / d1 * phi1 - lc * v**2 * math.sin(q) - phi2) / (lc**2 + inertia - d2**2 / d1)
        return np.array([v, w, -(d2 * bend + phi1) / d1, bend])

    played = game.begin(jax.random.key(1))
    state = np.asarray(played[:4], np.float64)
    for action in [2, 2, 1, 0, 0, 2, 2, 2, 0, 1]:
        for _ in range(2000):
            middle = state + 5e-5 * slope(state, action - 1)
            state = state + 1e-4 * slope(middle, action - 1)
        played, over = game.play(jax.random.key(0), played, action)
        assert not over
        np.testing.assert_allclose(played[:4], state, rtol=2e-2, atol=2e-3)
    up = jnp.asarray([math.pi, 0.1, 0.0, 0.0, 7.0])
    assert game.play(jax.random.key(0), up, 1)[1]
    assert game.play(jax.random.key(0), jnp.zeros(5).at[4].set(499), 1)[1]


def test_quickstart(capsys):
    example = load("quickstart")
    result = example.main(24)
    assert result.stats.trials == 24
    assert result.best.value > 0.95
    _, (x, y) = example.load()
    accuracy = float((result.best_state(x).argmax(-1) == y).mean())
    assert accuracy == pytest.approx(result.best.value, abs=1e-6)
    assert f"accuracy {accuracy:.4f}" in capsys.readouterr().out


def test_linen_regression(capsys):
    example = load("linen_regression")
    result = example.main(72)  # more than the lanes, which are refilled
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[-2:]]
    validation, test = (float(row[1]) for row in rows)
    assert validation == pytest.approx(result.best.metrics["r2"], abs=1e-3)
    assert min(validation, test) > 0.35
    assert result.best.value == min(trial.value for trial in result.trials)
    for trial in result.trials:  # an epoch is a pass over the rows at the trial's own batch size
        assert trial.steps == trial.hparams["epochs"] * math.ceil(example.ROWS / trial.hparams["batch_size"])
    assert len({trial.steps for trial in result.trials}) > 3
    assert result.stats.lanes < result.stats.trials == 72


def test_blackbox(capsys):
    results = load("blackbox").main()
    values = {name: result.best.value for name, result in results.items()}
    evaluate = jax.vmap(hartmann6.function)
    grid = np.array(list(itertools.product(np.linspace(0.0, 1.0, 4, dtype=np.float32), repeat=6)))
    assert values["grid"] == pytest.approx(float(evaluate(grid).min()), abs=1e-5)
    typical = float(np.quantile(evaluate(np.random.default_rng(0).random((4096, 6), np.float32)), 0.001))
    assert max(values["random"], values["quasi_random"]) < typical  # the best of thousands, not of a few
    for name, result in results.items():
        assert result.stats.trials == 4096
        assert values[name] == pytest.approx(float(hartmann6(result.best.hparams)), abs=1e-5)
        assert values[name] == min(trial.value for trial in result.trials) > hartmann6.minimum
    assert f"{values['grid']:.4f}" in capsys.readouterr().out.splitlines()[-1]


def test_char_lm(capsys):
    example = load("char_lm")
    example.LAYERS = 1  # sooner compiled
    result = example.main(4, 40)
    _, (x, y) = example.load()
    model, codes = result.best_state, jnp.asarray(x)
    outputs = model(codes)
    counts = np.bincount(y.ravel(), minlength=example.CHARACTERS)
    shares = counts[counts > 0] / y.size
    assert result.best.value < -(shares * np.log(shares)).sum()  # it has learnt more than how often characters come
    loss = -jnp.take_along_axis(jax.nn.log_softmax(outputs), jnp.asarray(y)[..., None], -1).mean()
    assert float(loss) == pytest.approx(result.best.value, abs=1e-3)
    blinded = model(codes.at[:, 40:].set(0))
    np.testing.assert_allclose(blinded[:, :40], outputs[:, :40], atol=1e-4)  # it does not look ahead
    out = capsys.readouterr().out
    assert f"{result.best.value / math.log(2):.3f} bits per character" in out
    assert bytes(x[0].tolist()).decode() in out


def test_genetic(capsys):
    result = load("genetic").main(60)
    assert result.stats.trials == 60
    assert {tuple(trial.hparams) for trial in result.trials} == {("batch_size", "epochs", "learning_rate")}
    assert result.best.value > 0.95
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["first", "last", "wall"]


def test_pareto(capsys):
    result = load("pareto").main(100)
    front = result.pareto_front()
    sizes = [trial.metrics["weights"] for trial in front]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= 3_000
    assert len(front) >= 4
    assert [trial.metrics["weights"] == 75 * trial.hparams["width"] + 10 for trial in front] == [True] * len(front)
    assert "hypervolume" in capsys.readouterr().out


def test_asha(capsys):
    result = load("asha").main(96)
    assert {12, 300} <= {trial.steps for trial in result.trials} <= {12, 36, 108, 300}
    assert result.best.value > 0.95
    assert result.best.steps == 300
    assert "trials ended after 12 steps" in capsys.readouterr().out


def test_compress_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    size = load("compress_file").main()
    assert size == (tmp_path / "dense.npz").stat().st_size
    assert f"{size:,} bytes" in capsys.readouterr().out


def test_compress(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = load("compress")
    found = example.main(16, 40, 1, 500, 40)
    assert {name: len(cells) for name, cells in found.items()} == {"dense": 2, **dict.fromkeys(example.WAYS, 1)}
    for name, cells in found.items():
        size, accuracy, _ = cells[-1]
        assert size == (tmp_path / f"{name}.npz").stat().st_size
        assert size <= 4 * 15_210 / 12 or name.startswith("dense")
        assert accuracy > 0.15
    assert found["dense"][0][0] - 4 * 15_210 < 600
    out = capsys.readouterr().out
    assert "accuracy on fresh rows" in out
    assert (tmp_path / "compress.png").exists() or "no plot" in out


def test_architecture(capsys):
    example = load("architecture")
    nets = [{"kind": kind, "width": 4, "depth": 2, "act": jnp.tanh} for kind in ("mlp", "cnn", "gru")]
    for h in nets:
        shape = jax.eval_shape(lambda x, h=h: example.Net(h, nnx.Rngs(0))(x), jnp.zeros((3, example.ROWS)))
        assert shape.shape == (3, example.CLASSES)
    space = {**example.SPACE, "kind": jaxhpt.Choice(["mlp", "cnn"], structural=True), "width": 8, "depth": 1}
    result, accuracy = example.main(6, 0, 90, {**space, "act": jnp.tanh}, algorithm="random", progress=False)
    assert {trial.hparams["kind"] for trial in result.trials} == {"mlp", "cnn"}
    assert result.best_state.kind == result.best.hparams["kind"]
    assert accuracy > 0.2
    assert f"{accuracy:.3f} on the test rows" in capsys.readouterr().out


def test_accelerate(capsys, monkeypatch, tmp_path):
    example = load("accelerate")
    monkeypatch.chdir(tmp_path)
    space = {**example.SPACE, "kind": "mlp", "width": jaxhpt.Choice([4, 256], structural=True), "depth": 1}
    untuned = example.DEFAULT | {"kind": "mlp", "width": 4, "depth": 1}
    found, rank = example.main(4, 1, 4, space, {"random": ("random", 1)}, untuned)
    (default,), (result,) = (results for results in found.values())
    latency = {trial.hparams["width"]: trial.metrics["latency_128"] for trial in result.trials}
    assert len(latency) == len({t.metrics["latency_128"] for t in result.trials}) == 2  # one figure a structure
    assert latency[4] < latency[256]
    assert default.trials[0].metrics["latency_128"] == latency[4]  # measured once a process
    assert rank == pytest.approx(1.0)
    assert "measured afresh: 1.000" in capsys.readouterr().out
    assert (tmp_path / "accelerate.png").stat().st_size > 10_000
    volume, faster, _ = example.gains(default, default.trials[0], 2 * latency[4])
    assert volume == pytest.approx(default.trials[0].value / 2)
    assert faster == 1.0
    assert [example.spearman([1, 2, 3], [2, 4, 9]), example.spearman([1, 2, 3], [3, 2, 1])] == pytest.approx([1, -1])


def test_many_series(capsys):
    example = load("many_series")
    results, own, shared = example.main(6, 8, 20)
    assert len(results) == len(own) == len(shared) == 6
    units = [result.history.unit for result in results]
    assert all(np.array_equal(unit, units[0]) for unit in units)  # the same settings for all
    for result, error in zip(results, own, strict=True):
        assert error == result.best.metrics["test"]
    assert "6 searches of 8 trials" in capsys.readouterr().out


def test_pbt(capsys, monkeypatch):
    example = load("pbt")
    text = example.windows(example.sources()[0][:1], 40)  # a fraction: compilation, not training, is what takes time
    monkeypatch.setattr(example, "windows", lambda paths, apart: text)
    fixed, found = example.main(6, 40)
    assert fixed.stats.copies == 0 < found.stats.copies
    life = found.lineage(found.best)
    assert [life[0].first, life[-1].last] == [0, 40]
    printed = capsys.readouterr().out.splitlines()
    assert sum(line.endswith("*") for line in printed) == len(life)
    assert f"{found.best.value:.4f}" in printed[-len(life) - 1]


def test_grey_hybrid(capsys, monkeypatch):
    example = load("grey_hybrid")
    few = {"grid": jaxhpt.Grid(points=2), "genetic, grey-guided": example.CONTENDERS["genetic, grey-guided"]}
    monkeypatch.setattr(example, "CONTENDERS", few)  # each is a program to compile
    monkeypatch.setattr(example, "STEPS", 20)
    monkeypatch.setattr(example, "LANES", 8)
    curves = example.main(24, 1)
    lines = capsys.readouterr().out.splitlines()
    assert [len(curve) for curve in curves.values()] == [16, 24]
    for line, letter, (name, curve) in zip(lines[1:3], "ab", curves.items(), strict=True):
        assert np.all(np.diff(curve) <= 0)
        assert line.split() == [f"{letter}:", *name.split(), *[f"{curve[-1]:.4f}"] * 3]
    assert lines[-1] == f"{min(curve[-1] for curve in curves.values()):.4f} 8 trials ... 24"
    assert {"b"} <= set("".join(lines[4:-1])) <= set("ab ")


def test_coordinates(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = load("coordinates")
    found = example.main((16, 64), 3, 1)
    assert abs(found[True].slopes["block"]) < 0.2 < found[False].slopes["block"]
    out = capsys.readouterr().out
    assert out.count("slope") == 2
    assert (tmp_path / "coordinates.png").exists() or "no plot" in out


def test_drift(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = load("drift")
    cells = example.best_rates(16, True, 6, 3, 2)
    assert cells.shape == (2, 2)
    assert ((cells[:, 0] >= 2**-10) & (cells[:, 0] <= 2**-3)).all()
    assert ((cells[:, 1] > 0) & (cells[:, 1] < np.log(128))).all()
    falling = lambda width, *rest: np.array([[0.5 * width**-0.5, 2.0], [0.6 * width**-0.5, 2.1]])  # noqa: E731
    monkeypatch.setattr(example, "best_rates", falling)  # few to compile
    assert {scaled: one.shape for scaled, one in example.main().items()} == dict.fromkeys((False, True), (5, 2, 2))
    out = capsys.readouterr().out
    assert out.count("128: 0.0486 [0.0442, 0.0530]") == 2
    assert out.count("differ 4.00 times; off by 1.00: power law; by 1.00: grey model") == 2
    assert (tmp_path / "drift.png").exists() or "no plot" in out


def test_forecasts_over_widths():
    example, ladder = load("drift"), (8, 16, 32, 64, 128)
    exact = [0.5 * width**-0.5 for width in ladder]
    assert example.forecasts(ladder, exact) == pytest.approx((exact[-1],) * 2, rel=1e-3)  # both know a power law
    power, grey = example.forecasts(ladder, [1.0, *exact[1:]])
    assert grey == pytest.approx(exact[-1], rel=1e-3)  # and the grey model one that begins at the second width
    assert abs(power - exact[-1]) > 1e-2
    assert example.off(ladder, np.array([exact]).T)[:, 0] == pytest.approx([1.0, 1.0, 4.0], rel=1e-3)


def test_transfer(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example, asked = load("transfer"), []
    narrow = example.task(16, False, 2)  # few to compile
    monkeypatch.setattr(example, "cost", lambda width: {16: 1.0, 32: 4.0}[width])
    monkeypatch.setattr(example, "task", lambda width, *rest: asked.append((width, *rest)) or narrow)
    rows = example.main(32, 2, 4, 3, 2)
    assert asked == [(16, True, 2), (32, False, 2), (32, True, 2), (32, False, 2), (32, True, 2)]
    costs = {name: cost for name, (cost, _) in rows.items()}
    assert list(costs.values()) == [1.0, 2.0, 3.0, 3.0, 2.0, 2.0]
    losses = np.array([losses for _, losses in rows.values()])
    assert losses.shape == (6, 2)
    np.testing.assert_array_equal(losses[4], losses[5])  # the same task here, settings and seed
    out = capsys.readouterr().out
    assert out.count(f"{losses[5].mean():.4f} +- ") >= 2
    assert (tmp_path / "transfer.png").exists() or "no plot" in out


def test_report(capsys, tmp_path):
    example = load("report")
    found = example.main(24, tmp_path, 27)
    assert list(found) == ["tpe", "random"]
    assert found["tpe"].confirmed
    assert "Flow through the rungs" in (tmp_path / "report.html").read_text()
    assert ">2 searches<" in (tmp_path / "both.html").read_text()
    assert (tmp_path / "both.png").exists()
    assert "page:" in capsys.readouterr().out
