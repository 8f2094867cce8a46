"""The file of a page, for all to read."""

import pathlib

from jaxhpt.core.files import OPEN, write_text


def write(path: str | pathlib.Path, text: str) -> pathlib.Path:
    """Write a page whole or not at all, into a folder that is made where there is none; return where.

    Raises:
      OSError: it cannot be written.
    """
    where = pathlib.Path(path)
    if where.is_dir():
        raise IsADirectoryError(f"path={str(path)!r}: is a directory; name a file in it, such as report.html")
    where.parent.mkdir(parents=True, exist_ok=True)
    write_text(where, text, OPEN)
    return where
