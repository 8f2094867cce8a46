"""Searches of a process of its own; it prints as JSON what was compiled, and what was found, to the bit.

python cache_runs.py names    # all of them where none is named
"""

import dataclasses
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

import jaxhpt
from jaxhpt.engine.compiling import Function

SPACE = {"lr": jaxhpt.Float(0.1, 0.5), "c": ["a", "b", "c"]}
FEW = {"trials": 8, "lanes": 4, "cores": 2, "progress": False}


@dataclasses.dataclass(frozen=True)
class Own(jaxhpt.Random):
    """An algorithm of the user's own."""


def step(state, batch, h, key):
    return state * (1.0 - h["lr"]) + 0.01 * jax.random.normal(key, (), jnp.float32)


def loss(state, data, h):
    return state**2 + h["c"].astype(jnp.float32)


def called_back(state, data, h):
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.pure_callback(lambda s: np.float32(s) ** 2, shape, state, vmap_method="sequential") + h["c"].astype(
        jnp.float32
    )


def search(evaluate=loss, **options):
    return jaxhpt.search(
        step, SPACE, init=lambda key, h: jnp.float32(1), evaluate=evaluate, direction="min", steps=4, **FEW, **options
    )


SEARCHES = {  # a kind each that is to be kept, or not
    "copies": lambda: search(algorithm="genetic", scheduler=jaxhpt.PBT(perturbation_interval=2)),
    "fused": lambda: search(algorithm="random", execution="fused"),
    "a model": lambda: search(algorithm=jaxhpt.Bayesian(initial=4)),
    "own": lambda: search(algorithm=Own()),
    "callback": lambda: search(called_back, algorithm="random"),
}


def main(*names):
    compiled, whole, answer = [], Function._compiled, {}

    def counted(self, static, rest):
        compiled.append(self.call.__name__)
        return whole(self, static, rest)

    Function._compiled = counted
    jax.jit(lambda x: x * 2)(jnp.arange(7))  # the user's own
    for name in names or SEARCHES:
        history = jax.device_get(SEARCHES[name]().history)
        answer[name] = {
            "compiled": sorted(compiled),
            "bits": [np.asarray(a).tobytes().hex() for a in history if a is not None],
        }
        compiled.clear()
    print(json.dumps(answer))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
