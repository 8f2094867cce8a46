"""The part of `Result` that shows it to a person."""

import dataclasses
import pathlib

from jaxhpt.report.files import write
from jaxhpt.report.notebook import snippet
from jaxhpt.report.page import page
from jaxhpt.results.findings import findings_of
from jaxhpt.results.ranked import Ranked


@dataclasses.dataclass(frozen=True, repr=False)
class Reported(Ranked):
    """The part of `Result` that shows it to a person."""

    def report(self, path: str | pathlib.Path, title: str = "", importance: str | None = "permutation") -> pathlib.Path:
        """Write a page with figures and the table of all trials, for a browser: one file that needs nothing else.

        Choose it to look at a search, or to send it to somebody. For several searches on one page see `jaxhpt.report`,
        for figures of matplotlib `jaxhpt.plots`.

        Args:
          path: of the file, such as "report.html".
          title: of the page; empty for the name of the objective.
          importance: "permutation"; "grey", which is quicker; or None for none; see `Result.importance`.

        Returns:
          The path.

        Raises:
          ValueError: an unknown method.
          OSError: the file cannot be written.

        Example:
          >>> import jaxhpt, pathlib, tempfile
          >>> result = jaxhpt.minimize(lambda h, key: h["x"], {"x": jaxhpt.Float(0, 3)}, trials=8, progress=False)
          >>> with tempfile.TemporaryDirectory() as folder:
          ...     text = result.report(pathlib.Path(folder) / "report.html", importance=None).read_text()
          >>> "lowest score" in text
          True
        """
        return write(path, page([findings_of(self, importance=importance)], title))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return snippet(findings_of(self, importance=None))
