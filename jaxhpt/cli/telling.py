"""What commands print: words for people, JSON for programs; and the exit code."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxhpt.results.plain import plain_trials
from jaxhpt.results.result import Result
from jaxhpt.results.stats import headline
from jaxhpt.results.table import SHOWN, found_table
from jaxhpt.results.trial import Confirmed

FINE, FAILED, WRONG = 0, 1, 2
ENDED = {"interrupted": 130, "terminated": 143}  # as shells have it for the signals


class Found(NamedTuple):
    """What is printed of one search.

    Attributes:
      result: of it.
      run: where it was read from; empty for a search that ran just now.
      state: what it is doing, if it has not ended in order.
    """

    result: Result
    run: str = ""
    state: str = ""


def tell(found: Sequence[Found], as_json: bool, count: int = SHOWN) -> None:
    """Print what searches found.

    Args:
      found: each of them; several of them are headed by where they were read from.
      as_json: as one JSON value: an object, or a list of those of several searches.
      count: trials of each, at most.
    """
    if as_json:
        facts = [_facts(one, count) for one in found]
        print(json.dumps(facts[0] if len(facts) == 1 else facts, allow_nan=False))
    else:
        print("\n\n".join("\n".join(_lines(one, count, len(found) > 1)) for one in found))


def _lines(found: Found, count: int, headed: bool) -> list[str]:
    head = [f"{found.run}:"] if headed and found.run else []
    told = headline(found.result.stats, found.state, done=bool(found.run))
    return [*head, *told, *found_table(found.result, count)]


def code_of(result: Result) -> int:
    """Return the exit code of a search: whether a signal ended it, and whether it found anything."""
    found = result.stats.trials > result.stats.failed
    return ENDED.get(result.stats.ended, FINE if found else FAILED)


def _facts(found: Found, count: int) -> dict[str, Any]:
    """Return what a result is, as plain data: the best, or of several objectives the front, first.

    Of a search that was confirmed the winner is the first of those that were trained again.
    """
    result, front = found.result, len(found.result.objectives) > 1
    top = (result.pareto_front() if front else result.top(count))[:count]
    stats = result.stats
    state = found.state or ("unfinished" if stats.ended == "unfinished" else "ended")
    read = {"run": found.run, "state": state} if found.run else {}
    return {
        **read,
        "ended": stats.ended,
        "trials": stats.trials,
        "done": stats.done,
        "stopped": stats.stopped,
        "failed": stats.failed,
        "seconds": stats.seconds,
        "objectives": {objective.name: objective.direction for objective in result.objectives},
        "front" if front else "best": plain_trials(top, result.history.unit, result.space),
        **({"confirmed": [_again(one) for one in result.confirmed[:count]]} if result.fresh is not None else {}),
    }


def _again(one: Confirmed) -> dict[str, Any]:
    """Return what a setting came to when it was trained again, as plain data."""
    metrics = {name: value if math.isfinite(value) else None for name, value in one.metrics.items()}
    return {"trial": one.trial.id, "metrics": metrics}
