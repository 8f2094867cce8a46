"""What tests of other tools share."""

import pytest


@pytest.fixture
def quiet():
    """Let Optuna tell of errors alone."""
    optuna = pytest.importorskip("optuna")
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(level)
