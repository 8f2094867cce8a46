"""Standard errors of importances: they tell how much the shares of other trials would differ."""

import numpy as np
import pytest

import jaxhpt
from jaxhpt.results.importance import importance_errors, importance_of


@pytest.fixture(scope="module")
def searched():
    def search(trials, seed=0):
        loss = lambda h, key: (h["x"] - 0.5) ** 2 + 0.3 * h["y"] + 0.0 * h["z"]  # noqa: E731
        space = {name: jaxhpt.Float(0, 1) for name in "xyz"}
        return jaxhpt.minimize(loss, space, trials=trials, algorithm="random", seed=seed, progress=False)

    return search


def test_the_shares_are_those_of_the_whole(searched):
    result = searched(64)
    given = result.history, result._problem.bare(), "grey", None
    found = importance_errors(*given)
    assert {name: share for name, (share, _) in found.items()} == importance_of(*given)


def test_errors_are_as_large_as_shares_of_other_searches_differ(searched):
    results = [searched(64, seed) for seed in range(12)]
    shares = [importance_of(r.history, r._problem.bare(), "grey", None)["y"] for r in results]
    errors = [importance_errors(r.history, r._problem.bare(), "grey")["y"][1] for r in results]
    assert 0.4 < np.median(errors) / np.std(shares) < 2.5


def test_they_are_not_known_of_few_trials(searched):
    found = importance_errors(searched(10).history, searched(10)._problem.bare(), "grey")
    assert all(np.isnan(error) for _, error in found.values())
