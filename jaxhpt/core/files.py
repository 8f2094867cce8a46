"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib
import tempfile

OWN, OPEN = 0o600, 0o644  # modes of files for their owner alone, and for all to read


def write_text(path: pathlib.Path, text: str, mode: int = OWN) -> None:
    """Write a file so that whoever reads it finds the old one or the new one, after a power cut too.

    Raises:
      OSError: it cannot be written; then the old one is there.
    """
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}-", delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, mode)
            os.replace(file.name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(file.name)
            raise
