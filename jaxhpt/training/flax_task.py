"""FlaxTask: a Flax module, an optax optimiser and arrays as a `Task`; linen and nnx."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from jaxhpt.core.checks import suggest
from jaxhpt.core.typing import Array, Hparams, PyTree
from jaxhpt.training.flax_models import flax_model
from jaxhpt.training.flax_trainer import Measure, Trainer, key_and_tick
from jaxhpt.training.losses import Loss, LossFn, named_loss
from jaxhpt.training.signatures import parameters_of, required, takes_hparams, with_hparams
from jaxhpt.training.target_facts import Facts, Unknown, as_arrays, facts_of, together
from jaxhpt.training.task import Task

_MEASURE = ("outputs", "targets")
_BATCHES = ("key", "tick")
_WEIGHTS = "weights"  # the argument by which a metric asks for the weights of rows
_WRITTEN = {"init", "step", "evaluate", "export", "weights"}  # fields of `Task` that are written here
_ARGUMENTS = {"model", "optimizer", "train_data", "valid_data", "loss", "metrics", "batches"}
_ELSEWHERE = {
    "epochs": 'put "epochs" into the space, such as {"epochs": [10, 20]}, or give steps=..., training steps of a trial',
    "lr": 'put "lr" into the space, and use it as h["lr"] in optimizer',
    "learning_rate": 'put "learning_rate" into the space, and use it as h["learning_rate"] in optimizer',
    "trials": "say it to jaxhpt.search",
    "seed": "say it to jaxhpt.search",
}


def FlaxTask(
    model: Any,
    optimizer: Callable[[Hparams], optax.GradientTransformation] | None = None,
    *,
    train_data: PyTree = None,
    valid_data: PyTree = None,
    loss: str | LossFn = "cross_entropy",
    metrics: Mapping[str, LossFn] | None = None,
    batches: Callable | None = None,
    **defaults: Any,
) -> Task:
    """Make a task of a Flax module. Choose it unless the training step is unusual.

    `loss`, `metrics` and `batches` see the trial's hyperparameters where they ask for them, by one more argument or
    one called `hparams` or `h`: label smoothing, the weight of a penalty, the strength of an augmentation.

    Args:
      model: a linen module; or a function hparams -> linen module; or a function (hparams, rngs) -> nnx module.
        Its call takes the inputs, and `train` or `deterministic` if it wants to be told. For dropout as a
        hyperparameter see `jaxhpt.traced`.
      optimizer: hparams -> optax optimiser, built anew in every trace.
      train_data: (inputs, targets), arrays [rows, ...]; inputs may be any pytree of them.
      valid_data: (inputs, targets), arrays [rows, ...]; None where the search is given `folds`.
      loss: a function (outputs, targets) or (outputs, targets, hparams) -> [B, ...], one value a row; or a name.
        "cross_entropy" takes logits [B, V] and labels 0..V-1, or probabilities [B, V]; "binary_cross_entropy"
        logits and 0 or 1, -1 or 1, booleans, or probabilities; "mse" and "mae" numbers. Targets that can only mean
        one thing are converted: a column [B, 1], whole numbers of any dtype, booleans, one-hot rows.
      metrics: name -> function (outputs, targets) or (outputs, targets, hparams) -> [rows, ...] to average, or a
        scalar; beside the loss's own ("accuracy" and "loss", or "mse", "mae" and "r2", or "loss"). Functions of
        yours see the targets as they are in the data. With folds, a scalar must be a function of an argument
        `weights=None`, too: f32[rows] of sum 1, and 0 in rows that do not count.
      batches: (key, tick) or (key, tick, hparams) -> (inputs, targets), instead of `train_data`. All trials get the
        same key; with hparams each makes a batch of its own.
      **defaults: fields of `Task`: batch_size, steps, steps_per_epoch, objective, direction, ...

    Returns:
      A `Task`. `Result.best_state` is linen's variables for `model.apply`, or the nnx module itself.

    Raises:
      TypeError: an unknown argument, an optimiser instead of a function that makes one, a model of another kind,
        a function of other arguments, data that are no numeric arrays.
      ValueError: data that are not a pair, an unknown loss, targets with NaN; and, once the search traces the task, no
        validation data and no folds, or targets that do not fit to the loss and the model's outputs.

    Example:
      >>> import jax, jaxhpt, optax
      >>> from flax import linen as nn
      >>> x = jax.random.normal(jax.random.key(0), (256, 4))
      >>> task = jaxhpt.FlaxTask(nn.Dense(1), lambda h: optax.sgd(h["lr"]), loss="mse",
      ...                        train_data=(x, x.sum(1)), valid_data=(x, x.sum(1)), steps=30)
      >>> result = jaxhpt.search(task, {"lr": jaxhpt.Float(1e-3, 0.5, log=True)}, trials=16, progress=False)
      >>> result.best.metrics["r2"] > 0.99
      True

      A loss with a hyperparameter. Its values cannot be compared between trials, so another metric is optimised:

      >>> def huber(outputs, targets, h):
      ...     return optax.huber_loss(outputs[:, 0], targets, delta=h["delta"])
      >>> task = jaxhpt.FlaxTask(nn.Dense(1), lambda h: optax.sgd(0.1), loss=huber, objective="error", direction="min",
      ...                        metrics={"error": lambda outputs, targets: abs(outputs[:, 0] - targets)},
      ...                        train_data=(x, x.sum(1)), valid_data=(x, x.sum(1)), steps=60)
      >>> result = jaxhpt.search(task, {"delta": jaxhpt.Float(0.01, 1.0)}, trials=8, progress=False)
      >>> result.best.value < 0.1
      True
    """
    _check_keywords(defaults)
    make_optimizer = _check_optimizer(optimizer)
    chosen = named_loss(loss)
    measures = _measures(chosen, metrics)
    if batches is None:
        _check_pair("train_data", train_data)
    unknown = Unknown("batches")
    trainer = Trainer(flax_model(model), make_optimizer, _loss(chosen), measures, chosen.fit, unknown, unknown)
    _warn_of_yardsticks(chosen, metrics, defaults)
    filled = {"objective": _objective(chosen, metrics), **defaults}
    arrays = {"train_data": train_data, "valid_data": valid_data, "batches": batches}
    written: dict[str, Any] = {"export": trainer.export, "weights": trainer.weights, "trainer": trainer}
    return _FlaxTask(trainer.init, trainer.step, trainer.evaluate, **written, **arrays, **filled)


@dataclasses.dataclass(frozen=True, eq=False)
class _FlaxTask(Task):
    """A task that looks at its data whenever they are replaced, as by `search(task, space, train_data=...)`."""

    trainer: Trainer | None = None

    @property
    def labels(self) -> PyTree:
        """The targets of the training data, by which its rows may be stratified."""
        return None if self.train_data is None else self.train_data[1]

    def __post_init__(self) -> None:
        super().__post_init__()
        old = self.trainer
        if old is None:
            return
        new, changed = _with_data(old, self.train_data, self.valid_data, self.batches)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if getattr(value, "__self__", None) is old:
                changed[field.name] = getattr(new, value.__name__)
        for name, value in {**changed, "trainer": new}.items():
            object.__setattr__(self, name, value)


def _with_data(trainer: Trainer, train: PyTree, valid: PyTree, batches: Any) -> tuple[Trainer, dict[str, Any]]:
    """Tell a trainer of the data it will meet; return it, and the data as arrays."""
    given = {"valid_data": valid} if train is None else {"train_data": train, "valid_data": valid}
    if train is not None and valid is None:  # which a search may split into folds
        del given["valid_data"]
    changed: dict[str, Any] = {name: _pair_of_arrays(name, data) for name, data in given.items()}
    generate = trainer.generate if batches is key_and_tick else None
    if batches not in (None, key_and_tick) and takes_hparams("batches", batches, _BATCHES):
        generate, changed["batches"] = with_hparams("batches", batches, _BATCHES), key_and_tick
    known = _facts(changed) if trainer.fit is not None else {}
    unknown = Unknown("batches", any(f.both_signs for f in known.values()))
    seen = (known.get("train_data", unknown), known.get("valid_data", unknown))
    model = trainer.model.with_inputs(changed["valid_data" if "valid_data" in given else "train_data"][0])
    return dataclasses.replace(trainer, model=model, generate=generate, train=seen[0], valid=seen[1]), changed


def _facts(data: Mapping[str, Any]) -> dict[str, Facts]:
    named = [facts_of(name, data[name][1]) for name in ("train_data", "valid_data") if name in data]
    return {facts.name: facts for facts in together(named)}


def _pair_of_arrays(name: str, data: Any) -> tuple[PyTree, PyTree]:
    _check_pair(name, data)
    inputs, targets = as_arrays(f"{name} inputs", data[0]), as_arrays(f"{name} targets", data[1])
    rows = [{leaf.shape[0] for leaf in jax.tree.leaves(part)} for part in (inputs, targets)]
    if len(rows[0] | rows[1]) > 1:
        hint = "; a list counts as several arrays: np.stack it" if isinstance(data[0], list) else ""
        raise ValueError(f"{name}: inputs of {sorted(rows[0])} rows, targets of {sorted(rows[1])}; must agree{hint}")
    return inputs, targets


def _check_pair(name: str, data: Any) -> None:
    if not (isinstance(data, (tuple, list)) and len(data) == 2):
        raise ValueError(f"{name}: must be a pair (inputs, targets), not {type(data).__name__}")


def _check_keywords(given: Mapping[str, Any]) -> None:
    fields = {field.name for field in dataclasses.fields(Task)} - _WRITTEN
    for name in given:
        if name not in fields:
            remedy = _ELSEWHERE.get(name) or suggest(name, fields | _ARGUMENTS)
            raise TypeError(f"FlaxTask has no argument {name!r}; {remedy}")


def _check_optimizer(optimizer: Any) -> Callable[[Hparams], optax.GradientTransformation]:
    remedy = 'a function that makes one inside the trace, from hparams alone, such as lambda h: optax.adam(h["lr"])'
    if isinstance(optimizer, tuple) or not callable(optimizer):
        raise TypeError(f"optimizer={optimizer!r}: must be {remedy}")
    parameters = parameters_of(optimizer)
    if parameters is not None and not _takes_one(parameters):
        raise TypeError(f"optimizer: takes ({', '.join(map(str, parameters))}); must be {remedy}")
    if str(getattr(optimizer, "__module__", "")).split(".")[0] == "optax":
        raise TypeError(f"optimizer={getattr(optimizer, '__name__', optimizer)}: must be {remedy}")
    return optimizer


def _takes_one(parameters: list) -> bool:
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    return not keywords and bool(places) and len(required(parameters)) <= 1


def _loss(chosen: Loss) -> Measure:
    return Measure("loss", with_hparams("loss", chosen.function, _MEASURE), chosen.fit is not None)


def _measures(chosen: Loss, metrics: Any) -> tuple[tuple[str, Measure], ...]:
    if metrics is not None and not isinstance(metrics, Mapping):
        raise TypeError(f"metrics={metrics!r}: must be a dict, name -> function (outputs, targets)")
    ours = chosen.fit is not None
    own = {name: _measure(name, "loss", f, ours) for name, f in chosen.metrics.items()}
    labels = {name: f"metrics[{name!r}]" for name in metrics or {}}
    theirs = {name: _measure(labels[name], labels[name], f, False) for name, f in (metrics or {}).items()}
    return tuple({**own, **theirs}.items())


def _measure(name: str, argument: str, function: Any, ours: bool) -> Measure:
    """Make a measure of a function that was given as an argument, with or without the weights of rows."""
    plain = with_hparams(argument, function, _MEASURE)
    if not any(p.name == _WEIGHTS and p.default is not p.empty for p in parameters_of(function) or []):
        return Measure(name, plain, ours)

    def weighted(outputs: PyTree, targets: PyTree, hparams: Hparams, weights: Array) -> Any:
        given = functools.partial(function, **{_WEIGHTS: weights})
        return with_hparams(argument, given, _MEASURE)(outputs, targets, hparams)

    return Measure(name, plain, ours, weighted)


def _objective(chosen: Loss, metrics: Any) -> str | None:
    """Choose the metric to optimise: none where each trial would be measured by a yardstick of its own."""
    if chosen.fit is not None or not takes_hparams("loss", chosen.function, _MEASURE):
        return chosen.objective
    return None if metrics else chosen.objective


def _warn_of_yardsticks(chosen: Loss, metrics: Any, given: Mapping[str, Any]) -> None:
    moving = chosen.fit is None and takes_hparams("loss", chosen.function, _MEASURE)
    if moving and not metrics and not {"objective", "objectives"} & given.keys():
        warnings.warn(
            "FlaxTask: the loss takes hparams, so its values cannot be compared between trials, yet it is what is "
            "optimised; give metrics={name: function} and objective=name, or objective='loss' if it is meant",
            stacklevel=3,
        )
