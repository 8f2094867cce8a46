"""How trials are laid out: rules that never ask the clock, and wishes that are kept where they can be."""

import multiprocessing
import os
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.jaxprs import trace
from jaxhpt.training import layout
from jaxhpt.training.layout import ACCELERATOR_LANES, FUSED_EVENTS, MEMORY_SHARE, MOST, Layout, Settled, auto_lanes


def functions(step=lambda w: w * 2, shape=(4,), evaluate=jnp.sum, models=1):
    """Return what the rules read of the user's functions."""
    state, key = jax.ShapeDtypeStruct(shape, jnp.float32), jax.eval_shape(lambda: jax.random.key(0))
    return types.SimpleNamespace(
        state=state,
        models=models,
        init=trace(lambda values, key: jnp.ones(shape), (), key)[0],
        step=trace(lambda values, w, batch, key: step(w), (), state, (), key)[0],
        evaluate=trace(lambda values, w, valid, key: evaluate(w), (), state, (), key)[0],
    )


PLAIN = functions()
CONVOLVED = functions(
    lambda w: jax.lax.scan(lambda c, _: (jax.lax.conv(c, jnp.ones((1, 1, 2, 2)), (1, 1), "SAME"), None), w, None, 2)[0],
    (1, 1, 8, 8),
)


@pytest.fixture(autouse=True)
def four_cores(monkeypatch):
    monkeypatch.setattr(layout, "_cores", lambda: 4)
    monkeypatch.setattr(layout, "free_bytes", lambda device: None)


def with_memory(monkeypatch, size, backend="gpu"):
    """Let so many bytes be of use on a device of this kind."""
    monkeypatch.setattr(layout, "free_bytes", lambda device: size / MEMORY_SHARE)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)


@pytest.mark.parametrize(
    ("wishes", "trials", "steps", "expected"),
    [
        ({}, 256, 10, Settled(64, 4, 16, False)),
        ({}, 70, 10, Settled(40, 4, 10, False)),
        ({}, 71, 10, Settled(40, 4, 10, False)),  # numbers that are near share their programs
        ({}, 5, 10, Settled(8, 4, 2, False)),
        ({}, 4, 10, Settled(4, 4, 1, False)),
        ({}, 1, 10, Settled(1, 1, 1, False)),
        ({}, 256, 1, Settled(64, 1, 64, False)),  # a function: one core
        ({"lanes": 6}, 256, 10, Settled(6, 3, 2, False)),
        ({"lanes": 7}, 256, 10, Settled(7, 1, 7, False)),
        ({"lanes": 99}, 8, 10, Settled(8, 4, 2, False)),  # no more than there are trials
        ({"lanes": 12, "cores": 1}, 256, 10, Settled(12, 1, 12, False)),
        ({"lanes": 12, "cores": 2}, 256, 10, Settled(12, 2, 6, False)),
        ({"lanes": 12, "cores": 5}, 256, 10, Settled(12, 4, 3, False)),
        ({"lanes": 12, "cores": 99}, 256, 10, Settled(12, 12, 1, False)),
        ({"lanes": 12, "cores": 2, "microbatch": 4}, 256, 10, Settled(12, 2, 3, False)),
        ({"lanes": 12, "cores": 1, "microbatch": 4}, 256, 10, Settled(12, 1, 4, False)),
        ({"lanes": 12, "cores": 1, "microbatch": 1}, 256, 10, Settled(12, 1, 1, False)),
        ({"lanes": 12, "cores": 2, "microbatch": 99}, 256, 10, Settled(12, 2, 6, False)),
        ({"lanes": 12, "cores": 2, "execution": "fused"}, 256, 10, Settled(12, 1, 6, True)),  # groups as in split
        ({"lanes": 4}, 4 * FUSED_EVENTS, 1, Settled(4, 1, 4, True)),
        ({"lanes": 4}, 4 * FUSED_EVENTS - 1, 1, Settled(4, 1, 4, False)),
        ({"lanes": 4}, 4 * FUSED_EVENTS, 2, Settled(4, 4, 1, False)),
        ({"lanes": 4, "execution": "split"}, 4 * FUSED_EVENTS, 1, Settled(4, 1, 4, False)),
    ],
    ids=str,
)
def test_the_layout(wishes, trials, steps, expected):
    settled = Layout(**wishes).settled(PLAIN, trials, steps)
    assert settled == expected
    assert settled.lanes % settled.pools == 0
    assert (settled.lanes // settled.pools) % settled.microbatch == 0


def test_models_with_convolutions_train_one_after_the_other_on_a_cpu(monkeypatch):
    assert Layout(lanes=12, cores=2).settled(CONVOLVED, 99, 10) == Settled(12, 2, 1, False)
    assert Layout(lanes=12, cores=2, microbatch=6).settled(CONVOLVED, 99, 10) == Settled(12, 2, 6, False)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert Layout(lanes=12, cores=2).settled(CONVOLVED, 99, 10) == Settled(12, 1, 12, False)


@pytest.mark.parametrize(
    ("models", "lanes", "group"),
    [(1, 128, 128), (3, 64, 16), (9, 64, 4), (9, 7, 7), (100, 64, 1), (3, 61, 61), (2, 8, 8)],
)
def test_trials_of_several_models_train_in_groups_that_fit_into_the_caches(monkeypatch, models, lanes, group):
    several = functions(models=models)
    assert Layout(lanes=lanes, cores=1).settled(several, 256, 10).microbatch == group
    assert Layout(lanes=lanes, cores=1, microbatch=lanes).settled(several, 256, 10).microbatch == lanes
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert Layout(lanes=lanes).settled(several, 256, 10).microbatch == lanes


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"lanes": 0}, ValueError, "lanes=0: must be at least 1"),
        ({"cores": 0}, ValueError, "cores=0: must be at least 1"),
        ({"cores": -1}, ValueError, "cores=-1: must be"),
        ({"microbatch": 0}, ValueError, "microbatch=0: must be at least 1"),
        ({"microbatch": 1.5}, TypeError, "microbatch=1.5: must be an int"),
        ({"cores": "all"}, TypeError, "cores='all': must be"),
        ({"lanes": True}, TypeError, "lanes=True: must be"),
        ({"execution": "slow"}, ValueError, "execution='slow': must be one of auto, fused, split"),
        ({"execution": 1}, ValueError, "execution=1: must be"),
    ],
    ids=str,
)
def test_wishes_that_cannot_be(wishes, error, message):
    with pytest.raises(error, match=message):
        Layout(**wishes)
    with pytest.raises(error, match=message):
        jaxhpt.minimize(lambda h, key: h["x"], {"x": jaxhpt.Float(0, 1)}, trials=4, progress=False, **wishes)


@pytest.mark.parametrize(
    ("wishes", "error", "message"),
    [
        ({"compile_share": 0.0}, ValueError, r"compile_share=0.0: must be above 0 and at most 1"),
        ({"compile_share": "half"}, TypeError, r"compile_share='half'"),
        ({"max_programs": 0}, ValueError, r"max_programs=0"),
    ],
)
def test_wishes_about_structures_are_checked(wishes, error, message):
    with pytest.raises(error, match=message):
        Layout(**wishes)


def test_whole_numbers_of_numpy_are_numbers():
    assert Layout(np.int64(8), np.int32(2), np.int64(2)) == Layout(8, 2, 2)
    assert hash(Layout(np.int64(8))) == hash(Layout(8))


def test_cores_are_those_of_the_process_and_one_beside_others(monkeypatch):
    monkeypatch.undo()
    assert layout._cores() == len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)))
    assert layout._cores() == 7
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert layout._cores() == os.cpu_count()
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert layout._cores() == 1


@pytest.mark.parametrize("trials", [1, 2, 63, 64, 65, 100, 128, 129, 1000])
def test_lanes_leave_no_round_half_empty(trials):
    lanes = auto_lanes(MOST, trials)
    assert 1 <= lanes <= 64
    rounds = -(-trials // lanes)
    assert rounds == -(-trials // 64)
    assert rounds * lanes <= 1.25 * trials + rounds  # near numbers of trials share their lanes


WIDE = 1 << 18  # bytes of a state
HEAVY = functions(shape=(WIDE // 4,), evaluate=lambda w: jnp.sum(jnp.sort(jnp.tile(w, 7))))  # and of its evaluation


@pytest.mark.parametrize("backend", ["gpu", "cpu"])
def test_lanes_fit_into_the_memory_that_is_free(monkeypatch, backend):
    # a lane takes its state, a copy, and what a step makes of it; one at a time is evaluated
    for lanes in (32, 16, 2, 1):
        with_memory(monkeypatch, lanes * 3 * WIDE + 14 * WIDE + 1000, backend)
        assert Layout(cores=1).settled(HEAVY, 10_000, 10).lanes == lanes
    with_memory(monkeypatch, 0, backend)
    assert Layout(cores=1).settled(HEAVY, 10_000, 10).lanes == 1


def test_memory_that_is_about_as_much_gives_the_same_lanes(monkeypatch):
    found = set()
    for more in range(32):
        with_memory(monkeypatch, (32 + more) * 3 * WIDE + 14 * WIDE + 1000)
        found.add(Layout(cores=1).settled(HEAVY, 10_000, 10).lanes)
    assert found == {32}


@pytest.mark.parametrize("pools", [1, 2])
def test_evaluation_is_in_groups_where_all_at_once_would_not_fit(monkeypatch, pools):
    kept = 16 * 2 * WIDE
    for group, scored in ((16, None), (8, 8 // pools), (4, 4 // pools), (1, 1)):
        with_memory(monkeypatch, kept + 16 * WIDE + (14 * group - 16 if group > 1 else 0) * WIDE + 1000, "cpu")
        settled = Layout(lanes=16, cores=pools).settled(HEAVY, 64, 10)
        assert (settled.lanes, settled.pools, settled.microbatch) == (16, pools, 16 // pools)
        assert settled.scored == scored


def test_lanes_that_are_asked_for_train_in_groups_where_all_at_once_would_not_fit(monkeypatch):
    grows = functions(lambda w: jnp.sort(jnp.tile(w, 9))[: WIDE // 4], (WIDE // 4,))
    with_memory(monkeypatch, 16 * 2 * WIDE + 4 * 20 * WIDE, "gpu")
    assert Layout(lanes=16).settled(grows, 64, 10) == Settled(16, 1, 4, False)
    assert Layout(lanes=16, microbatch=8).settled(grows, 64, 10).microbatch == 8  # who asks for groups has them


def test_where_nobody_tells_of_memory_lanes_are_many(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert Layout().settled(PLAIN, 10 * ACCELERATOR_LANES, 10, learns=False).lanes == ACCELERATOR_LANES
    assert Layout(lanes=4 * ACCELERATOR_LANES).settled(PLAIN, 10**6, 10) == Settled(16384, 1, 16384, False)


@pytest.mark.parametrize(
    ("trials", "lanes"), [(60, 64), (61, 64), (200, 56), (210, 56), (256, 64), (1000, 64), (17, 20)]
)
def test_numbers_of_trials_that_are_near_have_the_same_lanes(trials, lanes):
    assert auto_lanes(MOST, trials) == lanes


@pytest.mark.parametrize(("learns", "lanes"), [(True, 640), (False, 3584)])
def test_an_algorithm_that_learns_is_left_some_rounds(monkeypatch, learns, lanes):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert auto_lanes(MOST, 10_000, learns) == lanes
    assert 10_000 / auto_lanes(MOST, 10_000) >= layout.ROUNDS - 1


@pytest.mark.parametrize(("searches", "lanes"), [(1, 64), (4, 16), (100, 8)])
def test_searches_that_share_a_device_share_out_its_lanes(searches, lanes):
    assert Layout(execution="fused", searches=searches).settled(functions(), 1024, 8).lanes == lanes


def test_searches_that_share_a_device_share_its_memory(monkeypatch):
    alone = {}
    for searches in (1, 8):
        with_memory(monkeypatch, searches * 12_000)
        settled = Layout(256, execution="fused", searches=searches).settled(functions(), 4096, 8)
        alone[searches] = (settled.lanes, settled.microbatch, settled.scored)
    assert alone[1] == alone[8]
    assert alone[8][1] < 256
