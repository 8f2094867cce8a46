"""jaxhpt: tune many small JAX models at once, on device."""

from jaxhpt import problems
from jaxhpt.algorithms import (
    ALGORITHMS,
    CMAES,
    NSGA2,
    TPE,
    Bayesian,
    DifferentialEvolution,
    Genetic,
    Grid,
    QuasiRandom,
    Random,
)
from jaxhpt.dimensions import Bool, Choice, Float, Int, When
from jaxhpt.report.snapshot import Snapshot
from jaxhpt.result import Result, Stats, Trial
from jaxhpt.schedulers import RunToEnd
from jaxhpt.search import maximize, minimize, search
from jaxhpt.space import Space
from jaxhpt.training import traced
from jaxhpt.training.batches import Batch, batch_mean
from jaxhpt.training.flax_task import FlaxTask
from jaxhpt.training.task import Task, task
from jaxhpt.tuner import Tuner
from jaxhpt.version import __version__

__all__ = [
    "ALGORITHMS",
    "CMAES",
    "NSGA2",
    "TPE",
    "Batch",
    "Bayesian",
    "Bool",
    "Choice",
    "DifferentialEvolution",
    "FlaxTask",
    "Float",
    "Genetic",
    "Grid",
    "Int",
    "QuasiRandom",
    "Random",
    "Result",
    "RunToEnd",
    "Snapshot",
    "Space",
    "Stats",
    "Task",
    "Trial",
    "Tuner",
    "When",
    "__version__",
    "batch_mean",
    "maximize",
    "minimize",
    "problems",
    "search",
    "task",
    "traced",
]
