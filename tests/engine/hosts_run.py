"""One of two processes that share a search, run by `test_hosts.py`: place, port, and what it does; prints a line."""

import os
import sys

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt


def step(w, batch, h, key):
    return w - h["lr"] * jax.grad(lambda w: jnp.mean((batch["x"] @ w - batch["y"]) ** 2))(w)


def searched(**options):
    x = np.random.default_rng(0).normal(size=(16, 4)).astype(np.float32)
    data = {"x": x, "y": x.sum(1)}
    return jaxhpt.search(
        step, {"lr": jaxhpt.Float(0.01, 0.3)}, init=lambda key, h: jax.random.normal(key, (4,)),
        evaluate=lambda w, valid, h: jnp.mean((valid["x"] @ w - valid["y"]) ** 2), direction="min", train_data=data,
        valid_data=data, batch_size=8, steps=4, lanes=8, algorithm="genetic", progress=False, **options,
    )  # fmt: skip


def agree(place):
    """Be refused what differs; search twice: once to the end, once until a callback of the first process raises."""
    for options in ({"trials": 32 + place}, {"trials": 32, "seed": place}):
        try:
            searched(**options)
        except ValueError as error:
            print("refused", error, flush=True)
    calls = []
    one = searched(trials=32, callbacks=[lambda snapshot: calls.append(snapshot.finished)], timeout=60.0 - place)
    found = [one.best.value, float(one.history.unit.sum()), one.stats.devices, one.stats.ended]
    print("found", *found, float(one.replay(one.best)[1]["score"]), flush=True)
    print("called back", bool(calls), flush=True)

    def fail(snapshot):
        raise ZeroDivisionError("of the callback")

    try:
        searched(trials=32, callbacks=[fail])
    except jaxhpt.SearchError as error:
        print("raised", error, flush=True)


def go_on():
    """Search for long; say when trials have ended, and what is raised."""
    try:
        searched(trials=100_000, callbacks=[lambda snapshot: print("going", snapshot.finished, flush=True)])
    except jaxhpt.SearchError as error:
        print("raised", error, "| trials", len(error.result.trials), flush=True)
        os._exit(3)  # JAX waits at the end for processes that do not come


def main(place, port, deed):
    """Search together with the other process."""
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(f"localhost:{port}", 2, place, heartbeat_timeout_seconds=10)
    agree(place) if deed == "agree" else go_on()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
