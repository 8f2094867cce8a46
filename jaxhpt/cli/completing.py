"""The command `completion`: what a shell reads to complete commands, by shtab."""

import argparse
import json

SHELLS = ("bash", "zsh", "tcsh")


def completion(options: argparse.Namespace) -> int:
    """Print a script for a shell."""
    try:
        import shtab
    except ImportError as error:
        raise ImportError("completion needs shtab: pip install 'jaxhpt[completion]'") from error
    script = shtab.complete(options.whole, shell=options.shell)
    print(json.dumps({"shell": options.shell, "script": script}) if options.json else script)
    return 0
