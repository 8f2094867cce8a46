"""Optuna's own suite of samplers, on ours."""

import optuna
import pytest
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    MultiObjectiveSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)

import jaxhpt
from jaxhpt.integrations.optuna import Sampler

SEVERAL = ["auto", "bayesian", "nsga2", "quasi_random", "grid", "tpe"]
SINGLE = ["cma_es", "differential_evolution", "genetic"]


@pytest.fixture(autouse=True)
def quiet():
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    yield
    optuna.logging.set_verbosity(level)


@pytest.mark.slow
class TestRandom(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture
    def sampler(self):
        return lambda: Sampler("random", seed=0, trials=32)


class TestQuick(BasicSamplerTestCase, MultiObjectiveSamplerTestCase):
    test_combination_of_different_distributions_objective = None  # of 36 spaces: slow

    @pytest.fixture
    def sampler(self):
        return lambda: Sampler("random", seed=0, trials=32)


@pytest.mark.slow
class TestSeveral(BasicSamplerTestCase, RelativeSamplerTestCase, MultiObjectiveSamplerTestCase):
    @pytest.fixture(params=SEVERAL)
    def sampler(self, request):
        return lambda: Sampler(request.param, seed=0, trials=32)


@pytest.mark.slow
class TestSingle(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=SINGLE)
    def sampler(self, request):
        return lambda: Sampler(request.param, seed=0, trials=32)


def test_all_algorithms_are_tested():
    assert {"random", *SEVERAL, *SINGLE} == set(jaxhpt.ALGORITHMS)
