"""How trials are laid out on a device: lanes side by side, pools on the cores of a CPU, groups one after the other."""

import dataclasses
import math
import multiprocessing
import os
from typing import Any

import jax
import numpy as np

from jaxhpt.core.checks import require, require_count
from jaxhpt.core.jaxprs import primitives
from jaxhpt.core.problem import bucket
from jaxhpt.core.typing import PyTree
from jaxhpt.training.user_functions import UserFunctions

AUTO = "auto"
CPU_LANES = 64  # wider pools fall out of a CPU's caches
ACCELERATOR_LANES = 4096
STRUCTURED_LANES = 8  # each may be a program to compile: an algorithm should learn before it asks for more
ROUNDS = 16  # that an algorithm has at least to learn from: see `benchmarks/wide.py`
MEMORY_SHARE = 0.25  # of the device, for states; the rest is for gradients, activations and data
EXECUTIONS = ("auto", "fused", "split")


@dataclasses.dataclass(frozen=True)
class Settled:
    """A layout, decided.

    Attributes:
      lanes: models that train side by side, L.
      pools: groups of lanes that train on a core each; they divide the lanes.
      microbatch: lanes of a pool that train by one `vmap`; they divide a pool.
      fused: whether many events run as one program.
    """

    lanes: int
    pools: int
    microbatch: int
    fused: bool


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is wished for; "auto" leaves it to a rule, which never asks the clock, so that bits do not depend on it.

    Args:
      lanes: models that train side by side, at least 1.
      cores: of a CPU that train, at least 1.
      microbatch: lanes that train by one `vmap`, at least 1; 1 is one after the other.
      execution: "fused" or "split".
    """

    lanes: int | str = AUTO
    cores: int | str = AUTO
    microbatch: int | str = AUTO
    execution: str = AUTO

    def __post_init__(self) -> None:
        for name in ("lanes", "cores", "microbatch"):
            if getattr(self, name) != AUTO:
                object.__setattr__(self, name, require_count(name, getattr(self, name)))
        require(self.execution in EXECUTIONS, "execution", self.execution, f"one of {', '.join(EXECUTIONS)}")

    def settled(
        self, functions: UserFunctions, trials: int, steps: int, learns: bool = True, structural: bool = False
    ) -> Settled:
        """Decide.

        Args:
          functions: the user's.
          trials: of the search.
          steps: of the longest trial.
          learns: whether the algorithm learns from results.
          structural: whether trials are of several structures, whose lanes are grouped as they come.

        Raises:
          ValueError: "fused" execution of several structures.
        """
        cores = self.num_cores
        trains = steps > 1 and jax.default_backend() == "cpu"
        lanes = min(int(self.lanes), trials) if self.lanes != AUTO else auto_lanes(functions.state, trials, learns)
        if structural:
            lanes = min(lanes, STRUCTURED_LANES) if self.lanes == AUTO else lanes
            remedy = "'auto' or 'split' where the space has structural=True: each structure is a program of its own"
            require(self.execution != "fused", "execution", self.execution, remedy)
            return Settled(lanes, 1, lanes, False)
        if self.lanes == AUTO and trains and lanes > cores:
            lanes = cores * -(-lanes // cores)
        pools = max(n for n in range(1, cores + 1) if lanes % n == 0) if trains else 1
        fused = self.execution == "fused" or (self.execution == AUTO and steps == 1 and _many(lanes, trials))
        return Settled(lanes, 1 if fused else pools, self.microbatch_of(functions, lanes // pools), fused)

    @property
    def num_cores(self) -> int:
        """Return the cores of a CPU that train."""
        return _cores() if self.cores == AUTO else int(self.cores)

    def microbatch_of(self, functions: UserFunctions, lanes: int) -> int:
        """Return the lanes of a group: a divisor of the lanes of a pool."""
        wanted = _auto_microbatch(functions, lanes) if self.microbatch == AUTO else int(self.microbatch)
        return max(n for n in range(1, min(wanted, lanes) + 1) if lanes % n == 0)


def _auto_microbatch(functions: UserFunctions, lanes: int) -> int:
    """Choose the lanes of a group: on a CPU as many as have 64 models, where a trial trains several, or nearly so."""
    if one_by_one(functions.step.jaxpr):
        return 1
    if functions.models == 1 or jax.default_backend() != "cpu":
        return lanes
    wanted = max(1, CPU_LANES // functions.models)
    group = max(n for n in range(1, min(wanted, lanes) + 1) if lanes % n == 0)
    return group if 2 * group >= wanted else lanes


FUSED_EVENTS = 1000  # from where on calling the programs of each event takes longer than compiling one for all


def _many(lanes: int, trials: int) -> bool:
    return trials >= FUSED_EVENTS * lanes


def auto_lanes(state: PyTree, trials: int, learns: bool = True) -> int:
    """Choose the lanes: 64 on a CPU, 4,096 or what fits into a quarter of the memory elsewhere.

    No more than leave an algorithm some rounds to learn from, and as few as give the same number of rounds, so that the
    last one is not half empty; then a little more, so that near numbers of trials have the same lanes.

    Args:
      state: shapes of one trial's state.
      trials: trials to run.
      learns: whether the algorithm learns from results.
    """
    device = jax.devices()[0]
    widest = CPU_LANES if device.platform == "cpu" else min(ACCELERATOR_LANES, _fitting(state, device))
    wanted = min(widest, max(CPU_LANES, trials // ROUNDS)) if learns else widest
    rounds = math.ceil(trials / wanted)
    return min(bucket(math.ceil(trials / rounds)), widest)


def _fitting(state: PyTree, device: jax.Device) -> int:
    limit = (device.memory_stats() or {}).get("bytes_limit")
    if limit is None:
        return ACCELERATOR_LANES
    size = sum(math.prod(leaf.shape) * np.dtype(np.float32).itemsize for leaf in jax.tree.leaves(state))
    return max(1, int(limit * MEMORY_SHARE / max(1, size)))


def _cores() -> int:
    """Return the cores this process may use; one in a process that was started to work beside others."""
    if multiprocessing.parent_process() is not None:
        return 1
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def one_by_one(jaxpr: Any) -> bool:
    """Tell whether what a jaxpr does runs faster one after the other than by one `vmap`: convolutions, on a CPU."""
    return jax.default_backend() == "cpu" and "conv_general_dilated" in primitives(jaxpr)
