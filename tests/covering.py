"""Tests of every combination are dear: what covers them runs always, and the rest with `-m slow`."""

from collections.abc import Iterable
from typing import Any

import pytest


def covered_by(chosen: Iterable[Any], every: Iterable[Any]) -> list[Any]:
    """Return the parameters `every`, of which all but the `chosen` are slow."""
    chosen, every = list(chosen), list(every)
    missing = [one for one in chosen if one not in every]
    assert not missing, missing
    return [one if one in chosen else _slow(one) for one in every]


def _slow(one: Any) -> Any:
    return pytest.param(*(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow)
