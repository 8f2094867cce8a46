"""The command `tell`: what is left out of a setting is filled in, and what became of a command is said."""

import argparse
import json
import math
import pathlib
import warnings
from typing import Any

from jaxhpt.cli.telling import FINE
from jaxhpt.core.checks import require
from jaxhpt.core.showing import shown
from jaxhpt.core.space import Space
from jaxhpt.results.result import Result
from jaxhpt.store.commands import NOW, Command, Told, order_of
from jaxhpt.store.commands import tell as tell_run
from jaxhpt.store.files import MANIFEST, ORDERS, held, read_json
from jaxhpt.store.loading import load

WAIT = 5.0  # seconds


def tell(options: argparse.Namespace) -> int:
    """Tell a running search what to do, and say what became of it."""
    value, source = options.value, None
    if options.kind == "try" and (pathlib.Path(options.run_dir) / MANIFEST).exists():
        value, source = whole(options.run_dir, options.value)
    said = options.kind if value is None else f"{options.kind} {json.dumps(value)}"
    if source is not None and not options.json:
        print(
            f"{', '.join(name for name in value if name not in options.value)}: as in trial {source}, the best so far"
        )
    told = tell_run(options.run_dir, options.kind, value, options.wait)
    if told.wrong:
        raise ValueError(f"{said}: refused: {told.wrong}")
    if options.json:
        filled = {} if source is None else {"filled_from": source}
        about = {"run_dir": options.run_dir, "kind": options.kind, "value": value, **filled}
        print(json.dumps({**about, "done": told.taken, "event": told.event}))
    else:
        print(f"{said}: {_became(told, options)}")
    return FINE


def _became(told: Told, options: argparse.Namespace) -> str:
    """Say what became of a command that was not refused."""
    if told.taken:
        return "done" if told.event is None else f"done before event {told.event:,}"
    if held(pathlib.Path(options.run_dir)):
        after = f" after {options.wait:g} s" if options.wait else ""
        return f"not taken yet{after}; what becomes of it will stand in {pathlib.Path(options.run_dir) / ORDERS}"
    if options.kind in NOW:
        return f"the search in {options.run_dir} ended before it looked"
    return f"no search runs in {options.run_dir} now: it is told when one goes on there"


def whole(run_dir: str, given: Any) -> tuple[Any, int | None]:
    """Fill in what is left out of a setting, from the best trial of a run that is done.

    Args:
      run_dir: of the run.
      given: values by the names of dimensions.

    Returns:
      The setting, and the number of that trial; None where nothing was left out, or of many searches at once.

    Raises:
      ValueError: a name that is not in the space; or no trial is done.
    """
    command, space = Command("try", given), Space.from_spec(read_json(pathlib.Path(run_dir) / MANIFEST)["space"])
    left = [name for name in space.names if name not in given]
    try:
        order_of(command, space)
        return given, None
    except ValueError:
        if not left or not set(given) <= set(space.names):
            raise
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a checkpoint that is half written
        found = load(run_dir)
    if not isinstance(found, Result):
        return given, None  # which these refuse
    best = found.top(1)
    require(bool(best), "try", given, f"complete, with {', '.join(left)} too, until a trial is done to take that from")
    values = dict(zip(space.names, space.label_rows(found.history.unit[[best[0].id]])[0], strict=True))
    return {**{name: _plain(value) for name, value in values.items()}, **given}, best[0].id


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; what that has not, such as a function, by its name."""
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if value is None or (finite and isinstance(value, bool | int | float | str)) else shown(value)
