"""What a compressed net costs: bytes and latency of a file that `compress.py` wrote, or of a dense net where none is.

Run: python examples/compress_file.py [nsga2.npz]
"""

import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxhpt.models.compressed import export_compressed, load_compressed


class MLP(nnx.Module):
    """The net published for MNIST-1D, with its one skip connection: https://arxiv.org/abs/2011.14439."""

    def __init__(self, h, rngs):
        self.first, self.second = nnx.Linear(40, 100, rngs=rngs), nnx.Linear(100, 100, rngs=rngs)
        self.last = nnx.Linear(100, 10, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.first(x))
        return self.last(x + nnx.relu(self.second(x)))


def loaded(path):
    """Return the net of a file."""
    net = MLP({}, nnx.Rngs(0))
    nnx.update(net, jax.tree.map(jnp.asarray, load_compressed(path)))
    return net


def latency(net, rows, calls=300):
    """Return the median time of a warm call on so many rows, in microseconds."""
    predict, x, times = nnx.jit(lambda net, x: net(x)), jnp.zeros((rows, 40), jnp.float32), []
    jax.block_until_ready(predict(net, x))
    for _ in range(calls):
        begin = time.perf_counter()
        jax.block_until_ready(predict(net, x))
        times.append(time.perf_counter() - begin)
    return 1e6 * float(np.median(times))


def main(path="dense.npz"):
    """Print what a file costs; write a dense net where there is none."""
    if not pathlib.Path(path).exists():
        export_compressed(path, nnx.state(MLP({}, nnx.Rngs(0)), nnx.Param))
    net, size = loaded(path), pathlib.Path(path).stat().st_size
    for rows in (1, 128):
        print(f"{path}: {size:,} bytes; {latency(net, rows):.0f} us for {rows} rows")
    return size


if __name__ == "__main__":
    main(*sys.argv[1:])
