"""ASHA and Hyperband: who goes on at each rung, against lists in plain Python."""

import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import ASHA, Hyperband


class Halving:
    """The rule as the paper tells it, on lists."""

    def __init__(self, levels, eta, brackets=1):
        self.levels, self.eta, self.brackets = levels, eta, brackets
        self.came, self.event = collections.defaultdict(list), 0

    def __call__(self, reports):
        self.event += 1
        here = {}
        for report in reports:
            bracket = report.lane % self.brackets
            if report.steps in self.levels[bracket:] and not report.spent:
                here[report.lane] = (bracket, report.steps)
                self.came[here[report.lane]].append((report.score, self.event, report.trial, report.lane))
        return {lane: "on" if self._is_among_the_best(lane, rung) else "stopped" for lane, rung in here.items()}

    def _is_among_the_best(self, lane, rung):
        came = self.came[rung]
        best = sorted(came)[: max(1, len(came) // self.eta)]
        return any(math.isfinite(score) and (event, of) == (self.event, lane) for score, event, _, of in best)


DRILLS = {
    "one lane": ((ASHA(min_steps=1), 1, 10), ((1, 3, 9), 3)),
    "many lanes": ((ASHA(eta=2, min_steps=1), 16, 9), ((1, 2, 4, 8), 2)),
    "longer events": ((ASHA(eta=2, min_steps=3), 6, 27, 2), ((4, 8, 16), 2)),
    "all brackets": ((Hyperband(eta=2, min_steps=1), 8, 7), ((1, 2, 4), 2, 4)),
    "fewer lanes than brackets": ((Hyperband(eta=2, min_steps=1), 3, 7), ((1, 2, 4), 2, 3)),
    "more brackets than there are": ((Hyperband(min_steps=3, brackets=9), 4, 9, 1), ((3,), 3, 2)),
}


@pytest.mark.parametrize("name", DRILLS)
def test_decisions_are_those_of_lists(drill, name):
    given, rule = DRILLS[name]
    seen = collections.Counter()
    for reports, said, verdict in drill(*given).run(Halving(*rule)):
        stop = np.asarray(verdict.stop)
        for report in reports:
            if not report.spent:
                assert stop[report.lane] == (said.get(report.lane) == "stopped"), report
        assert verdict.copies is None
        seen.update(said.values())
    assert min(seen["on"], seen["stopped"]) > 5


LONG = {"steps": "epochs", "steps_per_epoch": 3, "interval": 4, "trials": 60, "seed": 4}


@pytest.mark.parametrize(
    ("scheduler", "options", "rule"),
    [
        (ASHA(eta=2, min_steps=3), LONG, ((4, 8, 16), 2)),
        (Hyperband(min_steps=1), {"lanes": 7, "trials": 80}, ((1, 3, 9), 3, 4)),
    ],
)
def test_a_whole_search_is_that_of_lists(known, simulated, ended, scheduler, options, rule):
    result = known(scheduler, **options)
    assert ended(result) == simulated(result, Halving(*rule))
    assert {t.status for t in result.trials} == {"done", "stopped", "failed"}


def test_the_lists_halve_trials_that_begin_together_as_in_the_textbook(simulation):
    curves = [lambda steps, level=level: float(level) for level in range(300)]
    rows, _ = simulation(Halving((1, 3, 9), 3), curves, [27] * 300, lanes=27)
    assert [row.steps for row in rows[:27]] == [27, 9, 9, *[3] * 6, *[1] * 18]


@pytest.mark.parametrize(
    ("brackets", "lanes", "expected"), [(None, 64, 4), (None, 3, 3), (9, 64, 4), (9, 2, 2), (2, 64, 2), (1, 64, 1)]
)
def test_there_are_at_most_as_many_brackets_as_lanes_and_one_more_than_rungs(drill, brackets, lanes, expected):
    scheduler = Hyperband(min_steps=1, brackets=brackets)
    made = drill(scheduler, lanes, 10).problem()
    assert scheduler.num_brackets(made) == expected
    assert scheduler.init(jax.random.key(0), made).num_arrived.shape == (3 * expected,)


def test_the_last_bracket_stops_nothing_and_the_others_nothing_below_their_rung(known):
    result = known(Hyperband(min_steps=1), lanes=7, trials=80)
    free, stopped = [0] * 7, collections.defaultdict(set)
    for trial in result.trials:
        lane = next(i for i in range(7) if free[i] == trial.start)  # trials start in the first lane that is free
        free[lane] += trial.steps
        stopped[lane % 4] |= {trial.steps} if trial.status == "stopped" else set()
    assert [stopped[bracket] for bracket in range(4)] == [{1, 3, 9}, {3, 9}, {9}, set()]


def test_nothing_else_is_stopped_where_a_free_lane_stays_empty(known, simulated, ended):
    options = {"steps": "epochs", "steps_per_epoch": 3, "trials": 6, "lanes": 6, "seed": 8}
    result = known(ASHA(min_steps=1), **options)
    strict, events = simulated(result, Halving((1, 3, 9), 3), tail=False)
    assert ended(result) == simulated(result, Halving((1, 3, 9), 3))
    stopped = [t for t in result.trials if t.status == "stopped"]
    assert 0 < len(stopped) < sum(row.status == "stopped" for row in strict)
    assert result.stats.events <= events
    for trial in stopped:
        assert all(
            other.hparams["epochs"] < trial.hparams["epochs"] for other in result.trials if other.steps > trial.steps
        )


def test_while_trials_are_left_all_are_stopped_that_should_be(known, simulated):
    result = known(ASHA(eta=2, min_steps=3), **LONG)
    strict, _ = simulated(result, Halving((4, 8, 16), 2), tail=False)
    last = max(t.start for t in result.trials)
    before = [t.id for t in result.trials if t.start + t.steps <= last]
    assert [(result.trials[i].status, result.trials[i].steps) for i in before] == [strict[i][:2] for i in before]
    assert len(before) > 30
    after = [t for t in result.trials if t.id not in before]
    assert sum(t.status == "stopped" for t in after) < sum(strict[t.id].status == "stopped" for t in after)


def test_what_is_spared_at_the_end_goes_on_beside_those_that_do_by_right(simulation, ended):
    gained = 0
    for seed in range(4):
        result = jaxhpt.search(
            lambda n, batch, h, key: n + 1, {"x": jaxhpt.Float(0, 1)}, init=lambda key, h: jnp.int32(0),
            evaluate=lambda n, data, h: h["x"] + 1 / n, scheduler=ASHA(min_steps=1), algorithm="random", steps=12,
            trials=40, lanes=8, seed=seed, progress=False,
        )  # fmt: skip
        curves = [lambda steps, x=t.hparams["x"]: x + 1 / steps for t in result.trials]
        fates, events = ended(result)
        expected, simulated = simulation(Halving((1, 3, 9), 3), curves, [12] * 40, 8)
        reported = [max(rung for rung in (1, 3, 9, 12) if rung <= row.steps) for row in expected]
        assert [(f.status, f.steps) for f in fates] == [(e.status, r) for e, r in zip(expected, reported, strict=True)]
        assert events == simulated
        strict, _ = simulation(Halving((1, 3, 9), 3), curves, [12] * 40, 8, tail=False)
        assert all(t.steps >= row.steps for t, row in zip(result.trials, strict, strict=True))
        gained += sum(t.steps - row.steps for t, row in zip(result.trials, strict, strict=True))
    assert gained > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"eta": 1}, "eta=1: must be at least 2"),
        ({"eta": 0}, "eta=0: must be at least 1"),
        ({"min_steps": 0}, "min_steps=0: must be at least 1"),
        ({"brackets": 0}, "brackets=0: must be at least 1"),
    ],
)
def test_arguments_out_of_range(given, message):
    with pytest.raises(ValueError, match=message):
        Hyperband(**given)


@pytest.mark.parametrize("field", ["eta", "min_steps", "brackets"])
def test_arguments_that_are_no_whole_numbers(field):
    with pytest.raises(TypeError, match=f"{field}=2.5: must be an int"):
        Hyperband(**{field: 2.5})
