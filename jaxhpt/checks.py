"""Early, clear errors: each names the argument, its value and the remedy."""

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

MAX_SEED = 2**32  # beyond it, keys are the same as those of smaller seeds
SYNONYMS = {  # what the arguments are called elsewhere
    "trials": "n_trials num_trials max_trials n_iter num_iter max_evals num_samples n_calls max_iter budget",
    "lanes": "n_jobs num_jobs workers num_workers max_workers parallel concurrency batch",
    "algorithm": "sampler optimizer searcher search_alg method",
    "scheduler": "pruner",
    "direction": "mode goal sense",
    "objective": "metric target",
    "objectives": "directions modes",
    "seed": "random_state random_seed rng",
    "progress": "verbose show_progress_bar show_progress progress_bar",
    "timeout": "time_budget max_time time_limit",
    "space": "search_space param_space params parameters config",
    "callbacks": "callback",
}


def require(condition: bool, name: str, value: Any, remedy: str) -> None:
    """Raise a ValueError that names the argument, its value and what it must be."""
    if not condition:
        raise ValueError(f"{name}={reprlib.repr(value)}: must be {remedy}")


def require_count(name: str, value: Any) -> int:
    """Return a whole number of at least one, numpy's too, as a plain int; raise where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name}={value!r}: must be an int, at least 1")
    require(int(value) >= 1, name, value, "at least 1")
    return int(value)


def require_seed(value: Any) -> int:
    """Return a whole number in [0, 2^32) as a plain int; raise where it is none."""
    remedy = "an int of at least 0 and below 2**32"
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"seed={value!r}: must be {remedy}")
    require(0 <= int(value) < MAX_SEED, "seed", value, remedy)
    return int(value)


def refuse_unknown(function: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a TypeError for the first keyword that a function does not have, and name the one that is meant.

    Args:
      function: its name.
      given: the keywords that are left over.
      known: those it has.
    """
    known = set(known)
    for name in given:
        meant = [own for own, others in SYNONYMS.items() if own in known and name.lower() in others.split()]
        hint = f"it is called {meant[0]!r} here" if meant else suggest(name, known)
        raise TypeError(f"{function} has no argument {name!r}; {hint}")


def suggest(word: str, options: Iterable[str]) -> str:
    """List the options, after the one nearest to a misspelt word."""
    options = sorted(options)
    near = difflib.get_close_matches(word, options, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}choose one of {options}"


def named(kind: str, wanted: Any, known: dict[str, type], protocol: type) -> Any:
    """Return an instance, made from its name where it came as one.

    Raises:
      ValueError: an unknown name.
      TypeError: neither a name nor an instance that follows the protocol.
    """
    if isinstance(wanted, str):
        if wanted not in known:
            raise ValueError(f"{kind}={wanted!r}: unknown; {suggest(wanted, known)}")
        return known[wanted]()
    if isinstance(wanted, type) or not isinstance(wanted, protocol):
        remedy = (
            f"call it: {wanted.__name__}()" if isinstance(wanted, type) else f"a name of {sorted(known)} or an instance"
        )
        raise TypeError(f"{kind}={wanted!r}: must be {remedy}")
    return wanted


def leaf_name(path: tuple) -> str:
    """Name a leaf of a pytree as a person would: `opt.lr`, `0`, or `the value` at the root."""
    return jax.tree_util.keystr(path, simple=True, separator=".") or "the value"
