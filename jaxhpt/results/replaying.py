"""A trial of a search that ran in this process, trained again alone."""

from typing import Any

import numpy as np

from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.typing import PyTree
from jaxhpt.engine.replay import train_again
from jaxhpt.results.kept import Run
from jaxhpt.results.lineage import segments_of


def trained_again(run: Run, history: History, problem: Problem, row: int) -> tuple[PyTree, dict[str, Any]]:
    """Train the trial of a row again, to the steps of its latest report; to its end where it has none.

    Returns:
      The leaves of its train state, and its metrics by name.
    """
    space, steps, unit = problem.space, int(history.steps[row]), np.asarray(history.unit[row])
    pool, data = run.pool(unit), run.data_of(unit)
    if not steps:
        steps = int(pool.functions.steps(data.captured.steps, space.values(unit, np)))
    segments = segments_of(history, problem, row, steps)
    begun = _begun(run, history, int(segments.row[0]))
    leaves, metrics = train_again(pool, run.outcome.key, data, segments, begun)
    return leaves, metrics


def _begun(run: Run, history: History, eldest: int) -> PyTree:
    """Return the train state that a row began from; None where it began afresh."""
    if history.begun is None or not (found := np.flatnonzero(history.begun.row == eldest)).size:
        return None
    return run.begun(int(found[0]), np.asarray(history.unit[eldest]))
