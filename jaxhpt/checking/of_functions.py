"""Hazards that the traces of the user's functions show: cheap enough for every search."""

import dataclasses
import functools
import math
import warnings
from collections.abc import Iterator

from jaxhpt.checking.hazard import Hazard
from jaxhpt.checking.jaxpr_facts import (
    arguments,
    callbacks,
    draws_constants,
    loops_freely,
    passed_through,
    state_read,
    widened,
)
from jaxhpt.core.jaxprs import Traced, inputs_needed
from jaxhpt.engine.build import Built
from jaxhpt.training.replica import Replicas
from jaxhpt.training.user_functions import UserFunctions

MOST_KNOWN = 256  # programs whose grave hazards are remembered, so that the next search of the same does not look
_known: dict[tuple, tuple[Hazard, ...]] = {}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is asked of beside the functions.

    Attributes:
      steps: of the longest trial.
      scored: whether there are data to be scored on.
      same: models of a trial that differ by their seeds alone, at least 1.
    """

    steps: int
    scored: bool
    same: int

    @classmethod
    def of(cls, built: Built, replicas: Replicas) -> "Facts":
        """Return them for a search that is put together."""
        same = replicas.seeds if replicas.folds is None else 1
        return cls(built.program.problem.schedule.steps, built.data.valid is not None, same)


def warn(built: Built, replicas: Replicas, stacklevel: int = 3) -> None:
    """Warn of what would make the results of a search mean nothing."""
    functions, facts = built.program.pool.functions, Facts.of(built, replicas)
    name = (functions.fingerprint, facts)
    found = _known.get(name)
    if found is None:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        found = _known[name] = tuple(grave(functions, facts))
    for hazard in found:
        warnings.warn(str(hazard), stacklevel=stacklevel)


def grave(functions: UserFunctions, facts: Facts) -> Iterator[Hazard]:
    """Find what would make the results of a search mean nothing: of trainings, not of functions called once."""
    if facts.steps <= 1:
        return
    hazard, alive = functools.partial(Hazard, grave=True), state_read(functions)
    stepped = arguments(functions.step, inputs_needed(functions.step, alive))
    if not any(alive):
        yield hazard(
            "unread state",
            "evaluate",
            "no metric depends on the state, so training changes nothing",
            "measure the state that it is given",
        )
        return
    if not any(a and not p for a, p in zip(alive, passed_through(functions), strict=True)):
        yield hazard(
            "unchanged state",
            "train_step",
            "returns what evaluate reads as it came, so nothing is trained",
            "return the new state",
        )
        return
    if stepped[2] and not any(stepped[2]):
        yield hazard(
            "unread batch",
            "train_step",
            "does not read its batch, so the training data have no effect",
            "take the rows from the argument batch, or leave the data out",
        )
    yield from _of_chance(functions, facts, alive, any(stepped[3]))


def _of_chance(functions: UserFunctions, facts: Facts, alive: list[bool], keyed: bool) -> Iterator[Hazard]:
    if not keyed and draws_constants(functions.step, alive):
        yield Hazard(
            "constant chance",
            "train_step",
            "draws the same random numbers in each step, as it does not read its key",
            "draw them from the argument key",
            grave=True,
        )
    begun = arguments(functions.init, inputs_needed(functions.init, alive))
    if facts.same > 1 and not (keyed or any(begun[1]) or any(_measured(functions)[3])):
        yield Hazard(
            "equal seeds",
            "seeds",
            f"init and train_step read no key, so the {facts.same} models of a trial are the same",
            "say seeds=1, or draw from the argument key",
            grave=True,
        )


def lesser(functions: UserFunctions, facts: Facts, calls: int) -> Iterator[Hazard]:
    """Find what costs time, or may be an accident.

    Args:
      functions: the user's.
      facts: beside them.
      calls: training steps of the whole search, about.
    """
    measured = _measured(functions)
    if facts.scored and measured[2] and not any(measured[2]):
        remedy = "measure on the argument valid_data, or leave it out"
        yield Hazard("unread valid_data", "evaluate", "does not read its valid_data", remedy)
    metrics = [True] * len(functions.metrics) + [False]
    if not any(measured[3]) and draws_constants(functions.evaluate, metrics):
        yield Hazard(
            "constant chance",
            "evaluate",
            "draws random numbers without its key: the same for all trials, so that settings are chosen for these",
            "take the key as its fourth argument, unless that is meant",
        )
    for name, traced in _named(functions):
        yield from _of_one(name, traced, calls)


def _of_one(name: str, traced: Traced, calls: int) -> Iterator[Hazard]:
    if found := callbacks(traced):
        often = f", about {calls:,} times in this search" if name == "train_step" else ""
        yield Hazard(
            "host callback",
            name,
            f"calls the host ({', '.join(found)}) for each lane{often}, and is compiled anew in each process",
            "write it in JAX, or leave it out; a function that cannot be traced is for jaxhpt.Tuner",
        )
    if loops_freely(traced):
        yield Hazard(
            "free loop",
            name,
            "has a loop whose length nobody knows: all lanes wait for the longest, and its work is counted once here",
            "give it a fixed length where it has one",
        )
    if widened(traced):
        yield Hazard(
            "double precision",
            name,
            "turns arrays into 64-bit floats, though none is given to it",
            "name the dtype of what it makes, such as jnp.zeros(n, jnp.float32)",
        )


def _named(functions: UserFunctions) -> Iterator[tuple[str, Traced]]:
    yield from (("init", functions.init), ("train_step", functions.step), ("evaluate", functions.evaluate))
    if functions.generate is not None:
        yield "batches", functions.generate


def _measured(functions: UserFunctions) -> list[list[bool]]:
    """Tell what the metrics depend on, a list for each argument of an evaluation."""
    metrics = [True] * len(functions.metrics) + [False]
    return arguments(functions.evaluate, inputs_needed(functions.evaluate, metrics))


def steps_of(trials: int, longest: int) -> int:
    """Return the training steps of so many trials, to two digits."""
    total = trials * longest
    return round(total, 1 - int(math.log10(max(1, total))))
