"""Several objectives: who goes on at each rung, who is behind and who copies whom, against lists in plain Python."""

import collections
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import ASHA, PBT, Hyperband, MedianStop
from jaxhpt.core import history
from jaxhpt.core.lanes import Lanes
from jaxhpt.core.metrics import choose
from jaxhpt.core.problem import Problem
from jaxhpt.core.schedule import Schedule
from jaxhpt.core.typing import NONE
from jaxhpt.schedulers import archive

SPACE = {"a": jaxhpt.Float(0.0, 1.0), "b": jaxhpt.Float(0.0, 1.0)}
BOTH = {"cost": "min", "gain": "max"}
BOUNDED = {"constraints": {"size": ("<=", 0.7)}}


def measured(a, b, steps, xp=np):
    """Return cost, gain and size: fronts of some width whose order changes on the way, and trials that fail."""
    early = 1 / (1.0 + xp.float32(steps))
    cost = a + early * (1 - b) * 0.5
    gain = xp.sqrt(a) - 0.3 * b - early * xp.abs(b - 0.3)
    return xp.where((b > 0.9) & (steps >= 2), xp.float32(xp.nan), cost), gain, xp.abs(a - b)


def search(scheduler, **options):
    def evaluate(steps, data, h):
        return dict(zip(("cost", "gain", "size"), measured(h["a"], h["b"], steps, jnp), strict=True))

    settings = {"steps": 12, "trials": 60, "lanes": 5, "algorithm": "random", "progress": False, **options}
    return jaxhpt.search(
        lambda n, batch, h, key: n + 1, SPACE, init=lambda key, h: jnp.int32(0), evaluate=evaluate,
        scheduler=scheduler, objectives=BOTH, **settings,
    )  # fmt: skip


def curves_of(result, bounded=False):
    """Return the curve of each trial: steps -> what is minimised, and by how much the bound is broken."""

    def curve(steps, h):
        cost, gain, size = measured(np.float32(h["a"]), np.float32(h["b"]), steps)
        violation = max(float(size) - 0.7, 0.0) / 0.7 if bounded else 0.0
        failed = not math.isfinite(cost)
        return (math.inf, math.inf, violation) if failed else (float(cost), -float(gain), violation)

    return [lambda steps, h=t.hparams: curve(steps, h) for t in result.trials]


def beats(one, other):
    if one[2] != other[2]:
        return one[2] < other[2]
    return one[0] <= other[0] and one[1] <= other[1] and one[:2] != other[:2]


def peeled(rows):
    """Return lists of places: fronts, best first."""
    left, found = list(range(len(rows))), []
    while left:
        found.append([i for i in left if not any(beats(rows[j], rows[i]) for j in left)])
        left = [i for i in left if i not in found[-1]]
    return found


def ordered(rows):
    """Return the places of rows in order: by front, and there farthest first."""
    order = []
    for front in peeled(rows):
        unit = np.array([rows[i][:2] for i in front], np.float32)
        unit -= unit.min(axis=0)
        unit /= np.where(unit.max(axis=0) > 0, unit.max(axis=0), 1)
        taken = [int(np.argmin(unit[:, 0]))]
        while len(taken) < len(front):
            apart = ((unit[:, None] - unit[taken][None]) ** 2).sum(axis=2).min(axis=1)
            apart[taken] = -1
            taken.append(int(np.argmax(apart)))
        order += [front[i] for i in taken]
    return order


class Halving:
    """Successive halving as the paper tells it, on lists; what came `most` trials ago is forgotten."""

    def __init__(self, levels, eta, brackets=1, most=archive.MOST):
        self.levels, self.eta, self.brackets, self.most = levels, eta, brackets, most
        self.came = collections.defaultdict(list)

    def __call__(self, reports):
        here, said = collections.defaultdict(list), {}
        for report in reports:
            bracket = report.lane % self.brackets
            if report.steps in self.levels[bracket:] and not report.spent:
                here[bracket, report.steps].append(report)
        for rung, new in here.items():
            rows = self.came[rung][-self.most :] + [report.score for report in new]
            sound = [i for i, row in enumerate(rows) if math.isfinite(row[0])]
            best = [sound[i] for i in ordered([rows[i] for i in sound])[: max(1, len(rows) // self.eta)]]
            for place, report in enumerate(new, len(rows) - len(new)):
                said[report.lane] = "on" if place in best else "stopped"
            self.came[rung] += [report.score for report in new]
        return said


class Median:
    """The median rule on lists: a trial whose best is in a later front than more than half of the means."""

    def __init__(self, min_steps, min_trials):
        self.min_steps, self.min_trials = min_steps, min_trials
        self.told, self.means = collections.defaultdict(list), collections.defaultdict(list)

    def __call__(self, reports):
        said = {}
        for report in reports:
            failed = not math.isfinite(report.score[0])
            self.told[report.trial] += [] if failed else [report.score[:2]]
            mean = np.mean(self.told[report.trial], axis=0) if not failed else np.full(2, np.inf)
            self.means[report.steps].append((*mean, 0.0))
        for report in reports:
            rows, told = self.means[report.steps], self.told[report.trial]
            sound, best = [row for row in rows if math.isfinite(row[0])], (*np.min(told, axis=0), 0.0) if told else None
            fronts = peeled(sound)
            above = [k for k, front in enumerate(fronts) if best and any(beats(sound[i], best) for i in front)]
            ahead = sum(len(front) for front in fronts[: max(above) + 1]) if above else 0
            old = report.steps >= self.min_steps and len(rows) >= self.min_trials
            said[report.lane] = "stopped" if old and 2 * ahead > len(rows) else "on"
        return said


@pytest.fixture
def is_that_of_lists(simulation, ended):
    """Assert that a search went as a rule on lists has it; a stopped trial has the steps of its last report."""

    def compare(result, rule, looks, bounded=False):
        curves, lengths = curves_of(result, bounded), [12] * len(result.trials)
        expected, events = simulation(rule, curves, lengths, result.stats.lanes, result.stats.interval)
        reported = [row._replace(steps=max(steps for steps in looks if steps <= row.steps)) for row in expected]
        assert ended(result) == (reported, events)

    return compare


@pytest.mark.parametrize(
    ("scheduler", "options", "rule", "looks"),
    [
        (ASHA(min_steps=1), {}, Halving((1, 3, 9), 3), (1, 3, 9, 12)),
        (ASHA(eta=2, min_steps=3), {"lanes": 7, **BOUNDED}, Halving((3, 6), 2), (3, 6, 12)),
        (Hyperband(min_steps=1), {"lanes": 7, "trials": 80}, Halving((1, 3, 9), 3, 4), (1, 3, 9, 12)),
        (MedianStop(eval_interval=1, min_steps=2), {}, Median(2, 5), range(1, 13)),
    ],
)
def test_a_whole_search_of_two_objectives_is_that_of_lists(is_that_of_lists, scheduler, options, rule, looks):
    result = search(scheduler, **options)
    is_that_of_lists(result, rule, looks, "constraints" in options)
    assert {t.status for t in result.trials} == {"done", "stopped", "failed"}


def test_beyond_what_a_rung_remembers_the_latest_stand_for_all(is_that_of_lists, monkeypatch):
    monkeypatch.setattr(archive, "MOST", 8)
    result = search(ASHA(eta=2, min_steps=1), seed=3, trials=72)
    rule = Halving((1, 2, 4, 8), 2, most=8)
    is_that_of_lists(result, rule, (1, 2, 4, 8, 12))
    assert len(rule.came[0, 1]) > 60


def test_the_same_seed_gives_the_same_bits_however_it_is_dispatched(same_bits):
    for scheduler in (MedianStop(eval_interval=1, min_steps=2), PBT(perturbation_interval=3)):
        once, again = (search(scheduler, events_per_dispatch=events) for events in ("all", 1))
        same_bits(once.history, again.history)


def made(lanes, copies=0, **bounds):
    metrics = choose(("cost", "gain", "size"), objectives=BOTH, **bounds)
    return Problem(jaxhpt.Space.of(SPACE), metrics, lanes, lanes, Schedule(20, 1, 1), copies=copies)


@pytest.mark.parametrize("scheduler", [PBT(perturbation_interval=5, quantile_fraction=0.25), PBT(5, "tournament")])
@pytest.mark.parametrize("bounds", [{}, BOUNDED])
def test_the_last_in_order_copy_those_before_them(scheduler, bounds):
    rng, num = np.random.default_rng(2), 16
    problem = made(num, 40, **bounds)
    rows = rng.uniform(size=(num, 3)).astype(np.float32)
    rows[[3, 7]] = np.inf
    rows[5] = rows[6]
    past = history.empty_history(problem)
    past = past._replace(metrics=past.metrics.at[:num].set(rows))
    lanes = Lanes(jnp.arange(num, dtype=jnp.int32), *(jnp.full(num, steps, jnp.int32) for steps in (5, 20)))
    lanes = lanes._replace(steps=lanes.steps.at[9].set(4))  # no report of this event
    broken = [max(float(row[2]) - 0.7, 0.0) / 0.7 if bounds else 0.0 for row in rows]
    sound = [i for i in range(num) if i not in (3, 7, 9)]
    order = [sound[i] for i in ordered([(*map(float, rows[i][:2]), broken[i]) for i in sound])]
    copies = set()
    decide = jax.jit(lambda key: scheduler.decide(key, scheduler.init(key, problem), None, lanes, past, problem)[0])
    for seed in range(20):
        verdict = decide(jax.random.key(seed))
        assert not verdict.stop.any()
        made_of = zip(verdict.copies.source.tolist(), verdict.copies.target.tolist(), strict=True)
        copies |= {(source, target) for source, target in made_of if target != NONE}
    place = {row: order.index(row) for row in order} | {3: 99, 7: 99}
    place[5] = place[6] = min(place[5], place[6])
    assert all(place[source] < place[target] for source, target in copies)
    assert not {(5, 6), (6, 5)} & copies  # equals
    if scheduler.exploit == "truncation":
        few = 3  # of 15 that are compared, of which two have failed
        assert {source for source, _ in copies} == set(order[:few])
        assert {target for _, target in copies} == {3, 7, order[-1]}
    else:
        assert len(copies) > 40


def test_an_archive_keeps_what_the_objectives_and_constraints_need_and_no_more():
    for bounds, width in (({}, 2), (BOUNDED, 3)):
        state = ASHA(min_steps=1).init(jax.random.key(0), made(5, **bounds))
        assert state.points.shape == (3, 5, width)
    assert archive.empty(2, made(archive.MOST + 40), 2).points.shape == (2, archive.MOST, 2)


def test_what_leads_in_any_objective_goes_on_where_one_alone_would_stop_it():
    rows = np.array(list(itertools.zip_longest(range(6), range(5, -1, -1))), np.float32)
    everyone = archive.Gathering(jnp.array(rows), jnp.ones(6, bool))
    assert archive.in_best(everyone, 3, 2, 6).tolist() == [True, False, False, False, False, True]
