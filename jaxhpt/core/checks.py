"""Early, clear errors: each names the argument, its value and the remedy."""

import difflib
import inspect
import operator
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxhpt.core.showing import short

MAX_TRIALS = 2**30  # rows are counted in int32, with room for copies
MAX_SEED = 2**32  # beyond it, keys are the same as those of smaller seeds
NONE: Mapping[str, dict] = MappingProxyType({})
SYNONYMS = {  # what the arguments are called elsewhere
    "trials": "n_trials num_trials max_trials n_iter num_iter max_evals num_samples n_calls max_iter budget",
    "lanes": "n_jobs num_jobs workers num_workers max_workers parallel concurrency batch",
    "algorithm": "sampler optimizer searcher search_alg method",
    "scheduler": "pruner",
    "direction": "mode goal sense",
    "objective": "metric target",
    "population": "pop pop_size popsize population_size num_individuals",
    "objectives": "directions modes",
    "seed": "random_state random_seed rng",
    "progress": "verbose show_progress_bar show_progress progress_bar",
    "timeout": "time_budget max_time time_limit",
    "space": "search_space param_space params parameters config",
    "callbacks": "callback",
    "folds": "cv n_splits num_folds n_folds kfold splits",
    "seeds": "repeats n_repeats num_seeds n_seeds replicas",
}


def require(condition: bool, name: str, value: Any, remedy: str) -> None:
    """Raise a ValueError that names the argument, its value and what it must be."""
    if not condition:
        raise ValueError(f"{name}={short(value)}: must be {remedy}")


def require_count(name: str, value: Any) -> int:
    """Return a whole number of at least one as a plain int; raise for anything else."""
    found = _index(value)
    if found is None:
        raise TypeError(f"{name}={value!r}: must be an int, at least 1")
    require(found >= 1, name, found, "at least 1")
    return found


def require_trials(value: Any) -> int:
    """Return a number of trials that a history has rows for as a plain int; raise for anything else."""
    found = require_count("trials", value)
    require(found <= MAX_TRIALS, "trials", found, "at most 2**30")
    return found


def whole(name: str, value: Any, remedy: str = "an int") -> int:
    """Return a whole number, of Python, NumPy or JAX, as a plain int.

    Raises:
      TypeError: a boolean, a float (also a whole one), or anything else.
    """
    found = _index(value)
    if found is None:
        raise TypeError(f"{name}={value!r}: must be {remedy}")
    return found


def number(name: str, value: Any) -> int | float:
    """Return a real number, of Python, NumPy or JAX, as a plain int or float.

    Raises:
      TypeError: text, a boolean, an array of several numbers, or anything else.
    """
    found = plain(value)
    if isinstance(found, bool) or not isinstance(found, int | float):
        remedy = "a number, without quotes" if isinstance(value, str) else "a number"
        raise TypeError(f"{name}={value!r}: must be {remedy}")
    return found if isinstance(found, int) else found + 0.0  # -0.0 is 0.0


def plain(value: Any) -> Any:
    """Return a scalar of NumPy or JAX, also a 0-d array, as plain Python, also inside tuples; the rest as it is.

    What has fewer digits than a float becomes the shortest number that it stands for: float32's 0.1 is 0.1.
    """
    if type(value) is tuple:
        return tuple(plain(v) for v in value)
    known = isinstance(value, np.generic | np.ndarray | jax.Array) and not isinstance(value, jax.core.Tracer)
    if not known or value.ndim or value.dtype.hasobject:
        return value
    if not jnp.issubdtype(value.dtype, jnp.floating) or value.dtype.itemsize > 4:
        return value.item()
    return float(str(np.asarray(value)[()]))


def settle_counts(settings: Any, *names: str) -> None:
    """Make fields of a frozen dataclass plain ints of at least one; None stays.

    Raises:
      TypeError, ValueError: a field that is no such number.
    """
    for name in names:
        if getattr(settings, name) is not None:
            object.__setattr__(settings, name, require_count(name, getattr(settings, name)))


def _index(value: Any) -> int | None:
    """Return what counts as a whole number; None for anything else, booleans too."""
    if isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_:
        return None
    try:
        return operator.index(value)
    except TypeError:
        return None


def require_seed(value: Any) -> int:
    """Return a whole number in [0, 2^32) as a plain int; raise where it is none."""
    remedy = "an int of at least 0 and below 2**32"
    found = whole("seed", value, remedy)
    require(0 <= found < MAX_SEED, "seed", value, remedy)
    return found


def refuse_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a TypeError for the first keyword that a function does not have, and name the one that is meant.

    Args:
      function: its name.
      given: the keywords that are left over.
      known: those it has.
    """
    known = set(known)
    for name in given:
        meant = [own for own, names in SYNONYMS.items() if own in known and name.lower() in names.split()]
        hint = f"it is called {meant[0]!r} here" if meant else suggest(name, known)
        raise TypeError(f"{function} has no argument {name!r}; {hint}")


def suggest(word: str, options: Iterable[str]) -> str:
    """List the options, after the one nearest to a misspelt word."""
    options = sorted(options)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose one of {options}"


def named(kind: str, wanted: Any, known: dict[str, type], protocol: type, elsewhere: Mapping[str, dict] = NONE) -> Any:
    """Return an instance, made from its name where it came as one.

    Args:
      kind: name of the argument.
      wanted: a name, or an instance.
      known: by name.
      protocol: that instances follow.
      elsewhere: arguments that this one is easily taken for, and what is known there.

    Raises:
      ValueError: an unknown name.
      TypeError: neither a name nor an instance that follows the protocol.
    """
    for other, kinds in elsewhere.items():
        if wanted in kinds if isinstance(wanted, str) else isinstance(wanted, tuple(kinds.values())):
            raise ValueError(f"{kind}={wanted!r}: is no {kind}; say {other}={wanted!r}")
    if isinstance(wanted, str):
        if wanted not in known:
            raise ValueError(f"{kind}={wanted!r}: unknown; {suggest(wanted, known)}")
        return known[wanted]()
    if isinstance(wanted, type) or not isinstance(wanted, protocol):
        call = f"an instance; call it: {wanted.__name__}()" if isinstance(wanted, type) else "an instance"
        raise TypeError(f"{kind}={wanted!r}: must be a name of {sorted(known)}, or {call}")
    return wanted


def switch(name: str, value: Any, remedy: str) -> bool:
    """Return a bool as plain Python; raise a TypeError with the remedy where it is none."""
    found = plain(value)
    if not isinstance(found, bool):
        raise TypeError(f"{name}={value!r}: {remedy}")
    return found


class Settings:
    """A base of dataclasses: a keyword that is no setting gets an error that names the settings there are."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Look at the keywords before `__init__` does."""
        parameters = inspect.signature(cls.__init__).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            names = parameters.keys() - {"self"}
            refuse_unknown(cls.__name__, [name for name in kwargs if name not in names], names)
        return super().__new__(cls)


def leaf_name(path: tuple) -> str:
    """Name a leaf of a pytree as a person would: `opt.lr`, `0`, or `the value` at the root."""
    return jax.tree_util.keystr(path, simple=True, separator=".") or "the value"
