"""The report of a dry run: plain data, and a short table of it."""

import dataclasses
from typing import Any

from jaxhpt.checking.hazard import Hazard
from jaxhpt.core.showing import shown
from jaxhpt.core.typing import Hparams

MOST = 3  # arrays, and settings, that are shown of many
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclasses.dataclass(frozen=True)
class Array:
    """An array, without its numbers.

    Attributes:
      name: its place in the pytree; of one that a function captured, the name of the function.
      shape: its dimensions.
      dtype: of its numbers.
      bytes: that it takes.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.name} {self.dtype}[{','.join(map(str, self.shape))}] {spoken(self.bytes)}"


@dataclasses.dataclass(frozen=True)
class Work:
    """What one call for one lane takes.

    Attributes:
      operations: additions and multiplications, counted in the trace; a loop of unknown length counts once.
      flops: the compiler's own count; None where nothing was compiled.
      bytes: that the compiled program reads and writes; None where nothing was compiled.
    """

    operations: float
    flops: float | None = None
    bytes: float | None = None

    def __str__(self) -> str:
        if self.flops is None:
            return f"{self.operations:,.4g} operations"
        return (
            f"{self.operations:,.4g} operations, compiled {self.flops:,.4g} FLOPs and {spoken(self.bytes or 0)} moved"
        )


@dataclasses.dataclass(frozen=True)
class Check:
    """What a dry run found out.

    Attributes:
      parameters: numbers in the part of a train state that must stay finite: the weights of a `FlaxTask`, or all.
      state_bytes: of a train state.
      state: arrays of a train state, the largest first.
      batch: arrays of a batch.
      valid_data: arrays that `evaluate` is given.
      metrics: that it returns.
      objectives: that are optimised, name to "min" or "max".
      models: that a trial trains.
      steps: training steps of the shortest and of the longest trial.
      trials: of the search.
      structures: programs that the space asks for, one for each setting of its structural dimensions.
      lanes: models that train side by side, as `search` would choose.
      pools: groups of lanes that train on a core each.
      microbatch: lanes of a pool that train by one `vmap`.
      interval: steps between events.
      fused: whether many events run as one program.
      lane_bytes: memory for each lane, an estimate.
      data_bytes: memory of the data, and of what the functions captured.
      free_bytes: memory that may still be taken on the device; None where nobody tells.
      program_bytes: that the compiled program which trains a pool asks for; None where it is not known.
      training: work of a training step.
      evaluation: work of an evaluation.
      captured: arrays that the functions captured, the largest first.
      trace_seconds: in which the functions were traced, and all was checked.
      compile_seconds: in which the programs that train were compiled, or loaded; None with `compile=False`.
      compiled: whether they were compiled now; False where they came from the process or from disk.
      tried: settings that were trained for a step or two.
      tried_steps: training steps of each.
      failed: those settings whose weights or objectives were NaN or infinite by then.
      hazards: what is allowed, and seldom meant.
    """

    parameters: int
    state_bytes: int
    state: tuple[Array, ...]
    batch: tuple[Array, ...]
    valid_data: tuple[Array, ...]
    metrics: tuple[str, ...]
    objectives: dict[str, str]
    models: int
    steps: tuple[int, int]
    trials: int
    structures: int
    lanes: int
    pools: int
    microbatch: int
    interval: int
    fused: bool
    lane_bytes: int
    data_bytes: int
    free_bytes: int | None
    program_bytes: int | None
    training: Work
    evaluation: Work
    captured: tuple[Array, ...]
    trace_seconds: float
    compile_seconds: float | None
    compiled: bool
    tried: tuple[Hparams, ...]
    tried_steps: int
    failed: tuple[Hparams, ...]
    hazards: tuple[Hazard, ...]

    @property
    def grave(self) -> tuple[Hazard, ...]:
        """Those of the hazards by which the results of a search would mean nothing."""
        return tuple(hazard for hazard in self.hazards if hazard.grave)

    def __str__(self) -> str:
        rows = [*self._rows_of_model(), *self._rows_of_search()]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name.ljust(width)}  {value}" for name, value in rows]
        return "\n".join([*lines, *(f"! {hazard}" for hazard in self.hazards)])

    def _rows_of_model(self) -> list[tuple[str, str]]:
        aims = ", ".join(f"{name} ({direction})" for name, direction in self.objectives.items())
        others = [name for name in self.metrics if name not in self.objectives]
        return [
            ("state", f"{self.parameters:,} parameters, {spoken(self.state_bytes)}: {_listed(self.state)}"),
            ("batch", _listed(self.batch)),
            ("valid_data", _listed(self.valid_data)),
            ("objective", aims + (f"; also {', '.join(others)}" if others else "")),
            ("step", str(self.training)),
            ("evaluation", str(self.evaluation)),
            ("captured", _listed(self.captured)),
        ]

    def _rows_of_search(self) -> list[tuple[str, str]]:
        low, high = self.steps
        steps = f"{high:,} steps" if low == high else f"{low:,} to {high:,} steps"
        models = "" if self.models == 1 else f", {self.models} models each"
        laid = "many events in one program" if self.fused else f"events each {self.interval:,} steps"
        pools = "pool" if self.pools == 1 else "pools"
        free = "unknown" if self.free_bytes is None else spoken(self.free_bytes)
        memory = f"{spoken(self.lane_bytes)} a lane, {spoken(self.data_bytes)} of data, {free} free"
        structures = "" if self.structures == 1 else f", {self.structures:,} structures"
        rows = [
            ("trials", f"{self.trials:,} of {steps}{models}{structures}"),
            ("lanes", f"{self.lanes} in {self.pools} {pools}, {self.microbatch} by one vmap; {laid}"),
            ("memory", memory),
            ("time", f"traced and checked in {self.trace_seconds:.2g} s{self._compiling}"),
        ]
        return rows if self.compile_seconds is None else [*rows, ("tried", self._tried)]

    @property
    def _compiling(self) -> str:
        if self.compile_seconds is None:
            return "; not compiled"
        how = "compiled" if self.compiled else "programs loaded, as they were known,"
        return f"; {how} in {self.compile_seconds:.2g} s"

    @property
    def _tried(self) -> str:
        if not self.tried:
            return "nothing, as memory does not suffice"
        if not self.failed:
            return (
                f"{len(self.tried)} settings at the ends of the ranges, {self.tried_steps} steps each: all are finite"
            )
        rest = f" and {len(self.failed) - MOST} more" if len(self.failed) > MOST else ""
        failed = ", ".join(shown(setting) for setting in self.failed[:MOST])
        many = f"{len(self.failed)} of {len(self.tried)} settings"
        return f"{many} are NaN or infinite after {self.tried_steps} steps: {failed}{rest}"


def spoken(size: float) -> str:
    """Say a number of bytes."""
    place = 0
    while size >= 1024 and place < len(UNITS) - 1:
        size, place = size / 1024, place + 1
    return f"{size:.3g} {UNITS[place]}" if size < 1000 else f"{size:.0f} {UNITS[place]}"


def _listed(arrays: Any) -> str:
    """Write the first few arrays."""
    rest = f" and {len(arrays) - MOST} more" if len(arrays) > MOST else ""
    return ", ".join(map(str, arrays[:MOST])) + rest if arrays else "none"
