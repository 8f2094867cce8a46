"""Files that are written whole or not at all."""

import os
import pathlib
import tempfile


def write(path: str | pathlib.Path, text: str) -> pathlib.Path:
    """Write a file so that whoever reads it finds the old one or the new one.

    Raises:
      OSError: it cannot be written.
    """
    where = pathlib.Path(path)
    if where.is_dir():
        raise IsADirectoryError(f"path={str(path)!r}: is a directory; name a file in it, such as report.html")
    where.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=where.parent, prefix=f".{where.name}-", delete=False
    ) as file:
        try:
            file.write(text)
            file.close()
            os.chmod(file.name, 0o644)
            os.replace(file.name, where)
        except BaseException:
            os.unlink(file.name)
            raise
    return where
