"""jaxhpt: tune many small JAX models at once, on device."""

from jaxhpt import grey, models, plots, problems
from jaxhpt.algorithms import (
    ALGORITHMS,
    CMAES,
    NSGA2,
    TPE,
    Auto,
    Bayesian,
    Chain,
    DifferentialEvolution,
    Genetic,
    GreyGuided,
    Grid,
    Portfolio,
    QuasiRandom,
    Random,
    Refine,
    Screen,
)
from jaxhpt.arguments import SearchError
from jaxhpt.check import check
from jaxhpt.checking.hazard import Hazard
from jaxhpt.checking.report import Check
from jaxhpt.citation import cite
from jaxhpt.core.dimensions import Bool, Choice, Float, Int, When
from jaxhpt.core.space import Space
from jaxhpt.engine.snapshot import Snapshot
from jaxhpt.reporting import report, watch
from jaxhpt.results.overtuning import Overtuning
from jaxhpt.results.result import Result
from jaxhpt.results.stats import Stats
from jaxhpt.results.trial import Confirmed, Stretch, Trial
from jaxhpt.schedulers import ASHA, PB2, PBT, SCHEDULERS, EarlyStopping, GreyStop, Hyperband, MedianStop, RunToEnd
from jaxhpt.search import maximize, minimize, search
from jaxhpt.search_many import search_many
from jaxhpt.store.loading import load
from jaxhpt.training import traced
from jaxhpt.training.batches import Batch, batch_mean
from jaxhpt.training.flax_task import FlaxTask
from jaxhpt.training.folds import GroupKFold, Holdout, KFold, StratifiedKFold, TimeSeriesSplit
from jaxhpt.training.task import Task, task
from jaxhpt.tuner import Tuner
from jaxhpt.version import __version__

__all__ = [
    "ALGORITHMS",
    "ASHA",
    "CMAES",
    "NSGA2",
    "PB2",
    "PBT",
    "SCHEDULERS",
    "TPE",
    "Auto",
    "Batch",
    "Bayesian",
    "Bool",
    "Chain",
    "Check",
    "Choice",
    "Confirmed",
    "DifferentialEvolution",
    "EarlyStopping",
    "FlaxTask",
    "Float",
    "Genetic",
    "GreyGuided",
    "GreyStop",
    "Grid",
    "GroupKFold",
    "Hazard",
    "Holdout",
    "Hyperband",
    "Int",
    "KFold",
    "MedianStop",
    "Overtuning",
    "Portfolio",
    "QuasiRandom",
    "Random",
    "Refine",
    "Result",
    "RunToEnd",
    "Screen",
    "SearchError",
    "Snapshot",
    "Space",
    "Stats",
    "StratifiedKFold",
    "Stretch",
    "Task",
    "TimeSeriesSplit",
    "Trial",
    "Tuner",
    "When",
    "__version__",
    "batch_mean",
    "check",
    "cite",
    "grey",
    "load",
    "maximize",
    "minimize",
    "models",
    "plots",
    "problems",
    "report",
    "search",
    "search_many",
    "task",
    "traced",
    "watch",
]
