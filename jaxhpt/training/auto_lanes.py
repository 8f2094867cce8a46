"""How many lanes: the rule behind `lanes="auto"`."""

import math

import jax
import numpy as np

from jaxhpt.core.typing import PyTree

CPU_LANES = 64  # wider pools fall out of a CPU's caches
ACCELERATOR_LANES = 4096
MEMORY_SHARE = 0.25  # of the device, for states; the rest is for gradients, activations and data


def auto_lanes(state: PyTree, trials: int) -> int:
    """Choose the lanes: 64 on a CPU, 4,096 or what fits into a quarter of the memory elsewhere.

    Then as few as give the same number of rounds, so that the last round is not half empty.

    Args:
      state: shapes of one trial's state.
      trials: trials to run.
    """
    device = jax.devices()[0]
    widest = CPU_LANES if device.platform == "cpu" else min(ACCELERATOR_LANES, _fitting(state, device))
    rounds = math.ceil(trials / min(widest, trials))
    return math.ceil(trials / rounds)


def _fitting(state: PyTree, device: jax.Device) -> int:
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit is None:
        return ACCELERATOR_LANES
    size = sum(math.prod(leaf.shape) * np.dtype(np.float32).itemsize for leaf in jax.tree.leaves(state))
    return max(1, int(limit * MEMORY_SHARE / max(1, size)))
