"""Libraries that are not needed for a search: an error that names the extra where one is not there."""

import contextlib
from collections.abc import Iterator


class MissingExtraError(ImportError):
    """An extra is not installed; the message tells how to, once however many imports stand around it."""


@contextlib.contextmanager
def extra(name: str) -> Iterator[None]:
    """Import inside it what comes with an extra.

    Args:
      name: of the extra.

    Raises:
      MissingExtraError: it is not installed; how to, is said.
    """
    try:
        yield
    except MissingExtraError:  # of a module of ours, which told
        raise
    except ImportError as error:
        raise MissingExtraError(f"jaxhpt.integrations.{name}: {error}; pip install 'jaxhpt[{name}]'") from error
