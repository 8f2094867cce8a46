"""How much memory training takes and how much there is: estimates beside what the compiler says, and systems' files."""

import itertools
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from covering import covered_by
from flax import linen

import jaxhpt
from jaxhpt.core.jaxprs import trace
from jaxhpt.core.space import Space
from jaxhpt.engine.build import build
from jaxhpt.training import memory
from jaxhpt.training.copying import Copying
from jaxhpt.training.layout import Layout
from jaxhpt.training.memory import Bytes, alive_at_once, compiled_bytes, footprint, free_bytes, size_of

MIB = 1 << 20


class Dense(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(10)(linen.relu(linen.Dense(256)(x)))


class Convolved(linen.Module):
    @linen.compact
    def __call__(self, x):
        x = linen.relu(linen.Conv(8, (3, 3))(x.reshape(-1, 8, 8, 1)))
        return linen.Dense(10)(x.reshape(x.shape[0], -1))


class Recurrent(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(10)(linen.RNN(linen.GRUCell(32))(x.reshape(-1, 16, 4))[:, -1])


def pool(net, lanes, rows):
    """Return how a network trains, and the shapes that this takes."""
    x, y = np.zeros((2048, 64), np.float32), np.zeros(2048, np.int32)
    task = jaxhpt.FlaxTask(
        net, lambda h: optax.adam(h["lr"]), train_data=(x, y), valid_data=(x[:rows], y[:rows]), batch_size=64, steps=9
    )
    space, searched = Space.of({"lr": jaxhpt.Float(1e-3, 0.1)}), (jaxhpt.Random(), jaxhpt.RunToEnd())
    program, data, *_ = build(task, space, 64, *searched, Layout(lanes, cores=1, microbatch=lanes))
    return program.pool, data


def compiled(net, lanes, rows):
    """Return the bytes that the compiled training takes beside its arguments."""
    made, data = pool(net, lanes, rows)
    room = (made.batches, made.lanes, made.interval)
    state = jax.eval_shape(lambda: Copying().vacant(made.functions.state, *room))
    key, number = jax.random.key(0), jnp.int32(0)
    integers, yes = jnp.zeros(lanes, jnp.int32), jnp.ones(lanes, bool)
    standing = jaxhpt.core.lanes.Lanes(integers, integers, integers)
    orders = jaxhpt.training.pool.Orders((jnp.ones(lanes),), yes, yes, standing, number)
    run = jax.jit(made.advance, donate_argnums=0).lower(state, orders, data, key, number, number).compile()
    return compiled_bytes(run)


NETS = (Dense(), Convolved(), Recurrent())


@pytest.mark.parametrize(
    ("net", "rows"), covered_by(zip(NETS, (2048, 64, 2048), strict=True), itertools.product(NETS, (64, 2048))),
    ids=lambda n: str(n) if isinstance(n, int) else type(n).__name__,
)  # fmt: skip
def test_an_estimate_is_near_what_the_compiler_says(net, rows):
    need = footprint(pool(net, 2, rows)[0].functions)
    estimate = need.state + max(need.step.lane, need.evaluate.lane)
    found = (compiled(net, 12, rows) - compiled(net, 4, rows)) / 8
    assert 0.5 < estimate / found < 3.0


def alive(function, *shapes, shared=None):
    return alive_at_once(trace(function, *shapes)[0], shared)


def test_what_is_alive_at_once_is_counted_and_what_is_dead_is_not():
    x = jax.ShapeDtypeStruct((100,), jnp.float32)
    assert alive(jnp.sin, x) == Bytes(400, 0)
    assert alive(lambda x: jnp.sort(jnp.cumsum(jnp.flip(x))), x) == Bytes(800, 0)
    assert alive(lambda x: jnp.sort(x) * jnp.flip(x) + jnp.cumsum(x), x) == Bytes(1600, 0)
    assert alive(lambda x: jnp.sin(jnp.cos(jnp.exp(x))), x) == Bytes(400, 0)  # one after the other, place by place
    assert alive(lambda x: jnp.sort(jnp.exp(x)), x) == Bytes(800, 0)
    assert alive(lambda x: jnp.sum(jnp.broadcast_to(x, (7, 100))), x) == Bytes(4, 0)  # is made where it is read
    assert alive(lambda x: jnp.sort(jnp.tile(x, 7)), x) == Bytes(5600, 0)  # but not by what reads it whole
    assert alive(lambda x: x.reshape(10, 10), x) == alive(lambda x: x, x) == Bytes(0, 0)


def test_what_is_the_same_for_all_lanes_is_counted_once():
    x, data = jax.ShapeDtypeStruct((100,), jnp.float32), jax.ShapeDtypeStruct((50,), jnp.float32)
    assert alive(lambda x, d: jnp.flip(x) + jnp.sum(jnp.sort(d)), x, data, shared=1) == Bytes(800, 204)
    assert alive(lambda x, d: jnp.flip(x), x, data, shared=1) == Bytes(400, 0)


def test_inner_programs_are_counted_where_they_run():
    x, flag = jax.ShapeDtypeStruct((100,), jnp.float32), jax.ShapeDtypeStruct((), jnp.bool_)
    grown = lambda x: jnp.sum(jnp.sort(jnp.concatenate([x, x, x]))) * x  # noqa: E731
    most = alive(grown, x).lane
    assert most == 2400
    assert alive(lambda x: jax.lax.fori_loop(0, 9, lambda i, x: grown(x), x), x).lane in range(2800, 2850)
    assert alive(lambda x: jax.lax.scan(lambda c, _: (grown(c), c), x, None, 9)[1], x).lane in range(6400, 6450)
    assert alive(lambda f, x: jax.lax.cond(f, grown, jnp.sin, x), flag, x).lane in range(2800, 2850)


def test_sizes_of_arrays_and_of_keys():
    assert size_of(jax.ShapeDtypeStruct((3, 5), jnp.bfloat16)) == 30
    assert size_of(jnp.zeros((), jnp.int8)) == 1
    assert size_of(jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))) == 24


def test_a_program_that_cannot_tell_is_of_no_known_size():
    def fails():
        raise NotImplementedError

    assert compiled_bytes(lambda x: x) is None
    assert compiled_bytes(types.SimpleNamespace(memory_analysis=fails)) is None
    assert compiled_bytes(types.SimpleNamespace(memory_analysis=lambda: None)) is None


@pytest.mark.parametrize(
    ("stats", "free"),
    [({"bytes_limit": 100, "bytes_in_use": 30}, 70), ({"bytes_limit": 5}, 5), ({}, None), (None, None)],
)
def test_what_is_free_on_an_accelerator(stats, free):
    assert free_bytes(types.SimpleNamespace(platform="gpu", memory_stats=lambda: stats)) == free


@pytest.fixture
def system(monkeypatch):
    """Return a function that puts files of a system in place of this one's, and says what is free then."""

    def free(**files):
        told = {path.replace("__", "/"): text for path, text in files.items()}
        monkeypatch.setattr(memory, "_lines", lambda path: told.get(str(path), "").splitlines())
        return free_bytes(types.SimpleNamespace(platform="cpu"))

    return free


MEMINFO = "MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:    4096 kB\n"


def test_what_is_free_on_a_cpu_is_what_the_system_can_give(system):
    assert system(**{"/proc/meminfo": MEMINFO}) == 4 * MIB
    assert system() is None  # as on macOS


@pytest.mark.parametrize("own", ["/", "/a/b"])
def test_a_container_may_have_less(system, own):
    group = {"/proc/meminfo": MEMINFO, "/proc/self/cgroup": f"0::{own}\n"}
    home = "/sys/fs/cgroup"
    limited = {f"{home}/memory.max": f"{2 * MIB}\n", f"{home}/memory.current": f"{MIB}\n"}
    assert system(**group, **limited) == MIB
    cached = {f"{home}/memory.stat": f"anon 5\ninactive_file {MIB // 2}\n"}
    assert system(**group, **limited, **cached) == MIB + MIB // 2
    assert system(**group, **{**limited, f"{home}/memory.max": "max\n"}) == 4 * MIB


def test_a_container_of_older_systems_may_have_less(system):
    group = {"/proc/meminfo": MEMINFO, "/proc/self/cgroup": "9:name=systemd:/\n4:memory:/job/7\n1:cpu:/\n"}
    home = "/sys/fs/cgroup/memory/job"
    limited = {f"{home}/memory.limit_in_bytes": f"{MIB}\n", f"{home}/memory.usage_in_bytes": "0\n"}
    assert system(**group, **limited) == MIB
    unlimited = {**limited, f"{home}/memory.limit_in_bytes": "9223372036854771712\n"}
    assert system(**group, **unlimited) == 4 * MIB


def test_a_process_may_have_less(system, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(resource, "getpagesize", lambda: 4096)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (3 * MIB, resource.RLIM_INFINITY))
    assert system(**{"/proc/meminfo": MEMINFO, "/proc/self/statm": "256 1 1 1 1 1 1\n"}) == 2 * MIB
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert system(**{"/proc/meminfo": MEMINFO, "/proc/self/statm": "256 1 1 1 1 1 1\n"}) == 4 * MIB
