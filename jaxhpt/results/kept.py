"""What a search leaves beside its history: how to train again, and what of it survives pickling."""

import dataclasses
import pickle
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.problem import Problem
from jaxhpt.core.showing import shown
from jaxhpt.core.space import Space
from jaxhpt.core.typing import PyTree
from jaxhpt.core.values import Named, lacks
from jaxhpt.engine.driver import Outcome
from jaxhpt.engine.state import Program
from jaxhpt.results.loose import Loose, loose
from jaxhpt.training.devices import places_of, together, tracing
from jaxhpt.training.pool import Data, Pool
from jaxhpt.training.replica import ReplicaTask, unstacked
from jaxhpt.training.structures import Structure, Structures
from jaxhpt.training.task import Task
from jaxhpt.training.user_functions import unchanged

NO_EXPORT = (
    "the result was loaded, pickled or copied, without the functions of its task, which its best_state needs: use "
    "result.with_task(task).best_state, or jaxhpt.load(path, task); of a space with functions, space=space, too"
)
NO_STATE = (
    "the result was pickled or copied, and the state of its best trial does not pickle: take best_state from the "
    "result that the search returned, and save it as its library does"
)
NO_REPLAY = (
    "the result was pickled or copied, without the functions of its task: replay trials on the result that the search "
    "returned, or search again with the same task and seed"
)


@dataclasses.dataclass(frozen=True)
class Run:
    """What a search leaves beside its history, and trials evaluated elsewhere do not: how to train again.

    Attributes:
      program: the compiled search.
      data: on the device.
      outcome: the last state of the search.
      structures: what was trained.
      unit: f32[D] settings of the best trial; None for none.
    """

    program: Program
    data: Data
    outcome: Outcome
    structures: Structures
    unit: Any

    @property
    def export(self) -> Any:
        """The task's export, of the state of one model."""
        return self.structures.task.export

    @property
    def replicas(self) -> int:
        """Models of a trial; 0 where a trial is one model, and its state that of the model."""
        task = self.structures.task
        return task.replicas.num if isinstance(task, ReplicaTask) else 0

    def of(self, unit: Any) -> Structure:
        """Return the structure of a trial's settings, f32[D]."""
        return self.structures.of(unit)

    def pool(self, unit: Any) -> Pool:
        """Return how a trial of these settings trained."""
        return dataclasses.replace(self.program.pool, functions=self.of(unit).functions)

    def data_of(self, unit: Any) -> Data:
        """Return what it was given, on the device."""
        return self._put(self.of(unit).data(self.data))

    def begun(self, which: int, unit: Any) -> PyTree:
        """Return the train state that a trial of these settings began from, of those in the data, on the device."""
        weights = self.data.begun
        one = weights[which] if self.structures.space.structural else jax.tree.map(lambda a: a[which], weights)
        return self._put(self.of(unit).data(self.data)._replace(begun=one)).begun

    def _put(self, data: Data) -> Data:
        devices = self.program.devices
        several = devices and (devices.cuts_models or len(places_of(data)) > 1)
        return devices.put(data) if devices and several else together(data)

    def warn_of_changes(self, unit: Any) -> None:
        """Warn where an export would be made by functions that are not those of the search any more."""
        one = self.of(unit)
        with tracing(self.structures.layout.mesh):
            same = unchanged(one.functions, self.structures.task, one.space, one.treedef, self.data.valid)
        if not same:
            warnings.warn(
                "the functions of the task, or what they read, have changed since the search; the trained state is put "
                "into a model as they make it now: take best_state before a config is changed",
                stacklevel=4,
            )

    @property
    def crashed(self) -> bool:
        """Whether the state of the best trial was lost in a crash, so that it must be trained again."""
        return self.outcome.best is None or self.unit is None

    @property
    def row(self) -> int | None:
        """The trial whose train state is kept; None where there is none."""
        return None if self.crashed else int(self.outcome.summary.row)

    @property
    def loose(self) -> Loose:
        """The train state of that trial, taken apart."""
        return loose(self.state)

    @property
    def state(self) -> Any:
        """The train state of the best trial; None where it was lost."""
        return None if self.crashed else self.built(self.outcome.best, self.unit)

    def built(self, leaves: Any, unit: Any) -> Any:
        """Put the leaves of a state into the user's own tree."""
        return jax.tree.unflatten(self.of(unit).treedef, leaves)

    def kept(self) -> "Kept":
        """Return what pickles: the weights of the best, as numpy arrays, without the user's functions."""
        state, missing = jax.tree.map(_on_host, self.state), ""
        if not _pickles(state):
            state, missing = None, NO_STATE
        elif self.crashed:
            missing = NO_STATE
        elif self.export is not None:
            missing = NO_EXPORT
        return Kept(state, missing, replicas=self.replicas)


@dataclasses.dataclass(frozen=True)
class Kept:
    """What a pickled or copied result has of its `Run`.

    Attributes:
      weights: the train state of the best trial, leaves on the host.
      missing: why they are not what `best_state` was; empty where they are.
      export: of a task that was given anew.
      replicas: as in `Run`.
    """

    weights: Any
    missing: str
    export: Any = None
    replicas: int = 0
    crashed = False

    @property
    def state(self) -> Any:
        """The train state of the best trial.

        Raises:
          RuntimeError: it did not pickle, or needs the task.
        """
        if self.missing:
            raise RuntimeError(self.missing)
        if isinstance(self.weights, Loose):
            return self.weights.nested
        return jax.tree.map(_given_back, self.weights, is_leaf=lambda leaf: isinstance(leaf, _KeyData))

    @property
    def loose(self) -> Loose | None:
        """The train state of the best trial, taken apart; None where it did not pickle."""
        if self.weights is None or isinstance(self.weights, Loose):
            return self.weights
        return loose(jax.tree.map(_given_back, self.weights, is_leaf=lambda leaf: isinstance(leaf, _KeyData)))

    def kept(self) -> "Kept":
        """Return what pickles: the same, without the task that was given anew."""
        return self if self.export is None else Kept(self.weights, NO_EXPORT, replicas=self.replicas)

    def with_task(self, task: Task, hparams: Any) -> "Kept":
        """Return the same with the functions of the task that was tuned, for the winner's settings."""
        if self.missing == NO_STATE:
            return self
        weights = self.weights
        if isinstance(weights, Loose):
            weights = weights.onto(task, hparams, self.replicas)
        return Kept(weights, "", task.export, self.replicas)


def require_task(task: Any, space: Space) -> None:
    """Refuse what is no task, and a space that hands it names where functions were.

    Raises:
      TypeError, ValueError: as said.
    """
    if not hasattr(task, "export"):
        raise TypeError(f"task={task!r}: must be the Task or FlaxTask that was tuned")
    handed = {space.names[column]: list(getattr(space.dimensions[column], "values", ())) for column in space.structural}
    handed |= {name: [value] for name, value in space.constants.items()}
    lost = sorted(name for name, values in handed.items() if any(map(lacks, values)))
    remedy = "given to load, or to with_space: of what it holds in these places, only names were read back"
    require(not lost, "space", lost, remedy)


def same_space(before: Space, given: Any) -> Space:
    """Return a space made anew; refuse another one than before.

    Raises:
      ValueError: another one; the dimensions that differ are named.
    """
    space = Space.of(given)
    old, new = before.to_spec(), space.to_spec()
    then, now = ({one["name"]: one for one in spec["dimensions"]} for spec in (old, new))
    differ = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    require(old == new, "space", differ or "with other constants", "as it was searched")
    return space


def models_of(state: Any, replicas: int) -> list[Any]:
    """Return the states of the models of a trial, for `Run.replicas`."""
    return unstacked(state, replicas) if replicas else [state]


@dataclasses.dataclass(frozen=True)
class _KeyData:
    """A typed key, which does not pickle by itself."""

    kind: str
    data: np.ndarray


def _on_host(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return _KeyData(str(jax.random.key_impl(leaf)), np.asarray(jax.random.key_data(leaf)))
    return jax.device_get(leaf)


def _given_back(leaf: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(leaf.data), impl=leaf.kind) if isinstance(leaf, _KeyData) else leaf


def portable(problem: Problem) -> Problem:
    """Return a problem that pickles: choices and constants that do not are there by name."""
    if _pickles(problem):
        return problem
    return dataclasses.replace(problem, space=problem.space.with_values(_named))


def _named(value: Any, place: int) -> Any:
    return value if _pickles(value) else Named(shown(value), place)


def _pickles(value: Any) -> bool:
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # a user's own classes may raise anything
        return False
    return True
