"""Where to look next: one file per algorithm. Read `base.py` first."""

from jaxhpt.algorithms.base import Algorithm, Proposals
from jaxhpt.algorithms.grid import Grid
from jaxhpt.algorithms.quasi_random import QuasiRandom
from jaxhpt.algorithms.random_search import Random

ALGORITHMS: dict[str, type] = {"grid": Grid, "quasi_random": QuasiRandom, "random": Random}
DEFAULT_ALGORITHM = "quasi_random"

__all__ = ["ALGORITHMS", "DEFAULT_ALGORITHM", "Algorithm", "Grid", "Proposals", "QuasiRandom", "Random"]
