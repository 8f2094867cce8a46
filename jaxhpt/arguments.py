"""The arguments that ways in share, checked before anything is compiled."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from jaxhpt.algorithms import ALGORITHMS, Algorithm
from jaxhpt.core.checks import named, number, refuse_unknown, require, require_count, require_trials
from jaxhpt.core.history import Known
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Hparams
from jaxhpt.engine.driver import Limits
from jaxhpt.engine.snapshot import Display
from jaxhpt.report.progress import display
from jaxhpt.results.prior import Prior, first_of, known
from jaxhpt.schedulers import SCHEDULERS, Scheduler
from jaxhpt.training.structures import STRUCTURE
from jaxhpt.training.task import Task

DEFAULT_TRIALS = 256
R = TypeVar("R")


class SearchError(RuntimeError):
    """A search broke off; the error that broke it is the cause.

    Attributes:
      result: a `Result` of all trials that had ended; those that were still training are "running" in its `trials`. Of
        many searches, a list.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result


def task_of(train_step: Any, given: dict[str, Any], way_in: Callable) -> Task:
    """Return the task that a step and the fields of a task make, or that a task with other fields makes.

    Args:
      train_step: a task or a step.
      given: fields, by name.
      way_in: the function whose keywords they were.

    Raises:
      TypeError: no task and no function, an unknown field, or a step without `init` or `evaluate`.
    """
    fields = {field.name for field in dataclasses.fields(Task)} - {"step"}
    known = fields | set(inspect.signature(way_in).parameters) - {"task"}
    refuse_unknown(way_in.__name__, given.keys() - fields, known)
    if isinstance(train_step, Task):
        return dataclasses.replace(train_step, **given)
    if not callable(train_step):
        raise TypeError(
            f"train_step={train_step!r}: must be a Task or a function (state, batch, hparams, key) -> state"
        )
    for name in ("init", "evaluate"):
        if name not in given:
            raise TypeError(f"{name} is missing: a plain train_step needs {name}=..., or decorate it with @jaxhpt.task")
    return Task(step=train_step, **given)


def knowing(prior: Prior | None, first: Sequence[Hparams], space: Space, trials: int) -> Callable[[MetricSpec], Known]:
    """Return what reads what is known before a search of so many trials, once its metrics are known."""
    return lambda metrics: known(prior, space, metrics)._replace(first=first_of(first, space, trials))


def limits_of(events: int | str, timeout: Any, callbacks: Any) -> Limits:
    """Say when the host looks up.

    Raises:
      ValueError, TypeError: an argument of `search` that is wrong.
    """
    seconds = None
    if timeout is not None:
        seconds = float(number("timeout", timeout))
        require(seconds > 0, "timeout", timeout, "above 0, or None")
    _check_callbacks(callbacks)
    if events not in ("auto", "all"):
        events = require_count("events_per_dispatch", events)
    return Limits(events, seconds, tuple(callbacks))


def shown_by(progress: Any) -> Display:
    """Return the display.

    Raises:
      TypeError: neither True nor False.
    """
    if not isinstance(progress, (bool, np.bool_)):
        raise TypeError(f"progress={progress!r}: must be True or False")
    return display(bool(progress))


def methods_of(algorithm: Any, scheduler: Any) -> tuple[Algorithm, Scheduler]:
    """Return an algorithm and a scheduler, each given by its name or as an instance.

    Raises:
      ValueError, TypeError: an unknown name, or something else.
    """
    where = named("algorithm", algorithm, ALGORITHMS, Algorithm, {"scheduler": SCHEDULERS})
    return where, named("scheduler", scheduler, SCHEDULERS, Scheduler, {"algorithm": ALGORITHMS})


def trials_of(trials: int | None, algorithm: Algorithm, space: Space, first: int) -> int:
    """Return how many trials there are, at most as many as an algorithm has points, `first` of the user's beside."""
    if trials is not None:
        trials = require_trials(trials)
    points = algorithm.num_points(space)
    most = None if points is None else points + (0 if space.size == points else first)
    return min(n for n in (trials or most or DEFAULT_TRIALS, most) if n is not None)


def _check_callbacks(callbacks: Any) -> None:
    remedy = "a list of functions of a Snapshot, such as [callback]"
    if callable(callbacks) or not isinstance(callbacks, Sequence):
        raise TypeError(f"callbacks={callbacks!r}: must be {remedy}")
    for callback in callbacks:
        if not callable(callback):
            raise TypeError(f"callbacks: {callback!r} cannot be called; must be {remedy}")


def or_raise(result: R, error: BaseException | None) -> R:
    """Return a result, or raise what broke the search off, with the result that there is, or all results."""
    if error is None:
        return result
    if not isinstance(error, Exception):  # a second Ctrl-C, or an exit
        error.result = result  # type: ignore[attr-defined]
        raise error
    where = [note for note in getattr(error, "__notes__", ()) if note.startswith(STRUCTURE)]
    raise SearchError("; ".join([f"{type(error).__name__}: {error}", *where]), result) from error
