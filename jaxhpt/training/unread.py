"""Hyperparameters that no function reads: tuning them would have no effect."""

from typing import Any

import numpy as np

from jaxhpt.core.jaxprs import inputs_needed
from jaxhpt.core.space import Space
from jaxhpt.training.user_functions import UserFunctions


def require_read(read: np.ndarray, space: Space, unit: Any, label: str) -> None:
    """Refuse a hyperparameter that exists in a structure, and that no function reads there, nor in others so far.

    Args:
      read: bool[D] which dimensions the structures so far read, this one among them.
      space: of the search.
      unit: a row of this structure, f32[D].
      label: of this structure; empty where there are no others.

    Raises:
      ValueError: there is one.
    """
    wanted = space.possible(unit)
    wanted[[condition.parent for conditions in space.conditions for condition in conditions]] = False
    wanted[list(space.structural)] = False  # what Python reads leaves no trace
    unread = [space.names[column] for column in np.flatnonzero(wanted & ~read)]
    if unread:
        where, names = f" where {label}" * bool(label), ", ".join(map(repr, unread))
        raise ValueError(
            f"space: no function reads {names}{where}, so tuning it has no effect; {_remedy(unread, label)}"
        )


def _remedy(unread: list[str], label: str) -> str:
    if "epochs" in unread:
        return "leave steps=... out, which comes before it, or say steps='epochs'"
    if "batch_size" in unread:
        return "average with jaxhpt.batch_mean(values, batch) in train_step, or take it out of the space"
    if label:
        return "use it in init, train_step or evaluate, or say where it exists, by jaxhpt.When"
    return "use it in init, train_step or evaluate, or take it out of the space"


def values_read(functions: UserFunctions, num: int) -> np.ndarray:
    """Tell which values matter, bool[num]: for the metrics, the length, or what these depend on in the state.

    A value that is only kept in the state matters to nobody, nor does one that is only looked at for NaN.
    """
    leaves = len(functions.state)
    metrics = [*(True for _ in functions.metrics), False]
    measured = inputs_needed(functions.evaluate, metrics)
    alive, before = measured[num : num + leaves], [False] * leaves
    stepped = [False] * num
    while alive != before:
        before, stepped = alive, inputs_needed(functions.step, alive)
        alive = [a or b for a, b in zip(alive, stepped[num : num + leaves], strict=True)]
    parts = (measured, stepped, inputs_needed(functions.init, alive), inputs_needed(functions.steps))
    return np.any([part[:num] for part in parts], axis=0)
