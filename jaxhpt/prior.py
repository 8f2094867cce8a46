"""What was known before a search: trials of earlier ones, in this one's space and metrics."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxhpt.checks import require
from jaxhpt.history import Known, Status
from jaxhpt.objectives import Columns
from jaxhpt.result import Result
from jaxhpt.space import Space

Pair = tuple[Any, float | Mapping[str, float] | None]
Prior = Result | Sequence[Result | Pair]
USEFUL = (Status.DONE, Status.FAILED, Status.PRIOR)  # what ended early was scored after fewer steps


def known(prior: Prior | None, space: Space, columns: Columns) -> Known:
    """Read earlier trials, for an algorithm to learn from.

    Args:
      prior: an earlier result, or several, or pairs of a setting and its value: a number, a dict of metrics, or None
        for a failure. Of results, trials that ran to their end or failed count.
      space: of this search. Settings outside it are left out, with a warning.
      columns: of this search; objectives and constrained metrics must be known, others may be missing.

    Raises:
      TypeError: neither results nor pairs.
      ValueError: a metric is missing, or no setting lies inside the space.
    """
    rows = [row for part in _parts(prior) for row in _rows(part, space, columns)]
    units = np.array([unit for unit, _ in rows], np.float32).reshape(-1, space.num_dimensions)
    scores = np.array([score for _, score in rows], np.float32).reshape(-1, len(columns.names))
    return Known(jnp.asarray(units), jnp.asarray(scores))


def _parts(prior: Prior | None) -> Sequence[Any]:
    """Return results, and the pairs together."""
    if prior is None:
        return []
    if isinstance(prior, Result):
        return [prior]
    if not isinstance(prior, Sequence) or isinstance(prior, str):
        raise TypeError(f"prior={prior!r}: must be a Result, or a list of results and of pairs (setting, value)")
    pairs = [p for p in prior if not isinstance(p, Result)]
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise TypeError(f"prior: {pair!r} must be a Result, or a pair (setting, value)")
    return [*(p for p in prior if isinstance(p, Result)), *([pairs] if pairs else [])]


def _rows(part: Any, space: Space, columns: Columns) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return unit f32[D] and scores f64[K] of each trial of one source."""
    if isinstance(part, Result):
        useful = [t for t in part.trials if Status[t.status.upper()] in USEFUL]
        if part.space == space:  # the very same bits, and faster
            return [(np.asarray(part.history.unit[t.id]), _scores(t.metrics, columns)) for t in useful]
        part = [(t.hparams, t.metrics) for t in useful]
    rows, reasons = [], []
    for setting, value in part:
        score = _scores(value, columns)
        try:
            rows.append((space.encode(setting), score))
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        require(bool(rows), "prior", f"{len(reasons)} trials", f"inside the space for at least one; {reasons[0]}")
        left = f"prior: {len(reasons)} of {len(part)} trials do not fit the space and are left out; {reasons[0]}"
        warnings.warn(left, stacklevel=5)
    return rows


def _scores(value: float | Mapping[str, float] | None, columns: Columns) -> np.ndarray:
    """Return one trial's scores f64[K], all +inf where it failed."""
    needed = [*(o.name for o in columns.objectives), *(c.name for c in columns.constraints)]
    if value is not None:
        given = columns.named(value)
        for name in needed:
            require(name in given, "prior", sorted(given), f"metrics that include {name!r}")
    return columns.told(value)
