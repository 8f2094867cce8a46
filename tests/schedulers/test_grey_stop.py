"""Grey stopping: what is out of reach, against bands in numpy; late bloomers, noise, failures."""

import collections
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt import GreyStop
from jaxhpt.grey.forecast import gain_to_come

one_gain = jax.jit(gain_to_come)
UNSURE = 1e-3  # where bands are nearer than that to what they are compared with, float32 may decide otherwise


class Bands:
    """The rule on lists, for trials that are equally long."""

    def __init__(self, rule, reports):
        self.rule, self.size = rule, reports
        self.told, self.said = collections.defaultdict(list), {}
        self.past = collections.defaultdict(list)  # by age: forecast gain, what came, error
        self.finals, self.judged = [], set()

    def __call__(self, reports):
        for r in reports:
            self.told[r.trial].append(r.score)
        self.learn([r for r in reports if r.spent and math.isfinite(r.score)])
        bands = {}
        for r in reports:
            count = len(self.told[r.trial])
            if not r.spent and math.isfinite(r.score) and count >= self.rule.min_reports:
                self.said[r.trial, count] = self.gain(r.trial)
                self.judged.add(r.trial)
                bands[r.lane] = self.band(r, count)
        ends = sorted([*self.finals, *(ahead + width for ahead, width in bands.values())])
        reach = ends[self.rule.top - 1] if len(ends) >= self.rule.top else math.inf
        ready, said = len(self.judged) >= self.rule.min_trials, {}
        for r in reports:
            ahead, width = bands.get(r.lane, (-math.inf, 0.0))
            clear = not abs(ahead - width - reach) < UNSURE
            said[r.lane] = ("stopped" if ahead - width > reach and ready else "on") if clear else "unsure"
        return said

    def gain(self, trial):
        curve, count = np.full(self.size, np.inf, np.float32), len(self.told[trial])
        curve[:count] = self.told[trial]
        return float(one_gain(curve, np.int32(count), np.int32(self.size)))

    def trust(self, count, gain):
        said = sum(abs(g) for g, _, _ in self.past[count]) + abs(gain)
        came = sum(np.sign(g) * c for g, c, _ in self.past[count]) + abs(gain)
        return np.clip(came / (said or 1.0), 0.0, 2.0)

    def band(self, report, count):
        gain, past = self.said[report.trial, count], self.past[count]
        error = (sum(e for _, _, e in past) + abs(gain)) / (len(past) + 1)
        return report.score + self.trust(count, gain) * gain, self.rule.band * math.sqrt(math.pi / 2) * error

    def learn(self, ended):
        new = []
        for r in ended:
            curve = self.told[r.trial]
            for count in range(self.rule.min_reports, len(curve)):
                gain, came = self.said[r.trial, count], curve[-1] - curve[count - 1]
                new.append((count, gain, came, abs(came - self.trust(count, gain) * gain)))
        for count, *worth in new:
            self.past[count].append(tuple(worth))
        self.finals += [r.score for r in ended]


DRILLS = {
    "one lane": ((GreyStop(eval_interval=1, min_trials=1), 1, 8), 8),
    "one to reach": ((GreyStop(eval_interval=1, top=1, band=0.5, min_reports=3), 6, 12), 12),
    "longer events": ((GreyStop(eval_interval=3, top=3, band=0.25, min_trials=9), 6, 24, 3), 8),
}


@pytest.mark.parametrize("name", DRILLS)
def test_decisions_are_those_of_bands_in_lists(drill, name):
    given, reports_of_one = DRILLS[name]
    seen = collections.Counter()
    # Lanes are filled together, so ages are equal within an event, and differ after the first stops.
    made = drill(*given, 1, 60, True) if len(given) == 3 else drill(*given, 60, True)
    for reports, said, verdict in made.run(Bands(given[0], reports_of_one)):
        stop = np.asarray(verdict.stop)
        for report in reports:
            if not report.spent and math.isfinite(report.score) and said[report.lane] != "unsure":
                assert stop[report.lane] == (said[report.lane] == "stopped"), report
            if said[report.lane] == "unsure":  # go the way of the scheduler from here on
                said[report.lane] = "stopped" if stop[report.lane] else "on"
        assert verdict.copies is None
        seen.update(said.values())
    assert min(seen["on"], seen["stopped"]) > 5


def falls(n, h):
    """Fall to `x`, and faster the larger `y` is."""
    return h["x"] + 0.5 * n ** -(0.5 + h["y"])


def blooms(n, h):
    """Let one in five fall for long, from behind; the others are soon where they end."""
    return jnp.where(h["y"] < 0.2, 0.9 * n**-0.5, 0.25 + 0.3 * h["x"] + 0.1 * jnp.exp(-n))


def stumbles(n, h):
    """Get worse before it gets better, and noise all along."""
    return falls(n, h) + 0.2 * jnp.exp(-((n - 4.0) ** 2) / 4.0) + 0.02 * jnp.sin(1000.0 * h["y"] + 37.0 * n)


def fails(n, h):
    return jnp.where((h["y"] > 0.7) & (n > 6), jnp.nan, falls(n, h))


CURVES = {
    "falls": falls, "blooms": blooms, "stumbles": stumbles, "fails": fails,
    "worsens": lambda n, h: n + h["x"], "stays": lambda n, h: 0.0 * n + 1.0,
}  # fmt: skip


def evaluate(n, data, h):
    kind, scale, shift = data[0, 0].astype(jnp.int32), data[0, 1], data[0, 2]
    return {"loss": scale * jax.lax.switch(kind, list(CURVES.values()), n, h) + shift}


def search(curve, scheduler=GreyStop(eval_interval=1), scale=1.0, shift=0.0, **options):  # noqa: B008
    """Search with curves that are data, so that all searches with a scheduler share one program."""
    settings = {"steps": 40, "trials": 120, "lanes": 4, **options}
    return jaxhpt.search(
        lambda n, batch, h, key: n + 1.0, {"x": jaxhpt.Float(0, 1), "y": jaxhpt.Float(0, 1)},
        init=lambda key, h: jnp.float32(0.0), evaluate=evaluate, scheduler=scheduler, algorithm="random",
        valid_data=np.array([[list(CURVES).index(curve), scale, shift]], np.float32), progress=False, **settings,
    )  # fmt: skip


def steps_of(result):
    return np.array([t.steps for t in result.trials]), np.array([t.hparams["x"] for t in result.trials])


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1.0, -100.0), (1e-7, 0.0), (1e20, -1e21)])
def test_the_hopeless_end_early_and_the_best_trains_to_its_end_on_any_scale(scale, shift):
    result = search("falls", scale=scale, shift=shift)
    steps, floor = steps_of(result)
    assert result.best.status == "done"
    assert result.best.hparams["x"] < np.quantile(floor, 0.05)
    assert np.mean(steps) < 12
    assert steps.min() == 4
    assert 2 <= np.sum(steps == 40) < 30


def test_a_late_bloomer_is_kept_while_its_curve_climbs():
    result = search("blooms")
    late = [t for t in result.trials if t.hparams["y"] < 0.2]
    others = [t for t in result.trials if t.hparams["y"] >= 0.2]
    ahead = [t for t in others if 0.25 + 0.3 * t.hparams["x"] < 0.45]  # when they are judged first
    assert len(ahead) > len(others) / 2
    assert result.best in late
    assert np.mean([t.status == "done" for t in late]) > 0.9
    assert np.mean([t.steps for t in ahead]) < 20


def test_curves_that_first_get_worse_and_noise_leave_the_best_alone():
    result = search("stumbles")
    steps, floor = steps_of(result)
    assert result.best.hparams["x"] < np.quantile(floor, 0.1)
    assert np.mean(steps) < 25


def test_equal_trials_are_not_stopped():
    assert {t.status for t in search("stays").trials} == {"done"}


def test_failed_trials_teach_nothing_and_stop_nobody():
    result = search("fails")
    assert {t.status for t in result.trials} == {"done", "stopped", "failed"}
    assert all(math.isfinite(t.value) for t in result.trials if t.status == "done")
    assert np.mean([t.steps for t in result.trials if t.status == "stopped"]) < 12


@pytest.mark.parametrize("curve", CURVES)
def test_some_always_come_to_their_end(curve):
    hasty = GreyStop(eval_interval=1, band=0.0, top=1, min_trials=1, min_reports=3)
    result = search(curve, hasty, lanes=16, trials=40, steps=12)
    assert any(t.status == "done" for t in result.trials)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("eval_interval", 0, ValueError),
        ("min_reports", 2, ValueError),
        ("min_reports", 4.0, TypeError),
        ("min_trials", 0, ValueError),
        ("top", 0, ValueError),
        ("band", -1.0, ValueError),
        ("band", math.nan, ValueError),
        ("band", "wide", ValueError),
    ],
)
def test_arguments_out_of_range(field, value, error):
    with pytest.raises(error, match=f"{field}=.*: must be"):
        GreyStop(**{field: value})
