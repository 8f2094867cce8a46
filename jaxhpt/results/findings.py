"""A result as `Findings`, of which a report is made."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.checks import suggest
from jaxhpt.core.dimension import Dimension
from jaxhpt.core.dimensions import Choice
from jaxhpt.core.showing import shown
from jaxhpt.core.typing import NONE
from jaxhpt.report.findings import NO_AGAIN, Again, Axis, Facts, Findings, Shares
from jaxhpt.results.importance import METHODS, importance_errors
from jaxhpt.results.lineage import births


def findings_of(result: Any, name: str = "", importance: str | None = "permutation", **about: Any) -> Findings:
    """Return the columns of a result.

    Args:
      result: a `Result`.
      name: of the search, among several.
      importance: method of `Result.importance`; None for none.
      **about: facts that the result does not know, such as its algorithm.

    Raises:
      ValueError: an unknown method.
    """
    if importance is not None and importance not in METHODS:
        raise ValueError(f"importance={importance!r}: unknown; {suggest(str(importance), METHODS)}, or None for none")
    history, problem = result.history, result._problem
    rows = np.flatnonzero(result._there)
    place = np.full(history.status.shape[0], -1)
    place[rows] = np.arange(len(rows))
    unit, value = _settings(problem.space, np.asarray(history.unit)[rows])
    report, curve = _curves(history, problem, rows, result._exact)
    return Findings(
        name,
        tuple(_axis(*one) for one in zip(problem.space.names, problem.space.dimensions, strict=True)),
        problem.metrics,
        rows,
        np.asarray(history.status)[rows],
        unit,
        value,
        _scores(result._scores[rows], problem),
        np.asarray(result._fitness, np.float64)[rows],
        np.asarray(result._feasible)[rows],
        np.asarray(history.steps)[rows].astype(int),
        np.asarray(history.start)[rows].astype(int),
        births(history, problem.schedule.interval)[rows].astype(int),
        np.where(history.parent[rows] < NONE, place[np.minimum(history.parent[rows], len(place) - 1)], -1),
        report,
        curve,
        place[np.array([trial.id for trial in _front(result)], int)],
        int(place[result._row]) if result._row < NONE and len(problem.objectives) == 1 else -1,
        _facts(result, about),
        () if importance is None else _shares(result, importance),
        _again(result, place),
    )


def _axis(name: str, dimension: Dimension) -> Axis:
    if isinstance(dimension, Choice):
        texts = tuple(v if isinstance(v, str) and v.strip() else shown(v) for v in dimension.values)  # '' is seen
        return Axis(name, 0, len(texts) - 1, texts=dimension.texts if len(set(texts)) < len(texts) else texts)
    whole, log = np.issubdtype(dimension.dtype, np.integer), bool(getattr(dimension, "log", False))
    return Axis(name, float(dimension.low), float(dimension.high), log, bool(whole))  # type: ignore[attr-defined]


def _settings(space: Any, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return units and values f64[N, D]; NaN where a dimension does not exist."""
    active = np.asarray(space.active(jnp.asarray(unit))) if len(unit) else np.zeros(unit.shape, bool)
    columns = [
        d.level(unit[:, i], np) if isinstance(d, Choice) else d.value(unit[:, i], np)
        for i, d in enumerate(space.dimensions)
    ]
    value = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    return np.where(active, unit.astype(np.float64), np.nan), np.where(active, value, np.nan)


def _scores(scores: np.ndarray, problem: Any) -> np.ndarray:
    """Return metrics f64[N, K] in the user's own sign."""
    return np.where(np.isfinite(scores), scores, np.nan).astype(np.float64) * np.array(problem.metrics.signs)


def _curves(history: Any, problem: Any, rows: np.ndarray, exact: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps and values of reports [N, R]; those before the last stand at the ends of the strides."""
    curve = np.asarray(history.curve)[rows]
    ends = (np.arange(curve.shape[1]) + 1) * problem.schedule.report_steps
    steps = np.minimum(ends[None], np.asarray(history.steps)[rows][:, None])
    value = curve if exact is None else np.where(np.isfinite(curve), exact[rows, :1], np.inf)
    sign = problem.objectives[0].sign
    return steps, np.where(np.isfinite(curve), value * sign, np.nan).astype(np.float64)


def _front(result: Any) -> list[Any]:
    return result.pareto_front() if len(result.objectives) > 1 else []


def _facts(result: Any, about: dict[str, Any]) -> Facts:
    stats, problem = result.stats, result._problem
    program = getattr(result._run, "program", None)
    known: dict[str, Any] = {
        "algorithm": type(program.study.algorithm).__name__ if program else "",
        "scheduler": type(program.study.scheduler).__name__ if program else "",
    }
    same = ("failed", "copies", "seconds", "compile_seconds", "lanes", "lanes_busy", "interval", "ended")
    told = {name: getattr(stats, name) for name in (*same, "device", "devices", "memory", "trials")}
    whole = {"wanted": problem.trials, "longest": problem.schedule.steps, "seed": _seed(result)}
    return Facts(**{**told, **whole, **known, **about})


def _seed(result: Any) -> int | None:
    """Return the seed of which a search's root key was made; None where that is not known, or it was made anew."""
    outcome = getattr(result._run, "outcome", None)
    if outcome is None or result._problem.prior:
        return None
    words = np.asarray(jax.random.key_data(outcome.key)).ravel()
    known = words.size > 1 and not words[:-1].any() and str(jax.random.key_impl(outcome.key)) == "threefry2x32"
    return int(words[-1]) if known else None


def _shares(result: Any, method: str) -> tuple[Shares, ...]:
    """Return importances for each objective; none where too few trials count."""
    found = []
    for objective in result.objectives:
        try:
            shares = importance_errors(result.history, result._problem.bare(), method, objective.name)
        except ValueError:  # too few trials
            return ()
        share, error = (np.array(column) for column in zip(*shares.values(), strict=True))
        found.append(Shares(objective.name, method, tuple(shares), share, error))
    return tuple(found)


def _again(result: Any, place: np.ndarray) -> Again:
    """Return what the best settings came to when they were trained again."""
    confirmed = result.confirmed
    if not confirmed:
        return NO_AGAIN
    return Again(place[[one.trial.id for one in confirmed]], np.array([one.value for one in confirmed]))
