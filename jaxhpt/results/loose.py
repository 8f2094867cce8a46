"""The weights of a winner that were read from disk: arrays by their places, until the task tells what they are of."""

import dataclasses
import inspect
from typing import Any

import jax
import numpy as np

from jaxhpt.core.arrays import zeros
from jaxhpt.core.checks import leaf_name
from jaxhpt.core.typing import PyTree
from jaxhpt.engine.carrying import is_native, on_host, onto
from jaxhpt.training.task import Task


@dataclasses.dataclass(frozen=True)
class Loose:
    """Leaves of a state, in order, with their places.

    Attributes:
      leaves: on the host.
      paths: names from the root to each.
      plain: whether dicts alone hold them, so that nothing else need be known.
    """

    leaves: tuple[np.ndarray, ...]
    paths: tuple[tuple[str, ...], ...]
    plain: bool

    @property
    def nested(self) -> Any:
        """The leaves in dicts, by their places."""
        if self.paths == ((),):
            return self.leaves[0]
        found: dict[str, Any] = {}
        for path, leaf in zip(self.paths, self.leaves, strict=True):
            part = found
            for name in path[:-1]:
                part = part.setdefault(name, {})
            part[path[-1]] = leaf
        return found

    def onto(self, task: Task, hparams: Any, replicas: int) -> PyTree:
        """Return the state as the task makes it.

        Args:
          task: that was tuned.
          hparams: of the winner.
          replicas: models of a trial, 0 for one that is the trial.

        Raises:
          ValueError: the task makes a state of other shapes.
        """
        like: Any = zeros_of(task, hparams)
        if not replicas:
            return onto(like, list(self.leaves))
        mine = [leaf for leaf, path in zip(self.leaves, self.paths, strict=True) if path[:1] == ("models",)]
        return {"models": onto(jax.tree.map(lambda a: a[None].repeat(replicas, 0), like), mine)}


def zeros_of(task: Task, hparams: Any) -> PyTree:
    """Return a state of a task's shapes."""
    key = jax.random.key(0)
    waves = (key,) if len(inspect.signature(task.init).parameters) == 3 else ()
    return zeros(jax.eval_shape(lambda key: task.init(key, hparams, *waves), key))


def places_of(state: PyTree) -> dict[str, Any]:
    """Return the places of a state's leaves, and whether they are plain, as JSON has it."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    paths = [[str(getattr(key, "key", None) or leaf_name((key,))) for key in path] for path, _ in leaves]
    return {"paths": paths, "plain": _is_plain(state)}


def loose(state: PyTree) -> Loose:
    """Take a state apart."""
    told = places_of(state)
    return Loose(tuple(on_host(state)), tuple(map(tuple, told["paths"])), told["plain"])


def _is_plain(node: Any) -> bool:
    if isinstance(node, dict):
        named = all(type(key) is str and key for key in node)
        return type(node) is dict and bool(node) and named and all(map(_is_plain, node.values()))
    return hasattr(node, "dtype") and is_native(node.dtype)
