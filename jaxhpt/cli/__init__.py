"""The command line: search, look at runs, and tell a running search what to do."""

from jaxhpt.cli.main import main

__all__ = ["main"]
