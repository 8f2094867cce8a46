"""The command `completion`: what a shell reads to complete commands, by shtab."""

import argparse

SHELLS = ("bash", "zsh", "tcsh")


def completion(options: argparse.Namespace) -> int:
    """Print a script for a shell."""
    try:
        import shtab
    except ImportError as error:
        raise ImportError("completion needs shtab: pip install 'jaxhpt[completion]'") from error
    print(shtab.complete(options.whole, shell=options.shell))
    return 0
