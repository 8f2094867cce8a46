"""Split and fused, on one core or several, in groups or not: the same bits; and a crash in a pool loses nothing."""

import _thread
import concurrent.futures
import contextlib
import functools
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxhpt
from jaxhpt.core.history import first_rows
from jaxhpt.core.typing import NONE
from jaxhpt.engine.split import AHEAD, Split
from jaxhpt.engine.state import MOST_GRAINS
from jaxhpt.training.copying import Copying
from jaxhpt.training.pool import PoolState

SPACE = {"lr": jaxhpt.Float(1e-3, 0.3, log=True), "scale": jaxhpt.Float(0.1, 1.0)}
KNOWN = [({"lr": 0.01 * i, "scale": 0.15 * i}, 1.0 / i) for i in range(1, 6)]
KINDS = {
    "random": {"algorithm": "random"},
    "genetic": {"algorithm": jaxhpt.Genetic(population=6)},
    "copies": {"algorithm": "random", "scheduler": jaxhpt.PBT(perturbation_interval=6, quantile_fraction=0.4)},
    "parked": {"algorithm": "random", "scheduler": jaxhpt.ASHA(2, 6, promote=True), "trials": 40, "steps": 30},
    "asha": {"algorithm": "random", "scheduler": "asha", "interval": 6},
    "a model": {"algorithm": "bayesian", "lanes": 4, "trials": 12},  # which has a design of eight
    "a model, a prior, first trials and copies": {
        "algorithm": "bayesian", "lanes": 4, "trials": 12, "prior": KNOWN[:3], "first": [h for h, _ in KNOWN[3:]],
        "scheduler": jaxhpt.PBT(perturbation_interval=6),
    },
}  # fmt: skip
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def run(linear):
    """Return finished searches of 18 trials on 6 lanes; each is run once."""

    @functools.cache
    def search(kind="random", again=0, **options):
        settings = {"trials": 18, "lanes": 6, "cores": 1, "progress": False, **KINDS[kind], **options}
        return jaxhpt.search(linear, SPACE, **settings)

    return search


@pytest.fixture(scope="module")
def equal(same_bits):
    """Return an assertion that two searches are the same: all that was proposed, scored and kept."""

    def check(a, b):
        same_bits(a.history, b.history)
        same_bits(a.best_state, b.best_state)
        assert a.stats.events == b.stats.events

    return check


@every_kind
def test_split_and_fused_are_the_same_bits_on_one_core_and_on_two(run, equal, kind):
    whole = run(kind, execution="fused")
    equal(run(kind), whole)
    equal(run(kind, cores=2), whole)
    assert run(kind, cores=2)._run.program.pools == 2


@pytest.mark.parametrize("events", [1, 2, "all"])
@pytest.mark.parametrize("kind", ["copies", "parked", "a model"])
def test_any_number_of_events_a_dispatch_gives_the_same_bits(run, equal, kind, events):
    equal(run(kind, cores=2, events_per_dispatch=events), run(kind))


@pytest.mark.parametrize(("cores", "microbatch"), [(1, 2), (1, 3), (1, 4), (1, 100), (2, 3), (2, 100)])
def test_groups_of_any_size_give_the_same_bits(run, equal, cores, microbatch):
    equal(run(cores=cores, microbatch=microbatch), run())


def test_one_after_the_other_is_other_products_of_matrices_but_the_same_search(run, equal):
    """Of one lane there is no batched product, which rounds otherwise."""
    alone = run(microbatch=1)
    equal(run(cores=2, microbatch=2), alone)  # a pool of three lanes cannot be cut in two
    equal(run(cores=64), alone)  # a pool is a lane
    equal(run(microbatch=1, execution="fused"), alone)
    np.testing.assert_array_equal(alone.history.unit, run().history.unit)
    np.testing.assert_allclose(alone.history.metrics, run().history.metrics, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize(("cores", "pools"), [(3, 3), (5, 3), (64, 6)])
def test_an_odd_number_of_cores_and_more_than_there_are_lanes(run, equal, cores, pools):
    result = run(cores=cores)
    assert result._run.program.pools == pools
    if pools < 6:
        equal(result, run())


@pytest.mark.parametrize("lanes", [1, 5])
def test_lanes_that_do_not_divide(run, equal, lanes):
    result = run(lanes=lanes, cores=2)
    assert result._run.program.pools == 1
    equal(result, run(lanes=lanes, execution="fused"))
    assert result.stats.trials == 18


@pytest.mark.parametrize("kind", ["copies", "genetic"])
def test_a_search_again_is_the_same_bits_whatever_the_threads_do(run, equal, kind):
    for again in range(1, 4):
        equal(run(kind, again=again, cores=3), run(kind))


def test_where_the_host_runs_ahead_a_search_ends_all_the_same(run, same_bits):
    """As on an accelerator, where the host does not wait for each event."""
    result = run("copies", cores=2)
    program, data = result._run.program, result._run.data
    with contextlib.closing(Split(program, jax.random.key(0), None, data)) as split:
        split._waits = False
        split.run(MOST_GRAINS)
        assert bool(split.summary.finished)
        same_bits(first_rows(jax.device_get(split.summary.history), program.problem.capacity), result.history)
        assert split._events <= int(split.summary.events) + AHEAD


def pools_of(*lanes):
    """Return pools whose lanes hold these numbers, in two leaves."""
    shuffle = jnp.int32(0)
    return tuple(
        PoolState({"a": jnp.array(part, jnp.float32), "b": jnp.array(part, jnp.int32)[:, None] * 10}, shuffle)
        for part in lanes
    )


def numbers(pools):
    parts = [(np.asarray(pool.weights["a"]).tolist(), np.asarray(pool.weights["b"])[:, 0].tolist()) for pool in pools]
    assert all([10 * n for n in a] == b for a, b in parts)
    return [a for a, _ in parts]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ([0], [5], [[1, 2, 3], [4, 5, 1]]),
        ([5], [0], [[6, 2, 3], [4, 5, 6]]),
        ([1], [2], [[1, 2, 2], [4, 5, 6]]),
        ([0, 4], [4, 0], [[5, 2, 3], [4, 1, 6]]),  # what is copied is what was there before
        ([0, 1, 3], [3, 0, 1], [[2, 4, 3], [1, 5, 6]]),
        ([3, 3, 3], [0, 1, 5], [[4, 4, 3], [4, 5, 4]]),
        ([2, NONE], [3, NONE], [[1, 2, 3], [3, 5, 6]]),
        ([NONE, NONE], [NONE, NONE], [[1, 2, 3], [4, 5, 6]]),
    ],
)
def test_weights_go_from_pool_to_pool(source, target, expected):
    pools = pools_of([1, 2, 3], [4, 5, 6])
    assert numbers(Copying().move(pools, jnp.array(source, jnp.int32), jnp.array(target, jnp.int32))) == expected
    assert numbers(pools_of([1, 2, 3], [4, 5, 6])) == [[1, 2, 3], [4, 5, 6]]
    (one,) = numbers(Copying().move(pools_of(range(1, 7)), jnp.array(source, jnp.int32), jnp.array(target, jnp.int32)))
    assert one == [number for part in expected for number in part]


@pytest.mark.parametrize("lane", [0, 2, 3, 5, NONE])
def test_the_winner_is_taken_from_whichever_pool_it_is_in(lane):
    best = {"a": jnp.float32(-1), "b": jnp.array([-10], jnp.int32)}
    kept = Copying().keep(pools_of([1, 2, 3], [4, 5, 6]), best, jnp.int32(lane))
    assert float(kept["a"]) == (-1 if lane == NONE else lane + 1)
    assert int(kept["b"][0]) == 10 * int(kept["a"])


class Tired(Exception):  # noqa: N818 - it is the user's
    """Raised by a user's function after so many calls."""


def tiring(calls, limit):
    """Return a search whose function counts its calls, and raises from the one after the `limit`th on."""

    def host(value):
        calls.append(threading.current_thread().name)
        if len(calls) > limit:
            raise Tired("no more")
        return np.asarray(value)

    def evaluate(state, data, h):
        return jax.pure_callback(host, jax.ShapeDtypeStruct((), jnp.float32), state, vmap_method="sequential")

    def search(**options):
        return jaxhpt.search(
            lambda s, batch, h, key: s + h["x"], {"x": jaxhpt.Float(0, 1)}, init=lambda key, h: jnp.float32(0),
            evaluate=evaluate, direction="min", steps=8, trials=16, lanes=4, algorithm="random", progress=False,
            **options,
        )  # fmt: skip

    return search


@pytest.mark.parametrize("events", [1, "all"])
def test_a_crash_in_a_pool_loses_no_finished_trial_and_leaves_no_thread(events):
    calls = []
    with pytest.raises(jaxhpt.SearchError, match="no more") as caught:
        tiring(calls, 10)(cores=2, events_per_dispatch=events)
    result = caught.value.result
    done = [t for t in result.trials if t.status == "done"]
    assert len(done) == 8
    assert [t.status for t in result.trials[8:]] == ["running"] * 4
    assert result.stats.trials == 8
    assert result.best.value == min(t.value for t in done)
    assert float(result.best_state) == np.float32(
        result.best.value
    )  # the weights go with the number, whatever was looked at
    until = time.monotonic() + 20
    while left := [t.name for t in threading.enumerate() if t.name.startswith("jaxhpt-")]:
        assert time.monotonic() < until, left
        time.sleep(0.05)


def test_a_crash_before_any_trial_has_ended_tells_so():
    def host(x):
        raise Tired("no more")

    def init(key, h):
        return jax.pure_callback(host, jax.ShapeDtypeStruct((), jnp.float32), h["x"], vmap_method="sequential")

    with pytest.raises(jaxhpt.SearchError, match="no more") as caught:
        jaxhpt.search(
            lambda s, batch, h, key: s + 1, {"x": jaxhpt.Float(0, 1)}, init=init, evaluate=lambda s, data, h: s,
            direction="min", steps=8, trials=16, lanes=4, cores=2, algorithm="random", progress=False,
        )  # fmt: skip
    assert caught.value.result.stats.trials == 0
    assert [t.status for t in caught.value.result.trials] == ["running"] * 4


def test_searches_in_several_threads_at_once_are_the_same_bits(run, same_bits):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda i: run("genetic", again=i, cores=2), range(11, 14)))
    for result in found:
        same_bits(result.history, run("genetic").history)


def test_ctrl_c_while_pools_train_ends_the_search_in_order():
    """Of a billion steps, which take minutes."""

    def interrupt(snapshot):
        if not asked:
            asked.append(1)
            threading.Timer(0.2, _thread.interrupt_main).start()

    asked = []
    result = jaxhpt.search(
        lambda s, batch, h, key: s + h["x"], {"x": jaxhpt.Float(0, 1)}, init=lambda key, h: jnp.float32(0),
        evaluate=lambda s, data, h: s, direction="min", steps=1_000_000_000, interval=1_000_000_000, trials=4, lanes=4,
        cores=2, algorithm="random", progress=False, callbacks=[interrupt],
    )  # fmt: skip
    assert result.stats.ended == "interrupted"
    assert [t.status for t in result.trials] == ["running"] * 4
