"""A search as one of Optuna's studies: written while it runs or afterwards, and read as what was known before."""

import contextlib
import datetime
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from jaxhpt.core.constraints import Constraint
from jaxhpt.core.history import History, Status
from jaxhpt.core.problem import Problem
from jaxhpt.engine.watching import WatchError
from jaxhpt.integrations.extra import extra
from jaxhpt.integrations.logger import alike, trials_of
from jaxhpt.integrations.optuna.space import distributions_of, params_of
from jaxhpt.results.result import Result
from jaxhpt.results.trial import Trial

with extra("optuna"):
    import optuna
    from optuna.trial import FrozenTrial, TrialState

CONSTRAINTS = "constraints"  # where Optuna keeps them, and its dashboard looks
STATES = {
    "running": TrialState.RUNNING,
    "done": TrialState.COMPLETE,
    "stopped": TrialState.PRUNED,
    "failed": TrialState.FAIL,
    "prior": TrialState.COMPLETE,
    "empty": TrialState.FAIL,  # it ran when its run was killed, and nobody knows its setting: it keeps its number
}
NEVER = -1  # steps of a trial that was not looked at yet


class StudyWriter:
    """Writes the trials of a search into a study, each once, under their own numbers.

    Args:
      storage: of Optuna.
      study_name: of the study; one that is there is gone on with.
      problem: in the user's own space.

    Raises:
      WatchError: the study is one of something else.
    """

    def __init__(self, storage: Any, study_name: str, problem: Problem) -> None:
        self._storage = storage
        self.grown(problem)
        with _quiet():
            self.study = _study(storage, study_name, problem)
            self._id = storage.get_study_id_from_name(study_name)
            there = storage.get_all_trials(self._id, deepcopy=False)
            self._require_same(problem, study_name)
            if not there:
                self.study.set_metric_names([objective.name for objective in problem.objectives])
        self._since = datetime.datetime.now()
        self._ids = [trial._trial_id for trial in there]
        self._unseen = {trial.number: trial for trial in there}  # of an earlier process
        self._status = np.array([_code(trial.state) for trial in there], np.int8)
        self._steps = np.full(len(there), NEVER, np.int32)
        self._reported = {t.number: set(t.intermediate_values) for t in there if not t.state.is_finished()}

    def grown(self, problem: Problem) -> None:
        """Go on with more trials, or a wider space."""
        self._problem, self._distributions = problem, distributions_of(problem.space)

    def write(self, history: History, exact: np.ndarray | None = None) -> None:
        """Write what is new in a history on the host; see `trials_of`."""
        num, old = int(history.num_rows), len(self._status)
        status, steps = np.asarray(history.status[:num]), np.asarray(history.steps[:num])
        before = np.pad(self._status, (0, max(num - old, 0)))[:num]
        passed = np.pad(self._steps, (0, max(num - old, 0)), constant_values=NEVER)[:num]
        self._require_own(history, num)
        known = (status != Status.EMPTY) | (np.arange(num) >= old)
        rows = np.flatnonzero(known & (before < Status.DONE) & ((status != before) | (steps != passed)))
        for trial in trials_of(history, self._problem, rows, exact):
            self._put(trial)
        if num >= old:
            self._status, self._steps = np.where(before < Status.DONE, status, before), steps.copy()
        self._since = datetime.datetime.now()

    def _put(self, trial: Trial) -> None:
        """Write one trial: whole where it is new, else what has changed."""
        if trial.id >= len(self._ids):
            self._create(trial)
            return
        place, reported = self._ids[trial.id], self._reported[trial.id]
        for step, value in zip(*trial.curve, strict=True):
            if step not in reported:
                self._storage.set_trial_intermediate_value(place, step, value)
                reported.add(step)
        if trial.status == "running":
            return
        for name, value in self._attributes(trial).items():
            self._storage.set_trial_user_attr(place, name, value)
        for name, value in self._system(trial).items():
            self._storage.set_trial_system_attr(place, name, value)
        self._storage.set_trial_state_values(place, _state(trial), self._values(trial))
        del self._reported[trial.id]

    def _create(self, trial: Trial) -> None:
        params = self._params(trial)
        now = datetime.datetime.now()
        curve = dict(zip(*trial.curve, strict=True))
        state = _state(trial)
        found = FrozenTrial(
            number=-1, trial_id=-1, state=state, value=None, values=self._values(trial), params=params,
            datetime_start=self._since, datetime_complete=now if state.is_finished() else None,
            distributions={name: self._distributions[name] for name in params}, intermediate_values=curve,
            user_attrs=self._attributes(trial), system_attrs=self._system(trial),
        )  # fmt: skip
        self._ids.append(self._storage.create_new_trial(self._id, template_trial=found))
        if not state.is_finished():
            self._reported[trial.id] = set(curve)

    def _params(self, trial: Trial) -> dict[str, Any]:
        if trial.status == "empty":
            return {}
        space = self._problem.space
        return params_of(list(space.values_of(trial.hparams)), space, self._distributions)

    def _values(self, trial: Trial) -> list[float] | None:
        found = [trial.metrics[objective.name] for objective in self._problem.objectives]
        return found if trial.status != "running" and np.isfinite(found).all() else None

    def _attributes(self, trial: Trial) -> dict[str, Any]:
        """Return what Optuna has no place for: other metrics, and how the trial came about."""
        about: dict[str, Any] = {} if trial.parent is None else {"parent": trial.parent}
        if trial.status == "running":
            return about
        about |= {"status": trial.status, "steps": trial.steps}
        extra = {name: trial.metrics[name] for name in self._problem.metrics.extra_metrics}
        return about | {name: value for name, value in extra.items() if np.isfinite(value)}

    def _system(self, trial: Trial) -> dict[str, Any]:
        bounds = self._problem.metrics.constraints
        if not bounds or trial.status in ("running", "failed", "empty"):
            return {}
        return {CONSTRAINTS: [_excess(one, trial.metrics[one.name]) for one in bounds]}

    def _require_same(self, problem: Problem, name: str) -> None:
        there = [direction.name.lower() for direction in self.study.directions]
        if there != _directions(problem):
            remedy = "take another study_name, or another path"
            raise WatchError(f"study_name={name!r}: is there, with the directions {there}; {remedy}")

    def _require_own(self, history: History, num: int) -> None:
        """Raise unless the trials of an earlier process are those of this search."""
        rows = [row for row in self._unseen if row < num and history.status[row] != Status.EMPTY]
        for trial in trials_of(history, self._problem, rows):
            if not alike(self._params(trial), self._unseen.pop(trial.id).params, self._problem.space):
                raise WatchError(
                    f"study_name={self.study.study_name!r}: trial {trial.id} there has another setting: it holds "
                    "another search; take another study_name, or another path"
                )


def to_optuna(result: Result, storage: Any = None, study_name: str = "jaxhpt") -> "optuna.Study":
    """Return a result as a study of Optuna, for its plots, its dashboard and its samplers.

    Args:
      result: of a search or a `Tuner`.
      storage: of Optuna, or its address; None for a study in memory.
      study_name: of the study; there must be none of other trials.

    Returns:
      The study: `study.trials[trial.id]` is the trial of that id.

    Raises:
      ValueError: the storage has a study of this name with other trials.

    Example:
      >>> import jaxhpt
      >>> space = {"x": jaxhpt.Float(0, 3)}
      >>> result = jaxhpt.minimize(lambda h, key: (h["x"] - 1) ** 2, space, trials=32, progress=False)
      >>> study = to_optuna(result)
      >>> study.best_params == result.best.hparams
      True
    """
    with _quiet():
        place = optuna.storages.InMemoryStorage() if storage is None else optuna.storages.get_storage(storage)
    writer = StudyWriter(place, study_name, result._problem)
    writer.write(result.history, result._exact)
    return writer.study


def _study(storage: Any, name: str, problem: Problem) -> "optuna.Study":
    """Return the study of a name: the one that is there, and is not written again, or a new one."""
    if name in optuna.get_all_study_names(storage):
        return optuna.load_study(study_name=name, storage=storage)
    return optuna.create_study(study_name=name, storage=storage, directions=_directions(problem))


def _directions(problem: Problem) -> list[Any]:
    return [{"min": "minimize", "max": "maximize"}[objective.direction] for objective in problem.objectives]


def _state(trial: Trial) -> TrialState:
    failed = trial.status == "prior" and not np.isfinite(trial.value)
    return TrialState.FAIL if failed else STATES[trial.status]


def _code(state: TrialState) -> int:
    return Status.DONE if state.is_finished() else Status.RUNNING


def _excess(bound: Constraint, value: float) -> float:
    """Return by how much a bound is broken, or below 0 by how much it is kept."""
    over = value - bound.bound if bound.relation == "<=" else bound.bound - value
    return over if np.isfinite(over) else sys.float_info.max


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let Optuna say neither that a study was made nor that metric names are new."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
