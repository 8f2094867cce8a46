"""Search with too little memory, in a process whose address space is limited, and print as JSON what became of it.

python memory_runs.py NAME ...
"""

import contextlib
import json
import pathlib
import resource
import sys
import warnings

import jax.numpy as jnp

import jaxhpt
from jaxhpt.engine import memory
from jaxhpt.training import layout
from jaxhpt.training.memory import free_bytes

LANES = 16
ENOUGH = 450 << 20  # bytes, for half of the lanes at once, 256 MiB, and for compiling; not for all of them
TOO_LITTLE = 250 << 20
BEGUN = []  # bytes that the process had before the first search that counts
SPACE = {"lr": jaxhpt.Float(0.1, 1.0)}


def search(size=2048, way_in=jaxhpt.search, **options):
    """Search for 32 trials of 4 steps; the evaluation of each makes two square matrices, of 16 MiB each by default."""

    def evaluate(w, data, h):
        left = jnp.broadcast_to(w[:, None], (4, size))
        return {"loss": jnp.sum(jnp.tanh(left.T @ left) @ jnp.ones(size))}

    given = {"trials": 32, "algorithm": "random", "cores": 1, "progress": False, **options}
    return way_in(
        lambda w, batch, h, key: w - h["lr"] * w, SPACE, init=lambda key, h: jnp.ones(4), evaluate=evaluate,
        direction="min", steps=4, **given,
    )  # fmt: skip


def taken():
    """Return the bytes of address space that the process has."""
    return int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def limit(size=ENOUGH):
    """Let the process have so much more memory than it had at its beginning."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (BEGUN[0] + size, hard))


@contextlib.contextmanager
def room():
    """Take back what was done to the process."""
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.getrlimit(resource.RLIMIT_AS)[1],) * 2)
        layout.free_bytes = memory.free_bytes = free_bytes


def blind(*rooms):
    """Let nobody see how much is free, so that only the failure tells."""
    for room in rooms:
        room.free_bytes = lambda device: None


def enough():
    """Have enough, whatever it takes."""
    blind(layout, memory)
    return search(lanes=LANES)


def auto():
    """Leave lanes to us, and see nothing."""
    blind(layout, memory)
    limit()
    return search()


def given():
    """Ask for lanes, and see nothing."""
    blind(layout, memory)
    limit()
    return search(lanes=LANES)


def fused():
    """Do it as one program."""
    blind(layout, memory)
    limit()
    return search(lanes=LANES, execution="fused")


def compiled():
    """See what is free beside what a compiled program takes, but estimate nothing."""
    blind(layout)
    limit()
    return search(lanes=LANES)


def pools():
    """Do the same with two pools, which take their memory at the same time."""
    blind(layout)
    limit()
    return search(lanes=LANES, cores=2)


def estimated():
    """See all."""
    limit()
    return search(lanes=LANES)


def many():
    """Run two such searches as one program, with what each of them would have alone."""
    blind(layout)
    limit()
    return search(lanes=LANES, way_in=jaxhpt.search_many, seed=[1, 0])[1]


def many_estimated():
    """Do it with as many lanes as are estimated to fit."""
    limit()
    return search(way_in=jaxhpt.search_many, seed=[1, 0])[1]


def later():
    """Have enough at first, but not for long."""
    looks = []

    def callback(snapshot):
        looks.append(snapshot.events)
        if len(looks) == 1:
            limit()

    return search(lanes=LANES, callbacks=[callback], events_per_dispatch=1)


def lost():
    """Do the same, and see nothing, so that what trains is lost."""
    blind(layout, memory)
    try:
        return later()
    except jaxhpt.SearchError as error:
        return error.result


def nothing_fits():
    """Have too little for a single lane of larger matrices."""
    limit(TOO_LITTLE)
    return search(8192, lanes=2)


def told(name):
    """Run one and say what became of it."""
    with room(), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = globals()[name]()
        except MemoryError as error:
            return {"error": str(error)}
    pool = result._run.program.pool
    return {
        "statuses": [t.status for t in result.trials],
        "tried": [t.hparams["lr"] for t in result.trials],
        "values": [t.value for t in result.trials],
        "lanes": [result.stats.lanes, pool.microbatch, pool.scored],
        "memory": list(result.stats.memory),
        "warnings": [str(w.message) for w in seen if w.category is UserWarning],
    }


if __name__ == "__main__":
    search(lanes=1, trials=1)  # what a process needs to search at all
    BEGUN.append(taken())
    print(json.dumps({name: told(name) for name in sys.argv[1:]}))
