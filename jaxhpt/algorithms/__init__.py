"""Where to look next: one file per algorithm. Read `base.py` first."""

from jaxhpt.algorithms.auto import Auto
from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.algorithms.bayesian import Bayesian
from jaxhpt.algorithms.cma_es import CMAES
from jaxhpt.algorithms.differential_evolution import DifferentialEvolution
from jaxhpt.algorithms.genetic import Genetic
from jaxhpt.algorithms.grey_guided import GreyGuided
from jaxhpt.algorithms.grid import Grid
from jaxhpt.algorithms.hybrid import Chain, Mix
from jaxhpt.algorithms.nsga2 import NSGA2
from jaxhpt.algorithms.quasi_random import QuasiRandom
from jaxhpt.algorithms.random_search import Random
from jaxhpt.algorithms.refine import Refine
from jaxhpt.algorithms.screen import Screen
from jaxhpt.algorithms.tpe import TPE

ALGORITHMS: dict[str, type] = {
    "auto": Auto,
    "bayesian": Bayesian,
    "cma_es": CMAES,
    "differential_evolution": DifferentialEvolution,
    "genetic": Genetic,
    "grid": Grid,
    "nsga2": NSGA2,
    "quasi_random": QuasiRandom,
    "random": Random,
    "tpe": TPE,
}
DEFAULT_ALGORITHM = "auto"

__all__ = [
    "ALGORITHMS",
    "CMAES",
    "DEFAULT_ALGORITHM",
    "NSGA2",
    "TPE",
    "Algorithm",
    "Auto",
    "Bayesian",
    "Chain",
    "DifferentialEvolution",
    "Genetic",
    "GreyGuided",
    "Grid",
    "Mix",
    "Proposals",
    "QuasiRandom",
    "Random",
    "Refine",
    "Screen",
]
