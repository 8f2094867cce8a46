"""Hazards of how a search is laid out: its schedule, its batches, its structures."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from jaxhpt.checking.hazard import Hazard
from jaxhpt.core.space import Space
from jaxhpt.engine.build import Built
from jaxhpt.engine.state import Program
from jaxhpt.training.batches import Batches
from jaxhpt.training.structures import Structure, Structures, first_unit

MANY_EVENTS = 1000  # below which what they take is not noticed
EVENT_WORK = 1e6  # operations, which take about as long as an event itself
DOUBLED = 0.5  # share of the rows that one pass over the data may read twice


def of_plan(built: Built) -> Iterator[Hazard]:
    """Find what wastes a search's time, or its data."""
    program = built.program
    yield from _of_batches(program.pool.batches, program.problem.schedule.steps)
    yield from _of_events(program, built.structures.first)
    yield from _of_structures(built.structures)


def _of_batches(batches: Batches, longest: int) -> Iterator[Hazard]:
    if batches.rows == 0 or batches.fewest is not None:
        return
    rows, size, passes = batches.rows, batches.size, -(-batches.rows // batches.size)
    if longest < passes:
        yield Hazard(
            "unread rows",
            "steps",
            f"the longest trial trains {longest:,} steps, and a pass over the data is {passes:,}: rows are never read",
            "train for longer, take a larger batch_size, or give fewer rows, unless that is meant",
        )
    if passes * size - rows > DOUBLED * rows:
        yield Hazard(
            "doubled rows",
            "batch_size",
            f"{size} rows do not divide the {rows:,} there are: {passes * size - rows:,} are read twice in each pass",
            f"take one nearer to a divisor, such as batch_size={-(-rows // passes)}",
        )


def _of_events(program: Program, structure: Structure) -> Iterator[Hazard]:
    """Find events that take longer than the training between them, where they could be fewer."""
    problem, interval = program.problem, program.problem.schedule.interval
    rounds = -(-problem.trials // problem.lanes)
    events, work = rounds * -(-problem.schedule.steps // interval), problem.lanes * interval * structure.operations
    if program.fused or events < MANY_EVENTS or work >= EVENT_WORK or interval >= problem.schedule.steps:
        return
    yield Hazard(
        "short events",
        "interval",
        f"{events:,} events, each after {interval} steps that take less time than it does",
        f"give a larger interval, such as interval={min(problem.schedule.steps, 10 * interval)}, or execution='fused'",
    )


def _of_structures(structures: Structures) -> Iterator[Hazard]:
    space = structures.space
    for column in space.structural:
        name, dimension = space.names[column], space.dimensions[column]
        values = [dimension.label(unit) for unit in dimension.grid(3)]
        if any(isinstance(value, float) for value in values):
            yield Hazard(
                "structural float",
                f"space {name!r}",
                f"structural=True compiles each of its {dimension.levels} values by itself, yet a float shapes nothing",
                "leave structural=True out; for a dropout rate see jaxhpt.traced",
            )
        elif _without_effect(structures, column):
            yield Hazard(
                "unread structure",
                f"space {name!r}",
                f"{values[0]!r} and {values[-1]!r} make the same program, so tuning it has no effect",
                "use it in init, train_step or evaluate, or take it out of the space",
            )


def _without_effect(structures: Structures, column: int) -> bool:
    """Tell whether both ends of a structural dimension trace to the same, with the same arrays."""
    space = structures.space
    if any(c.parent == column for conditions in space.conditions for c in conditions) or space.conditions[column]:
        return False
    row = np.array(first_unit(space))
    row[column] = space.dimensions[column].grid(2)[-1]
    low, high = structures.first, structures.of(np.asarray(space.snap(jnp.asarray(row))))
    return low.functions == high.functions and _same_arrays(low, high)


def _same_arrays(low: Structure, high: Structure) -> bool:
    ours, theirs = (list(map(np.asarray, sum(map(tuple, one.captured), ()))) for one in (low, high))
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, theirs, strict=True))


def levels_of(space: Space) -> int:
    """Return how many structures a space has."""
    return int(np.prod([space.dimensions[column].levels or 1 for column in space.structural], dtype=np.int64))
