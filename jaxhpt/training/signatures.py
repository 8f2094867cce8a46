"""What a user's function asks for, read off its signature: so that `hparams` may be left out."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

HPARAMS = ("hparams", "h")  # names by which a function asks for the hyperparameters
_PLACED = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def parameters_of(function: Callable) -> list[inspect.Parameter] | None:
    """Return a function's parameters; None where Python does not know them, as for some built-in ones."""
    try:
        found = list(inspect.signature(function).parameters.values())
        if isinstance(function, type) and not any(p.kind in (*_PLACED, p.KEYWORD_ONLY) for p in found):
            return list(inspect.signature(function.__init__).parameters.values())[1:]  # type: ignore[misc]  # of nnx
        return found
    except (TypeError, ValueError):
        return None


def required(parameters: Sequence[inspect.Parameter]) -> list[str]:
    """Name the positional parameters that have no default."""
    return [p.name for p in parameters if p.kind in _PLACED and p.default is p.empty]


def takes_hparams(argument: str, function: Any, usual: tuple[str, ...]) -> bool:
    """Tell whether a function asks for the hyperparameters, beside its usual arguments.

    It does by one more positional argument without a default, whatever its name, or by an argument of any kind called
    `hparams` or `h`. Other arguments with defaults are left alone.

    Args:
      argument: what the function was given as, for the error.
      function: what was given.
      usual: names of the arguments that it must take first, by position.

    Raises:
      TypeError: no function, or one of other arguments.

    Example:
      >>> takes_hparams("loss", lambda outputs, targets, h: 0, ("outputs", "targets"))
      True
      >>> takes_hparams("loss", lambda outputs, targets, axis=-1: 0, ("outputs", "targets"))
      False
    """
    expected = f"a function ({', '.join(usual)}) or ({', '.join(usual)}, hparams)"
    if not callable(function) or isinstance(function, type):
        raise TypeError(f"{argument}={function!r}: must be {expected}")
    parameters = parameters_of(function)
    if parameters is None:
        return False
    return _asks(argument, parameters, len(usual), expected)


def _asks(argument: str, parameters: list[inspect.Parameter], usual: int, expected: str) -> bool:
    placed = [p for p in parameters if p.kind in _PLACED]
    named = [p for p in parameters if p.name in HPARAMS and p.kind in (*_PLACED, inspect.Parameter.KEYWORD_ONLY)]
    needed = [p for p in parameters if p.default is p.empty and p.kind in (*_PLACED, inspect.Parameter.KEYWORD_ONLY)]
    others = [p for p in needed if p not in named and p not in placed[:usual]]
    extra = placed[usual : usual + 1] if not named else []
    clear = len(placed) >= usual and len(named) <= 1 and not any(p in placed[:usual] for p in named)
    if not clear or any(p not in extra for p in others):
        takes = ", ".join(str(p) for p in parameters)
        raise TypeError(f"{argument}: takes ({takes}); must be {expected}, and other arguments must have defaults")
    return bool(named or others)


def with_hparams(argument: str, function: Callable, usual: tuple[str, ...]) -> Callable:
    """Return the function as one that always takes the hyperparameters last, by position.

    Raises:
      TypeError: as `takes_hparams`.
    """
    if not takes_hparams(argument, function, usual):
        return lambda *args: function(*args[:-1])
    named = [p.name for p in parameters_of(function) or [] if p.name in HPARAMS and p.kind is not p.POSITIONAL_ONLY]
    if named:
        return lambda *args: function(*args[:-1], **{named[0]: args[-1]})
    return function


def require_arguments(name: str, function: Callable, least: int, words: Sequence[str], most: int | None = None) -> int:
    """Return how many of the arguments `words` a function asks for, at least `least`.

    It asks for one beyond these by having no default for it, or by its name; `*args` asks for `most`, or `least`.

    Raises:
      TypeError: it takes fewer, or needs more.
    """
    parameters = parameters_of(function)
    if parameters is None:
        return least
    placed = [p for p in parameters if p.kind in _PLACED]
    starred = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    if (len(placed) < least and not starred) or keywords or len(required(parameters)) > len(words):
        shown = ", ".join(words[:least]) + "".join(f"[, {word}]" for word in words[least:])
        raise TypeError(f"{name}={function!r}: must take ({shown}), but takes ({', '.join(map(str, parameters))})")
    if starred and len(placed) <= least:
        return most or least
    asked = [p.default is p.empty or p.name == word for p, word in zip(placed[least:], words[least:], strict=False)]
    return least + (asked.index(False) if False in asked else len(asked))
