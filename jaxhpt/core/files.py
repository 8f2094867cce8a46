"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import IO

OWN, OPEN = 0o600, 0o644  # modes of files for their owner alone, and for all to read


def write_text(path: pathlib.Path, text: str, mode: int = OWN) -> None:
    """Write a file as `writing` does, in UTF-8."""
    with writing(path, mode) as file:
        file.write(text.encode())


@contextlib.contextmanager
def writing(path: pathlib.Path, mode: int = OWN) -> Iterator[IO[bytes]]:
    """Open a file to write it so that whoever reads it finds the old one or the new one, after a power cut too.

    A link stays one; a pipe or a device, which cannot be replaced, is written to.

    Raises:
      OSError: it cannot be written; then the old one is there.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as made:
        try:
            yield made
            made.flush()
            os.fsync(made.fileno())
            os.chmod(made.name, mode)
            os.replace(made.name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(made.name)
            raise
