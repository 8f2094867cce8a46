"""PB2: what it remembers is what the lanes gained, and its copies go where most is gained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.engine.loop import begin, dispatch
from jaxhpt.engine.state import MOST_GRAINS
from jaxhpt.schedulers import pb2

LANES, STEPS, EVERY = 8, 60, 5
SPACE = {"rate": jaxhpt.Float(0, 1), "other": jaxhpt.Float(0, 1)}


def gain(rate):
    """What a step is worth: most at .7, much less elsewhere."""
    return 1.0 - 4.0 * (rate - 0.7) ** 2


@pytest.fixture(scope="module")
def search():
    def run(scheduler, seed=0):
        return jaxhpt.search(
            lambda w, batch, h, key: w - gain(h["rate"]), SPACE, init=lambda key, h: jnp.float32(0) + 0.0 * h["other"],
            evaluate=lambda w, data, h: {"loss": w}, steps=STEPS, trials=LANES, lanes=LANES, algorithm="random",
            scheduler=scheduler, seed=seed, progress=False,
        )  # fmt: skip

    return run


def remembered(run):
    """Return what the scheduler knows after all events."""
    carry, _ = dispatch(run.program, begin(run.program, jax.random.key(3)), run.data, jnp.int32(MOST_GRAINS))
    return jax.device_get(carry.study.scheduler)


def test_it_remembers_what_each_setting_gained(search):
    run = search(jaxhpt.PB2(perturbation_interval=EVERY))._run
    seen = remembered(run)
    compared = STEPS // EVERY - 1  # the last event ends all
    assert int(seen.num_seen) == LANES * (compared - 1)  # nothing is gained before the first comparison
    rate = seen.unit[: int(seen.num_seen), list(run.program.problem.space.names).index("rate")]
    np.testing.assert_allclose(seen.gain[: int(seen.num_seen)], -EVERY * gain(rate), rtol=1e-4, atol=1e-4)
    when = np.repeat(np.arange(2, compared + 1) * EVERY / STEPS, LANES)
    np.testing.assert_allclose(seen.when[: int(seen.num_seen)], when, rtol=1e-6)
    assert np.isfinite(seen.theta).all()


@pytest.mark.slow
def test_its_copies_go_where_most_is_gained(search):
    def away(scheduler):
        return np.mean([
            abs(trial.hparams["rate"] - 0.7)
            for seed in range(3)
            for trial in search(scheduler, seed).trials
            if trial.parent is not None and trial.start >= 4 * EVERY
        ])  # fmt: skip

    assert away(jaxhpt.PB2(perturbation_interval=EVERY)) < 0.5 * away(jaxhpt.PBT(perturbation_interval=EVERY))


def test_no_more_is_remembered_than_there_is_room_for(search, monkeypatch):
    monkeypatch.setattr(pb2, "MEMORY", 16)
    own = {"perturbation_interval": EVERY, "ucb_beta": 1.25}  # so that no program is found compiled
    scheduler = jaxhpt.PB2(**own)
    seen = remembered(search(scheduler)._run)
    assert seen.gain.shape == (16,)
    assert int(seen.num_seen) > 16
    assert np.isfinite(seen.gain).all()


@pytest.mark.parametrize("ucb_beta", [0, -1.0])
def test_ucb_beta_out_of_range(ucb_beta):
    with pytest.raises(ValueError, match=f"ucb_beta={ucb_beta}: must be above 0"):
        jaxhpt.PB2(ucb_beta=ucb_beta)
