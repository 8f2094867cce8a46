"""Task: what is trained - three functions, the data, and the defaults that belong to them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from jax.sharding import PartitionSpec

from jaxhpt.core.checks import Settings, refuse_unknown
from jaxhpt.core.typing import EvaluateFn, InitFn, PyTree, StepFn, TrainState


@dataclasses.dataclass(frozen=True, eq=False)
class Task(Settings):
    """A training, as three pure functions of one trial, with its data and defaults.

    Write the functions for one model; jaxhpt batches them over the lanes. Hyperparameters arrive as traced
    scalars: use `jnp.where` where you would write `if`.

    Args:
      init: (key, hparams) -> state: any pytree of arrays, such as weights and optimiser state; or (key, hparams, wave),
        where `wave` is a key that all trials share that begin at the same event.
      step: (state, batch, hparams, key) -> state, or (state, anything): one training step. The second part is for
        loops of your own, and dropped here.
      evaluate: (state, valid_data, hparams) -> a scalar, or a dict of them; or (state, valid_data, hparams, key), where
        it draws random numbers.
      train_data: arrays [rows, ...] in any pytree; `batch` has the same structure, leaves [B, ...]. None for none.
      valid_data: arrays [rows, ...] in any pytree, all of as many rows, given whole to `evaluate`.
      batches: (key, tick) -> batch, for data made on the fly; instead of `train_data`, and with `steps`. All trials get
        the same batch: what depends on hparams, such as an augmentation, belongs into `step`.
      batch_size: rows of a batch, B; by default 128, or all there are.
      steps: training steps of a trial: a number, the name of a hyperparameter, or a function of hparams. A
        hyperparameter called "epochs" counts passes over the data. By default "epochs" where the space has
        it, else 10 passes over the data; 1 without data.
      steps_per_epoch: steps for each unit of a named hyperparameter; by default one pass over the data for
        "epochs", 1 for any other name.
      objective: the metric to optimise; may be left out where `evaluate` returns one.
      direction: "min" or "max"; may be left out where the name tells ("loss", "accuracy", ...).
      objectives: several metrics to optimise, name to "min" or "max", such as
        {"accuracy": "max", "params": "min"}; they come before `objective` and `direction`.
      constraints: bounds on metrics, name to relation and bound, such as {"params": ("<=", 50_000)}.
      export: (state, hparams) -> what `Result.best_state` is; by default the state itself.
      weights: state -> the part of it that must stay finite for a trial to count; None for the whole state, which must
        stay free of NaN.
      fail_on_nan: whether a trial fails when its weights do; its metrics may look well, as accuracy of NaN does.
      partition: (path, shape) -> `jax.sharding.PartitionSpec`, how an array of a state is cut over those axes of
        `search(mesh=...)` that are not "lanes", such as P(None, "model"); `path` is its place in the state, such as
        "params/dense/kernel". XLA then cuts what is computed from it. Without such axes it has no effect.

    Example:
      >>> import jax, jax.numpy as jnp, jaxhpt
      >>> task = jaxhpt.Task(
      ...     init=lambda key, h: jnp.float32(4.0),
      ...     step=lambda w, batch, h, key: w - h["lr"] * 2 * w,
      ...     evaluate=lambda w, data, h: w**2,
      ...     steps=20,
      ... )
      >>> result = jaxhpt.search(task, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)}, trials=64, progress=False)
      >>> result.best.value < 1e-3
      True
    """

    init: InitFn
    step: StepFn
    evaluate: EvaluateFn
    train_data: PyTree = None
    valid_data: PyTree = None
    batches: Callable | None = None
    batch_size: int | None = None
    steps: int | str | Callable | None = None
    steps_per_epoch: int | None = None
    objective: str | None = None
    direction: str | None = None
    objectives: Mapping[str, str] | None = None
    constraints: Mapping[str, tuple[str, float]] | None = None
    export: Callable | None = None
    weights: Callable[[TrainState], PyTree] | None = None
    fail_on_nan: bool = True
    partition: Callable[[str, tuple[int, ...]], PartitionSpec] | None = None

    def __post_init__(self) -> None:
        for name in ("init", "step", "evaluate"):
            if not callable(getattr(self, name)):
                raise TypeError(f"{name}={getattr(self, name)!r}: must be a function")
        if self.batches is not None and self.train_data is not None:
            raise ValueError("batches and train_data: give one of them, not both")

    def __call__(self, *args: Any) -> Any:
        """Call `step`, so that a decorated training step is still one."""
        return self.step(*args)


def task(*, init: InitFn, evaluate: EvaluateFn, **defaults: Any) -> Callable[[StepFn], Task]:
    """Bundle a training step with all else it needs, so that `search(train_step, space)` says everything.

    Args:
      init: as in `Task`.
      evaluate: as in `Task`.
      **defaults: the other fields of `Task`.

    Returns:
      A decorator from a training step to a `Task`, which may still be called as the step.

    Example:
      >>> import jax.numpy as jnp, jaxhpt
      >>> @jaxhpt.task(init=lambda key, h: jnp.float32(4.0), evaluate=lambda w, data, h: w**2, steps=20)
      ... def train_step(w, batch, h, key):
      ...     return w - h["lr"] * 2 * w
      >>> result = jaxhpt.search(train_step, {"lr": jaxhpt.Float(1e-3, 1.0, log=True)}, trials=64, progress=False)
      >>> result.best.value < 1e-3
      True
    """
    fields = {field.name for field in dataclasses.fields(Task)} - {"step"}
    refuse_unknown("task", defaults.keys() - fields, fields)
    return lambda step: Task(init=init, step=step, evaluate=evaluate, **defaults)
