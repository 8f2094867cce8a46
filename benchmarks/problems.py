"""What searches are compared on: standard functions, LCBench's surrogate, and tables of real trainings.

LCBench: the error of a network after 52 epochs, by the YAHPO Gym surrogate, on the 17 tasks that are for development.
TaskSet: the loss of a text network at 50 points of its training, for the nearest of 1,000 settings of Adam.
Tables: the mean over the seeds of a setting, so that the same setting always has the same value. What is read from
files is arrays, handed to the function, so all tasks of a kind share one compiled program.
"""

import dataclasses
import functools
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from benchmarks import tabular

STANDARD = {  # dimensions, whether the optimum is moved
    "branin": (2, False),
    "hartmann6": (6, False),
    "ackley": (10, True),
    "levy": (6, True),
    "rosenbrock": (8, True),
}
WIDE = {f"{name}-40": (40, True) for name in ("ackley", "levy", "rosenbrock")}
INSTANCES = (
    "3945", "34539", "126026", "146212", "167149", "167161", "167168", "167184", "167190", "167201", "168330", "168868",
    "168910", "189862", "189866", "189905", "189908",
)  # fmt: skip
TEXTS = (
    "imdb_patch128_LSTM128_avg_bs64", "imdb_patch128_LSTM128_bs64", "imdb_patch32_GRU128_bs128",
    "imdb_patch32_IRNN64_relu_avg_bs128", "imdb_patch32_LSTM128_E128_bs128", "imdb_patch32_LSTM128_bs128",
    "imdb_patch32_VRNN64_relu_avg_bs128", "imdb_patch32_VRNN64_tanh_avg_bs128",
)  # fmt: skip
FAMILIES = {
    "standard": tuple(STANDARD),
    "lcbench": tuple(f"lcbench:{task}" for task in INSTANCES),
    "tables": tuple(f"{family}:{task}" for family, tasks in tabular.TASKS.items() for task in tasks),
}
EVERY = {**FAMILIES, "wide": tuple(WIDE)}
SHIFT = 0.2  # of the range, at most
EPOCH = 52
PUBLISHED = "lcbench:167168"  # the task of published results
LEAST, MOST = 0.1062, 0.8294  # its error where regret is 0 and 1
INPUTS = ("epoch", "batch_size", "learning_rate", "momentum", "weight_decay", "num_layers", "max_units", "max_dropout")
ACCURACY, ENTROPY = 1, 2  # places of val_accuracy and val_cross_entropy among the surrogate's outputs
TINY = 1e-5  # of its batch norm


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is minimised.

    Attributes:
      name: of a standard function, or "family:task".
      space: where.
      function: (hparams, moved) -> f32[]; it runs inside jit.
      moved: a seed -> what the function wants beside the setting: where its optimum went, or arrays from a file.
      curve: (hparams, moved, epoch) -> f32[], its value while it trains; None where there is none.
      epochs: of a curve.
    """

    name: str
    space: jaxhpt.Space
    function: Callable
    moved: Callable
    curve: Callable | None = None
    epochs: int = EPOCH

    def distributions(self):
        """Return the space as Optuna sees it: a choice is its place, a whole number where its values are ordered."""
        return {
            name: _distribution(dimension)
            for name, dimension in zip(self.space.names, self.space.dimensions, strict=True)
        }

    def decoded(self, params):
        """Return Optuna's parameters as the hyperparameters that the function takes."""
        kinds = zip(self.space.names, self.space.dimensions, strict=True)
        return {name: _decoded(dimension, params[name]) for name, dimension in kinds}


def _decoded(dimension, told):
    if isinstance(dimension, jaxhpt.Choice) and dimension.numeric:
        told = dimension.values[told]
    return dimension.dtype(told)


def _distribution(dimension):
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(dimension, jaxhpt.Choice) and dimension.ordered:
        return IntDistribution(0, dimension.levels - 1)
    if isinstance(dimension, jaxhpt.Choice):
        return CategoricalDistribution(tuple(range(dimension.levels)))
    kind = IntDistribution if isinstance(dimension, jaxhpt.Int) else FloatDistribution
    return kind(dimension.low, dimension.high, log=dimension.log)


def regret(error):
    """Return the normalised regret of errors on the task of published results."""
    return (error - LEAST) / (MOST - LEAST)


@functools.cache
def load(name, folder):
    """Return the problem of a name of EVERY; None where its data is absent."""
    if ":" not in name:
        return _standard(name)
    family, task = name.split(":")
    if family == "taskset":
        return _taskset(folder / family, task)
    return _lcbench(folder / "yahpo_lcbench", task) if family == "lcbench" else _tabled(folder / family, task)


def _standard(name):
    dimensions, moves = (STANDARD | WIDE)[name]
    kind = getattr(jaxhpt.problems, name.split("-")[0])
    width = np.broadcast_to(np.float32(kind.high) - np.float32(kind.low), dimensions)

    def function(hparams, moved):
        return kind.function(jnp.stack([hparams[f"x{i}"] for i in range(dimensions)]) - moved * width)

    def moved(seed):
        rng = np.random.default_rng(1000 + seed)
        return rng.uniform(-SHIFT, SHIFT, dimensions).astype(np.float32) * moves

    return Problem(name, jaxhpt.Space.of(kind.space(dimensions)), function, moved)


def _tabled(folder, task):
    tabled = tabular.load(folder, task)
    if tabled is None:
        return None
    means = tabled.losses.mean(axis=-1, dtype=np.float64).astype(np.float32)
    names = tuple(tabled.space)

    def function(hparams, losses):
        return losses[tuple(hparams[name] for name in names)]

    return Problem(f"{folder.name}:{task}", jaxhpt.Space.of(tabled.space), function, lambda seed: means)


def _taskset(folder, task):
    if not (folder / f"{task}.npz").is_file():
        return None
    about, losses = json.loads((folder / "space.json").read_text()), np.load(folder / f"{task}.npz")["valid"]
    losses = np.where(np.isnan(losses), np.float32(-1.0), losses)  # diverged; cross entropies are above 0
    tables = {"unit": np.load(folder / "settings.npz")["unit"], "losses": losses}

    def curve(hparams, tables, epoch):
        place = jnp.stack([hparams[name] for name in about["order"]])
        row = jnp.argmin(jnp.sum((tables["unit"] - place) ** 2, axis=1))
        loss = tables["losses"][row, jnp.int32(epoch)]  # the first point is of before the training
        return jnp.where(loss < 0, jnp.inf, loss)

    space = jaxhpt.Space.of({name: jaxhpt.Float(0.0, 1.0) for name in about["order"]})
    last = losses.shape[1] - 1
    final = functools.partial(curve, epoch=last)
    return Problem(f"taskset:{task}", space, final, lambda seed: tables, curve, last)


def _lcbench(folder, task):
    if not (folder / "weights.npz").is_file():
        return None
    weights, space = _surrogate(folder)
    row = json.loads((folder / "encoding.json").read_text())["OpenML_task_id"][task]
    given = {**weights, "task": weights["embds_fct.0.weight"][row]}
    return Problem(f"lcbench:{task}", space, _final, lambda seed: given, _error)


@functools.cache
def _surrogate(folder):
    """Read what all tasks share: the weights and the space."""
    with np.load(folder / "weights.npz") as arrays:
        weights = {name: arrays[name] for name in arrays.files}
    if not np.isin([*weights["cont_in"][:, 0], *weights["y_out"][[ACCURACY, ENTROPY], 0]], (0, 1)).all():
        raise ValueError(f"{folder}: a transform that is neither the identity nor a logarithm")
    about = json.loads((folder / "config_space.json").read_text())["hyperparameters"]
    dimensions = {h["name"]: _ranged(h) for h in about if h["name"] in INPUTS and h["name"] != "epoch"}
    return weights, jaxhpt.Space.of(dimensions)


def _ranged(about):
    kind = jaxhpt.Int if about["type"] == "uniform_int" else jaxhpt.Float
    return kind(about["lower"], about["upper"], log=about["log"])


def _final(hparams, weights):
    """Return the error at the last epoch: f32[]. One function for all tasks, so that they share a program."""
    return _error(hparams, weights, EPOCH)


def _error(hparams, weights, epoch):
    """Return 1 - accuracy on validation data after an epoch, by the surrogate: f32[]."""
    return 1.0 - validated(hparams, weights, epoch)[0] / 100.0


def validated(hparams, weights, epoch):
    """Return accuracy in percent and cross entropy on validation data after an epoch, by the surrogate: f32[] each."""
    numbers = jnp.stack([jnp.float32(epoch if name == "epoch" else hparams[name]) for name in INPUTS])
    kind, shift, mean, deviation = weights["cont_in"].T.astype(jnp.float32)
    numbers = (jnp.where(kind == 1, jnp.log(numbers + shift), numbers) - mean) / deviation
    x = _linear(jnp.concatenate([weights["task"], numbers]), weights, "first_layer")
    for i in range(sum(name.endswith("linear0.weight") for name in weights)):
        x = x + _block(x, weights, f"layers.{i}")
    out = _linear(jax.nn.relu(_norm(x, weights, "last_normalization")), weights, "head")
    return tuple(_unscaled(out[place], weights["y_out"][place].astype(jnp.float32)) for place in (ACCURACY, ENTROPY))


def _unscaled(out, transform):
    kind, shift, scale, low = transform
    value = jax.nn.sigmoid(out) * scale + low
    return jnp.where(kind == 1, jnp.exp(value) - shift, value)


def _block(x, weights, name):
    gated, gate = jnp.split(_linear(_norm(x, weights, f"{name}.norm"), weights, f"{name}.linear0"), 2)
    return _linear(gated * jax.nn.relu(gate), weights, f"{name}.linear1")


def _linear(x, weights, name):
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def _norm(x, weights, name):
    mean, variance = weights[f"{name}.running_mean"], weights[f"{name}.running_var"]
    return (x - mean) / jnp.sqrt(variance + TINY) * weights[f"{name}.weight"] + weights[f"{name}.bias"]
