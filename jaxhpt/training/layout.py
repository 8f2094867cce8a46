"""How trials are laid out on a device: lanes side by side, pools on the cores of a CPU, groups one after the other."""

import dataclasses
import math
import multiprocessing
import os
from typing import Any

import jax

from jaxhpt.core.checks import number, require, require_count
from jaxhpt.core.jaxprs import primitives
from jaxhpt.core.problem import bucket
from jaxhpt.training.devices import Devices
from jaxhpt.training.hosts import alone, least
from jaxhpt.training.memory import Footprint, footprint, free_bytes
from jaxhpt.training.user_functions import UserFunctions

AUTO = "auto"
CPU_LANES = 64  # wider pools fall out of a CPU's caches
ACCELERATOR_LANES = 4096
STRUCTURED_LANES = 8  # each may be a program to compile: an algorithm should learn before it asks for more
LEAST_LANES = 8  # of one of many searches: an algorithm needs a few results to learn from at once
ROUNDS = 16  # that an algorithm has at least to learn from: see `benchmarks/wide.py`
MEMORY_SHARE = 0.75  # of what is free on the device; the rest is for what an estimate does not see
MOST = 1 << 30  # lanes, where memory sets no limit
EXECUTIONS = ("auto", "fused", "split")


@dataclasses.dataclass(frozen=True)
class Settled:
    """A layout, decided.

    Attributes:
      lanes: models that train side by side, L.
      pools: groups of lanes that train on a core each; they divide the lanes.
      microbatch: lanes of a pool that train by one `vmap`; they divide a pool.
      fused: whether many events run as one program.
      scored: lanes of a pool that are evaluated by one `vmap`; None for those that train by one.
      devices: that have an equal part of each pool; None for one device.
    """

    lanes: int
    pools: int
    microbatch: int
    fused: bool
    scored: int | None = None
    devices: Devices | None = None


@dataclasses.dataclass(frozen=True)
class Layout:
    """What is wished for; "auto" leaves it to a rule, which never asks the clock, so that bits do not depend on it.

    Args:
      lanes: models that train side by side, at least 1.
      cores: of a CPU that train, at least 1.
      microbatch: lanes that train by one `vmap`, at least 1; 1 is one after the other.
      execution: "fused" or "split".
      max_programs: structures whose programs stay in the process, at least 1: they take up memory.
      compile_share: of the work that compiling structures may take, by an estimate, above 0; 1 for no limit.
      searches: that share a device, and its memory; None for one that may have several.
      mesh: of devices; None for all there are, or the one where the data lies.
    """

    lanes: int | str = AUTO
    cores: int | str = AUTO
    microbatch: int | str = AUTO
    execution: str = AUTO
    max_programs: int = 60
    compile_share: float = 0.25
    searches: int | None = None
    mesh: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_programs", require_count("max_programs", self.max_programs))
        for name in ("lanes", "cores", "microbatch"):
            if getattr(self, name) != AUTO:
                object.__setattr__(self, name, require_count(name, getattr(self, name)))
        share = float(number("compile_share", self.compile_share))
        require(0 < share <= 1, "compile_share", self.compile_share, "above 0 and at most 1")
        object.__setattr__(self, "compile_share", share)
        require(self.execution in EXECUTIONS, "execution", self.execution, f"one of {', '.join(EXECUTIONS)}")
        if self.mesh is not None:
            Devices.of(self.mesh)

    def settled(
        self,
        functions: UserFunctions,
        trials: int,
        steps: int,
        learns: bool = True,
        structural: bool = False,
        devices: Devices | None = None,
        parked: tuple[int, int] = (0, 0),
    ) -> Settled:
        """Decide.

        Args:
          functions: the user's.
          trials: of the search.
          steps: of the longest trial.
          learns: whether the algorithm learns from results.
          structural: whether trials are of several structures, whose lanes are grouped as they come.
          devices: that may be used; None for one, the default.
          parked: trials whose weights are kept beside the lanes: for each lane, and besides.

        Raises:
          ValueError: "fused" execution of several structures; lanes that the devices of a mesh cannot share.
        """
        parts = devices.parts if devices else 1
        room = Room.of(functions, self._shares(parts), parked)
        lanes = min(int(self.lanes), trials) if self.lanes != AUTO else auto_lanes(room.lanes, trials, learns, parts)
        if structural:
            return self._structured(lanes, devices)
        lanes, devices = self._shared(lanes, devices)
        parts = devices.parts if devices else 1
        cores = self.num_cores if steps > 1 and parts == 1 and jax.default_backend() == "cpu" else 1
        if self.lanes == AUTO and self.searches is not None and self.searches > 1:
            lanes = min(room.lanes, trials, max(LEAST_LANES, auto_lanes(MOST, trials, learns) // self.searches))
        elif self.lanes == AUTO and lanes > cores:
            lanes = cores * -(-lanes // cores)
        pools = divisor(lanes, cores)
        fused = self.execution == "fused" or (self.execution == AUTO and steps == 1 and _many(lanes, trials))
        groups = self._groups(room, functions, lanes // parts, pools)
        return Settled(lanes, 1 if fused else pools, fused=fused, devices=devices, **groups)

    def _structured(self, lanes: int, devices: Devices | None) -> Settled:
        """Decide for trials of several structures, each of which is a program on one device."""
        whole = devices is None or not devices.cuts_models
        require(whole, "mesh", self.mesh, 'one with the axis "lanes" alone, where the space has structural=True')
        remedy = "'auto' or 'split' where the space has structural=True: each structure is a program of its own"
        require(self.execution != "fused", "execution", self.execution, remedy)
        if not alone():
            raise ValueError("space: structural=True runs in one process, without jax.distributed")
        parts = devices.parts if devices else 1
        lanes = min(lanes, STRUCTURED_LANES * parts) if self.lanes == AUTO else lanes
        return Settled(lanes, 1, lanes, False)

    def _shares(self, devices: int) -> int:
        """Return what shares the memory of a device: searches, and devices that a CPU simulates."""
        return (self.searches or 1) * (devices if jax.default_backend() == "cpu" else 1)

    def _shared(self, lanes: int, devices: Devices | None) -> tuple[int, Devices | None]:
        """Return lanes that devices can share equally, and the devices: all of a mesh, and of several processes."""
        if devices is None:
            return lanes, None
        if self.mesh is not None or jax.process_count() > 1:
            even = self.lanes == AUTO or int(self.lanes) % devices.parts == 0
            require(even, "lanes", self.lanes, f"a multiple of {devices.parts}, the devices that share them")
            return devices.parts * -(-lanes // devices.parts), devices
        if self.lanes == AUTO and lanes > devices.parts:
            return devices.parts * -(-lanes // devices.parts), devices
        return lanes, devices.first(divisor(lanes, devices.parts))

    @property
    def num_cores(self) -> int:
        """Return the cores of a CPU that train."""
        return _cores() if self.cores == AUTO else int(self.cores)

    def groups_of(self, functions: UserFunctions, lanes: int) -> dict[str, Any]:
        """Return how lanes of one structure are grouped: `microbatch` and `scored`, as in `Settled`."""
        return self._groups(Room.of(functions, self._shares(1)), functions, lanes, 1)

    def _groups(self, room: "Room", functions: UserFunctions, lanes: int, pools: int) -> dict[str, Any]:
        """Return the lanes of a pool that train, and that are evaluated, by one `vmap`: divisors of its lanes."""
        most = min(room.training(lanes) // pools, _auto_microbatch(functions, lanes // pools))
        wanted = most if self.microbatch == AUTO else int(self.microbatch)
        group = divisor(lanes // pools, wanted)
        scored = divisor(lanes // pools, room.evaluating(lanes) // pools)
        return {"microbatch": group, "scored": None if scored >= group else scored}


def divisor(lanes: int, most: int) -> int:
    """Return the largest divisor of the lanes that is not above a number, or 1."""
    return max(n for n in range(1, max(1, min(most, lanes)) + 1) if lanes % n == 0)


@dataclasses.dataclass(frozen=True)
class Room:
    """How many lanes the memory of the device has room for.

    Attributes:
      need: what a trial takes.
      free: bytes, of one search; None where nobody tells.
      parked: trials whose weights are kept beside the lanes: for each lane, and besides.
    """

    need: Footprint
    free: int | None
    parked: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, functions: UserFunctions, shares: int = 1, parked: tuple[int, int] = (0, 0)) -> "Room":
        """Return the room for trials of the user's functions in one of so many shares of a device, as it is now."""
        free = least(free_bytes(jax.local_devices()[0]))
        return cls(footprint(functions), None if free is None else free // shares, parked)

    @property
    def lanes(self) -> int:
        """Lanes that train side by side and are evaluated one by one, at least 1."""
        need = self.need
        return self._fitting(self._once + need.evaluate.lane, self._kept + max(need.step.lane, need.init.lane))

    def training(self, lanes: int) -> int:
        """Return how many of so many lanes may train by one `vmap`, at least 1."""
        return self._fitting(self._once + lanes * self._kept, max(self.need.step.lane, self.need.init.lane))

    def evaluating(self, lanes: int) -> int:
        """Return how many of so many lanes may be evaluated by one `vmap`, at least 1."""
        return self._fitting(self._once + lanes * self._kept, self.need.evaluate.lane)

    @property
    def _kept(self) -> int:
        return (2 + self.parked[0]) * self.need.state  # a program that trains has a copy of what it is given

    @property
    def _once(self) -> int:
        apart = self.parked[1] * self.need.state
        return apart + max(self.need.init.shared, self.need.step.shared, self.need.evaluate.shared)

    def _fitting(self, before: int, each: int) -> int:
        """Return how many fit beside what is taken before: a power of two, the same where about as much is free."""
        most = MOST if self.free is None else int(self.free * MEMORY_SHARE - before) // max(1, each)
        return 1 << (max(1, min(most, MOST)).bit_length() - 1)


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


def auto_lanes(room: int, trials: int, learns: bool = True, parts: int = 1) -> int:
    """Choose the lanes: of a device 64 on a CPU, 4,096 elsewhere, or as many as the memory has room for.

    No more than leave an algorithm some rounds to learn from, and as few as give the same number of rounds, so that the
    last one is not half empty; then a little more, so that near numbers of trials have the same lanes.

    Args:
      room: lanes that fit into the memory of a device, at least 1.
      trials: trials to run.
      learns: whether the algorithm learns from results.
      parts: devices.
    """
    widest = parts * min(room, CPU_LANES if jax.default_backend() == "cpu" else ACCELERATOR_LANES)
    wanted = min(widest, max(CPU_LANES, trials // ROUNDS)) if learns else widest
    rounds = math.ceil(trials / wanted)
    return min(bucket(math.ceil(trials / rounds)), widest)


def _cores() -> int:
    """Return the cores this process may use; one in a process that was started to work beside others."""
    if multiprocessing.parent_process() is not None:
        return 1
    affinity: Any = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def one_by_one(jaxpr: Any) -> bool:
    """Tell whether what a jaxpr does runs faster one after the other than by one `vmap`: convolutions, on a CPU."""
    return jax.default_backend() == "cpu" and "conv_general_dilated" in primitives(jaxpr)
