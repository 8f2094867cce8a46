"""Beliefs: where a person thinks that the best value of a dimension lies, and how sure he is."""

from typing import Any, NamedTuple

from jaxhpt.core.checks import require, suggest

TRUSTS = ("low", "high")


class Belief(NamedTuple):
    """A belief in one dimension.

    Attributes:
      unit: the place of the value, in [0, 1].
      high: whether it is trusted much.
    """

    unit: float
    high: bool


def check_trust(kind: str, near: Any, trust: Any) -> str | None:
    """Return how much a belief is trusted, "low" where nothing is said; None where there is no belief.

    Raises:
      ValueError: a trust that is not known, or in nothing.
    """
    if near is None:
        require(trust is None, f"{kind} trust", trust, "left out, or say near=..., the value that is trusted")
        return None
    trust = "low" if trust is None else trust
    known = isinstance(trust, str) and trust in TRUSTS
    require(known, f"{kind} trust", trust, f"'low' or 'high'; {suggest(str(trust), TRUSTS)}")
    return str(trust)
