"""Shared pieces: a task whose curves are known, and a search in plain Python to compare with."""

import collections
import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import Float, Space
from jaxhpt.core import history
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE

SPACE = {"a": jaxhpt.Int(0, 30), "b": jaxhpt.Int(0, 30)}
UNEQUAL = {**SPACE, "epochs": [2, 4, 6]}
HIGH, FAILS_AT = 22, 2  # a trial of a higher `a` has no number to show after so many steps


def height(a, b, steps):
    """Return a whole number: no rounding, many ties, and no order that stays."""
    return (a * 7 + b * steps * 3 + a * steps * steps) % 64


def evaluate(steps, data, h):
    failed = (h["a"] > HIGH) & (steps >= FAILS_AT)
    return {"loss": jnp.where(failed, jnp.nan, height(h["a"], h["b"], steps).astype(jnp.float32))}


class Report(NamedTuple):
    """What a scheduler may know of a lane in an event."""

    lane: int
    trial: int
    steps: int
    score: float
    spent: bool


class Ended(NamedTuple):
    """What becomes of a trial."""

    status: str
    steps: int
    start: int


@pytest.fixture(scope="session")
def known():
    """Search over curves that are known; a trial's state is its number of steps."""

    def search(scheduler, **options):
        settings = {"steps": 12, "trials": 40, "lanes": 5, "algorithm": "random", "progress": False, **options}
        space = settings.pop("space", UNEQUAL if settings["steps"] == "epochs" else SPACE)
        return jaxhpt.search(
            lambda n, batch, h, key: n + 1, space, init=lambda key, h: jnp.int32(0), evaluate=evaluate,
            scheduler=scheduler, **settings,
        )  # fmt: skip

    return search


@pytest.fixture(scope="session")
def score_of():
    """Return the score that a trial of `known` has after some steps; +inf where it has failed."""

    def score(hparams, steps):
        failed = hparams["a"] > HIGH and steps >= FAILS_AT
        return math.inf if failed else float(height(hparams["a"], hparams["b"], steps))

    return score


@pytest.fixture(scope="session")
def simulated(score_of):
    """Repeat a search of `known` in plain Python: what becomes of each trial, and how many events it takes."""

    def repeat(result, judge, tail=True):
        curves = [lambda steps, h=t.hparams: score_of(h, steps) for t in result.trials]
        lengths = [3 * t.hparams["epochs"] if "epochs" in t.hparams else 12 for t in result.trials]
        return simulate(judge, curves, lengths, result.stats.lanes, result.stats.interval, tail)

    return repeat


@pytest.fixture(scope="session")
def simulation():
    """Return the search in plain Python by itself."""
    return simulate


def simulate(judge, curves, lengths, lanes, interval=1, tail=True):
    """Run a search.

    Args:
      judge: reports -> for each lane that is looked at "on", "stopped" or "done".
      curves: of each trial, steps -> score, or a tuple of scores.
      lengths: of each trial.
      lanes: how many.
      interval: steps of an event.
      tail: whether stops that save nothing are left out.
    """
    waiting, held, steps, start, ended = collections.deque(range(len(curves))), {}, {}, {}, {}
    events, spared = 0, set()
    while True:
        for lane in range(lanes):
            if lane not in held and waiting:
                held[lane] = trial = waiting.popleft()
                steps[trial], start[trial] = 0, events * interval
        if not held:
            return [ended[trial] for trial in range(len(curves))], events
        events += 1
        reports = []
        for lane, trial in sorted(held.items()):
            steps[trial] = min(steps[trial] + interval, lengths[trial])
            spent = steps[trial] == lengths[trial]
            reports.append(Report(lane, trial, steps[trial], curves[trial](steps[trial]), spent))
        fates, spared = fates_of(reports, judge(reports), lengths, tail and not waiting, spared)
        for report in reports:
            if report.lane in fates:
                ended[report.trial] = Ended(fates[report.lane], report.steps, start[report.trial])
                del held[report.lane]


def fates_of(reports, said, lengths, tail, spared):
    fates, left = {}, {r.lane: lengths[r.trial] - r.steps for r in reports}
    for report in reports:
        if (report.spent or report.lane in said) and not np.isfinite(report.score).all():
            fates[report.lane] = "failed"
        elif report.spent or said.get(report.lane) == "done":
            fates[report.lane] = "done"
    going = [lane for lane in left if lane not in fates]
    stopped = [lane for lane in going if said.get(lane, "stopped" if lane in spared else "on") == "stopped"]
    longest = max((left[lane] for lane in going if lane not in stopped), default=0)
    free = {lane for lane in stopped if tail and left[lane] <= longest}
    return fates | {lane: "stopped" for lane in stopped if lane not in free}, free


@pytest.fixture(scope="session")
def ended():
    """Return what became of the trials of a result, and how many events it took."""

    def read(result):
        return [Ended(t.status, t.steps, t.start) for t in result.trials], result.stats.events

    return read


@pytest.fixture(scope="session")
def drill():
    """Drive `decide` with lanes and a history made by hand, and a judge in plain Python beside it."""
    return Drill


@dataclasses.dataclass
class Drill:
    """Random curves, with ties, failures, free lanes, and trials of different ages and lengths.

    Attributes:
      scheduler: what is driven.
      lanes: how many.
      steps: of the longest trial.
      interval: steps of an event.
      trials: how many begin.
      equal: whether all begin at once, and are equally long.
    """

    scheduler: object
    lanes: int
    steps: int
    interval: int = 1
    trials: int = 60
    equal: bool = False

    def problem(self):
        schedule = Schedule(self.steps, self.interval)
        schedule = dataclasses.replace(schedule, report_interval=self.scheduler.report_interval(schedule))
        return Problem(Space.of({"x": Float(0, 1)}), choose(("loss",)), self.trials, self.lanes, schedule)

    def run(self, judge, seed=0):
        """Yield for each event the reports, what the judge says, and the verdict, as lists over lanes."""
        rng, made = np.random.default_rng(seed), self.problem()
        past, state = history.empty_history(made), self.scheduler.init(jax.random.key(0), made)
        notes = self.scheduler.lane_init(made)
        metrics, curve = np.array(past.metrics), np.array(past.curve)
        decide = jax.jit(lambda s, n, la, h: self.scheduler.decide(jax.random.key(1), s, n, la, h, made))
        due_of = jax.jit(lambda n, la: self.scheduler.needs_score(n, la, made))
        level = rng.integers(0, 12, self.trials)
        trial = np.full(self.lanes, NONE, np.int32)
        steps, budget, begun = np.zeros_like(trial), np.zeros_like(trial), 0
        while begun < self.trials or budget.any():
            for lane in np.flatnonzero(budget == 0):
                if begun < self.trials and (self.equal or rng.uniform() < 0.5):  # free for a while: ages differ
                    trial[lane], steps[lane], begun = begun, 0, begun + 1
                    budget[lane] = self.steps if self.equal else rng.integers(1, self.steps + 1)
            live = np.flatnonzero(budget)
            steps[live] = np.minimum(steps[live] + self.interval, budget[live])
            lanes = Lanes(jnp.array(trial), jnp.array(steps), jnp.array(budget))
            due, reports = np.asarray(due_of(notes, lanes)), []
            for lane in live:
                score = math.inf if rng.uniform() < 0.05 else float(level[trial[lane]] + rng.integers(0, 6))
                spent = bool(steps[lane] == budget[lane])
                if due[lane]:
                    metrics[trial[lane], 0] = curve[trial[lane], -(-steps[lane] // self.interval) - 1] = score
                reports.append(Report(int(lane), int(trial[lane]), int(steps[lane]), score, spent))
            said = judge(reports)
            seen = past._replace(metrics=jnp.array(metrics), curve=jnp.array(curve))
            verdict, state, notes = decide(state, notes, lanes, seen)
            assert all(due[lane] for lane in said)
            assert all(due[r.lane] for r in reports if r.spent)
            yield reports, said, verdict
            for report in reports:
                failed = due[report.lane] and not math.isfinite(report.score)
                if report.spent or failed or said.get(report.lane, "on") != "on":
                    budget[report.lane], trial[report.lane] = 0, NONE
