"""The programs of searches of every kind, lowered for accelerators that are not there, and what is wrong with them.

python lowering.py    compiles them for a TPU, by TPU's own compiler, and prints as JSON what did not compile
"""

import functools
import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen, nnx
from kinds import ALGORITHMS, MIXED, SEVERAL, task

import jaxhpt
from jaxhpt import Bayesian
from jaxhpt.algorithms.base import Designed
from jaxhpt.core.history import Known
from jaxhpt.core.space import Space
from jaxhpt.engine import asking, loop, many, pools, split
from jaxhpt.engine.build import build
from jaxhpt.training.layout import Layout
from jaxhpt.training.sharded import copying_of

PLATFORMS = ("tpu", "cuda")
# Host and device would wait for each other, or the device would not know the operation.
WRONG = {
    "64 bits": re.compile(r"\bf64\b|xf64\b"),
    "call of Python": re.compile(r"@\w*callback\w*"),
    "transfer": re.compile(r"stablehlo\.(?:infeed|outfeed|send|recv)\b"),
    "dynamic shape": re.compile(
        r"tensor<[^>]*\?[^>]*>|stablehlo\.(?:dynamic_(?:reshape|iota|pad)|get_dimension_size)\b"
    ),
}
CALL = re.compile(r'custom_call @"?([\w.$]+)')
KNOWN = {  # calls that a platform has
    "tpu": re.compile(r"Eigh|Qr|ProductOfElementaryHouseholderReflectors|Sharding"),
    "cuda": re.compile(r"cusolver_\w+|cublas_\w+|cu_threefry2x32\w*|Sharding"),
}
TRAINED = {"lr": jaxhpt.Float(1e-3, 0.1, log=True), "batch_size": [4, 8], "epochs": jaxhpt.Int(1, 3)}
FRONTS = {"nsga2": jaxhpt.NSGA2(), "tpe": jaxhpt.TPE(), "log_ehvi": Bayesian(acquisition="log_ehvi")}
SCHEDULERS = {
    **{name: kind() for name, kind in jaxhpt.SCHEDULERS.items()},
    "pbt, tournament": jaxhpt.PBT(exploit="tournament"),
}
SEVERAL_STOPPED = {name: SCHEDULERS[name] for name in ("asha", "median_stop", "pbt")}  # of two objectives
TOGETHER = {  # whole searches; one program, in which every part meets all others
    "bayesian, asha": (ALGORITHMS["bayesian"], SCHEDULERS["asha"]),
    "cma_es, hyperband": (ALGORITHMS["cma_es"], SCHEDULERS["hyperband"]),
    "random, pb2": (ALGORITHMS["random"], SCHEDULERS["pb2"]),
}


class Recurrent(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        x = linen.BatchNorm(use_running_average=not train)(linen.Conv(4, (3, 3))(x))
        x = linen.RNN(linen.GRUCell(5))(jnp.mean(x, axis=2))[:, -1]
        return linen.Dense(3)(linen.Dropout(0.1, deterministic=not train)(linen.relu(x)))


class Dense(nnx.Module):
    def __init__(self, rate, rngs):
        self.inner = nnx.Linear(36, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = jaxhpt.traced.NnxDropout(rate, rngs=rngs)
        self.outer = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.outer(self.dropout(nnx.relu(self.norm(self.inner(x.reshape(len(x), 36))))))


def networks():
    """Return tasks of networks: convolutions, recurrence and running averages; settings of layers and of schedules."""
    rows = np.random.default_rng(0)
    data = rows.normal(size=(24, 6, 6, 1)).astype(np.float32), rows.integers(0, 3, 24).astype(np.int32)
    given = {"train_data": data, "valid_data": data, "steps": "epochs", "steps_per_epoch": 8}
    warmed = lambda h: jaxhpt.traced.warmup_cosine_decay_schedule(0.0, h["lr"], h["warmup"], 24)  # noqa: E731
    return {
        "linen": (jaxhpt.FlaxTask(Recurrent(), lambda h: optax.adamw(h["lr"]), **given), TRAINED),
        "nnx": (
            jaxhpt.FlaxTask(lambda h, rngs: Dense(h["rate"], rngs), lambda h: optax.sgd(warmed(h)), **given),
            {**TRAINED, "rate": jaxhpt.Float(0, 0.5), "warmup": jaxhpt.Int(1, 5)},
        ),
    }


def built(algorithm, scheduler, job=None, space=MIXED, **layout):
    """Return a search of 32 trials on 4 lanes, and its data."""
    wanted = Layout(4, **{"microbatch": 2, **layout})
    program, data, *_ = build(job or task(steps="n"), Space.of(space), 32, algorithm, scheduler, wanted)
    return program, data


def parts(program, data):
    """Trace the programs that a search calls one by one: name -> traced."""
    study, scheduler, pool = program.study, program.study.scheduler, program.pool
    key, number = jax.random.key(0), jnp.int32(0)
    shapes, structure = jax.tree.flatten(pool.functions.state)
    given = (program.ranges, scheduler, pool.functions.steps, program.pools, data.captured.steps)
    begin = traced(split.BEGIN, study, key, None, jnp.int32(32))
    copying, room = copying_of(pool), pools.Room(pool.batches, pool.lanes, pool.interval, program.pools)
    vacant = traced(pools.VACANT, copying, tuple(shapes), structure, room, number)
    propose = traced(split.PROPOSE, study, False, begin.out_info)
    (weights, best), (state, places) = vacant.out_info, propose.out_info
    instruct = traced(split.INSTRUCT, *given, places)
    orders, lanes, scored = instruct.out_info
    advance = traced(pools.ADVANCE, pool, weights[0], orders[0], data, key, number, number)
    settle = traced(split.SETTLE, study, state, lanes, scored, (advance.out_info[1],) * program.pools)
    moves = settle.out_info[1]
    return {
        "begin": begin,
        "vacant": vacant,
        "propose": propose,
        "design": traced(split.PROPOSE, study, isinstance(study.algorithm, Designed), begin.out_info),
        "instruct": instruct,
        "fill": traced(pools.FILL, pool, weights[0], orders[0], data, key),
        "advance": advance,
        "settle": settle,
        "summary": traced(split.SUMMARY, study, state, lanes, number),
        "keep": traced(pools.KEEP, copying, weights, best, number),
        "move": traced(pools.MOVE, copying, weights, moves.source, moves.target),
    }


def whole(program, data):
    """Return the program that runs many events, and what it is compiled for."""
    begin = traced(loop.begin, program, jax.random.key(0))
    return loop.dispatch, program, begin.out_info, data, jnp.int32(1)


def together(program, data, searches=3):
    """Trace the programs of many searches at once, each with data of its own: name -> traced."""
    static, roots = many.Searches(program), jax.random.split(jax.random.key(0), searches)
    stack = functools.partial(jax.tree.map, lambda a: jax.ShapeDtypeStruct((searches, *a.shape), a.dtype))
    dimensions = program.problem.num_dimensions
    known = stack(Known(*(jnp.zeros((0, width), jnp.float32) for width in (dimensions, 2, dimensions))))
    own = {"train": stack(data.train), "valid": stack(data.valid)}
    begin = traced(many.BEGIN, static, roots, known)
    given = (begin.out_info, own, many.shared_of(data, own), jnp.int32(1))
    return {"begin": begin, "dispatch": traced(many.DISPATCH, static, *given)}


def asked(algorithm):
    """Trace the programs behind a `Tuner`: name -> traced."""
    problem = built(algorithm, SCHEDULERS["run_to_end"])[0].study.problem
    key, few = jax.random.key(0), jnp.arange(4, dtype=jnp.int32)
    known = Known(
        *(jnp.zeros((0, width), jnp.float32) for width in (problem.num_dimensions, 2, problem.num_dimensions))
    )
    begin = traced(asking.begin, algorithm, problem, key, known)
    scores = jax.ShapeDtypeStruct((problem.capacity, 2), jnp.float32)
    return {
        "begin": begin,
        "ask": traced(asking.ask, algorithm, problem, 4, False, key, begin.out_info, jnp.int32(4)),
        "tell": traced(asking.tell, algorithm, problem, key, begin.out_info, scores, few, few.astype(jnp.int8)),
    }


@functools.cache
def jitted(function):
    """Return a `Function` as it is compiled, but for its options."""
    donated = tuple(function.static + i for i in function.donated)
    return jax.jit(function.call, static_argnums=tuple(range(function.static)), donate_argnums=donated)


def traced(function, *arguments):
    """Trace a `Function`."""
    return jitted(function).trace(*arguments)


def faults(text, *platforms):
    """Return what is wrong with the text of a program for platforms: messages."""
    found = {f"{what}: {match.group(0)}" for what, wrong in WRONG.items() if (match := wrong.search(text))}
    unknown = {name for name in CALL.findall(text) if not any(KNOWN[one].fullmatch(name) for one in platforms)}
    return sorted(found | {f"call that {' and '.join(platforms)} has not: {name}" for name in unknown})


def searches():
    """Yield a name and a search of every kind."""
    for name, algorithm in ALGORITHMS.items():
        yield name, built(algorithm, SCHEDULERS["run_to_end"])
    for name, algorithm in FRONTS.items():
        yield f"{name}, two objectives", built(algorithm, SCHEDULERS["run_to_end"], task(steps="n", **SEVERAL))
    for name, scheduler in SCHEDULERS.items():
        yield name, built(ALGORITHMS["random"], scheduler)
    for name, scheduler in SEVERAL_STOPPED.items():
        yield f"{name}, two objectives", built(ALGORITHMS["random"], scheduler, task(steps="n", **SEVERAL))
    for name, network in networks().items():
        yield name, built(ALGORITHMS["random"], SCHEDULERS["asha"], *network)


def compiled_for_a_tpu():
    """Compile all searches: name -> why not."""
    from jax.experimental import topologies

    device = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices[0]
    place = jax.sharding.SingleDeviceSharding(device)
    wrong = {}
    for name, search in searches():
        function, program, *rest = whole(*search)
        given = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=place), rest)
        try:
            traced(function, program, *given).lower().compile()
        except Exception as error:  # what the compiler says is the finding
            wrong[name] = f"{type(error).__name__}: {error}"
    return wrong


if __name__ == "__main__":
    jax.default_backend = lambda: "tpu"
    print(json.dumps(compiled_for_a_tpu()))
