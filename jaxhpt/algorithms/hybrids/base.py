"""What algorithms share that are made of others: every part keeps its own state and notes, and is told everything."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxhpt.algorithms.base import Algorithm, Proposals, no_proposals
from jaxhpt.core.checks import Settings, require
from jaxhpt.core.history import History
from jaxhpt.core.problem import Problem
from jaxhpt.core.space import Space
from jaxhpt.core.typing import Array, Key


class Composite(Settings):
    """The part that combinations share. In the note of a row every part has columns of its own, NaN in others' rows."""

    _own: ClassVar[int] = 0  # columns of notes that belong to no part, the first

    @property
    def parts(self) -> tuple[Algorithm, ...]:
        """The algorithms it is made of."""
        raise NotImplementedError

    def num_notes(self, problem: Problem) -> int:
        """Return the width of the notes of all together."""
        return self._own + sum(part.num_notes(problem) for part in self.parts)

    def num_points(self, space: Space) -> int | None:
        """Return None: there is no end."""
        return None

    def may_repeat(self, problem: Problem) -> bool:
        """Return whether all of its parts may."""
        return all(part.may_repeat(problem) for part in self.parts)

    def begin(self, key: Key, problem: Problem) -> tuple[Any, ...]:
        """Start every part."""
        return tuple(part.init(jax.random.fold_in(key, i), problem) for i, part in enumerate(self.parts))

    def ask_part(
        self, i: int, key: Key, states: tuple, history: History, problem: Problem, num: int, count: Array
    ) -> tuple[Proposals, tuple]:
        """Ask one part, if it is to propose anything: its proposals, in the notes of all, and the states."""
        part = self.parts[i]
        width = part.num_notes(problem)

        def ask() -> tuple[Proposals, Any]:
            return part.ask(jax.random.fold_in(key, i), states[i], self._view(i, history, problem), problem, num, count)

        def rest() -> tuple[Proposals, Any]:
            return no_proposals(num, problem.num_dimensions, width), states[i]

        found, state = jax.lax.cond(count > 0, ask, rest)
        before, after = self._columns(i, problem)
        note = jnp.pad(found.note, ((0, 0), (before, after)), constant_values=jnp.nan)
        return found._replace(note=note), (*states[:i], state, *states[i + 1 :])

    def tell_parts(self, key: Key, states: tuple, history: History, problem: Problem, finished: Array) -> tuple:
        """Tell every part of all rows that ended."""
        return tuple(
            part.tell(jax.random.fold_in(key, i), states[i], self._view(i, history, problem), problem, finished)
            for i, part in enumerate(self.parts)
        )

    def _columns(self, i: int, problem: Problem) -> tuple[int, int]:
        """Return the number of columns of notes before and after those of a part."""
        widths = [part.num_notes(problem) for part in self.parts]
        return self._own + sum(widths[:i]), sum(widths[i + 1 :])

    def _view(self, i: int, history: History, problem: Problem) -> History:
        """Show a part the history with its own notes."""
        before, after = self._columns(i, problem)
        return history._replace(note=history.note[:, before : history.note.shape[1] - after])


def several(algorithms: tuple[Any, ...]) -> tuple[Algorithm, ...]:
    """Return at least two algorithms as they are; raise where they are not."""
    require(len(algorithms) > 1, "algorithms", algorithms, "at least two")
    for part in algorithms:
        require_algorithm("algorithms", part)
    return algorithms


def require_algorithm(name: str, value: Any) -> None:
    """Raise unless a value is an algorithm."""
    if isinstance(value, type) or not isinstance(value, Algorithm):
        raise TypeError(f"{name}={value!r}: must be an algorithm, such as Genetic()")


def require_endless(name: str, value: Algorithm, space: Space) -> None:
    """Raise where an algorithm has an end."""
    require(value.num_points(space) is None, name, value, "without an end; one that has an end can begin a Chain")


def joined(parts: list[Proposals], which: Array, place: Array) -> Proposals:
    """Put proposals together: of part i32[Q] `which` the one at i32[Q] `place`."""
    both = jax.tree.map(lambda *a: jnp.stack(a), *parts)
    return jax.tree.map(lambda a: a[which, place], both)


def write_fields_of(settings: Any, **fields: Any) -> None:
    """Write fields of a frozen dataclass whose arguments are not its fields one by one."""
    for name, value in fields.items():
        object.__setattr__(settings, name, value)
