"""A user's function under a trace: what it may take, and errors that name the hyperparameter and his own line."""

import contextlib
import linecache
import re
import traceback
from collections.abc import Iterator, Sequence
from types import TracebackType

import jax

from jaxhpt.core.checks import suggest
from jaxhpt.core.dimensions import Choice
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Hparams
from jaxhpt.training.categories import REMEDY, categorical, texts_refused

LIBRARIES = ("jax", "jaxlib", "jaxhpt", "flax", "optax", "numpy", "contextlib", "functools")
_TRACED = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
_PLAIN_WANTED = re.compile(r"concrete values|must be static integers|a real number is required, not \w*Tracer")


def hparams_of(space: Space, values: Sequence[Array]) -> Hparams:
    """Put D values into the user's pytree; a choice without numbers as an index that knows its values."""
    pairs = zip(space.dimensions, values, strict=True)
    return space.assemble([categorical(v, d) if isinstance(d, Choice) and not d.numeric else v for d, v in pairs])


@contextlib.contextmanager
def calling(name: str, space: Space) -> Iterator[None]:
    """Explain what goes wrong in a user's function while it is traced, his own line first.

    Args:
      name: of the function.
      space: whose values are the first argument of what is traced.
    """
    try:
        with texts_refused():
            yield
    except Exception as error:
        told = _dropped(name, error) or _explained(name, space, error)
        line = _line(error.__traceback__)
        if told is not None:
            raise type(told)(f"{line}\n{told}" if line else str(told)) from error
        error.add_note(f"{name}: {line or 'raised by a library that it called, such as by a layer of the model'}")
        raise


def no_array(name: str, what: str) -> TypeError:
    """Make the error for a leaf that is no array."""
    return TypeError(
        f"{name}: must return arrays, or pytrees of arrays, but there is a {what}; what is no array, such as a "
        "function in an Equinox module, stays outside (equinox.partition)"
    )


def _explained(name: str, space: Space, error: Exception) -> Exception | None:
    text = str(error).split("\n")[0]
    if isinstance(error, _TRACED) or (isinstance(error, (TypeError, IndexError)) and _PLAIN_WANTED.search(text)):
        return TypeError(
            f"{name}: a traced value{_read(space, str(error))} was used where Python needs a plain one: in `if`, "
            "`range`, a shape, `float()`, `.item()`, or a numpy, math or scikit-learn function. Use jnp.where, "
            "jax.lax.cond or jax.lax.switch instead of `if`; or say structural=True, as in "
            "jaxhpt.Int(1, 4, structural=True): then it comes as plain Python, for a shape, a loop or an `if`, and "
            "each of its values is compiled by itself; jaxhpt.models.masking makes sizes of one program; jaxhpt.traced "
            "has dropout and learning-rate schedules that take traced rates and lengths; a function that cannot be "
            "traced at all is for jaxhpt.Tuner."
        )
    if isinstance(error, TypeError) and "not a valid JAX type" in text:
        found = re.search(r"returned a value of type (.*?)(?: at output component (.*?))?, which", text)
        what = f"{found[1]}{f' at {found[2]}' if found[2] else ''}" if found else text
        return no_array(name, what)
    if isinstance(error, TypeError) and "'tuple'" in text and (tuples := _tuples(space)):
        remedy = "in a space a tuple is a constant; a range is Float(low, high) or Int(low, high), a choice a list"
        return TypeError(f"{name}: {text}; {', '.join(map(repr, tuples))}: {remedy}")
    if isinstance(error, TypeError) and "attribute name must be string" in text and "Category" in text:
        return TypeError(f"{name}: a choice reaches a function as a traced index, which names no attribute; {REMEDY}")
    if isinstance(error, TypeError) and "string indexing" in text:
        return TypeError(f"{name}: an array was asked for a name: are the arguments in the documented order? {text}")
    if isinstance(error, AttributeError) and isinstance(error.obj, dict) and error.name in space.names:
        return TypeError(f"{name}: hyperparameters are entries of a dict: write hparams[{error.name!r}]")
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        return _misnamed(name, space, error.args[0])
    return None


def _dropped(name: str, error: Exception) -> Exception | None:
    """Explain a dropout of Flax whose rate is a hyperparameter; it compares the rate in Python."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    flax = [f for f in frames if str(f.f_globals.get("__name__", "")).startswith("flax.")]
    if not isinstance(error, _TRACED) or not any(f.f_code.co_qualname.startswith("Dropout.") for f in flax):
        return None
    remedy = "jaxhpt.traced has dropout that takes one of the space: NnxDropout(rate, rngs=rngs), LinenDropout(rate)"
    return TypeError(f"{name}: the dropout of Flax needs a plain rate; {remedy}")


def _tuples(space: Space) -> list[str]:
    """Return the names of tuples of constants in a space."""
    return sorted({name.removesuffix(".0") for name in space.constants if name.endswith(".0")})


def _misnamed(name: str, space: Space, key: str) -> Exception | None:
    nested = [n for n in space.names if "." in n and (n == key or n.endswith(f".{key}"))]
    if nested and key not in {n.split(".")[0] for n in (*space.names, *space.constants)}:
        place = "".join(f"[{part!r}]" for part in nested[0].split("."))
        return ValueError(f"{name}: KeyError {key!r}; the hyperparameter {nested[0]!r} is h{place}")
    words = {*space.names, *space.constants, *(part for n in space.names for part in n.split("."))}
    if key in words:
        return None
    return ValueError(f"{name}: KeyError {key!r}; if a hyperparameter was meant, {suggest(key, space.names)}")


def _read(space: Space, text: str) -> str:
    """Name the hyperparameters that JAX says a value depends on."""
    found = sorted({int(place) for place in re.findall(r"args\[0\]\[(\d+)\]", text)})
    names = ", ".join(repr(space.names[place]) for place in found if place < len(space.names))
    return f" (hyperparameter {names})" if names else ", such as a hyperparameter,"


def _line(tb: TracebackType | None) -> str:
    """Find the innermost line that is no library's."""
    found = ""
    for frame, number in traceback.walk_tb(tb):
        if str(frame.f_globals.get("__name__", "")).split(".")[0] not in LIBRARIES:
            code = linecache.getline(frame.f_code.co_filename, number).strip()
            found = f'File "{frame.f_code.co_filename}", line {number}: {code}'
    return found
