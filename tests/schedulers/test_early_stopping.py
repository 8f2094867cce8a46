"""Early stopping: who stands still, against a loop in plain Python."""

import collections
import math

import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import EarlyStopping


class Waiting:
    """The rule on lists."""

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.since = {}, collections.Counter()

    def __call__(self, reports):
        return {report.lane: self._of(report) for report in reports}

    def _of(self, report):
        if not math.isfinite(report.score):
            return "on"
        if report.score < self.best.get(report.trial, math.inf) - self.min_delta:
            self.best[report.trial], self.since[report.trial] = report.score, 0
        else:
            self.since[report.trial] += 1
        return "done" if self.since[report.trial] >= self.patience else "on"


DRILLS = {
    "one lane": ((EarlyStopping(), 1, 12), (3,)),
    "at once": ((EarlyStopping(1), 5, 12), (1,)),
    "by much": ((EarlyStopping(2, min_delta=4), 5, 12), (2, 4)),
    "longer events": ((EarlyStopping(2, min_delta=0.5), 8, 30, 4), (2, 0.5)),
}


@pytest.mark.parametrize("name", DRILLS)
def test_decisions_are_those_of_a_loop(drill, name):
    given, rule = DRILLS[name]
    seen = collections.Counter()
    for reports, said, verdict in drill(*given).run(Waiting(*rule)):
        budget = np.asarray(verdict.budget)
        for report in reports:
            if not report.spent and math.isfinite(report.score):
                assert (budget[report.lane] == report.steps) == (said[report.lane] == "done"), report
                seen[said[report.lane]] += 1
        assert not np.any(verdict.stop)
        assert verdict.copies is None
    assert min(seen["on"], seen["done"]) > 10


def search(known):
    return known(EarlyStopping(1, 8.0, eval_interval=4), steps="epochs", steps_per_epoch=3, interval=4, seed=4)


def test_a_whole_search_is_that_of_a_loop(known, simulated, ended):
    result = search(known)
    assert ended(result) == simulated(result, Waiting(1, 8.0))
    assert {t.status for t in result.trials} == {"done", "failed"}
    assert {t.steps for t in result.trials if t.status == "done"} >= {8, 12}


def test_a_trial_that_stands_still_may_be_the_best(known):
    result = search(known)
    best = min(result.trials, key=lambda t: (t.value if t.status == "done" else math.inf, t.id))
    assert result.best.id == best.id
    assert best.steps < 3 * best.hparams["epochs"]


def flat(scheduler, **options):
    """Search over trials of 300 steps that stand still from the first report on."""
    return jaxhpt.search(
        lambda n, batch, h, key: n + 1, {"x": jaxhpt.Float(0, 1)}, init=lambda key, h: jnp.int32(0),
        evaluate=lambda n, data, h: h["x"] + 0.0 * n, steps=301, trials=4, lanes=2, scheduler=scheduler, progress=False,
        **options,
    )  # fmt: skip


def test_reports_are_counted_however_many_there_are():
    assert {t.steps for t in flat(EarlyStopping(3, eval_interval=1)).trials} == {4}


def test_reports_are_as_far_apart_as_asked_for_where_events_are_not():
    assert {t.steps for t in flat(EarlyStopping(3, eval_interval=60), interval=20).trials} == {240}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"patience": 0}, "patience=0: must be at least 1"),
        ({"min_delta": -0.1}, "min_delta=-0.1: must be a finite number, at least 0"),
        ({"min_delta": math.nan}, "min_delta=nan: must be"),
        ({"min_delta": math.inf}, "min_delta=inf: must be"),
        ({"min_delta": "much"}, "min_delta='much': must be"),
        ({"eval_interval": 0}, "eval_interval=0: must be at least 1"),
    ],
)
def test_arguments_out_of_range(given, message):
    with pytest.raises(ValueError, match=message):
        EarlyStopping(**given)


@pytest.mark.parametrize("field", ["patience", "eval_interval"])
def test_arguments_that_are_no_whole_numbers(field):
    with pytest.raises(TypeError, match=f"{field}=2.5: must be an int"):
        EarlyStopping(**{field: 2.5})
