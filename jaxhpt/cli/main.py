"""Tune many small JAX models at once: search, look at runs, and tell a running search what to do.

Exit codes: 0 is fine; 1 that a search broke off or found nothing, or that `check` found a grave hazard; 2 a wrong
argument, or a command that a running search refused; 130 and 143 that Ctrl-C or SIGTERM ended a search in order, after
what it had found was printed.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from jaxhpt.algorithms import ALGORITHMS, DEFAULT_ALGORITHM
from jaxhpt.arguments import DEFAULT_TRIALS
from jaxhpt.cli import completing, looking, searching, steering
from jaxhpt.cli.reading import RANGE
from jaxhpt.cli.telling import ENDED, FINE, WRONG
from jaxhpt.reporting import EVERY
from jaxhpt.results.table import SHOWN
from jaxhpt.schedulers import SCHEDULERS
from jaxhpt.store.commands import KINDS
from jaxhpt.version import __version__

RAISED = (OSError, ValueError, TypeError, ImportError)  # by what a user got wrong, with the remedy in the message

DEFAULT_SCHEDULER = "run_to_end"  # as in `search`
TRIALS_SAID = f"{DEFAULT_TRIALS}, or all points of an algorithm that has an end"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `jaxhpt`; return the exit code."""
    options = parser().parse_args(arguments)
    try:
        code = int(options.call(options))
        sys.stdout.flush()  # here, so that a closed pipe is found before Python ends
        return code
    except BrokenPipeError:  # whoever reads has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:  # of what does not end in order by itself, or a second time
        if options.debug:
            raise
        _say(options, "interrupted")
        return ENDED["interrupted"]
    except RAISED as error:
        if options.debug:
            raise
        notes = [note for note in getattr(error, "__notes__", ()) if "JAX_TRACEBACK_FILTERING" not in note]
        _say(options, "\n".join([str(error), *notes]))
        return WRONG


def _say(options: argparse.Namespace, wrong: str) -> None:
    """Tell what went wrong."""
    told = json.dumps({"error": wrong}) if options.json else f"jaxhpt {options.command}: {wrong}"
    print(told, file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    whole = argparse.ArgumentParser(
        prog="jaxhpt", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whole.add_argument("--version", action="version", version=f"jaxhpt {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, call: Callable, said: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=said, description=said.capitalize() + ".")
        found.set_defaults(call=call)
        found.add_argument("--json", action="store_true", help="print JSON, for programs")
        found.add_argument("--debug", action="store_true", help="show where an error comes from")
        return found

    _demo(command("demo", searching.demo, f"tune {searching.TRIALS} small networks, on data made on the spot"))
    _run(command("run", searching.run, "search what a file defines"))
    _check(command("check", searching.checked, "look at a search before it runs"))
    _show(command("show", looking.show, "show what runs have found so far"))
    _report(command("report", looking.report, "write one page to look at, of one run or of several"))
    _export(command("export", looking.export, "write the trials of a run for other programs"))
    _tell(command("tell", steering.tell, "tell a running search what to do; it looks about every second"))
    completion = command("completion", completing.completion, "print what completes commands in a shell")
    completion.add_argument("shell", choices=completing.SHELLS)
    completion.set_defaults(whole=whole)
    return whole


def _run(parser: argparse.ArgumentParser) -> None:
    _what(parser)
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--minimize", action="store_true", help="the task is a function (hparams, key) -> value")
    kind.add_argument("--maximize", action="store_true", help="the same, for the largest value")
    _methods(parser)
    _more(parser)
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="of searching")
    parser.add_argument("--confirm", type=int, metavar="N", help="train the best N settings again, and choose by that")
    parser.add_argument("--checkpoint-seconds", type=float, metavar="SECONDS", help="from one checkpoint to the next")
    parser.add_argument("--extend", action="store_true", help="go on in a space that is wider than the run had")
    _leaving(parser)


def _demo(parser: argparse.ArgumentParser) -> None:
    _methods(parser, str(searching.TRIALS), searching.SCHEDULER)
    _leaving(parser)


def _check(parser: argparse.ArgumentParser) -> None:
    _what(parser)
    _methods(parser)
    _more(parser)
    parser.add_argument("--quick", action="store_true", help="trace alone, without compiling and training")


def _show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="+", help="a run directory, or a file of Result.save")
    _top(parser)


def _report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="+", help="run directories, or files of Result.save")
    parser.add_argument("-o", "--output", default="report.html", metavar="PAGE", help="by default report.html")
    parser.add_argument("--watch", action="store_true", help="write it anew while the run goes on, until it ends")
    said = f"of --watch, from one look to the next; by default {EVERY:g}"
    parser.add_argument("--every", type=float, default=EVERY, metavar="SECONDS", help=said)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="a run directory, or a file of Result.save")
    parser.add_argument("--to", choices=looking.KINDS, required=True)
    parser.add_argument("-o", "--output", metavar="FILE", help="by default named as the run; - prints csv and json")


def _tell(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_dir")
    parser.add_argument("kind", choices=KINDS)
    said = 'of try: {"lr": 0.01}, the rest as in the best trial so far; of drop: a trial; of trials: a number'
    parser.add_argument("value", nargs="?", type=_value, help=said)
    said = f"for the search to take it; by default {steering.WAIT:g}, and 0 does not wait"
    parser.add_argument("--wait", type=float, default=steering.WAIT, metavar="SECONDS", help=said)


def _what(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", help="FILE.py:NAME or MODULE:NAME of a Task, a FlaxTask or a step under @jaxhpt.task")
    said = f"its name in that file, FILE.py:NAME, FILE.json, or NAME={RANGE}; by default the name space"
    parser.add_argument("--space", nargs="+", default=["space"], metavar="SPACE", help=said)


def _methods(parser: argparse.ArgumentParser, trials: str = TRIALS_SAID, scheduler: str = DEFAULT_SCHEDULER) -> None:
    def named(option: str, known: Iterable[str], default: str) -> None:
        said = f"{' '.join(sorted(known))}; by default {default}"
        parser.add_argument(option, choices=sorted(known), metavar="NAME", help=said)

    parser.add_argument("--trials", type=int, metavar="N", help=f"settings to train; by default {trials}")
    named("--algorithm", ALGORITHMS, DEFAULT_ALGORITHM)
    named("--scheduler", SCHEDULERS, scheduler)
    parser.add_argument("--seed", type=int, metavar="N", help="of all randomness; by default 0")


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--lanes", type=int, metavar="N", help="models that train side by side")
    parser.add_argument("--seeds", type=int, metavar="N", help="models of each trial")


def _leaving(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-dir", metavar="DIR", help="write the run there; the same command goes on with it")
    parser.add_argument("--optuna", action="store_true", help="write RUN_DIR/optuna.journal, for optuna-dashboard")
    parser.add_argument("--report", metavar="PAGE", help="write one page to look at")
    parser.add_argument("--save", metavar="FILE", help="write the result, for jaxhpt.load")
    parser.add_argument("--quiet", action="store_true", help="without progress")
    _top(parser)


def _top(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--top", type=_count, default=SHOWN, metavar="N", help=f"trials to show; by default {SHOWN}")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 on")
    return int(text)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from error
