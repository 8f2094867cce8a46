"""A problem as plain data, which JSON holds, and back."""

from typing import Any

from jaxhpt.core.constraints import Constraint
from jaxhpt.core.metrics import MetricSpec, Objective
from jaxhpt.core.plain_data import plain_settings
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.space import Space
from jaxhpt.core.spread import Spread


def problem_data(problem: Problem) -> dict[str, Any]:
    """Write what `problem_of` reads."""
    metrics = plain_settings(problem.metrics)
    return {
        "space": problem.space.to_spec(),
        "metrics": metrics,
        "schedule": plain_settings(problem.schedule),
        "trials": problem.trials,
        "lanes": problem.lanes,
        "prior": problem.prior,
        "copies": problem.copies,
    }


def problem_of(data: dict[str, Any]) -> Problem:
    """Read a problem from plain data.

    Raises:
      ValueError, TypeError, KeyError: no such data.
    """
    told = data["metrics"]
    objectives = tuple(Objective(**_fields(one)) for one in told["objectives"])
    constraints = tuple(Constraint(**_fields(one)) for one in told["constraints"])
    spreads = tuple(Spread(*one) for one in told["spreads"])
    metrics = MetricSpec(objectives, tuple(map(str, told["extra_metrics"])), constraints, spreads)
    schedule = Schedule(**_fields(data["schedule"]))
    sizes = {name: int(data[name]) for name in ("trials", "lanes", "prior", "copies")}
    return Problem(Space.from_spec(data["space"]), metrics, schedule=schedule, **sizes)


def _fields(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name != "kind"}
