"""The command line: look at a run, and tell a running search what to do."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from jaxhpt.store.commands import KINDS, tell
from jaxhpt.store.loading import load


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `jaxhpt`; return 0, or 2 where an argument is wrong."""
    parser = argparse.ArgumentParser(prog="jaxhpt", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="show what a run has found so far")
    show.add_argument("run_dir")
    told = commands.add_parser("tell", help="tell a running search what to do; it looks about every second")
    told.add_argument("run_dir")
    told.add_argument("kind", choices=KINDS)
    told.add_argument(
        "value", nargs="?", type=_value, help='of try: {"lr": 0.01}; of drop: a trial; of trials: a number'
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "tell":
            tell(options.run_dir, options.kind, options.value)
        else:
            found = load(options.run_dir)
            print(*(found if isinstance(found, list) else [found]), sep="\n\n")
    except (OSError, ValueError, TypeError) as error:
        print(f"jaxhpt {options.command}: {error}", file=sys.stderr)
        return 2
    return 0


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
