"""What was known before a search: trials of earlier ones, in this one's space and metrics."""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import require
from jaxhpt.core.dimensions import Choice, Dimension
from jaxhpt.core.history import Known
from jaxhpt.core.metrics import MetricSpec
from jaxhpt.core.ranges import LARGEST
from jaxhpt.core.showing import shown
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array
from jaxhpt.core.values import alike, marked
from jaxhpt.results.result import Result
from jaxhpt.results.trial import Trial

Pair = tuple[Any, float | Mapping[str, float] | None]
Prior = Any  # a Result, a pandas table, or a sequence of these, of trials and of pairs
USEFUL = ("done", "failed", "prior")  # what ended early was scored after fewer steps
KINDS = "a Result, a table of pandas, or a list of these, of trials and of pairs (setting, value)"


class _Given(NamedTuple):
    """One earlier trial: its setting, what it came to, and its f32[D] place where that is known."""

    setting: Any
    value: Any
    unit: np.ndarray | None = None


def known(prior: Prior | None, space: Space, metrics: MetricSpec) -> Known:
    """Read earlier trials, for an algorithm to learn from.

    Args:
      prior: an earlier result; a table as `to_pandas` makes it, or with a column for each dimension and objective; or a
        list of these, of trials, and of pairs of a setting and its value: a number, a dict of metrics, or None for a
        failure. Of results, tables with a status, and trials, those that ran to their end or failed count.
      space: of this search. Settings that are not in it are left out with a warning, never moved into it.
      metrics: of this search; objectives and constrained metrics must be known, others may be missing.

    Returns:
      Trials whose scores are f32; values that float32 cannot hold are left out with a warning.

    Raises:
      TypeError: none of these.
      ValueError: a metric is missing, or no setting lies inside the space.
    """
    exact = known_exactly(prior, space, metrics)
    scores = np.asarray(exact.metrics)
    held = ~np.any(np.isfinite(scores) & (np.abs(scores) > LARGEST), axis=1)
    if not held.all():
        _warn(f"prior: {(~held).sum()} of {len(held)} trials have values beyond float32, and are left out")
    return Known(jnp.asarray(exact.unit[held], jnp.float32), jnp.asarray(scores[held].astype(np.float32)))


def settings_of(first: Any) -> Sequence[Any]:
    """Check that settings come as a list."""
    if not isinstance(first, Sequence) or isinstance(first, str):
        raise TypeError(f"first={first!r}: must be a list of settings, such as [{{'lr': 0.01}}]")
    return first


def first_of(first: Sequence[Any], space: Space, trials: int) -> jax.Array:
    """Read settings that are to be tried before all others: f32[F, D] snapped.

    Args:
      first: settings as in results, or trials.
      space: of this search.
      trials: of this search.

    Raises:
      TypeError: no list.
      ValueError: more than `trials`, one twice, or one outside the space; its place in the list is given.
    """
    first = settings_of(first)
    require(len(first) <= trials, "first", first, f"no more settings than the {trials} trials")
    rows: list[np.ndarray] = []
    for place, setting in enumerate(first):
        try:
            row = place_of(space, setting.hparams if isinstance(setting, Trial) else setting)
        except ValueError as error:
            raise ValueError(f"first[{place}]: {error}") from error
        require(
            not any((row == r).all() for r in rows), f"first[{place}]", setting, "another setting than those before"
        )
        rows.append(row)
    return jnp.asarray(np.array(rows, np.float32).reshape(-1, space.num_dimensions))


def known_exactly(prior: Prior | None, space: Space, metrics: MetricSpec) -> Known:
    """Read earlier trials as `known`, into numpy arrays with scores f64[P, K]."""
    rows = [row for part in _parts(prior) for row in _rows(part, space, metrics)]
    units = np.array([unit for unit, _ in rows], np.float32).reshape(-1, space.num_dimensions)
    scores = np.array([score for _, score in rows], np.float64).reshape(-1, len(metrics.names))
    return Known(cast(Array, units), cast(Array, scores))  # still on the host


def _parts(prior: Prior | None) -> Sequence[Any]:
    """Return results and tables one by one, and trials and pairs together."""
    if prior is None:
        return []
    if isinstance(prior, (Result, Trial)) or _is_table(prior):
        prior = [prior]
    if not isinstance(prior, Sequence) or isinstance(prior, str):
        raise TypeError(f"prior={prior!r}: must be {KINDS}")
    single = [part for part in prior if not (isinstance(part, Result) or _is_table(part))]
    for part in single:
        if not (isinstance(part, Trial) or (type(part) is tuple and len(part) == 2)):
            raise TypeError(f"prior: {part!r} must be a Result, a table, a trial, or a pair (setting, value)")
    return [*(part for part in prior if isinstance(part, Result) or _is_table(part)), *([single] if single else [])]


def _is_table(part: Any) -> bool:
    return hasattr(part, "columns") and hasattr(part, "to_dict")


def _rows(part: Any, space: Space, metrics: MetricSpec) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return unit f32[D] and scores f64[K] of each trial of one source."""
    given, rows, reasons = _read(part, space, metrics), [], []
    for setting, value, unit in given:
        score = _scores(value, metrics)
        try:
            rows.append((place_of(space, setting) if unit is None else unit, score))
        except ValueError as error:
            reasons.append(str(error))
    if reasons:
        require(bool(rows), "prior", f"{len(reasons)} trials", f"inside the space for at least one; {reasons[0]}")
        _warn(f"prior: {len(reasons)} of {len(given)} trials do not fit the space and are left out; {reasons[0]}")
    return rows


def _read(part: Any, space: Space, metrics: MetricSpec) -> list[_Given]:
    if isinstance(part, Result):
        _warn_of_direction(part, metrics)
        same = part.space == space or part.space.to_spec() == space.to_spec()  # then the very same bits
        useful = [trial for trial in part.trials if trial.status in USEFUL]
        return [_Given(t.hparams, t.metrics, np.asarray(part.history.unit[t.id]) if same else None) for t in useful]
    if _is_table(part):
        return _table(part, space, metrics)
    trials = [p for p in part if not isinstance(p, Trial) or p.status in USEFUL]
    return [_Given(p.hparams, p.metrics) if isinstance(p, Trial) else _Given(*p) for p in trials]


def _warn_of_direction(result: Result, metrics: MetricSpec) -> None:
    before = {objective.name: objective.direction for objective in result.objectives}
    for wanted in metrics.objectives:
        if before.get(wanted.name, wanted.direction) != wanted.direction:
            _warn(
                f"prior: the earlier search took {wanted.name!r} with direction={before[wanted.name]!r}, this one with "
                f"{wanted.direction!r}; its values are taken as they are: leave it out if they mean something else"
            )


def _table(table: Any, space: Space, metrics: MetricSpec) -> list[_Given]:
    """Read a pandas table; prefixes as `to_pandas` writes them come before plain names."""
    there = list(table.columns)
    hparams = [_column(there, "hparams", name, space.names) for name in space.names]
    named = {name: _column(there, "metrics", name, metrics.names) for name in metrics.names}
    needed = [*hparams, *(named[name] for name in _needed(metrics))]
    for column in needed:
        require(column in there, "prior", there, f"a table with a column {column!r}, or leave it out")
        once = needed.count(column) == 1
        require(once, "prior", there, f"a table with a column for each: {column!r} is a metric and a hyperparameter")
    ended = "status" in there and "status" not in needed
    return [
        _Given(
            space.assemble([_plain(row[c], d) for c, d in zip(hparams, space.dimensions, strict=True)]),
            {name: _plain(row[column]) for name, column in named.items() if column in there},
        )
        for row in table.to_dict("records")
        if not ended or row["status"] in USEFUL
    ]


def _column(there: Iterable[str], prefix: str, name: str, names: Sequence[str]) -> str:
    """Find the column of a name: the prefixed one, unless that is the name of another."""
    prefixed = f"{prefix}.{name}"
    return prefixed if prefixed in there and prefixed not in names else name


def _plain(value: Any, dimension: Dimension | None = None) -> Any:
    """Return a cell as plain Python: None for a gap, and a whole number where gaps made it a float."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value):
        return None
    if isinstance(dimension, Choice) and isinstance(value, str) and value not in dimension.values:
        return dict(zip(dimension.texts, dimension.values, strict=True)).get(value, value)  # a name that a table has
    whole = dimension is not None and not isinstance(dimension, Choice) and np.issubdtype(dimension.dtype, np.integer)
    return int(value) if whole and isinstance(value, float) and value.is_integer() else value


def place_of(space: Space, setting: Any) -> np.ndarray:
    """Encode a setting, or raise a ValueError where the row would stand for another one."""
    row = space.encode(setting)
    given, kept = (space.treedef.flatten_up_to(hparams) for hparams in (setting, space.label(row)))
    for slot, own, other in zip(space.slots, given, kept, strict=True):
        column = getattr(slot, "column", None)
        if column is None:
            require(
                alike(own, other) or marked(own) == marked(other), "constant", own, f"{shown(other)}, as in the space"
            )
        elif other is not None:
            dimension, name = space.dimensions[column], space.names[column]
            require(_same(own, other, dimension), name, own, f"one of the values of {dimension}")
    return row


def _same(own: Any, other: Any, dimension: Dimension) -> bool:
    """Tell whether a value is the one that stands for it, but for the rounding of float32."""
    if isinstance(dimension, Choice):
        return dimension.find(own) == dimension.find(other)
    if dimension.levels is None or not isinstance(other, float) or not isinstance(own, (int, float)):
        return dimension.levels is None or bool(own == other)
    step = getattr(dimension, "step", None) or 1.0
    return abs(own - other) <= min(1e-6 * step + 2.0**-22 * abs(other), step / 4)


def _needed(metrics: MetricSpec) -> list[str]:
    return list(dict.fromkeys([*(o.name for o in metrics.objectives), *(c.name for c in metrics.constraints)]))


def _scores(value: float | Mapping[str, float] | None, metrics: MetricSpec) -> np.ndarray:
    """Return one trial's scores f64[K], all +inf where it failed."""
    if value is not None:
        given = metrics.named(value)
        for name in _needed(metrics):
            require(name in given, "prior", sorted(given), f"metrics that include {name!r}")
    return metrics.host_scores(value)


def _warn(message: str) -> None:
    warnings.warn(message, stacklevel=6)
