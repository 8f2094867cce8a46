"""Median stopping: who is behind, against means in numpy."""

import collections
import math

import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import MedianStop


class Median:
    """The rule as the paper tells it, on lists."""

    def __init__(self, min_steps, min_trials, interval=1):
        self.min_steps, self.min_trials, self.interval = min_steps, min_trials, interval
        self.told, self.means = collections.defaultdict(list), collections.defaultdict(list)

    def __call__(self, reports):
        said = {}
        for report in reports:
            self.told[report.trial].append(report.score)
            finite = np.array([score for score in self.told[report.trial] if math.isfinite(score)], np.float32)
            mean = np.mean(finite) if math.isfinite(report.score) else np.inf
            self.means[self._report(report)].append(mean)
        for report in reports:
            means = np.array(self.means[self._report(report)])
            behind = np.sum(means < min(self.told[report.trial])) > len(means) / 2
            old = report.steps >= self.min_steps and len(means) >= self.min_trials
            said[report.lane] = "stopped" if old and behind else "on"
        return said

    def _report(self, report):
        return -(-report.steps // self.interval)


DRILLS = {
    "one lane": ((MedianStop(min_steps=1), 1, 8), (1, 5)),
    "many lanes": ((MedianStop(min_steps=4, min_trials=1), 16, 8), (4, 1)),
    "longer events": ((MedianStop(min_steps=5, min_trials=9), 6, 20, 3), (5, 9, 3)),
    "begun together": ((MedianStop(), 20, 20, 1, 60, True), (2, 5)),
}


@pytest.mark.parametrize("name", DRILLS)
def test_decisions_are_those_of_means(drill, name):
    given, rule = DRILLS[name]
    seen = collections.Counter()
    for reports, said, verdict in drill(*given).run(Median(*rule)):
        stop = np.asarray(verdict.stop)
        for report in reports:
            if not report.spent and math.isfinite(report.score):
                assert stop[report.lane] == (said[report.lane] == "stopped"), report
        assert verdict.copies is None
        seen.update(said.values())
    assert min(seen["on"], seen["stopped"]) > 5


def test_a_whole_search_is_that_of_means(known, simulated, ended):
    options = {"steps": "epochs", "steps_per_epoch": 3, "interval": 4}
    result = known(MedianStop(eval_interval=4, min_trials=2), **options)
    assert ended(result) == simulated(result, Median(1, 2, 4))
    assert {t.status for t in result.trials} == {"done", "stopped", "failed"}


def test_so_many_trials_must_have_come_as_far_however_many_reports_there_are():
    result = jaxhpt.search(
        lambda n, batch, h, key: n + 1, {"x": jaxhpt.Float(0, 1)}, init=lambda key, h: jnp.int32(0),
        evaluate=lambda n, data, h: h["x"] + 0.0 * n, steps=300, trials=6, lanes=1, progress=False,
        scheduler=MedianStop(eval_interval=1, min_steps=1, min_trials=7),
    )  # fmt: skip
    assert {t.status for t in result.trials} == {"done"}


@pytest.mark.parametrize("field", ["eval_interval", "min_steps", "min_trials"])
def test_arguments_out_of_range(field):
    with pytest.raises(ValueError, match=f"{field}=0: must be at least 1"):
        MedianStop(**{field: 0})
    with pytest.raises(TypeError, match=f"{field}=2.5: must be an int"):
        MedianStop(**{field: 2.5})
