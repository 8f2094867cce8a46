"""How long to train: one file per scheduler. Read `base.py` first."""

from jaxhpt.schedulers.base import Copies, Scheduler, Verdict
from jaxhpt.schedulers.run_to_end import RunToEnd

SCHEDULERS: dict[str, type] = {"run_to_end": RunToEnd}

__all__ = ["SCHEDULERS", "Copies", "RunToEnd", "Scheduler", "Verdict"]
