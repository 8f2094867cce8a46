"""Libraries that are not needed for a search: an error that names the extra where one is not there."""

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Import inside it what comes with an extra.

    Args:
      name: of the extra.

    Raises:
      ImportError: it is not installed; how to, is said.
    """
    try:
        yield
    except ImportError as error:
        raise ImportError(f"jaxhpt.integrations.{name}: {error}; pip install 'jaxhpt[{name}]'") from error
