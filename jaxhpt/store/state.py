"""What a run in a directory is doing: it runs, waits, or its process is gone."""

import pathlib

from jaxhpt.report.findings import KILLED, RUNNING
from jaxhpt.store.commands import paused
from jaxhpt.store.files import MANIFEST, held, read_json

PAUSED = "paused"


def state_of(folder: pathlib.Path) -> str:
    """Tell what a run is doing that has not ended in order.

    Args:
      folder: of the run.

    Returns:
      "running", "paused" or "killed"; empty of one that has ended in order, of a Tuner that nobody holds, as it has no
      end, and of what is no run.
    """
    path = folder / MANIFEST
    manifest = read_json(path) if path.exists() else {"ended": "nothing"}
    if manifest.get("ended") not in (None, "raised"):
        return ""
    if held(folder):
        return PAUSED if paused(folder) else RUNNING
    return "" if manifest.get("way") == "Tuner" else KILLED
