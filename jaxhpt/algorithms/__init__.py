"""Where to look next: one file per algorithm. Read `base.py` first."""

from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.algorithms.evolution.cma_es import CMAES
from jaxhpt.algorithms.evolution.differential_evolution import DifferentialEvolution
from jaxhpt.algorithms.evolution.genetic import Genetic
from jaxhpt.algorithms.evolution.nsga2 import NSGA2
from jaxhpt.algorithms.hybrids.auto import Auto
from jaxhpt.algorithms.hybrids.chain import Chain
from jaxhpt.algorithms.hybrids.grey_guided import GreyGuided
from jaxhpt.algorithms.hybrids.portfolio import Portfolio
from jaxhpt.algorithms.hybrids.refine import Refine
from jaxhpt.algorithms.hybrids.screen import Screen
from jaxhpt.algorithms.model_based.bayesian import Bayesian
from jaxhpt.algorithms.model_based.tpe import TPE
from jaxhpt.algorithms.sampling.grid import Grid
from jaxhpt.algorithms.sampling.quasi_random import QuasiRandom
from jaxhpt.algorithms.sampling.random_search import Random

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
    "Portfolio",
    "Proposals",
    "QuasiRandom",
    "Random",
    "Refine",
    "Screen",
]
