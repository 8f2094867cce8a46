"""How long to train: one file per scheduler. Read `base.py` first."""

from jaxhpt.schedulers.asha import ASHA
from jaxhpt.schedulers.base import Copies, Parks, Recall, Scheduler, Verdict
from jaxhpt.schedulers.early_stopping import EarlyStopping
from jaxhpt.schedulers.grey_stop import GreyStop
from jaxhpt.schedulers.hyperband import Hyperband
from jaxhpt.schedulers.median_stop import MedianStop
from jaxhpt.schedulers.pb2 import PB2
from jaxhpt.schedulers.pbt import PBT
from jaxhpt.schedulers.run_to_end import RunToEnd

SCHEDULERS: dict[str, type] = {
    "run_to_end": RunToEnd,
    "asha": ASHA,
    "hyperband": Hyperband,
    "median_stop": MedianStop,
    "grey_stop": GreyStop,
    "early_stopping": EarlyStopping,
    "pbt": PBT,
    "pb2": PB2,
}

__all__ = [
    "ASHA",
    "PB2",
    "PBT",
    "SCHEDULERS",
    "Copies",
    "EarlyStopping",
    "GreyStop",
    "Hyperband",
    "MedianStop",
    "Parks",
    "Recall",
    "RunToEnd",
    "Scheduler",
    "Verdict",
]
