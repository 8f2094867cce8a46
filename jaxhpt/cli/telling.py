"""What commands print: words for people, JSON for programs; and the exit code."""

import json
import math
from collections.abc import Sequence
from typing import Any

from jaxhpt.results.plain import plain_trials
from jaxhpt.results.result import Result
from jaxhpt.results.stats import headline
from jaxhpt.results.table import SHOWN, found_table
from jaxhpt.results.trial import Confirmed

FINE, FAILED, WRONG = 0, 1, 2
ENDED = {"interrupted": 130, "terminated": 143}  # as shells have it for the signals


def tell(results: Sequence[Result], as_json: bool, count: int = SHOWN) -> None:
    """Print results.

    Args:
      results: of a run.
      as_json: as one JSON value: an object, or a list of those of several searches.
      count: trials of each, at most.
    """
    if as_json:
        facts = [_facts(result, count) for result in results]
        print(json.dumps(facts[0] if len(facts) == 1 else facts, allow_nan=False))
    else:
        print("\n\n".join("\n".join([*headline(r.stats), *found_table(r, count)]) for r in results))


def code_of(result: Result) -> int:
    """Return the exit code of a search: whether a signal ended it, and whether it found anything."""
    found = result.stats.trials > result.stats.failed
    return ENDED.get(result.stats.ended, FINE if found else FAILED)


def _facts(result: Result, count: int) -> dict[str, Any]:
    """Return what a result is, as plain data: the best, or of several objectives the front, first.

    Of a search that was confirmed the winner is the first of those that were trained again.
    """
    front = len(result.objectives) > 1
    top = (result.pareto_front() if front else result.top(count))[:count]
    stats = result.stats
    return {
        "ended": stats.ended,
        "trials": stats.trials,
        "seconds": stats.seconds,
        "objectives": {objective.name: objective.direction for objective in result.objectives},
        "front" if front else "best": plain_trials(top, result.history.unit, result.space),
        **({"confirmed": [_again(one) for one in result.confirmed[:count]]} if result.fresh is not None else {}),
    }


def _again(one: Confirmed) -> dict[str, Any]:
    """Return what a setting came to when it was trained again, as plain data."""
    metrics = {name: value if math.isfinite(value) else None for name, value in one.metrics.items()}
    return {"trial": one.trial.id, "metrics": metrics}
