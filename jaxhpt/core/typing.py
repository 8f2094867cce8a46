"""Aliases, and the glossary of array axes that every docstring uses.

Axes:
  L  lanes: slots that train in lockstep inside one `vmap`
  C  history capacity: rows, one per trial
  D  dimensions of the search space, one column of `unit` each
  Q  proposals asked for at once
  K  metrics: columns of scores, objectives first
  R  reports of one trial's learning curve
  B  rows of a minibatch
  E  trials of an earlier search that are trained on

Words:
  unit     encoded settings, f32 in [0, 1]
  hparams  decoded settings: the user's own pytree, one scalar a leaf
  scores   what is minimised inside; `metrics` carry the user's own sign
  row      a trial's place in the history, which is its id; NONE where there is none
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax

NONE = 2**31 - 1  # an id, of a row or a lane, that means none: writes to it are dropped, reads clamp, it sorts last
NOBODY = 2**7 - 1  # the author, i8, of a row that no algorithm proposed

Array = jax.Array
Key = jax.Array
Hparams = Any
PyTree = Any
TrainState = Any
Metrics = Array | Mapping[str, Array]
InitFn = Callable[[Key, Hparams], TrainState]
StepFn = Callable[[TrainState, PyTree, Hparams, Key], Any]
EvaluateFn = Callable[[TrainState, PyTree, Hparams], Metrics]
