"""Tasks that chose no setting of the Bayesian wing: three kinds of real trainings, and functions of BBOB's formulas.

Each group has one space and one function of a setting and of arrays, so that its tasks share a compiled program.
"""

import dataclasses
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt

DIMENSIONS = 5  # of the functions
FUNCTIONS = ("rosenbrock", "ellipsoid", "sharp_ridge", "different_powers", "rastrigin", "schaffers_f7")
LEAST_VALUE, LEAST_REGRET = 1e-6, 1e-4
TINY = 1e-5  # of the surrogate's batch norm
TREE = ("eta", "gamma", "max_depth", "min_child_weight", "colsample_bytree", "colsample_bylevel")
DART = ("rate_drop", "skip_drop")
NUMBERS = (
    "nrounds", "eta", "gamma", "lambda", "alpha", "subsample", "max_depth", "min_child_weight", "colsample_bytree",
    "colsample_bylevel", "rate_drop", "skip_drop",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Group:
    """Tasks of one kind.

    Attributes:
      space: of all of them.
      function: (hparams, arrays) -> f32[], minimised.
      tasks: their names.
      arrays: (name, seed) -> what the function wants beside the setting.
      decades: (name, best value) -> what is left to the best there is, by the decimal logarithm.
    """

    space: jaxhpt.Space
    function: Callable
    tasks: tuple
    arrays: Callable
    decades: Callable


def load(name, folder):
    """Return one of GROUPS; None where its data is absent."""
    return GROUPS[name](folder)


def _ranked(found, values):
    """Return which share of a table's settings is at least as good, by the decimal logarithm."""
    return np.log10((np.sum(values < np.float32(found)) + 1) / len(values))


def _taskset(folder):
    """Final losses of text networks for 1,000 settings of Adam; a setting is taken to the nearest of them."""
    folder = folder / "taskset"
    if not folder.is_dir():
        return None
    names, about = sorted(p.stem for p in folder.glob("imdb*.npz")), json.loads((folder / "space.json").read_text())
    losses = {name: np.load(folder / f"{name}.npz")["valid"][:, -1] for name in names}
    losses = {name: np.where(np.isnan(loss), np.inf, loss) for name, loss in losses.items()}  # diverged
    unit = np.load(folder / "settings.npz")["unit"]

    def function(h, arrays):
        place = jnp.stack([h[name] for name in about["order"]])
        return arrays["loss"][jnp.argmin(jnp.sum((arrays["unit"] - place) ** 2, axis=1))]

    space = jaxhpt.Space.of({name: jaxhpt.Float(0.0, 1.0) for name in about["order"]})
    return Group(
        space, function, tuple(names), lambda name, seed: {"loss": losses[name], "unit": unit},
        lambda name, best: _ranked(best, losses[name]),
    )  # fmt: skip


def _nb201(folder):
    """Validation errors of the 15,625 cells of NAS-Bench-201, on three data sets."""
    folder = folder / "nb201_latency"
    if not folder.is_dir():
        return None
    about = json.loads((folder / "space.json").read_text())
    errors = 1.0 - np.load(folder / "table.npz")["val"].T.astype(np.float32) / 100.0
    losses = dict(zip(about["datasets"], errors, strict=True))

    def function(h, arrays):
        return arrays["loss"].reshape((5,) * 6)[tuple(h[name] for name in about["axes"])]

    space = jaxhpt.Space.of(about["space"])
    return Group(
        space, function, tuple(losses), lambda name, seed: {"loss": losses[name]},
        lambda name, best: _ranked(best, losses[name]),
    )  # fmt: skip


def _xgboost(folder):
    """Accuracy of XGBoost by a surrogate: 12 hyperparameters, 8 of them only for some boosters; dropout stays above 0.

    Regret is counted from the best that long searches found.
    """
    folder = folder / "yahpo_rbv2_xgboost"
    if not folder.is_dir():
        return None
    with np.load(folder / "weights.npz") as arrays:
        weights = {name: arrays[name] for name in arrays.files}
    numbers, outputs = weights.pop("cont_in"), weights.pop("y_out")
    if outputs[0, 0] != 1:
        raise ValueError(f"{folder}: an accuracy that is no logarithm")
    encoding = json.loads((folder / "encoding.json").read_text())
    about = json.loads((folder / "tasks.json").read_text())["tasks"]
    tables = [weights.pop(f"embds_fct.{i}.weight") for i in range(3)]

    def arrays(name, seed):
        return {**weights, "task": tables[0][encoding["task_id"][name]]}

    def decades(name, best):
        most, least = about[name]["max_acc_rate_drop_001"], about[name]["min_acc"]
        return np.log10(LEAST_REGRET + max(best - (1.0 - most), 0.0) / (most - least))

    def function(h, arrays):
        return 1.0 - _accuracy(h, arrays, tables, numbers, outputs[0])

    return Group(_xgboost_space(folder), function, tuple(about), arrays, decades)


def _xgboost_space(folder):
    given = {h["name"]: h for h in json.loads((folder / "config_space.json").read_text())["hyperparameters"]}
    dimensions = {"booster": ["dart", "gblinear", "gbtree"], "impute": ["hist", "mean", "median"]}  # as it codes them
    for name in NUMBERS:
        about = given[name]
        kind = jaxhpt.Int if about["type"] == "uniform_int" else jaxhpt.Float
        low = 0.001 if name == "rate_drop" else about["lower"]
        dimension = kind(low, about["upper"], log=about["log"])
        users = ["dart"] if name in DART else ["dart", "gbtree"]
        dimensions[name] = jaxhpt.When("booster", users, dimension) if name in TREE + DART else dimension
    return jaxhpt.Space.of(dimensions)


def _accuracy(h, arrays, tables, about, output):
    """Return the surrogate's accuracy after a whole training: f32[]."""
    used = {name: h["booster"] != 1 if name in TREE else h["booster"] == 0 for name in TREE + DART}
    values = [jnp.where(used.get(name, True), jnp.float32(h[name]), 0.0) for name in NUMBERS]
    columns = []
    for value, (kind, shift, mean, deviation) in zip([*values, 1.0, 10.0], about.tolist(), strict=True):
        value = value if kind == 0 else jnp.log(value + shift) if kind == 1 else jnp.exp(-value / shift) - 1e-12
        columns.append((value - mean) / deviation)
    chosen = [jnp.asarray(t)[1 + h[name]] for t, name in zip(tables[1:], ("booster", "impute"), strict=True)]
    x = _linear(jnp.concatenate([arrays["task"], *chosen, jnp.stack(columns)]), arrays, "first_layer")
    for i in range(sum(name.endswith("linear0.weight") for name in arrays)):
        inner, gate = jnp.split(_linear(_norm(x, arrays, f"layers.{i}.norm"), arrays, f"layers.{i}.linear0"), 2)
        x = x + _linear(inner * jax.nn.relu(gate), arrays, f"layers.{i}.linear1")
    value = _linear(jax.nn.relu(_norm(x, arrays, "last_normalization")), arrays, "head")[0]
    return jnp.exp(jax.nn.sigmoid(value) * output[2] + output[3]) - output[1]


def _linear(x, arrays, name):
    return arrays[f"{name}.weight"] @ x + arrays[f"{name}.bias"]


def _norm(x, arrays, name):
    mean, variance = arrays[f"{name}.running_mean"], arrays[f"{name}.running_var"]
    return (x - mean) / jnp.sqrt(variance + TINY) * arrays[f"{name}.weight"] + arrays[f"{name}.bias"]


def _functions(folder):
    """BBOB's formulas 9, 10, 13, 14, 15 and 17 in 5 dimensions, turned and moved by the seed.

    Without its oscillations and asymmetries.

    Hansen et al., "Real-parameter black-box optimization benchmarking 2009: noiseless functions definitions",
    https://inria.hal.science/inria-00362633 (2009).
    """
    kinds, space = dict(zip(FUNCTIONS, range(len(FUNCTIONS)), strict=True)), {}
    space = {f"x{i}": jaxhpt.Float(-5.0, 5.0) for i in range(DIMENSIONS)}

    def function(h, arrays):
        z = arrays["turn"] @ (jnp.stack([h[name] for name in space]) - arrays["least"])
        return jnp.stack([value(z) for value in (_rosenbrock, _ellipsoid, _ridge, _powers, _rastrigin, _schaffers)])[
            arrays["kind"]
        ]

    def arrays(name, seed):
        rng = np.random.default_rng([seed, kinds[name]])
        turn, _ = np.linalg.qr(rng.normal(size=(DIMENSIONS, DIMENSIONS)))
        least = rng.uniform(-4.0, 4.0, DIMENSIONS)
        return {"kind": np.int32(kinds[name]), "turn": turn.astype(np.float32), "least": least.astype(np.float32)}

    return Group(jaxhpt.Space.of(space), function, FUNCTIONS, arrays, lambda name, best: np.log10(LEAST_VALUE + best))


_EVEN = np.linspace(0.0, 1.0, DIMENSIONS, dtype=np.float32)


def _rosenbrock(z):
    z = max(1.0, DIMENSIONS**0.5 / 8.0) * z + 1.0
    return jnp.sum(100.0 * (z[:-1] ** 2 - z[1:]) ** 2 + (z[:-1] - 1.0) ** 2)


def _ellipsoid(z):
    return jnp.sum(10.0 ** (6.0 * _EVEN) * z**2)


def _ridge(z):
    return z[0] ** 2 + 100.0 * jnp.sqrt(jnp.sum(z[1:] ** 2))


def _powers(z):
    return jnp.sqrt(jnp.sum(jnp.abs(z) ** (2.0 + 4.0 * _EVEN)))


def _rastrigin(z):
    return 10.0 * jnp.sum(1.0 - jnp.cos(2.0 * jnp.pi * z)) + jnp.sum(z**2)


def _schaffers(z):
    z = 10.0 ** (0.5 * _EVEN) * z
    s = jnp.sqrt(z[:-1] ** 2 + z[1:] ** 2)
    return jnp.mean(jnp.sqrt(s) * (1.0 + jnp.sin(50.0 * s**0.2) ** 2)) ** 2


GROUPS = {"taskset": _taskset, "nb201": _nb201, "xgboost": _xgboost, "functions": _functions}
