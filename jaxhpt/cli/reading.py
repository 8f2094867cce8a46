"""What arguments name: an object of a file or a module, and a space, also written out as text."""

import importlib
import importlib.util
import json
import pathlib
import re
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from jaxhpt.core.checks import require, suggest
from jaxhpt.core.dimensions import Bool, Choice, Dimension, Float, Int
from jaxhpt.core.space import Space

WHOLE = re.compile(r"[+-]?\d+")
REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
RANGE = "a range such as 1e-4..1e-1 or 1..8, with :log or :step=2, or choices such as relu,tanh"


def named_in(place: str, argument: str) -> Any:
    """Return what stands under a name: "file.py:name" or "package.module:name"; dots lead further in.

    Raises:
      ValueError: no such file, or no such name in it.
    """
    source, _, name = place.rpartition(":")
    require(bool(source) and bool(name), argument, place, "FILE.py:NAME or MODULE:NAME")
    found = _file(source, argument) if source.endswith(".py") else _module(source)
    for part in name.split("."):
        public = [known for known in dir(found) if not known.startswith("_")]
        require(hasattr(found, part), argument, place, f"a name in {source}; {suggest(part, public)}")
        found = getattr(found, part)
    return found


def _module(source: str) -> Any:
    """Import a module, of the current folder, too, as `python -m` would."""
    if (here := str(pathlib.Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return importlib.import_module(source)


def _file(source: str, argument: str) -> Any:
    """Run a file as a module, once, with its folder on the path, as `python FILE.py` would."""
    path = pathlib.Path(source).resolve()
    require(path.is_file(), argument, source, "a file that is there")
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    if (loaded := sys.modules.get(path.stem)) is not None and getattr(loaded, "__file__", None) == str(path):
        return loaded
    require(path.stem not in sys.modules, argument, source, "a file whose name no module has that is loaded already")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[path.stem]
        line = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = getattr(error, "lineno", None) or (line[-1] if line else 1)
        raise ValueError(f"{argument}={source!r}: line {place} raises {type(error).__name__}: {error}") from error
    return module


def space_of(words: Sequence[str], source: str) -> Any:
    """Read a space from an argument.

    Args:
      words: one that names it, a variable of the file of the task or "FILE.py:NAME"; or "FILE.json", as
        `Space.to_spec` gives it; or dimensions written out, such as lr=1e-4..1e-1:log act=relu,tanh.
      source: the file or module of the task.

    Raises:
      ValueError: none of these.
    """
    if any("=" in word for word in words):
        return _nested([_dimension(word) for word in words])
    require(len(words) == 1, "--space", " ".join(words), f"one name, or dimensions: NAME={RANGE}")
    if words[0].endswith(".json"):
        return Space.from_spec(_spec(words[0]))
    return named_in(words[0] if ":" in words[0] else f"{source}:{words[0]}", "--space")


def _spec(path: str) -> Any:
    try:
        return json.loads(pathlib.Path(path).read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"--space={path!r}: is no JSON: {error}") from error


def _dimension(word: str) -> tuple[str, Dimension]:
    name, found, text = word.partition("=")
    require(bool(name) and bool(found), "--space", word, f"NAME={RANGE}")
    told, *more = text.split(":")
    options: dict[str, Any] = {}
    for option in more:
        key, _, value = option.partition("=")
        known = ("log", "step", "structural")
        require(key in known, f"--space {name}", option, f"one of {', '.join(known)}; {suggest(key, known)}")
        options[key] = _value(value) if value else True
    low, dots, high = told.partition("..")
    if dots:
        kind = Int if WHOLE.fullmatch(low) and WHOLE.fullmatch(high) else Float
        return name, kind(_number(name, low), _number(name, high), **options)
    values = [_value(part) for part in told.split(",")]
    require(len(values) > 1, f"--space {name}", told, RANGE)
    if len(values) == 2 and set(map(str, values)) == {"True", "False"}:
        return name, Bool(**options)
    return name, Choice(values, **options)


def _number(name: str, text: str) -> Any:
    require(REAL.fullmatch(text) is not None, f"--space {name}", text, "a number")
    return int(text) if WHOLE.fullmatch(text) else float(text)


def _value(text: str) -> Any:
    """Read a value as JSON, such as 3, 1e-4, true and null; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _nested(dimensions: Sequence[tuple[str, Dimension]]) -> dict[str, Any]:
    """Let dots in names be dicts in dicts."""
    space: dict[str, Any] = {}
    for name, dimension in dimensions:
        *way, last = name.split(".")
        require(all(way) and bool(last), "--space", name, "a name, with more of it between dots")
        inner = space
        for part in way:
            inner = inner.setdefault(part, {})
            require(isinstance(inner, dict), "--space", name, f"another name, as {part} is a dimension itself")
        require(last not in inner, "--space", name, "given once")
        inner[last] = dimension
    return space
